"""The snapshot and delta state machine: whatever the order, SYNCED means whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import MAX_HELD, BookState, BookSync
from mdtool.model import UNKNOWN, BookUpdate, Other, Scale
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict

APPLY, STALE, GAP, LATE = Verdict.APPLY, Verdict.STALE, Verdict.GAP, Verdict.OUT_OF_ORDER
WAITING, PARTIAL, SYNCED, DIRTY = BookState
STREAMS = {"binance": "depth@100ms", "binance-usdm": "depth@0ms"}


def make(venue="binance", scale=None):
    rule = catalog.get(venue).rule(STREAMS[venue])
    return BookSync(rule, L2Book(scale), LevelParser(scale))


def update(prev, last, bids=b"[]", asks=b"[]", first=None):
    return BookUpdate(last * 10, prev + 1 if first is None else first, last, prev, bids, asks)


def whole(last, bids=b'[["1","1"]]', asks=b'[["2","1"]]'):
    return BookUpdate(last * 10, last, last, UNKNOWN, bids, asks, True)


def run(sync, *messages):
    return [
        (s.verdict, s.state, s.applied, s.needs_snapshot)
        for s in (sync.on_message(m, i) for i, m in enumerate(messages))
    ]


def test_the_snapshot_comes_first_and_the_next_update_bridges():
    sync = make()
    assert run(sync, whole(10), update(5, 9), update(9, 12), update(12, 13)) == [
        (APPLY, SYNCED, 1, False),
        (STALE, SYNCED, 0, False),
        (APPLY, SYNCED, 1, False),
        (APPLY, SYNCED, 1, False),
    ]
    assert (sync.last_seq, sync.venue_ns, sync.recv_ns, sync.state_since_ns) == (13, 130, 3, 0)


def test_the_snapshot_comes_after_the_update_that_bridges_it():
    sync = make()
    sized = update(9, 12, b'[["1","7"]]')
    assert run(sync, update(5, 9, b'[["1","5"]]'), sized, update(12, 13, b'[["3","1"]]'), whole(10)) == [
        (APPLY, PARTIAL, 0, True),
        (APPLY, PARTIAL, 0, False),
        (APPLY, PARTIAL, 0, False),
        (APPLY, SYNCED, 3, False),
    ]
    assert (sync.book.bids(), sync.book.asks(), sync.last_seq) == ([(3, 1), (1, 7)], [(2, 1)], 13)


def test_all_that_was_held_is_in_the_snapshot():
    sync = make()
    run(sync, update(0, 5), update(5, 10))
    assert run(sync, whole(10), update(10, 11)) == [(APPLY, SYNCED, 1, False), (APPLY, SYNCED, 1, False)]


def test_usdm_applies_the_update_that_ends_at_the_snapshot():
    sync = make("binance-usdm")
    assert run(sync, update(0, 5), update(5, 10, b'[["1","3"]]'), whole(10))[-1] == (APPLY, SYNCED, 2, False)
    assert sync.book.bids() == [(1, 3)]


def test_a_snapshot_that_is_too_old_asks_for_another():
    sync = make()
    assert run(sync, update(10, 12), whole(8), whole(9), whole(11)) == [
        (APPLY, PARTIAL, 0, True),
        (GAP, PARTIAL, 0, True),
        (GAP, PARTIAL, 0, True),
        (APPLY, SYNCED, 2, False),
    ]
    other = make()
    assert run(other, whole(8), update(10, 12), whole(11)) == [
        (APPLY, SYNCED, 1, False),
        (GAP, DIRTY, 0, True),
        (APPLY, SYNCED, 2, False),
    ]
    assert other.gaps == 1


def test_a_gap_makes_the_book_dirty_until_a_snapshot_behind_the_hole():
    sync = make()
    run(sync, whole(10), update(10, 11, b'[["1","2"]]'))
    assert run(sync, update(12, 13), update(13, 14), whole(11), whole(12), update(14, 15)) == [
        (GAP, DIRTY, 0, True),
        (APPLY, DIRTY, 0, False),
        (GAP, DIRTY, 0, True),
        (APPLY, SYNCED, 3, False),
        (APPLY, SYNCED, 1, False),
    ]
    assert (sync.gaps, sync.last_seq, sync.book.bids()) == (1, 15, [(1, 1)])


def test_a_hole_among_the_held_drops_what_is_before_it():
    sync = make()
    assert run(sync, update(0, 5), update(5, 6), update(8, 9), update(9, 10), whole(6), whole(8)) == [
        (APPLY, PARTIAL, 0, True),
        (APPLY, PARTIAL, 0, False),
        (GAP, PARTIAL, 0, False),  # the first snapshot is still to come
        (APPLY, PARTIAL, 0, False),
        (GAP, PARTIAL, 0, True),
        (APPLY, SYNCED, 3, False),
    ]


def test_a_hole_that_the_snapshot_reaches_over_does_not_matter():
    sync = make()
    assert run(sync, update(0, 5), whole(10), update(9, 12)) == [
        (APPLY, PARTIAL, 0, True),
        (APPLY, SYNCED, 1, False),
        (GAP, SYNCED, 1, False),
    ]
    assert (sync.gaps, sync.last_seq) == (1, 12)


def test_late_and_repeated_updates_change_nothing():
    sync = make()
    run(sync, whole(10), update(10, 11), update(11, 12))
    assert run(sync, update(11, 12, b'[["1","9"]]'), update(10, 11), update(3, 4)) == [
        (STALE, SYNCED, 0, False),
        (STALE, SYNCED, 0, False),
        (LATE, SYNCED, 0, False),
    ]
    assert sync.book.bids() == [(1, 1)]
    assert run(sync, whole(11), whole(99), update(12, 13)) == [
        (STALE, SYNCED, 0, False),
        (STALE, SYNCED, 0, False),  # the chain holds: nothing to mend
        (APPLY, SYNCED, 1, False),
    ]


def test_an_update_that_does_not_parse_makes_the_book_dirty_and_goes_in_not_even_by_half():
    sync = make()
    run(sync, whole(10))
    bad = sync.on_message(update(10, 11, b'[["1","5"]]', b'[["+2","1"]]'), 5)
    assert (bad.verdict, bad.state, bad.applied, bad.needs_snapshot) == (APPLY, DIRTY, 0, True)
    assert "byte 3" in bad.error and sync.book.bids() == [(1, 1)]
    assert run(sync, whole(10), update(11, 12), whole(10), whole(11)) == [
        (GAP, DIRTY, 0, True),  # older than what could not be read
        (APPLY, DIRTY, 0, False),
        (GAP, DIRTY, 0, True),
        (APPLY, SYNCED, 2, False),
    ]


def test_a_bad_ladder_among_the_held_and_in_a_snapshot():
    sync = make()
    assert run(sync, update(9, 10), update(10, 11, b"5"), update(11, 12)) == [
        (APPLY, PARTIAL, 0, True),
        (APPLY, WAITING, 0, False),  # read at once: what cannot be read is a hole, and what is held goes
        (APPLY, PARTIAL, 0, False),
    ]
    assert run(sync, whole(9)) == [(GAP, PARTIAL, 0, True)]
    bad = sync.on_message(whole(11, b"{}"), 8)
    assert (bad.verdict, bad.state, bad.applied, bad.needs_snapshot) == (Verdict.UNVERIFIABLE, PARTIAL, 0, True)
    assert run(sync, whole(11)) == [(APPLY, SYNCED, 2, False)]
    assert sync.last_seq == 12


def test_what_is_held_is_bounded():
    sync = make()
    run(sync, *(update(i, i + 1) for i in range(MAX_HELD + 10)))
    assert run(sync, whole(5), whole(10)) == [(GAP, PARTIAL, 0, True), (APPLY, SYNCED, MAX_HELD + 1, False)]


def test_the_scale_widens_with_the_values():
    sync = make(scale=Scale(-1, 0))
    run(sync, whole(10, b'[["1.5","1"]]'), update(10, 11, b'[["1.75","0.25"]]'))
    assert (sync.book.scale, sync.book.bids()) == (Scale(-2, -2), [(175, 25), (150, 100)])
    assert run(sync, Other("x")) == [(Verdict.UNVERIFIABLE, SYNCED, 0, False)]
    mixed = BookSync(catalog.get("binance").rule("depth"), L2Book(Scale(-3, 0)), LevelParser(Scale(0, -2)))
    run(mixed, whole(1))
    assert (mixed.book.scale, mixed.book.bids()) == (Scale(-3, -2), [(1000, 100)])


def test_an_exchange_that_begins_again_is_followed():
    sync = make()
    run(sync, whole(1), *(update(i, i + 1) for i in range(1, 500)))
    later = [replace(update(i, i + 1), venue_ns=10_000 + i) for i in range(60)]
    steps = run(sync, *later)
    assert [step for step in steps if step[0] is GAP] == [(GAP, DIRTY, 0, True)]
    assert run(sync, whole(50)) == [(APPLY, SYNCED, 11, False)]
    assert sync.last_seq == 60


class Truth:
    """An exchange whose book is known at every id."""

    def __init__(self, seed, updates):
        rng, levels, self.updates, self.books = random.Random(seed), {}, [], {0: {}}
        last = 0
        for _ in range(updates):
            prev, last = last, last + rng.randint(1, 3)
            changes = {rng.randint(1, 9): rng.choice([0, 1, 2, 3]) for _ in range(3)}
            levels = {price: size for price, size in (levels | changes).items() if size}
            self.updates.append(update(prev, last, self.ladder(changes), b"[]"))
            self.books[last] = levels

    @staticmethod
    def ladder(levels):
        return ("[" + ",".join(f'["{price}","{size}"]' for price, size in levels.items()) + "]").encode()

    def snapshot(self, index):
        last = self.updates[index].last_seq
        return whole(last, self.ladder(self.books[last]), b"[]")


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.sampled_from(sorted(STREAMS)), st.data())
def test_synced_means_equal_to_the_truth(seed, venue, data):
    """Updates removed, repeated and swapped, snapshots early and late: a SYNCED book is the exchange's at its id."""
    truth = Truth(seed, 30)
    messages = list(truth.updates)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(messages) - 2))
        match data.draw(st.sampled_from(["remove", "repeat", "swap"])):
            case "remove":
                del messages[at]
            case "repeat":
                messages.insert(data.draw(st.integers(at, len(messages))), messages[at])
            case "swap":
                messages[at], messages[at + 1] = messages[at + 1], messages[at]
    for _ in range(data.draw(st.integers(1, 5))):
        taken = data.draw(st.integers(0, len(truth.updates) - 1))
        messages.insert(data.draw(st.integers(0, len(messages))), truth.snapshot(taken))
    sync = make(venue)
    for recv_ns, message in enumerate(messages):
        step = sync.on_message(message, recv_ns)
        assert step.state is sync.state
        if sync.state is SYNCED:
            assert dict(sync.book.bids()) == truth.books[sync.last_seq]
    newest = truth.snapshot(len(truth.updates) - 1)
    sync.on_message(newest, 99)
    if sync.state is SYNCED:
        assert dict(sync.book.bids()) == truth.books[sync.last_seq]
    else:
        pytest.fail("a snapshot of the newest id makes every book whole")


