"""Sequence rules: what one disturbed message looks like, restarts, and the bridge from a whole book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.model import UNKNOWN, BookUpdate, Other, Quote, Side, Trade
from mdtool.venues.binance.adapter import SPOT, USDM
from mdtool.venues.sequence import MAX_HOLES, ContiguousRule, IdRule, RisingRule, Verdict

APPLY, STALE, GAP, LATE = Verdict.APPLY, Verdict.STALE, Verdict.GAP, Verdict.OUT_OF_ORDER


def update(prev, last, first=None):
    return BookUpdate(0, prev + 1 if first is None else first, last, prev, b"[]", b"[]")


def whole(last):
    return BookUpdate(0, last, last, UNKNOWN, b"[]", b"[]", True)


def trade(number):
    return Trade(0, number, "1", "1", Side.BID)


def verdicts(rule, messages):
    return [rule.judge(message) for message in messages]


A, B, C, D = update(0, 10), update(10, 15), update(15, 30), update(30, 31)


@pytest.mark.parametrize("steps", [SPOT.steps, USDM.steps])
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([A, B, C, D], [APPLY, APPLY, APPLY, APPLY]),
        ([A, C, D], [APPLY, GAP, APPLY]),
        ([A, B, B, C], [APPLY, APPLY, STALE, APPLY]),
        ([A, B, A, C], [APPLY, APPLY, STALE, APPLY]),
        ([A, C, B, D], [APPLY, GAP, LATE, APPLY]),
        ([A, C, B, B, D], [APPLY, GAP, LATE, STALE, APPLY]),
        ([B, A, C], [APPLY, LATE, APPLY]),
        ([A, D, C, B], [APPLY, GAP, LATE, LATE]),
        ([A, C, D, D, C, A], [APPLY, GAP, APPLY, STALE, STALE, STALE]),
    ],
)
def test_a_disturbed_message_shows_as_what_it_is(steps, messages, expected):
    assert verdicts(ContiguousRule(steps), messages) == expected


def test_the_rule_of_ids_is_the_same_with_steps_of_one():
    assert verdicts(IdRule(), map(trade, [5, 6, 8, 7, 7, 9, 4])) == [APPLY, APPLY, GAP, LATE, STALE, APPLY, LATE]
    assert IdRule().judge(A) is Verdict.UNVERIFIABLE


def test_an_overlapping_update_is_applied_at_spot_and_a_gap_at_usdm():
    overlapping = [A, update(7, 12)]
    assert verdicts(ContiguousRule(SPOT.steps), overlapping) == [APPLY, APPLY]
    assert verdicts(ContiguousRule(USDM.steps), overlapping) == [APPLY, GAP]


def test_an_id_that_goes_back_in_a_message_that_claims_to_follow_does_not_move_the_rule_back():
    rule = ContiguousRule(USDM.steps)
    assert verdicts(rule, [A, B, update(15, 3, 2)]) == [APPLY, APPLY, STALE]
    assert rule.last == 15


def test_what_carries_no_id_is_unverifiable_and_changes_nothing():
    rule = ContiguousRule(SPOT.steps)
    nothing = BookUpdate(0, UNKNOWN, UNKNOWN, UNKNOWN, b"[]", b"[]")
    assert verdicts(rule, [A, nothing, whole(99), Other("x"), trade(1), B]) == [
        APPLY,
        *[Verdict.UNVERIFIABLE] * 4,
        APPLY,
    ]
    assert rule.bridge(whole(5), nothing) is Verdict.UNVERIFIABLE


def test_repeats_are_repeats_however_many():
    rule = IdRule()
    assert verdicts(rule, map(trade, range(1, 1001))) == [APPLY] * 1000
    assert verdicts(rule, map(trade, range(1, 101))) == [STALE] * 100
    assert verdicts(rule, map(trade, range(990, 1003))) == [STALE] * 11 + [APPLY] * 2


def test_ids_that_go_back_while_time_goes_on_begin_anew():
    def at(ns, last):
        return BookUpdate(ns, last, last, last - 1, b"[]", b"[]")

    rule = ContiguousRule(SPOT.steps)
    messages = [at(10, 1), at(20, 2), at(30, 3), at(20, 2), at(40, 2), at(50, 3), at(60, 4), at(45, 2)]
    assert verdicts(rule, messages) == [APPLY, APPLY, APPLY, STALE, GAP, APPLY, APPLY, STALE]


def test_ids_that_never_were_there_begin_anew():
    rule = IdRule()
    assert verdicts(rule, map(trade, (500, 501, 7, 8, 9, 502))) == [APPLY, APPLY, GAP, APPLY, APPLY, GAP]
    late = IdRule()  # the two before the first are late, not new
    assert verdicts(late, map(trade, (5, 4, 3, 6))) == [APPLY, LATE, LATE, APPLY]


def test_a_repeat_of_fewer_is_no_restart():
    rule = IdRule()
    verdicts(rule, map(trade, range(1, 101)))
    assert verdicts(rule, map(trade, range(80, 105))) == [STALE] * 21 + [APPLY] * 4


def test_holes_are_bounded():
    rule = IdRule()
    verdicts(rule, map(trade, range(0, 10 * MAX_HOLES, 2)))
    assert len(rule._holes) == MAX_HOLES


def test_reset_forgets():
    rule = ContiguousRule(SPOT.steps)
    verdicts(rule, [A, C])
    rule.reset()
    assert rule.last is None
    assert verdicts(rule, [B]) == [APPLY]


def test_quotes_only_rise():
    rule = RisingRule()
    quotes = [Quote(0, seq, "1", "1", "2", "1") for seq in (5, 9, 9, 7, 10)]
    assert verdicts(rule, quotes) == [APPLY, APPLY, STALE, LATE, APPLY]
    assert (rule.complete, IdRule().complete, ContiguousRule(SPOT.steps).complete) == (False, True, True)
    assert rule.judge(Other("x")) is Verdict.UNVERIFIABLE


@pytest.mark.parametrize(
    ("first", "last", "spot", "usdm"),
    [  # whole book at 100; USD-M's pu is first - 3: ids in between belong to other symbols
        (90, 99, STALE, STALE),
        (90, 100, STALE, APPLY),  # spot drops u <= lastUpdateId, USD-M u < lastUpdateId
        (90, 101, APPLY, APPLY),
        (100, 105, APPLY, APPLY),
        (101, 105, APPLY, APPLY),
        (102, 105, GAP, APPLY),
        (103, 105, GAP, APPLY),  # pu == lastUpdateId: the book was taken between two updates
        (104, 105, GAP, GAP),
    ],
)
def test_the_bridge(first, last, spot, usdm):
    assert ContiguousRule(SPOT.steps).bridge(whole(100), update(first - 1, last)) is spot
    assert ContiguousRule(USDM.steps).bridge(whole(100), update(first - 3, last, first)) is usdm


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=4, max_size=30), st.data())
def test_one_disturbance_is_found_wherever_it_is(lengths, data):
    chain, prev = [], 100
    for length in lengths:
        chain.append(update(prev, prev + length))
        prev += length
    at = data.draw(st.integers(1, len(chain) - 3))
    whole_chain = [APPLY] * len(chain)

    removed = chain[:at] + chain[at + 1 :]
    assert verdicts(ContiguousRule(SPOT.steps), removed) == [*whole_chain[:at], GAP, *whole_chain[at + 2 :]]

    doubled = chain[: at + 1] + chain[at:]
    assert verdicts(ContiguousRule(SPOT.steps), doubled) == [*whole_chain[: at + 1], STALE, *whole_chain[at + 1 :]]

    swapped = [*chain[:at], chain[at + 1], chain[at], *chain[at + 2 :]]
    assert verdicts(ContiguousRule(SPOT.steps), swapped) == [*whole_chain[:at], GAP, LATE, *whole_chain[at + 2 :]]
