"""Symbols over recorders: each once, none idle, and as even as the heaviest symbol allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.clock import SECOND
from mdtool.model import Kind
from mdtool.service.spreading import UNKNOWN, loads, spread
from mdtool.storage.store import Store

LOADS = st.lists(st.floats(0, 1e9), min_size=0, max_size=60)


@given(LOADS, st.integers(1, 70))
def test_every_symbol_has_one_recorder_no_recorder_is_idle_and_none_has_too_much(weights, shards):
    symbols = [f"S{number:02}_USDT" for number in range(len(weights))]
    shares = spread(symbols, weights, shards)
    assert sorted(symbol for share in shares for symbol in share) == symbols
    assert len(shares) == min(shards, len(symbols))
    assert all(list(share) == sorted(share) and share for share in shares)
    if shares:
        sums = [sum(weights[symbols.index(symbol)] for symbol in share) for share in shares]
        assert max(sums) <= sum(weights) / len(shares) + max(weights) + 1e-3


def test_the_heaviest_goes_to_where_least_is():
    assert spread(list("abcde"), [1, 5, 1, 3, 1], 2) == [("b", "e"), ("a", "c", "d")]
    assert spread(list("abcd"), [0, 0, 0, 0], 2) == [("a", "c"), ("b", "d")]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


def put(store, symbol, records, step_ns, size=100):
    with store.writer(f"sim/{symbol}", sync="none") as writer:
        stream = writer.stream("trade")
        for number in range(records):
            writer.append(1_700_049_600 * SECOND + number * step_ns, Kind.DATA, stream, 1, b"x" * size, 0)


def test_a_load_is_what_was_recorded_last_and_the_median_where_nothing_was(store):
    assert loads(store, "sim", ["A_USDT", "B_USDT"]) == [UNKNOWN, UNKNOWN]
    put(store, "A_USDT", 11, SECOND)
    put(store, "B_USDT", 21, SECOND // 10)
    put(store, "ONE_USDT", 1, SECOND)  # no time passed in which it would have come
    assert loads(store, "sim", ["A_USDT", "B_USDT", "ONE_USDT", "NEW_USDT"]) == [
        110.0,
        1050.0,
        580.0,
        580.0,
    ]
    put(store, "A_USDT", 101, SECOND)
    assert loads(store, "sim", ["A_USDT"]) == [101.0]
