"""A feed's book and figures as one picture for the screen, and what they are worth.

Rule: the state is never kinder than the sequence allows, nor than the time since the last record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mdtool.books.l3 import L3Book
from mdtool.books.sync import BookState, BookSync
from mdtool.clock import SECOND
from mdtool.model import UNKNOWN, Scale, Side
from mdtool.view.book import BookPicture, Level, Queue
from mdtool.view.figures import span
from mdtool.view.moments import clock

if TYPE_CHECKING:
    from mdtool.commands.tasks.book import BookFollower

STALE_AFTER_NS = 3 * SECOND  # without a record; a quiet symbol is as silent as a dead line, and neither is fresh
QUEUES = 40  # levels a side of which the orders are shown


class Worth(NamedTuple):
    """A state and why, or since when."""

    state: str
    note: str


def worth(sync: BookSync | None, as_of_ns: int, ended_ns: int | None, now_ns: int | None, *, alive: bool) -> Worth:
    """`now_ns` None: looked at as of the record that was read last, where silence and the end say nothing."""
    state = BookState.WAITING if sync is None else sync.state
    note = ""
    if state is BookState.WAITING:
        note = "for snapshot"
    elif sync is not None and state is not BookState.SYNCED:
        why = "changes alone, no whole book yet" if state is BookState.PARTIAL else "gap, waiting for snapshot"
        note = f"since {clock(sync.state_since_ns)}: {why}"
    if now_ns is None:
        return Worth(state.name, note)
    beside = "" if state is BookState.SYNCED else f", {state.name} {note}"
    if ended_ns is not None:
        since_ns = now_ns - ended_ns
        return Worth("ENDED", f"{f'{span(since_ns)} ago' if since_ns >= SECOND else 'just now'}{beside}")
    silent_ns = now_ns - as_of_ns
    if as_of_ns and silent_ns > STALE_AFTER_NS:
        return Worth(
            "STALE", f"{span(silent_ns // SECOND * SECOND).replace('.0', '')}{'' if alive else ', no recorder'}{beside}"
        )
    if not as_of_ns:
        return Worth("WAITING", "for source" if alive else "for source, no recorder")
    return Worth(state.name, note)


def waiting(feed: str, note: str) -> BookPicture:
    """Of a feed of which there is nothing yet."""
    return BookPicture(feed, "WAITING", note, 0, UNKNOWN, Scale(0, 0), (), ())


def draw(follower: BookFollower, feed: str, depth: int, worth: Worth, now_ns: int | None) -> BookPicture:
    """What stands in the follower's book now."""
    book, sync = follower.book, follower.sync
    bids: Sequence[Level]
    asks: Sequence[Level]
    bids, asks = sync.book.top(depth) if sync else ((), ())
    figures = book.figures(now_ns)
    levels: object = sync.book if sync else None  # an L3Book is taken for what both kinds can do
    queues: tuple[tuple[Queue, ...], tuple[Queue, ...]] | None = None
    if isinstance(levels, L3Book):
        queues = _queues(levels, Side.BID, bids), _queues(levels, Side.ASK, asks)
    return BookPicture(
        feed=feed,
        state=worth.state,
        note=worth.note,
        as_of_ns=follower.as_of_ns,
        last_seq=book.last_seq,
        scale=book.scale,
        bids=tuple(bids),
        asks=tuple(asks),
        records=follower.records,
        updates=follower.updates,
        gaps=book.gaps,
        at_ns=follower.at_ns,
        figures=figures,
        tape=tuple(book.stats.tape),
        mids=follower.mids,
        queues=queues,
    )


def _queues(book: L3Book, side: Side, levels: Sequence[Level]) -> tuple[Queue, ...]:
    return tuple(tuple(size for _, size in book.queue(side, price)) for price, _ in levels[:QUEUES])
