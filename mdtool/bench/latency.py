"""Latency: from just before the append in one process to the record in hand in another.

Both processes read CLOCK_MONOTONIC, which is one clock on one machine. Where they run is left to the kernel: pinned to
two cores, the pipe hop measured nine times worse than it does in practice. Both sides of the store's way spin, so on a
machine with less than two idle cores the figures tell of its other work, not of the store.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
import time
from array import array
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from mdtool.bench.measure import Setting, figure, nanoseconds
from mdtool.bench.report import Figure
from mdtool.bench.storage import PAYLOAD
from mdtool.capture.child import own_modules
from mdtool.model import Kind
from mdtool.storage.store import Store

VISIBLE_NS = 1_000.0  # budget, p50
FEED = "bench/A_B"
GAP_NS = 30_000  # between two messages: the reader is back to waiting well before the next one
STAMP = struct.Struct("<q")
PERCENTILES = (("p50", 0.50), ("p99", 0.99), ("p99.9", 0.999))
EMPTY_POLLS = 1 << 16  # between two looks at whether the writer still lives
READY_TIMEOUT = 30.0  # seconds for a fresh interpreter to open the store


def bench_latency(setting: Setting) -> list[Figure]:
    setting.tell("latency")
    count = setting.size(5_000, 300)
    path = setting.directory / "latency"
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    with Store.create(path) as store, store.writer(FEED, sync="none") as writer:
        stream, data, now = writer.stream("trade"), int(Kind.DATA), time.monotonic_ns
        writer.append(now(), data, stream, 1, PAYLOAD)  # opens the chunk
        child = spawn.Process(target=listen, args=(there, path, os.getpid()), daemon=True)
        with own_modules():
            child.start()
        there.close()
        message = bytearray(PAYLOAD)

        def through_store() -> None:
            writer.append(now(), data, stream, 1, PAYLOAD)

        def through_pipe() -> None:
            STAMP.pack_into(message, 0, now())
            here.send_bytes(message)

        ways: dict[str, Callable[[], None]] = {"store": through_store, "pipe": through_pipe}
        turns: dict[str, list[list[int]]] = {name: [] for name in ways}
        try:
            for _ in range(setting.size(21, 2)):
                for name, send in ways.items():
                    turns[name].append(_turn(here, name, send, count))
            here.send(("stop", 0))
            child.join(READY_TIMEOUT)
        finally:
            child.kill()
            here.close()
    note = "" if len(os.sched_getaffinity(0)) > 1 else "one core only: both processes share it"
    figures = []
    for name, quantile in PERCENTILES:
        store_turns, pipe_turns = ([_at(turn, quantile) for turn in turns[way]] for way in ("store", "pipe"))
        figures.append(
            figure(
                "latency",
                name,
                f"append to record in hand elsewhere, {name}",
                nanoseconds("record"),
                store_turns,
                budget=VISIBLE_NS if name == "p50" else None,
                against=("a multiprocessing.Pipe hop", pipe_turns),
                note=note,
            )
        )
    return figures


def _turn(conn: Connection, way: str, send: Callable[[], None], count: int) -> list[int]:
    """The latencies of `count` messages sent one way."""
    conn.send((way, count))
    if not conn.poll(READY_TIMEOUT):
        raise TimeoutError("the reading process does not answer")
    conn.recv()
    now = time.monotonic_ns
    due = now() + 1_000_000
    for _ in range(count):
        while now() < due:
            pass
        send()
        due = now() + GAP_NS
    samples = array("q")
    samples.frombytes(conn.recv_bytes())
    return samples.tolist()


def _at(samples: list[int], quantile: float) -> float:
    return float(sorted(samples)[min(len(samples) - 1, int(len(samples) * quantile))])


def listen(conn: Connection, path: Path, parent: int) -> None:
    """The reading process: for each (way, count) it is told, receives so many and answers with their latencies."""
    now = time.monotonic_ns
    with Store.open(path) as store, store.reader(FEED) as reader:
        while True:
            way, count = conn.recv()
            if way == "stop":
                return
            reader.to_end()
            latencies = array("q")
            conn.send("ready")
            if way == "pipe":
                for _ in range(count):
                    message = conn.recv_bytes()
                    latencies.append(now() - STAMP.unpack_from(message)[0])
            else:
                poll, empty = reader.poll, 0
                while len(latencies) < count:
                    for record in poll():
                        latencies.append(now() - record.recv_ns)
                    empty += 1
                    if empty > EMPTY_POLLS:
                        empty = 0
                        if os.getppid() != parent:
                            return
            conn.send_bytes(latencies.tobytes())
