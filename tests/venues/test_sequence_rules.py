"""The rules beside the plain chain: restarts, linked ids, whole books on the stream, times, numbered connections."""

from __future__ import annotations

import pytest

from mdtool.model import UNKNOWN, BookUpdate, OrderUpdate, Other, Quote, Side, Trade
from mdtool.venues.sequence import (
    MAX_RECENT,
    BookSteps,
    ConnectionRule,
    ContiguousRule,
    IdRule,
    LinkedRule,
    RecentRule,
    RestartRule,
    RisingRule,
    TimeRule,
    Verdict,
)

APPLY, STALE, GAP, RESET, KEEP, LATE, NONE = (
    Verdict.APPLY, Verdict.STALE, Verdict.GAP, Verdict.RESET, Verdict.KEEPALIVE, Verdict.OUT_OF_ORDER,
    Verdict.UNVERIFIABLE,
)  # fmt: skip
STEPS = BookSteps(drops_equal=True, overlap=False)


def update(last, prev, ns=0, size="1"):
    return BookUpdate(ns, last, last, prev, f'[["1","{size}"]]'.encode(), b"[]")


def whole(last, ns=0, size="1", in_stream=True):
    return BookUpdate(ns, last, last, UNKNOWN, f'[["1","{size}"]]'.encode(), b"[]", True, in_stream)


def verdicts(rule, messages):
    return [rule.judge(message) for message in messages]


def test_a_whole_book_on_the_stream_begins_the_chain_anew():
    rule = ContiguousRule(STEPS)
    messages = [whole(10), update(11, 10), update(13, 12), whole(20), whole(20), update(21, 20), update(12, 11)]
    assert verdicts(rule, messages) == [APPLY, APPLY, GAP, RESET, STALE, APPLY, STALE]  # 12 is contained in 20
    assert verdicts(rule, [whole(20, size="2")]) == [RESET]  # the same id and another book is no repeat
    assert rule.judge(whole(30, in_stream=False)) is NONE  # what was fetched is none of the stream's
    assert rule.last == 20


def test_orders_are_judged_as_levels_are():
    rule = ContiguousRule(STEPS)
    assert verdicts(rule, [OrderUpdate(0, n, n, n - 1, ()) for n in (5, 6, 8, 7)]) == [APPLY, APPLY, GAP, LATE]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([update(5, 4), update(6, 5), update(1, 0), update(2, 1)], [APPLY, APPLY, RESET, APPLY]),
        ([update(1, 0), update(2, 1), update(2, 1)], [APPLY, APPLY, STALE]),
        ([update(1, 0), update(1, 0), update(2, 1)], [APPLY, STALE, APPLY]),
        ([whole(5), update(6, 5), whole(1), update(2, 1)], [APPLY, APPLY, RESET, APPLY]),
        ([update(5, 4), update(7, 6), update(1, 0), update(6, 5)], [APPLY, GAP, RESET, GAP]),
    ],
)
def test_a_service_that_restarts_at_one(messages, expected):
    assert verdicts(RestartRule(STEPS), messages) == expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([whole(10), update(10, 10), update(12, 10)], [APPLY, KEEP, APPLY]),
        ([whole(10), update(3, 10), update(3, 3), update(8, 3)], [APPLY, RESET, KEEP, APPLY]),
        ([whole(10), update(3, 10), update(3, 10), update(8, 3)], [APPLY, RESET, STALE, APPLY]),
        ([whole(10), update(15, 12), update(12, 10), update(15, 15)], [APPLY, GAP, LATE, KEEP]),
        ([update(UNKNOWN, UNKNOWN), update(7, 5)], [NONE, APPLY]),
    ],
)
def test_linked_ids(messages, expected):
    assert verdicts(LinkedRule(STEPS), messages) == expected


def test_an_aggregate_stands_for_the_ids_it_ends():
    def trade(last, count):
        return Trade(0, last, "1", "1", Side.BID, count)

    assert verdicts(IdRule(), [trade(5, 1), trade(8, 3), trade(9, 1), trade(12, 2), trade(10, 1)]) == [
        APPLY, APPLY, APPLY, GAP, LATE,
    ]  # fmt: skip


def test_what_only_rises():
    rule = RisingRule()
    assert (
        verdicts(rule, [update(5, UNKNOWN), Quote(0, 9, "1", "1", "2", "1"), Trade(0, 12, "1", "1", Side.BID)])
        == [APPLY] * 3
    )
    assert verdicts(rule, [update(12, UNKNOWN), update(3, UNKNOWN), Other("x")]) == [STALE, LATE, NONE]
    assert verdicts(rule, [whole(2), update(3, UNKNOWN), whole(3)]) == [APPLY, APPLY, STALE]
    assert rule.bridge(whole(5, in_stream=False), update(5, UNKNOWN)) is STALE
    assert rule.bridge(whole(5, in_stream=False), update(6, UNKNOWN)) is NONE
    rule.reset()
    assert (rule.last, rule.complete) == (None, False)


def test_times_tell_repeats_and_late_ones_and_nothing_else():
    def at(ns, size="1"):
        return update(UNKNOWN, UNKNOWN, ns, size)

    rule = TimeRule()
    assert verdicts(rule, [at(5), at(5), at(5, "2"), at(7), at(6), at(8)]) == [NONE, STALE, NONE, NONE, LATE, NONE]
    assert verdicts(rule, [whole(UNKNOWN, 3), at(4)]) == [NONE, NONE]  # a whole book may be older than what it replaces
    assert verdicts(rule, [at(0), at(0)]) == [NONE, NONE]  # no time, nothing to tell
    rest = whole(UNKNOWN, 10, in_stream=False)
    assert [rule.bridge(rest, at(ns)) for ns in (9, 10, 11, 0)] == [STALE, STALE, NONE, NONE]


def test_a_numbered_connection():
    rule = ConnectionRule(lambda payload: int(payload) if payload.isdigit() else None)
    assert [rule.judge_number(n) for n in (4, 5, 7, 6, 7)] == [APPLY, APPLY, GAP, LATE, STALE]
    assert (rule.number(b"12"), rule.number(b"x"), rule.judge(update(1, 0))) == (12, None, NONE)


def test_trades_are_remembered_as_long_as_venues_repeat_them_and_no_longer():
    rule = RecentRule()
    trades = [Trade(number, number, "1", "1", Side.BID) for number in range(1, MAX_RECENT + 2)]
    assert verdicts(rule, trades[:-1]) == [NONE] * MAX_RECENT
    assert verdicts(rule, trades[:-1]) == [STALE] * MAX_RECENT
    assert rule.judge(trades[-1]) is NONE
    assert rule.judge(trades[0]) is LATE  # forgotten: another of that time, for all that is known
    assert verdicts(rule, trades[2:]) == [STALE] * (MAX_RECENT - 1)
    assert len(rule._seen) == len(rule._order) == MAX_RECENT
