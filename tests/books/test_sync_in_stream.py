"""Books whose whole comes on the stream, that a checksum proves, or that nothing does and a timed whole book mends."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync
from mdtool.model import UNKNOWN, BookUpdate
from mdtool.venues.checksum import Checksum
from mdtool.venues.sequence import BookSteps, LinkedRule, TimeRule, Verdict
from mdtool.venues.venue import BookTraits


def ladder(levels):
    return ("[" + ",".join(f'["{p}","{s}"]' for p, s in levels) + "]").encode()


def text(bids, asks):
    return crc32(repr((list(bids), list(asks))).encode())


CHECKED = BookTraits(checksum=Checksum(2, text))


def message(seq=UNKNOWN, prev=UNKNOWN, bids=(), asks=(), whole=False, in_stream=True, checksum=None, ns=0):
    return BookUpdate(ns, seq, seq, prev, ladder(bids), ladder(asks), whole, whole and in_stream, checksum)


def linked(traits=None):
    return BookSync(LinkedRule(BookSteps(drops_equal=True, overlap=False)), L2Book(), LevelParser(), traits)


def timed(traits=None):
    return BookSync(TimeRule(), L2Book(), LevelParser(), traits)


def test_updates_before_the_whole_book_are_no_part_of_it():
    sync = linked()
    assert sync.on_message(message(5, 4, [(9, 9)]), 1).needs_snapshot
    step = sync.on_message(message(10, whole=True, bids=[(1, 1)]), 2)
    assert (step.applied, sync.state, sync.book.bids()) == (1, BookState.SYNCED, [(1, 1)])
    step = sync.on_message(message(11, 10, [(2, 5)]), 3)
    assert (step.verdict, sync.book.bids(), sync.last_seq) == (Verdict.APPLY, [(2, 5), (1, 1)], 11)


def test_keepalives_change_nothing_and_a_legal_reset_is_applied():
    sync = linked()
    sync.on_message(message(10, whole=True, bids=[(1, 1)]), 1)
    assert sync.on_message(message(10, 10), 2)[:3] == (Verdict.KEEPALIVE, BookState.SYNCED, 0)
    assert sync.on_message(message(3, 10, [(2, 2)]), 3)[:3] == (Verdict.RESET, BookState.SYNCED, 1)
    assert sync.on_message(message(4, 3, [(3, 3)]), 4)[:3] == (Verdict.APPLY, BookState.SYNCED, 1)
    assert sync.book.bids() == [(3, 3), (2, 2), (1, 1)]


def test_a_whole_book_that_cannot_be_read_leaves_none():
    sync = linked()
    sync.on_message(message(10, whole=True, bids=[(1, 1)]), 1)
    step = sync.on_message(message(20, whole=True, bids=[("x", 1)]), 2)
    assert step.error and step.needs_snapshot and sync.state is BookState.DIRTY
    assert sync.on_message(message(30, whole=True, bids=[(7, 1)]), 3).state is BookState.SYNCED


def test_a_checksum_is_over_the_texts_of_the_wire():
    sync = timed(CHECKED)
    first = message(whole=True, bids=[("1.50", "2.0"), ("1.4", "1"), ("1.3", "1")], asks=[("1.6", "01")],
                    checksum=text([("1.50", "2.0"), ("1.4", "1")], [("1.6", "01")]))  # fmt: skip
    assert sync.on_message(first, 1).mismatch is None
    # A finer price widens the scale; the texts stay those of the wire.
    finer = message(bids=[("1.455", "3")], checksum=text([("1.50", "2.0"), ("1.455", "3")], [("1.6", "01")]))
    assert sync.on_message(finer, 2).mismatch is None
    gone = message(bids=[("1.5", "0.0")], checksum=text([("1.455", "3"), ("1.4", "1")], [("1.6", "01")]))
    assert sync.on_message(gone, 3).mismatch is None
    assert (sync.check.matched, sync.check.mismatched) == (3, 0)


def test_after_a_mismatch_nothing_is_applied_until_the_next_whole_book():
    sync = timed(CHECKED)
    sync.on_message(message(whole=True, bids=[(1, 1)], checksum=text([("1", "1")], [])), 1)
    step = sync.on_message(message(bids=[(2, 2)], checksum=7), 2)
    assert step.mismatch and step.needs_snapshot and step.applied == 1 and sync.state is BookState.DIRTY
    assert sync.on_message(message(bids=[(3, 3)], checksum=8), 3) == (
        Verdict.UNVERIFIABLE,
        BookState.DIRTY,
        0,
        False,
        None,
        None,
    )
    assert (
        sync.on_message(message(whole=True, bids=[(5, 5)], checksum=text([("5", "5")], [])), 4).state
        is BookState.SYNCED
    )
    assert (sync.check.matched, sync.check.mismatched, sync.gaps) == (2, 1, 1)


def test_levels_that_fall_out_of_the_depth_are_gone():
    sync = timed(BookTraits(depth=2, checksum=Checksum(10, text)))
    sync.on_message(message(whole=True, bids=[(1, 1), (2, 1), (3, 1)], asks=[(5, 1)]), 1)
    assert sync.book.bids() == [(3, 1), (2, 1)]
    sync.on_message(message(bids=[(4, 1)]), 2)
    assert sync.book.bids() == [(4, 1), (3, 1)]
    step = sync.on_message(message(bids=[(4, 0)], checksum=text([("3", "1")], [("5", "1")])), 3)
    assert step.mismatch is None and sync.book.bids() == [(3, 1)]


def test_a_fetched_book_replaces_one_that_nothing_proves_with_the_younger_updates_on_top():
    sync = timed()
    sync.on_message(message(bids=[(1, 1)], ns=10), 1)
    assert sync.state is BookState.PARTIAL
    sync.on_message(message(whole=True, in_stream=False, bids=[(1, 1)], ns=10), 2)
    assert (sync.state, sync.book.bids()) == (BookState.SYNCED, [(1, 1)])
    for ns, price in ((20, 2), (30, 3), (40, 4)):
        sync.on_message(message(bids=[(price, 1)], ns=ns), ns)
    # An update at 15 was lost; the timed book as of 25 shows it.
    step = sync.on_message(message(whole=True, in_stream=False, bids=[(9, 9), (1, 1), (2, 1)], ns=25), 50)
    assert (step.state, step.applied) == (BookState.SYNCED, 3)
    assert sync.book.bids() == [(9, 9), (4, 1), (3, 1), (2, 1), (1, 1)]


levels = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6)


@given(st.lists(st.tuples(levels, levels, st.booleans()), min_size=1, max_size=20), st.integers(1, 4))
def test_a_book_kept_by_updates_has_the_checksum_of_one_built_from_its_levels(steps, depth):
    """Whatever the updates, text book and book agree: a checksum computed of the plain levels always matches."""
    sync = timed(BookTraits(depth=depth, checksum=Checksum(3, text)))
    halves = ({}, {})
    for index, (bids, asks, whole) in enumerate(steps):
        whole = whole or index == 0
        if whole:
            halves = ({}, {})
        for half, side in zip(halves, (bids, asks), strict=True):
            for price, size in side:
                half.pop(price, None)
                if size:
                    half[price] = size
        halves = tuple(
            dict(sorted(half.items(), reverse=sign < 0)[:depth]) for half, sign in zip(halves, (-1, 1), strict=True)
        )
        wanted = text(*([(str(p), str(s)) for p, s in list(half.items())[:3]] for half in halves))
        step = sync.on_message(message(whole=whole, bids=bids, asks=asks, checksum=wanted), index)
        assert step.mismatch is None and step.error is None
        assert sync.book.bids() == list(halves[0].items()) and sync.book.asks() == list(halves[1].items())
