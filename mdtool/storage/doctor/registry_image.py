"""A registry as the bytes of its file, and putting these in the place of what is there.

Rule: what the file held is kept before a byte of it changes.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import asdict
from pathlib import Path

from mdtool.storage import files
from mdtool.storage.doctor.feed_evidence import FeedEvidence
from mdtool.storage.doctor.quarantine import Quarantine
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.format import layout
from mdtool.storage.journal.registry import FeedInfo, feed_fields


def image(feed: FeedInfo, created_ns: int, slots: list[Slot], streams: list[str]) -> bytes:
    """feed.bin with this content."""
    page = bytearray(
        layout.sealed(
            layout.FEED_HEADER,
            magic=layout.FEED_MAGIC,
            version=layout.VERSION,
            header_bytes=layout.PAGE,
            store_id=uuid.UUID(feed.store_id).bytes,
            feed_id=feed.feed_id,
            created_ns=created_ns,
            committed=len(slots),
            streams=len(streams),
        )
    )
    settings = layout.sealed(layout.FEED_SLOT, **feed_fields(feed))
    page[layout.SETTINGS_AT : layout.SETTINGS_AT + len(settings)] = settings
    names = b"".join(layout.sealed(layout.STREAM_SLOT, name=name.encode()) for name in streams)
    table = b"".join(layout.sealed(layout.CHUNK_SLOT, **asdict(slot)) for slot in slots)
    return bytes(page) + names.ljust(layout.CHUNKS_AT - layout.PAGE, b"\0") + table


def write_image(path: Path, new: bytes, quarantine: Quarantine, *, in_place: bool) -> None:
    """Make a registry's file hold `new`, what it held being kept. `in_place`: readers that have it mapped see it
    change, slot by slot; else they go on with the old file."""
    if not in_place:
        with contextlib.suppress(FileNotFoundError):
            quarantine.keep(path)
        files.replace_durably(path, [new])
        return
    quarantine.keep(path, changing=True)
    fd = files.open_existing(path, writable=True)
    try:
        old = os.pread(fd, os.fstat(fd).st_size, 0)
        new = new.ljust(len(old), b"\0")
        step = 64  # divides every slot; slots first, the head with its counts last
        for at in [*range(layout.PAGE, len(new), step), *range(0, layout.PAGE, step)]:
            if old[at : at + step] != new[at : at + step]:
                os.pwrite(fd, new[at : at + step], at)
        files.sync(fd, path)
    finally:
        os.close(fd)


def differs(registry: FeedEvidence, new: bytes) -> bool:
    """Whether feed.bin is not as it is to be, apart from room behind its slots."""
    old = bytes(registry.file.data)
    settings = slice(layout.SETTINGS_AT, layout.SETTINGS_AT + layout.FEED_SLOT.itemsize)
    if not any(old[settings]):  # of a store from before there was a copy: no finding
        new = new[: settings.start] + old[settings] + new[settings.stop :]
    return old[: len(new)] != new or old[len(new) :].count(0) != len(old) - len(new)


def keeps_numbers(feed: FeedInfo, registry: FeedEvidence, slots: list[Slot]) -> bool:
    """Whether feed.bin can be changed in place: its head is whole and every entry stays where readers know it."""
    if registry.head is None or int(registry.head["feed_id"]) != feed.feed_id:
        return False
    if bytes(registry.head["store_id"]).hex() != feed.store_id or len(registry.file) < layout.CHUNKS_AT:
        return False
    old = [Slot.of(raw) if raw is not None else None for raw in registry.chunks.slots]
    return len(slots) >= len(old) and all(
        was is None or was.chunk_id == now.chunk_id for was, now in zip(old, slots, strict=False)
    )
