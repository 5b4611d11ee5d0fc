"""Append: what a record costs the process that receives it, from call to commit."""

from __future__ import annotations

import itertools
import mmap
import struct
import tempfile
import time
import zlib
from pathlib import Path

from mdtool.bench.measure import Setting, figure, nanoseconds, race, spent
from mdtool.bench.report import Figure
from mdtool.clock import DAY
from mdtool.model import Kind
from mdtool.storage.layout import PAGE, ROW
from mdtool.storage.store import Store

APPEND_NS = 150.0  # budget
PAYLOAD = bytes(range(32, 232))  # 200 bytes
RECV_NS = 20_000 * DAY
PLAIN_ROW = struct.Struct("<qQIIHBBI")  # the same row
COUNT = struct.Struct("<Q")


def bench_append(setting: Setting) -> list[Figure]:
    setting.tell("append")
    count = setting.size(200_000, 2_000)
    turn = itertools.count()

    def append(clock: bool) -> float:
        path = setting.directory / f"append{next(turn)}"
        with Store.create(path) as store, store.writer("bench/A_B", sync="none") as writer:
            stream = writer.stream("trade")
            writer.append(RECV_NS, Kind.DATA, stream, 1, PAYLOAD)  # opens the chunk
            return spent(lambda: _append(writer.append, stream, count, clock), count)

    turns = race(
        {
            "append": lambda: append(False),
            "clock": lambda: append(True),
            "plain": lambda: _plain(setting.directory, count),
        },
        setting.repeats,
    )
    against = ("mmap + struct + zlib.crc32, plain Python", turns["plain"])
    unit = nanoseconds("record")
    return [
        figure(
            "append", "append", "append a 200-byte record", unit, turns["append"], budget=APPEND_NS, against=against
        ),
        figure("append", "append_clock", "the same with the clock read", unit, turns["clock"], against=against),
    ]


def _append(append, stream: int, count: int, clock: bool) -> None:  # type: ignore[no-untyped-def]
    payload, data = PAYLOAD, int(Kind.DATA)
    if clock:
        # The records stay within one day whatever the date is, or a chunk would roll in the middle of a turn.
        now, base = time.time_ns, RECV_NS - time.time_ns()
        for _ in range(count):
            append(now() + base, data, stream, 1, payload)
        return
    for recv_ns in range(RECV_NS, RECV_NS + count):
        append(recv_ns, data, stream, 1, payload)


def _plain(directory: Path, count: int) -> float:
    """The same bytes into the same layout, with what the standard library has."""
    with tempfile.TemporaryFile(dir=directory) as heap_file, tempfile.TemporaryFile(dir=directory) as index_file:
        # Written once before, so neither side is timed on the kernel handing out pages.
        heap_file.write(bytes(count * len(PAYLOAD)))
        index_file.write(bytes(PAGE + count * ROW.itemsize))
        heap_file.flush()
        index_file.flush()
        with mmap.mmap(heap_file.fileno(), 0) as heap, mmap.mmap(index_file.fileno(), 0) as index:
            return spent(lambda: _append_plain(heap, index, count), count)


def _append_plain(heap: mmap.mmap, index: mmap.mmap, count: int) -> None:
    pack, commit, crc = PLAIN_ROW.pack_into, COUNT.pack_into, zlib.crc32
    payload, length, offset, row = PAYLOAD, len(PAYLOAD), 0, PAGE
    for number in range(count):
        heap[offset : offset + length] = payload
        pack(index, row, RECV_NS + number, offset, length, crc(payload), 0, 1, 0, 1)
        commit(index, 256, number + 1)
        offset += length
        row += 32
