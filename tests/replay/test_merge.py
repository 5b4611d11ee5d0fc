"""The merge against the plainest one that can be written: sort everything by the running maximum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.clock import DAY
from mdtool.replay import merge as module
from mdtool.replay.merge import merge, merge_batches
from mdtool.storage.format.layout import ROW


@dataclass(frozen=True)
class FakeRecord:
    recv_ns: int
    position: int


@dataclass(frozen=True)
class FakeBatch:
    rows: Any
    position: int

    def records(self) -> Iterator[FakeRecord]:
        return (FakeRecord(ns, self.position + i) for i, ns in enumerate(self.rows["recv_ns"].tolist()))


class FakeReader:
    """A feed of these times, cut into batches of these sizes."""

    def __init__(self, name: str, times: list[int], cuts: list[int]) -> None:
        self.name = name
        self.times = times
        self.cuts = cuts
        self.batches_read = 0

    def batches(self) -> Iterator[FakeBatch]:
        edges = [0, *(c for c in sorted(set(self.cuts)) if 0 < c < len(self.times)), len(self.times)]
        for start, stop in pairwise(edges):
            rows = np.zeros(stop - start, ROW)
            rows["recv_ns"] = self.times[start:stop]
            rows["offset"] = np.arange(start, stop)
            self.batches_read += 1
            yield FakeBatch(rows, start)

    def records(self) -> Iterator[FakeRecord]:
        for batch in self.batches():
            yield from batch.records()

    def __repr__(self) -> str:
        return f"FakeReader({self.name}, {self.times}, {self.cuts})"


def reference(readers: list[FakeReader], until_ns: int | None) -> list[tuple[str, int]]:
    """(feed, position) in the order the module promises."""
    every = [
        (key, number, position)
        for number, reader in enumerate(readers)
        for position, key in enumerate(accumulate(reader.times, max))
        if until_ns is None or key < until_ns
    ]
    return [(readers[number].name, position) for _, number, position in sorted(every)]


times = st.lists(st.integers(0, 40), max_size=30)  # few values: many ties; unsorted: clocks that step back
feeds = st.lists(st.tuples(times, st.lists(st.integers(0, 30), max_size=4)), max_size=4)


@pytest.fixture(params=[1, 2, 5, 1000])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "WINDOW", 1)
    monkeypatch.setattr(module, "SMALLEST_WINDOW", request.param)
    return int(request.param)


@given(feeds, st.none() | st.integers(0, 41), st.sampled_from([1, 2, 5, 1000]))
def test_is_the_sort_by_running_maximum_however_it_is_cut(
    drawn: list[tuple[list[int], list[int]]], until_ns: int | None, window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", 1)
        patch.setattr(module, "SMALLEST_WINDOW", window)
        readers: list[Any] = [FakeReader(f"feed{i}", *d) for i, d in enumerate(drawn)]
        want = reference(readers, until_ns)
        assert [(reader.name, record.position) for reader, record in merge(readers, until_ns)] == want

        rows = [merged.rows() for merged in merge_batches(readers, until_ns)]
        names = [
            merged.runs[source].reader.name  # type: ignore[attr-defined]
            for merged in merge_batches(readers, until_ns)
            for source in merged.sources().tolist()
        ]
        offsets = [offset for part in rows for offset in part["offset"].tolist()]
        assert list(zip(names, offsets, strict=True)) == want
        assert sum(len(merged) for merged in merge_batches(readers, until_ns)) == len(want)


def test_a_clock_that_stepped_back_keeps_its_feed_in_order() -> None:
    stepped: Any = FakeReader("stepped", [10, 30, 12, 13, 31], [])
    steady: Any = FakeReader("steady", [11, 20, 30, 40], [])
    merged = [(reader.name, record.recv_ns) for reader, record in merge([stepped, steady])]
    assert merged == [
        ("stepped", 10),
        ("steady", 11),
        ("steady", 20),
        ("stepped", 30),
        ("stepped", 12),
        ("stepped", 13),
        ("steady", 30),
        ("stepped", 31),
        ("steady", 40),
    ]


def test_is_lazy(window: int) -> None:
    long: Any = FakeReader("long", list(range(100)), list(range(1, 100)))
    late: Any = FakeReader("late", [1000], [])
    records = merge([long, late])
    assert next(records)[1].recv_ns == 0
    assert long.batches_read <= 2


def test_nothing_to_merge() -> None:
    assert list(merge([])) == []
    empty: Any = FakeReader("empty", [], [])
    assert list(merge([empty])) == []
    assert list(merge([empty, empty])) == []


def test_real_feeds_over_chunks_and_midnight(fill: Any, store: Any) -> None:
    a = [(DAY - 5 + i, b"a%d" % i) for i in range(0, 20, 2)]
    b = [(DAY - 5 + i, b"b%d" % i) for i in range(1, 20, 2)]
    fill("sim/A_USDT", a, chunk_bytes=4096)
    fill("sim/B_USDT", b)
    want = sorted([*a, *b])
    for verify in (True, False):
        readers = [store.reader("sim/A_USDT", verify=verify), store.reader("sim/B_USDT", verify=verify)]
        assert [(record.recv_ns, record.payload) for _, record in merge(readers)] == want
    readers = [store.reader("sim/A_USDT"), store.reader("sim/B_USDT")]
    for reader in readers:
        reader.seek(DAY)
    got = [(reader.feed.name, record.recv_ns) for reader, record in merge(readers, DAY + 4)]
    assert got == [("sim/A_USDT" if (ns - DAY + 5) % 2 == 0 else "sim/B_USDT", ns) for ns in range(DAY, DAY + 4)]
