"""Append: what a record costs the process that receives it, from call to commit."""

from __future__ import annotations

import mmap
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from mdtool.bench.measure import Contestant, Setting, figure, nanoseconds, race, spent
from mdtool.bench.report import Figure
from mdtool.clock import DAY
from mdtool.kernel.journal import Appender
from mdtool.model import Kind
from mdtool.storage.format.layout import PAGE, ROW
from mdtool.storage.store import Store

APPEND_NS = 150.0  # budget
PAYLOAD = bytes(range(32, 232))  # 200 bytes
RECV_NS = 20_000 * DAY
PLAIN_ROW = struct.Struct("<qQIIHBBI")  # the same row
COUNT = struct.Struct("<Q")


def bench_append(setting: Setting) -> list[Figure]:
    setting.tell("append")
    count = setting.size(200_000, 2_000)

    def contestant(work: Callable[[Path], float]) -> Contestant:
        def once() -> float:
            # Removed after each turn, so that the next gets its pages back: memory a virtual machine touches for the
            # first time costs several microseconds a page, which says nothing about a recorder that has been running.
            with tempfile.TemporaryDirectory(dir=setting.directory) as scratch:
                return work(Path(scratch))

        once()
        return once

    turns = race(
        {
            "append": contestant(lambda path: _through_writer(path / "store", count, clock=False)),
            "clock": contestant(lambda path: _through_writer(path / "store", count, clock=True)),
            "kernel": lambda: _into_memory(count),
            "plain": contestant(lambda path: _plain(path, count)),
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
        figure(
            "append", "append_kernel", "the same into memory that is there, no file behind it", unit, turns["kernel"]
        ),
    ]


def _through_writer(path: Path, count: int, clock: bool) -> float:
    with Store.create(path) as store, store.writer("bench/A_B", sync="none") as writer:
        stream = writer.stream("trade")
        writer.append(RECV_NS, Kind.DATA, stream, 1, PAYLOAD)  # opens the chunk
        return spent(lambda: _append(writer.append, stream, count, clock), count)


def _into_memory(count: int) -> float:
    index = bytearray(b"\1" * (PAGE + (count + 1) * ROW.itemsize))  # ones: zeros get their memory when written to
    heap = bytearray(b"\1" * (count * len(PAYLOAD)))
    appender = Appender(_no_room)
    appender.attach(index, heap, RECV_NS, RECV_NS + DAY)
    appender.allow(count, len(heap))
    return spent(lambda: _append(appender.append, 0, count, clock=False), count)


def _no_room(recv_ns: int, length: int) -> None:
    raise AssertionError("the memory was sized for all of it")


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
    with (directory / "heap").open("xb+") as heap_file, (directory / "index").open("xb+") as index_file:
        heap_file.truncate(count * len(PAYLOAD))
        index_file.truncate(PAGE + count * ROW.itemsize)
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
