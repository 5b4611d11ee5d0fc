"""Rolling: how long an append takes at worst while chunks fill up, with a worker that makes the next one ready and
without."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from mdtool.bench.measure import Contestant, Setting, figure, nanoseconds, race
from mdtool.bench.report import Figure
from mdtool.bench.storage import PAYLOAD, RECV_NS
from mdtool.model import Kind
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store

CHUNK_BYTES = 8 << 20  # small, so that a turn has several rolls
PAUSE_EVERY = 500  # records; then a pause, as feeds have them, in which a worker gets its turn
PAUSE = 0.001  # seconds
WORKER_EVERY = 0.02  # seconds: against this rate of records, what once a second is against a live feed's
QUANTILES = (("p50", 0.5), ("p99.9", 0.999), ("p99.99", 0.9999))


def bench_roll(setting: Setting) -> list[Figure]:
    setting.tell("roll")
    count = setting.size(200_000, 20_000)
    waits: dict[str, list[list[int]]] = {"prepared": [], "plain": []}

    def contestant(name: str) -> Contestant:
        def once() -> float:
            with tempfile.TemporaryDirectory(dir=setting.directory) as scratch:
                waits[name].append(sorted(_appends(Path(scratch), count, prepare=name == "prepared")))
            return 0.0

        return once

    race({name: contestant(name) for name in waits}, setting.repeats)
    figures = []
    for name, quantile in QUANTILES:
        prepared, plain = (
            [float(turn[int(len(turn) * quantile)]) for turn in waits[way]] for way in ("prepared", "plain")
        )
        figures.append(
            figure(
                "roll",
                f"roll_{name}",
                f"append over rolls, next chunk prepared, {name}",
                nanoseconds("record"),
                prepared,
                against=("without preparation", plain),
                note="timing itself costs some 50 ns of each",
            )
        )
    return figures


def _appends(path: Path, count: int, *, prepare: bool) -> list[int]:
    """Nanoseconds of each append."""
    done = threading.Event()
    with (
        Store.create(path / "store") as store,
        store.writer("bench/A_B", chunk_bytes=CHUNK_BYTES, sync="none") as writer,
    ):
        worker = threading.Thread(target=_work, args=(writer, done), daemon=True)
        if prepare:
            worker.start()
        try:
            return _timed(writer, count)
        finally:
            done.set()
            if prepare:
                worker.join()


def _work(writer: Writer, done: threading.Event) -> None:
    """What the recorder's worker does."""
    while not done.wait(WORKER_EVERY):
        writer.prepare()
        writer.sync()


def _timed(writer: Writer, count: int) -> list[int]:
    append, stream, data, now = writer.append, writer.stream("trade"), int(Kind.DATA), time.perf_counter_ns
    spent = []
    for number in range(count):
        began = now()
        append(RECV_NS, data, stream, 1, PAYLOAD)
        spent.append(now() - began)
        if number % PAUSE_EVERY == 0:
            time.sleep(PAUSE)
    return spent
