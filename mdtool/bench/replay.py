"""Replay: two feeds merged by time, to row batches and to NDJSON, and how late a paced record is released."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from mdtool.bench.iterate import fill
from mdtool.bench.measure import Setting, figure, millions, nanoseconds, race, spent
from mdtool.bench.report import Figure
from mdtool.bench.storage import RECV_NS
from mdtool.clock import SECOND
from mdtool.replay.merge import merge_batches
from mdtool.replay.pacing import Pacer
from mdtool.replay.replayer import Replay, play
from mdtool.replay.sinks.ndjson import Ndjson
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store

BATCHES = 10.0  # budgets, million records a second
NDJSON = 1.5
LATE_P50_NS = 50_000.0  # budgets of a paced replay
LATE_P99_NS = 1_000_000.0
FEEDS = ("bench/A_B", "bench/C_D")
SHORT_FEEDS = ("bench/E_F", "bench/G_H")  # for the baseline, which is ten times slower and holds everything in memory
PACED_GAP_NS = 2_000_000  # 500 records a second: paced by sleeping, not by spinning through
# A trade as it comes off the wire, 183 bytes: what most records of a capture are.
TRADE = (
    b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1723129447123,"T":1723129447121,"s":"ETHUSDT",'
    b'"t":4495710462,"p":"2681.62","q":"0.093","b":8389765791234,"a":8389765791235,"X":"MARKET","m":true}}'
)


def bench_replay(setting: Setting) -> list[Figure]:
    setting.tell("replay: writing the feeds")
    each = setting.size(250_000, 2_000)
    with Store.create(setting.directory / "replay") as store:
        for names, size in ((FEEDS, each), (SHORT_FEEDS, each // 10)):
            for number, name in enumerate(names):  # every record's neighbours are the other feed's
                fill(store, name, size, TRADE, start=number, step=2)
        setting.tell("replay")
        with Path("/dev/null").open("wb", buffering=0) as sink:
            turns = race(
                {
                    "batches": lambda: _merged(store, each * len(FEEDS)),
                    "ndjson": lambda: _ndjson(store, sink, each * len(FEEDS)),
                    "plain": lambda: _plain(store, sink, each // 10 * len(SHORT_FEEDS)),
                },
                setting.repeats,
            )
    unit, against = millions("records"), ("sort + json.dumps, plain Python", turns["plain"])
    setting.tell("replay at 1x")
    return [
        figure("replay", "batches", "merge two feeds to row batches, CRCs checked", unit, turns["batches"],
               budget=BATCHES),
        figure("replay", "ndjson", "merge two feeds to NDJSON, to /dev/null", unit, turns["ndjson"], budget=NDJSON,
               against=against),
        *_paced(setting),
    ]  # fmt: skip


def _readers(store: Store, names: tuple[str, ...] = FEEDS) -> list[Reader]:
    return [store.reader(name) for name in names]


def _merged(store: Store, count: int) -> float:
    readers = _readers(store)
    return spent(lambda: deque((merged.rows() for merged in merge_batches(readers)), maxlen=0), count)


def _ndjson(store: Store, sink: BinaryIO, count: int) -> float:
    replay = Replay(_readers(store))
    return spent(lambda: play(replay, Ndjson(), sink), count)


def _plain(store: Store, sink: BinaryIO, count: int) -> float:
    """All records in memory, sorted, each a dict through the standard library's encoder."""
    import json

    def work() -> None:
        every = [
            (record.recv_ns, reader, record) for reader in _readers(store, SHORT_FEEDS) for record in reader.records()
        ]
        every.sort(key=lambda item: item[0])
        for recv_ns, reader, record in every:
            line = {
                "recv_ns": recv_ns,
                "feed": reader.feed.name,
                "stream": reader.stream_name(record.stream),
                "kind": record.kind,
                "session": record.session,
                "payload": json.loads(record.payload),
            }
            sink.write(json.dumps(line).encode() + b"\n")

    return spent(work, count)


def _paced(setting: Setting) -> list[Figure]:
    count = setting.size(1_000, 20)
    late: list[list[int]] = []
    plain: list[list[int]] = []
    for _ in range(setting.size(3, 1)):
        pacer = Pacer(1.0)
        late.append(sorted(pacer.wait(RECV_NS + number * PACED_GAP_NS) for number in range(count)))
        plain.append(sorted(_sleeping(count)))
    figures = []
    for name, quantile, budget in (("late_p50", 0.50, LATE_P50_NS), ("late_p99", 0.99, LATE_P99_NS)):
        ours, other = ([float(turn[int(count * quantile)]) for turn in turns] for turns in (late, plain))
        figures.append(
            figure("replay", name, f"replay at 1x, lateness {name[-3:]}", nanoseconds("record"), ours,
                   budget=budget, against=("time.sleep until due", other))
        )  # fmt: skip
    return figures


def _sleeping(count: int) -> list[int]:
    start, late = time.monotonic_ns(), []
    for number in range(count):
        due = start + number * PACED_GAP_NS
        time.sleep(max(0, due - time.monotonic_ns()) / SECOND)
        late.append(time.monotonic_ns() - due)
    return late
