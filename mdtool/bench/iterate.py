"""Iterate: what a record costs the process that reads it back."""

from __future__ import annotations

import mmap
import struct
from collections import deque
from pathlib import Path

from mdtool.bench.measure import Setting, figure, millions, race, spent
from mdtool.bench.report import Figure
from mdtool.bench.storage import PAYLOAD, RECV_NS
from mdtool.model import Kind
from mdtool.storage.store import Store

ITERATE = 8.0  # budget, million records a second
FRAME = struct.Struct("<qIH")  # receive time, length, stream: the framing a plain recorder writes
FEED = "bench/A_B"


def bench_iterate(setting: Setting) -> list[Figure]:
    setting.tell("iterate: writing the feed")
    count = setting.size(1_000_000, 5_000)
    plain_count = count // 5
    plain = setting.directory / "plain.frames"
    with Store.create(setting.directory / "iterate") as store:
        fill(store, FEED, count)
        with plain.open("wb") as file:
            for number in range(plain_count):
                file.write(FRAME.pack(RECV_NS + number, len(PAYLOAD), 0) + PAYLOAD)

        def records(verify: bool) -> float:
            with store.reader(FEED, verify=verify) as reader:
                return spent(lambda: deque(reader.records(), maxlen=0), count)

        def loop() -> float:
            with store.reader(FEED) as reader:

                def work() -> None:
                    for record in reader.records():
                        record.payload  # noqa: B018  -- being asked for is the work

                return spent(work, count)

        def batches() -> float:
            with store.reader(FEED) as reader:
                return spent(lambda: deque(reader.batches(), maxlen=0), count)

        setting.tell("iterate")
        turns = race(
            {
                "records": lambda: records(True),
                "unverified": lambda: records(False),
                "payload": loop,
                "batches": batches,
                "plain": lambda: _plain(plain, plain_count),
            },
            setting.repeats,
        )
    unit, against = millions("records"), ("mmap + struct.unpack_from + slice, plain Python", turns["plain"])
    return [
        figure("iterate", "records", "iterate records, CRCs checked", unit, turns["records"], budget=ITERATE,
               against=against),
        figure("iterate", "records_unverified", "iterate records, CRCs not checked", unit, turns["unverified"],
               against=against),
        figure("iterate", "payloads", "iterate in a loop, checked, payload bytes taken", unit, turns["payload"],
               against=against),
        figure("iterate", "batches", "iterate batches, CRCs checked", unit, turns["batches"], against=against),
    ]  # fmt: skip


def fill(store: Store, name: str, count: int, payload: bytes = PAYLOAD, start: int = 0, step: int = 1) -> None:
    """A feed of `count` records of `payload`, `step` ns apart from RECV_NS + start on."""
    with store.writer(name, sync="none") as writer:
        append, stream, data = writer.append, writer.stream("trade"), int(Kind.DATA)
        for number in range(count):
            append(RECV_NS + start + number * step, data, stream, 1, payload)


def _plain(path: Path, count: int) -> float:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def work() -> None:
            at, end, unpack, size = 0, len(data), FRAME.unpack_from, FRAME.size
            while at < end:
                _, length, _ = unpack(data, at)
                at += size
                data[at : at + length]
                at += length

        return spent(work, count)
