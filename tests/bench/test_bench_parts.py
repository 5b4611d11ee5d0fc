"""The parts a benchmark stands on: made-up messages that are what they claim, races that are fair, honest verdicts."""

from __future__ import annotations

import itertools
import json
import struct
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from mdtool.bench.book import _split, made_up_start, new_book, parsed
from mdtool.bench.decode import _mantissa
from mdtool.bench.measure import figure, millions, nanoseconds, race, thousands
from mdtool.bench.messages import PRICE_EXP, SIZE_EXP, depth_messages
from mdtool.bench.report import Figure
from mdtool.bench.rivals import _set, gather, plain_dict
from mdtool.bench.storage import PLAIN_ROW
from mdtool.storage.format.layout import ROW


def test_messages_are_the_same_every_time_and_contiguous() -> None:
    messages = depth_messages(200)
    assert messages == depth_messages(200)
    values = [json.loads(message) for message in messages]
    assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(values))
    assert all(len(value["b"]) == len(value["a"]) == 10 for value in values)
    assert all(Decimal(value["b"][0][0]) < Decimal(value["a"][0][0]) for value in values)
    assert 500 < sum(map(len, messages)) / len(messages) < 700


def test_the_baselines_do_the_same_work() -> None:
    """What is compared must come to the same: mantissas by hand as by the kernel, and the same book."""
    messages = depth_messages(100)
    changes, start = parsed(messages), made_up_start()
    price, size = _mantissa(PRICE_EXP), _mantissa(SIZE_EXP)
    by_hand = [level for message in messages for side in ("b", "a") for level in json.loads(message)[side]]
    assert changes.prices.tolist() == [price(level[0]) for level in by_hand]
    assert changes.sizes.tolist() == [size(level[1]) for level in by_hand]
    assert changes.of_asks().tolist() == ([False] * 10 + [True] * 10) * 100
    book = new_book(start)
    book.apply_many(*changes)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    _set(sides, start.halves() + changes.halves())
    assert book.bids() == sorted(sides[0].items(), reverse=True)
    assert book.asks() == sorted(sides[1].items())
    one_by_one = new_book(start)
    for update in _split(changes):
        one_by_one.apply_joined(*update)
    assert one_by_one == book
    rivals, absent = gather(start, changes)
    assert rivals and not set(rivals) & set(absent)
    assert all(turn() > 0 for _, turn in rivals.values())
    assert plain_dict(start, changes)() > 0


def test_the_plain_row_is_the_row() -> None:
    packed = PLAIN_ROW.pack(1, 2, 3, 4, 5, 6, 7, 8)
    assert np.frombuffer(packed, ROW)[0].tolist() == (1, 2, 3, 4, 5, 6, 7, 8)
    assert struct.calcsize(PLAIN_ROW.format) == ROW.itemsize


def test_each_contestant_is_first_as_often_as_the_others() -> None:
    order: list[str] = []

    def contestant(name: str, ns: float) -> float:
        order.append(name)
        return ns

    turns = race({"a": lambda: contestant("a", 1.0), "b": lambda: contestant("b", 2.0)}, 4)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert turns == {"a": [1.0] * 4, "b": [2.0] * 4}


def test_a_figure_is_the_median_in_its_unit() -> None:
    slow = figure("g", "n", "t", nanoseconds("record"), [300.0, 100.0, 200.0], budget=150.0, against=("b", [400.0]))
    assert (slow.value, slow.low, slow.high, slow.repeats) == (200.0, 100.0, 300.0, 3)
    assert slow.verdict == "over"
    assert slow.baseline is not None
    assert (slow.baseline.value, slow.baseline.ratio) == (400.0, 2.0)

    fast = figure("g", "n", "t", millions("records"), [300.0, 100.0, 200.0], budget=5.0, against=("b", [400.0]))
    assert (fast.value, fast.low, fast.verdict) == (5.0, pytest.approx(1000 / 300), "within")
    assert fast.baseline is not None
    assert (fast.baseline.value, fast.baseline.ratio) == (2.5, 2.0)
    assert thousands("messages").of(2_000.0) == 500.0


def test_a_verdict_needs_a_budget() -> None:
    plain = Figure("g", "n", "t", "ns/record", "lower", 10.0, 9.0, 11.0, 3)
    assert plain.verdict is None
    assert replace(plain, budget=10.0).verdict == "within"
    assert replace(plain, budget=9.9).verdict == "over"
    assert replace(plain, better="higher", budget=10.1).verdict == "over"
    assert plain.to_json()["verdict"] is None
