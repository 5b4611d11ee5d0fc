"""Recorders are arranged so that everything wanted is recorded once, and as few feeds as can be change hands."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mdtool.capture.options import record_options
from mdtool.service.arranging import Task, arrange
from mdtool.service.assignment import Assignment, assignment
from mdtool.venues import catalog

SIM = catalog.get("sim")
LETTERS = "ABCDEFGH"


def symbols(letters: str) -> tuple[str, ...]:
    return tuple(f"{letter}A_USDT" for letter in letters)


def one(name: str, letters: str, **more: object) -> Assignment:
    made = assignment(name, "/md", record_options(SIM, symbols(letters)))
    return structs.replace(made, symbols=symbols(letters), **more)


def task(letters: str, shards: int = 1, cpus: tuple[int, ...] = (), loads: dict[str, float] | None = None) -> Task:
    weights = {f"{letter}A_USDT": load for letter, load in (loads or {}).items()}
    return Task(one("new", letters), shards, cpus, lambda symbol: weights.get(symbol, 1.0))


def arranged(tasks: list[Task], there: list[Assignment], *, may_begin: bool = True) -> dict[str, str]:
    """Each recorder's letters, by its name."""
    numbers = count(1)
    found = arrange(tasks, there, lambda venue: f"{venue}-new{next(numbers)}", may_begin=may_begin)
    return {one.name: "".join(symbol[0] for symbol in one.symbols) for one in found}


@pytest.mark.parametrize(
    ("tasks", "there", "expected"),
    [
        ([task("ABC")], [], {"sim-new1": "ABC"}),
        ([task("ABCD", 2)], [], {"sim-new1": "AC", "sim-new2": "BD"}),
        ([task("AB", 9)], [], {"sim-new1": "A", "sim-new2": "B"}),
        ([task("ABCD", 2, loads={"D": 3.0})], [], {"sim-new1": "D", "sim-new2": "ABC"}),
        # What comes goes where least is done, what goes leaves.
        ([task("ABC")], [one("x", "AB")], {"x": "ABC"}),
        ([task("A")], [one("x", "AB")], {"x": "A"}),
        ([task("ABCDE", 2)], [one("x", "ABC"), one("y", "D")], {"x": "ABC", "y": "DE"}),
        ([task("BC")], [one("x", "AB")], {"x": "BC"}),
        # One that would have nothing is given something; one that has something is left to that.
        ([task("ABCD", 2)], [one("x", "ABCD")], {"x": "CD", "sim-new1": "AB"}),
        ([task("ABCD", 2)], [one("x", "ABC")], {"x": "ABC", "sim-new1": "D"}),
        ([task("AB", 2)], [one("x", "AB")], {"x": "B", "sim-new1": "A"}),
        ([task("AB", 2, loads={"A": 9.0, "B": 0.0})], [one("x", "AB")], {"x": "A", "sim-new1": "B"}),
        # Fewer: who does most stays.
        ([task("ABC", 1)], [one("x", "A"), one("y", "BC")], {"y": "ABC"}),
        # Another way to do it is another recorder, as is none of it.
        ([task("AB")], [one("x", "AB", sync="none")], {"sim-new1": "AB"}),
        ([task("AB")], [one("x", "CD")], {"sim-new1": "AB"}),
        ([task("AB", cpus=(1,))], [one("x", "AB")], {"sim-new1": "AB"}),
        ([task("AB", cpus=(1, 0))], [one("x", "AB", cpus=(0,))], {"x": "AB"}),
        ([task("AB")], [one("x", "AB", cpus=(0,))], {"sim-new1": "AB"}),
        # Two that are done the same way, each by its own.
        ([task("A"), task("B")], [one("x", "B"), one("y", "A")], {"y": "A", "x": "B"}),
        ([], [one("x", "A")], {}),
    ],
)
def test_what_each_recorder_does(tasks, there, expected):
    assert arranged(tasks, there) == expected


def test_where_none_can_begin_nobody_gives_anything_up():
    assert arranged([task("ABCD", 3)], [one("x", "AB")], may_begin=False) == {"x": "ABCD"}
    assert arranged([task("AB", 2)], [], may_begin=False) == {"sim-new1": "A", "sim-new2": "B"}


def test_pins_go_round_and_what_a_recorder_was_told_stays():
    found = arrange([task("ABC", 3, cpus=(4, 5))], [], lambda _: "n")
    assert [one.cpus for one in found] == [(4,), (5,), (4,)]
    (kept,) = arrange([task("AB")], [one("x", "A", life="l", after="w", origin="/f")], lambda _: "n")
    assert kept == one("x", "AB", life="l", after="w", origin="/f")


@given(
    st.sets(st.sampled_from(LETTERS), min_size=1),
    st.integers(1, 5),
    st.lists(st.sampled_from("xyz-"), min_size=len(LETTERS), max_size=len(LETTERS)),
    st.lists(st.integers(0, 5), min_size=len(LETTERS), max_size=len(LETTERS)),
)
def test_everything_is_done_once_and_doing_it_again_changes_nothing(wanted, shards, owners, loads):
    there = [
        one(name, letters)
        for name in "xyz"
        if (letters := "".join(letter for letter, owner in zip(LETTERS, owners, strict=True) if owner == name))
    ]
    letters = "".join(sorted(wanted))
    asked = task(letters, shards, loads=dict(zip(LETTERS, map(float, loads), strict=True)))
    numbers = count(1)
    found = arrange([asked], there, lambda venue: f"new{next(numbers)}")
    assert sorted(symbol for one in found for symbol in one.symbols) == sorted(symbols(letters))
    assert len(found) == min(shards, len(letters))
    assert all(one.symbols for one in found)
    assert arrange([asked], found, lambda venue: "none") == sorted(
        found, key=lambda one: _done(asked, one), reverse=True
    )
    before = {symbol: one.name for one in there for symbol in one.symbols}
    moved = [symbol for one in found for symbol in one.symbols if before.get(symbol, one.name) != one.name]
    left = {one.name for one in there} - {one.name for one in found}
    empty = min(shards, len(letters)) > len([one for one in there if set(one.symbols) & set(symbols(letters))])
    assert all(before[symbol] in left for symbol in moved) or empty


def _done(asked, one):
    return sum(asked.load(symbol) for symbol in one.symbols)
