"""A replay end to end: which stretch, in which rhythm, into which stream."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.replay.replayer import CHUNK, Played, Replay, play
from mdtool.replay.sinks.ndjson import Ndjson
from mdtool.replay.sinks.raw import raw
from mdtool.replay.sinks.stream import write_all
from mdtool.storage.store import Store


@pytest.fixture
def two(fill: Any) -> Store:
    fill("sim/A_USDT", [(10, b'"a10"'), (20, b'"a20"'), (30, b'"a30"')])
    store: Store = fill("sim/B_USDT", [(15, b'"b15"'), (20, b'"b20"'), (40, b'"b40"')])
    return store


def readers(store: Store) -> list[Any]:
    return [store.reader(feed.name) for feed in store.feeds()]


def test_a_stretch_is_half_open(two: Store) -> None:
    out = io.BytesIO()
    assert play(Replay(readers(two), 15, 30), raw, out) == Played(3, 15, closed=False)
    assert out.getvalue() == b'"b15"\n"a20"\n"b20"\n'


def test_without_a_beginning_a_reader_plays_from_where_it_stands(two: Store) -> None:
    both = readers(two)
    both[0].to_end()
    both[1].seek(20)
    out = io.BytesIO()
    play(Replay(both), raw, out)
    assert out.getvalue() == b'"b20"\n"b40"\n'


def test_ndjson_of_all(two: Store) -> None:
    out = io.BytesIO()
    assert play(Replay(readers(two)), Ndjson(), out).records == 6
    lines = out.getvalue().decode().splitlines()
    assert lines[0] == ('{"recv_ns":10,"feed":"sim/A_USDT","stream":"trade","kind":"data","session":1,"payload":"a10"}')
    assert [line.rsplit(":", 1)[1] for line in lines] == [
        f'"{x}"}}' for x in ["a10", "b15", "a20", "b20", "a30", "b40"]
    ]


def test_more_records_than_a_write_holds(fill: Any) -> None:
    count = 3 * CHUNK + 1
    store = fill("sim/A_USDT", [(i, b"%d" % i) for i in range(count)])
    out = io.BytesIO()
    assert play(Replay(readers(store)), raw, out).records == count
    assert out.getvalue() == b"".join(b"%d\n" % i for i in range(count))


class Dribble(io.RawIOBase):
    """Takes at most three bytes at a time."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.taken += data[:3]
        return min(3, len(data))


def test_partial_writes_lose_nothing(two: Store) -> None:
    out = Dribble()
    play(Replay(readers(two)), raw, out)
    assert bytes(out.taken) == b'"a10"\n"b15"\n"a20"\n"b20"\n"a30"\n"b40"\n'


def test_a_full_non_blocking_pipe_is_waited_for() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    data = os.urandom(1 << 20)
    got = bytearray()

    def drain() -> None:
        while chunk := os.read(read_fd, 1 << 16):
            got.extend(chunk)

    thread = threading.Thread(target=drain)
    thread.start()
    with open(write_fd, "wb", buffering=0) as stream:
        write_all(stream, data)
    thread.join()
    os.close(read_fd)
    assert bytes(got) == data


def test_a_closed_pipe_is_a_clean_end(two: Store) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with open(write_fd, "wb", buffering=0) as stream:
        assert play(Replay(readers(two)), raw, stream) == Played(0, 0, closed=True)


class Watch(io.BytesIO):
    """Remembers what had been written at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        if not self.closed:
            self.flushed.append(self.getvalue())


def test_a_paced_replay_releases_record_by_record(two: Store) -> None:
    class Ticking(ManualClock):
        def monotonic_ns(self) -> int:  # time passes with every look at the clock
            self.advance(1)
            return super().monotonic_ns()

    clock, out = Ticking(), Watch()
    replay = Replay(readers(two), speed=0.001, clock=clock)
    assert play(replay, raw, out).records == 6
    assert out.flushed[:3] == [b'"a10"\n', b'"a10"\n"b15"\n', b'"a10"\n"b15"\n"a20"\n']
    assert clock.monotonic_ns() >= 30_000  # 30 ns of recording at a thousandth of its speed
    assert 0 <= replay.late_ns < SECOND
