"""Stream names inside a chunk's header page, so that a chunk can be read though its feed's registry is lost.

From layout.NAMES_AT on: a u64 count, then for each name `u16 id | u8 length | name | u32 CRC-32C over these`. Entries
are appended and the count stored last, so an append cut short leaves the ones before it whole.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mdtool.kernel.journal import crc32c, load_acquire, store_release
from mdtool.kernel.mapping import FileMap
from mdtool.storage.format import layout

_HEAD = struct.Struct("<HB")
_CRC = struct.Struct("<I")
_ENTRIES_AT = layout.NAMES_AT + 8


@dataclass(frozen=True, slots=True)
class Names:
    """What a header page says of its feed's streams. `whole`: every name it counts is there and proves itself."""

    by_id: Mapping[int, str]
    whole: bool
    end: int = layout.PAGE  # where the next one goes


def add_name(page: FileMap | bytearray, number: int, name: str) -> bool:
    """Append a name; False where the page has no room left (the feed's registry has it all the same)."""
    count = load_acquire(page, layout.NAMES_AT)
    end = _end(page, count)
    encoded = name.encode()
    entry = _HEAD.pack(number, len(encoded)) + encoded
    entry += _CRC.pack(crc32c(entry))
    if end is None or end + len(entry) > layout.PAGE:
        return False
    page[end : end + len(entry)] = entry
    store_release(page, layout.NAMES_AT, count + 1)
    return True


def names_in(page: bytes | memoryview | FileMap) -> Names:
    """The names of a header page, whatever state it is in."""
    count = int.from_bytes(page[layout.NAMES_AT : _ENTRIES_AT], "little")
    found: dict[int, str] = {}
    at = _ENTRIES_AT
    for _ in range(count):
        entry = _entry(page, at)
        if entry is None:
            return Names(found, False, at)
        found[entry[0]], at = entry[1], entry[2]
    return Names(found, _entry(page, at) is None, at)  # a whole one behind the count: the count is wrong


def _entry(page: bytes | memoryview | FileMap, at: int) -> tuple[int, str, int] | None:
    """Id, name and end of the entry at `at`; None where there is none that proves itself."""
    if at + _HEAD.size > layout.PAGE:
        return None
    number, length = _HEAD.unpack_from(page, at)
    end = at + _HEAD.size + length
    if not length or end + _CRC.size > layout.PAGE or crc32c(page[at:end]) != _CRC.unpack_from(page, end)[0]:
        return None
    return number, bytes(page[at + _HEAD.size : end]).decode("utf-8", "replace"), end + _CRC.size


def _end(page: FileMap | bytearray, count: int) -> int | None:
    at = _ENTRIES_AT
    for _ in range(count):
        if at + _HEAD.size > layout.PAGE:
            return None
        at += _HEAD.size + _HEAD.unpack_from(page, at)[1] + _CRC.size
    return at if at <= layout.PAGE else None
