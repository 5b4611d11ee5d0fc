"""Damage to files, as power losses, disks and cosmic rays do it. Each says what it did, for the report."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from random import Random

from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo
from mdtool.storage.parts.archive import own_place

PAGE = mmap.PAGESIZE
Damage = Callable[[FeedInfo, list[ChunkInfo], Random], str]  # what it did; "" where there was nothing to do it to


def _change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path: Path, at: int, random: Random) -> str:
    """One bit of the byte at `at`."""
    with path.open("rb") as file:
        file.seek(at)
        (byte,) = file.read(1)
    bit = random.randrange(8)
    _change(path, at, bytes([byte ^ 1 << bit]))
    return f"bit {bit} of byte {at} of {path.name} flipped"


def tear(path: Path, used: int, random: Random) -> str:
    """The last pages that are in use never reached the disk: they are zero, from some page on or from its middle."""
    last = max(0, used - 1) // PAGE
    start = max(0, last - random.randrange(3)) * PAGE
    if random.random() < 0.5:
        start = min(used - 1, start + random.randrange(0, PAGE, 512))
    _change(path, start, bytes(max(0, used - start)))
    return f"{path.name} torn from byte {start} on"


def of_chunk(feed: FeedInfo, chunks: list[ChunkInfo], random: Random) -> str:
    """Somewhere in a chunk that holds records: a payload, a row, its header, or its last pages."""
    own = [info for info in chunks if info.rows and info.location == Location.DISK]
    if not own:
        return ""
    info = random.choice(own)
    index, heap = chunk_paths(feed, info.chunk_id, Location.DISK)
    rows_end = layout.PAGE + info.rows * layout.ROW.itemsize
    match random.choice(["payload", "row", "header", "torn heap", "torn index"]):
        case "payload":
            return flip(heap, random.randrange(max(1, info.heap_bytes)), random)
        case "row":
            return flip(index, random.randrange(layout.PAGE, rows_end), random)
        case "header":
            return flip(index, random.randrange(layout.CRC_AT + 4), random)
        case "torn heap":
            return tear(heap, max(1, info.heap_bytes), random)
        case _:
            # A header page that is lost with the rows is the header's case.
            begin = layout.PAGE + random.randrange(info.rows) * layout.ROW.itemsize
            _change(index, begin, bytes(rows_end - begin))
            return f"{index.name} torn from byte {begin} on"


def of_feed_registry(feed: FeedInfo, chunks: list[ChunkInfo], random: Random) -> str:
    """A bit of a chunk's entry, of a stream's name or of the header of feed.bin."""
    path = feed.directory / "feed.bin"
    entry = layout.CHUNKS_AT + random.randrange(len(chunks)) * layout.CHUNK_SLOT.itemsize
    at = random.choice(
        [
            entry + random.randrange(layout.CHUNK_SLOT.itemsize),
            layout.PAGE + random.randrange(layout.STREAM_SLOT.itemsize),
            random.randrange(layout.CRC_AT + 4),
        ]
    )
    return flip(path, at, random)


def of_part(feed: FeedInfo, chunks: list[ChunkInfo], random: Random) -> str:
    """A bit somewhere in a sealed part."""
    place = own_place(feed)
    parts = [place.path(name) for name in place.names()]
    if not parts:
        return ""
    part = random.choice(parts)
    return flip(part, random.randrange(part.stat().st_size), random)
