"""A copy of a rule stands where the rule stood, and from there each goes its own way: each rule of each venue."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.model import UNKNOWN, Action, BookUpdate, Order, OrderUpdate, Quote, Side, Trade
from mdtool.venues import catalog

# Streams with a rule that are not among a venue's default ones; a venue that has no such stream has no rule for it.
MORE = (
    "aggTrade", "book", "book-R0", "books50-l2-tbt", "full", "level2", "live_orders", "obu-400", "order_book",
    "orderbook.1", "orderbook.full", "ticker", "ticker.100ms", "trades-all", "v1:book-10",
)  # fmt: skip
RULED = [
    (name, stream)
    for name, venue in catalog.VENUES.items()
    for stream in dict.fromkeys((*venue.default_streams, *MORE))
    if venue.rule(stream) is not None
]
IMMUTABLE = (int, str, bytes, tuple, frozenset, type(None))
SHARED = {"_steps", "number"}  # what a rule was made with


numbers = st.integers(1, 8)
updates = st.builds(
    lambda prev, step, ns, whole, cross: BookUpdate(
        ns, prev + 1, prev + step, UNKNOWN if whole else prev, b"[]", b"[]", whole, whole, cross_seq=cross
    ),
    numbers, st.integers(0, 3), numbers, st.booleans(), numbers,
)  # fmt: skip
orders = st.builds(
    lambda seq, part, order: OrderUpdate(
        0, seq, seq, seq if part else seq - 1, (Order(Action.ADD, order, Side.BID, "1", "1"),), part, part
    ),
    numbers, st.booleans(), numbers,
)  # fmt: skip
trades = st.builds(Trade, numbers, numbers, st.just("1"), st.just("1"), st.just(Side.BID), st.integers(0, 2))
quotes = st.builds(lambda ns, seq: Quote(ns, seq, "1", "1", "2", "1"), numbers, numbers)
runs = st.lists(st.one_of(updates, orders, trades, quotes), max_size=8)


def judged(rule, messages):
    return [rule.judge(message) for message in messages]


@pytest.mark.parametrize(("venue", "stream"), RULED)
@settings(max_examples=40, deadline=None)
@given(before=runs, one=runs, two=runs)
def test_a_copy_and_its_original_go_separate_ways(venue, stream, before, one, two):
    make = catalog.get(venue).rule
    rule = make(stream)
    begun = judged(rule, before)
    twin = rule.copy()
    assert type(twin) is type(rule) and twin.last == rule.last and twin.complete == rule.complete
    twins = judged(twin, one)
    assert judged(rule, two) == judged(make(stream), (*before, *two))[len(begun) :]
    assert twins == judged(make(stream), (*before, *one))[len(begun) :]
    assert judged(twin, two) == judged(make(stream), (*before, *one, *two))[len(begun) + len(one) :]


@pytest.mark.parametrize("rule", [catalog.get(venue).rule(stream) for venue, stream in RULED])
def test_nothing_that_can_change_is_shared(rule):
    twin = rule.copy()
    for name, value in vars(rule).items():
        if name not in SHARED and not isinstance(value, IMMUTABLE):
            assert getattr(twin, name) is not value, name


@given(before=st.lists(numbers), one=st.lists(numbers), two=st.lists(numbers))
def test_the_rule_of_a_connection_too(before, one, two):
    for venue in catalog.VENUES.values():
        rule, fresh = venue.connection_rule(), venue.connection_rule()
        if rule is None:
            continue
        for number in before:
            rule.judge_number(number)
        twin = rule.copy()
        for number in one:
            twin.judge_number(number)
        said = [rule.judge_number(number) for number in two]
        assert [fresh.judge_number(number) for number in (*before, *two)][len(before) :] == said
