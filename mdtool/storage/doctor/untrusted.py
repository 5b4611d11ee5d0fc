"""Files, heads and tables read without believing a byte: whatever they hold, a value comes back.

Rule: nothing is raised, mapped beyond its end, waited for or written.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdtool.errors import CorruptStore
from mdtool.kernel.mapping import FileMap
from mdtool.storage import files
from mdtool.storage.format import layout

Buffer = FileMap | memoryview | bytes
Rows = npt.NDArray[np.void]

PROBE = 1 << 20
COPIES = 5  # of a file that cannot be mapped, until one of them is whole
SETTLE = 50  # tries, 100 us apart, at a slot that a writer may be rewriting


@dataclass(frozen=True, slots=True)
class Bytes:
    """A file's content; `error` says why there is none."""

    path: Path
    data: Buffer = b""
    error: str | None = None
    missing: bool = False

    def __len__(self) -> int:
        return len(self.data)


def load(path: Path) -> Bytes:
    """A regular file: mapped where each of its bytes has storage behind it, else read into memory, since reading a hole
    through a mapping ends the process where memory is short."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return Bytes(path, error="is no regular file")
        fd = files.open_existing(path)
        try:
            return Bytes(path, files.map_file(fd) if files.allocated(fd) else files.read_copy(fd))
        finally:
            os.close(fd)
    except OSError as error:
        return Bytes(path, error=error.strerror or str(error), missing=error.errno == errno.ENOENT)


def probe(path: Path, size: int) -> str | None:
    """Read the first `size` bytes: what the device refuses comes as an error here, and as SIGBUS from a mapping."""
    try:
        fd = files.open_existing(path)
        try:
            scratch = memoryview(bytearray(min(PROBE, size)))
            at = 0
            while at < size:
                if not (got := os.preadv(fd, [scratch[: size - at]], at)):  # and none of the blank room behind
                    return None
                at += got
        finally:
            os.close(fd)
    except OSError as error:
        return f"{error.strerror} at byte {at:,}" if error.errno == errno.EIO else error.strerror
    return None


def head_of(data: Buffer, dtype: np.dtype[Any], magic: bytes) -> tuple[np.void | None, str]:
    """A header that proves itself; else None and what is wrong with it."""
    try:
        return layout.header(dtype, magic, bytes(data[: layout.PAGE]), ""), ""
    except CorruptStore as error:
        return None, str(error).removeprefix(": ").split(";")[0].split(", expected")[0]


def whole_slot(dtype: np.dtype[Any], data: Buffer, at: int) -> np.void | None:
    """The slot at `at` where it proves itself."""
    part = bytes(data[at : at + dtype.itemsize])
    return layout.unsealed(dtype, part) if len(part) == dtype.itemsize else None


@dataclass(slots=True)
class TableEvidence:
    """The slots of one table: None for each that is damaged."""

    slots: list[np.void | None]
    count: int  # as the file says
    behind: list[np.void | None] = field(default_factory=list)  # slots behind the count, up to the last whole one

    @property
    def damaged(self) -> list[int]:
        return [number for number, slot in enumerate(self.slots) if slot is None]


def read_table(
    path: Path, data: Buffer, dtype: np.dtype[Any], at: int, count_at: int, *, in_use: bool, limit: int = 1 << 40
) -> TableEvidence:
    """A table of slots. `in_use`: a slot may be in the middle of being rewritten, and the count may just have risen."""
    for _ in range(COPIES if in_use else 0):
        found = _read_table(path, data, dtype, at, count_at, in_use, limit)
        if isinstance(data, FileMap) or (len(found.slots) == found.count and not found.damaged):
            return found
        # What was read, and not mapped, is of no one moment: what a writer was about to do shows in the next copy.
        time.sleep(1e-2)
        data = load(path).data
    return _read_table(path, data, dtype, at, count_at, in_use, limit)


def _read_table(
    path: Path, data: Buffer, dtype: np.dtype[Any], at: int, count_at: int, in_use: bool, limit: int
) -> TableEvidence:
    count = int.from_bytes(data[count_at : count_at + 8], "little") if len(data) >= count_at + 8 else 0
    if in_use and at + count * dtype.itemsize > len(data):
        data = load(path).data  # a writer makes the file longer before it counts: it may be so by now
    room = min(limit, max(0, (len(data) - at) // dtype.itemsize))
    slots: list[np.void | None] = []
    for number in range(min(count, room)):
        slot = whole_slot(dtype, data, at + number * dtype.itemsize)
        for _ in range(SETTLE if in_use and slot is None and isinstance(data, FileMap) else 0):
            time.sleep(1e-4)
            if (slot := whole_slot(dtype, data, at + number * dtype.itemsize)) is not None:
                break
        slots.append(slot)
    blank = bytes(dtype.itemsize)
    while slots and slots[-1] is None:
        start = at + (len(slots) - 1) * dtype.itemsize
        if bytes(data[start : start + dtype.itemsize]) != blank:
            break
        slots.pop()  # never written: the count is what is wrong
    used = 0 if in_use else -(-len(bytes(data[at : at + room * dtype.itemsize]).rstrip(b"\0")) // dtype.itemsize)
    behind = [whole_slot(dtype, data, at + number * dtype.itemsize) for number in range(len(slots), used)]
    while behind and behind[-1] is None:
        behind.pop()
    return TableEvidence(slots, count, behind)