@given(st.integers(0, 10**6), st.integers(0, 29), st.integers(0, 29))
def test_from_any_point_the_book_is_the_one_kept_live(seed, start, snapshot_at):
    truth = Truth(seed, 30)
    live, late = make(), make()
    for message in [truth.snapshot(0), *truth.updates]:
        live.on_message(message, 0)
    for message in [*truth.updates[start:], truth.snapshot(max(start, snapshot_at))]:
        late.on_message(message, 0)
    assert late.state is SYNCED and late.book == live.book and late.last_seq == live.last_seq


def test_a_book_that_no_longer_fits_64_bits_is_a_wide_one_until_the_next_whole_one():
    """A price near the end of 64 bits, then one that needs more digits: nothing is rounded, lost or refused."""
    sync = make()
    huge = b'[["9000000000000000000","1"]]'
    run(sync, whole(10, huge, b"[]"), update(10, 11))
    step = sync.on_message(update(11, 12, b'[["1.5","1"]]'), 5)
    assert (step.state, step.applied, step.needs_snapshot, step.error) == (SYNCED, 1, False, None)
    assert (sync.book.scale, sync.book.bids(), sync.gaps) == (Scale(-1, 0), [(9 * 10**19, 1), (15, 1)], 0)
    kept = sync.copy()
    assert (sync.book.is_wide, kept.book.is_wide, kept.book == sync.book) == (True, True, True)
    hostile = b'[["1e38","1"]]'
    step = kept.on_message(update(12, 13, hostile), 6)
    assert (step.state, step.applied, "more than 38 digits" in step.error) == (DIRTY, 0, True)
    assert run(kept, whole(13, b'[["1.5","1"]]', b"[]"), update(13, 14, b'[["1","2"]]')) == [
        (APPLY, SYNCED, 1, False),
        (APPLY, SYNCED, 1, False),
    ]
    assert (kept.book.scale, kept.book.bids(), kept.book.is_wide) == (Scale(-1, 0), [(15, 1), (10, 2)], False)
