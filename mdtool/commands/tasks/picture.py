"""A feed's book and figures as one picture for the screen, and what they are worth.

Rule: the state is never kinder than the sequence allows, nor than the time since the last record, nor than what is
known of the writer: who looks at now asks for its presence, who looks at the past for the records around the moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mdtool.books.l3 import L3Book
from mdtool.books.sync import BookState, BookSync
from mdtool.clock import SECOND
from mdtool.history.seams import Seam
from mdtool.model import UNKNOWN, Scale, Side
from mdtool.storage.journal.presence import WriterStatus
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


class Seen(NamedTuple):
    """What the records say of the recording itself. None: they do not."""

    as_of_ns: int  # receive time of the last one, 0 before the first
    ended_ns: int | None  # it is an END, but for notes behind it
    closed_ns: int | None  # the connection was closed then, and nothing has come since
    seam: Seam | None  # that a moment of the past lies in


def worth(sync: BookSync | None, seen: Seen, now_ns: int | None, writer: WriterStatus | None) -> Worth:
    """`now_ns` None: looked at as of the record that was read last, where silence and the end say nothing. `writer`
    None: a moment of the past, of which only the records tell."""
    state = BookState.WAITING if sync is None else sync.state
    note = ""
    if state is BookState.WAITING:
        note = "for snapshot"
    elif sync is not None and state is not BookState.SYNCED:
        why = "changes alone, no whole book yet" if state is BookState.PARTIAL else "gap, waiting for snapshot"
        note = f"since {clock(sync.state_since_ns)}: {why}"
    if now_ns is None:
        return Worth(state.name, note)
    nobody = writer is not None and writer is not WriterStatus.ALIVE
    if not seen.as_of_ns:
        return Worth("WAITING", "for source, no recorder" if nobody else "for source")
    beside = "" if state is BookState.SYNCED else f", {state.name} {note}"
    over = seen.ended_ns is not None or seen.closed_ns is not None or seen.seam is not None
    silent_ns = now_ns - seen.as_of_ns
    late = silent_ns > STALE_AFTER_NS
    resumes = f", not recorded until {clock(seen.seam.to_ns)}" if seen.seam is not None else ""
    if seen.ended_ns is not None and (nobody or writer is None):
        return Worth("ENDED", f"{_ago(now_ns - seen.ended_ns)}{resumes}{beside}")
    if over or nobody or late:
        why = ", connection closed" if seen.closed_ns is not None else ""
        return Worth("STALE", f"{_about(silent_ns)}{why}{', no recorder' if nobody else ''}{resumes}{beside}")
    return Worth(state.name, note)


def _about(ns: int) -> str:
    """How long, in whole seconds."""
    return span(ns // SECOND * SECOND).replace(".0", "") if ns >= SECOND else "just now"


def _ago(ns: int) -> str:
    return f"{span(ns)} ago" if ns >= SECOND else "just now"


def waiting(feed: str, note: str) -> BookPicture:
    """Of a feed of which there is nothing yet."""
    return BookPicture(feed, "WAITING", note, 0, UNKNOWN, Scale(0, 0), (), ())


def draw(
    follower: BookFollower, feed: str, depth: int, worth: Worth, stands_ns: int | None, now_ns: int | None
) -> BookPicture:
    """What stands in the follower's book now. Figures are as of `stands_ns`, their age as of `now_ns`."""
    book, sync = follower.book, follower.sync
    bids: Sequence[Level]
    asks: Sequence[Level]
    bids, asks = sync.book.top(depth) if sync else ((), ())
    figures = book.figures(stands_ns)
    if now_ns is not None and stands_ns is not None and figures.age_ns is not None:
        figures = replace(figures, age_ns=figures.age_ns + max(0, now_ns - stands_ns))
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
        proven_depth=sync.proven_depth if sync else None,
        not_recorded=None if follower.seam is None else (follower.seam.from_ns, follower.seam.to_ns, follower.seam.why),
    )


def _queues(book: L3Book, side: Side, levels: Sequence[Level]) -> tuple[Queue, ...]:
    return tuple(tuple(size for _, size in book.queue(side, price)) for price, _ in levels[:QUEUES])
