"""Sealing feeds with what their venues' adapters make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mdtool.clock import SystemClock
from mdtool.commands.tasks.amounts import Sum, Told
from mdtool.errors import FeedLocked
from mdtool.history.columns import decoding_of
from mdtool.storage.journal.batch import Batch
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.part_writer import Decode, Decoded
from mdtool.storage.upkeep.sealing import SealReport, seal_feed


def _untold(done: int, total: int | None) -> None:
    """Nobody wants to know."""


def seal_feeds(
    feeds: Sequence[FeedInfo], *, everything: bool, dry_run: bool, told: Told = _untold
) -> Iterator[SealReport]:
    """One report a feed; a feed that another process is at is a report with `error`, and the others go on. `told` is
    told what is done of the payload bytes due."""
    now_ns = SystemClock().now_ns()
    due = 0 if dry_run else sum(_due(feed, now_ns, everything) for feed in feeds)
    progress = Sum(told, due)
    for feed in feeds:
        decoding = _counted(decoding_of(feed.venue), progress)
        try:
            yield seal_feed(feed, now_ns, decoding=decoding, everything=everything, dry_run=dry_run)
        except FeedLocked as error:
            yield SealReport(feed.name, dry_run, (), 0, (), str(error))


def _due(feed: FeedInfo, now_ns: int, everything: bool) -> int:
    """Payload bytes that would be sealed."""
    planned = seal_feed(feed, now_ns, everything=everything, dry_run=True)
    return sum(part.payload_bytes for part in planned.parts)


def _counted(decoding: Callable[[], Decode] | None, progress: Sum) -> Callable[[], Decode] | None:
    """`decoding`, telling what has gone through it."""
    if decoding is None:
        return None

    def made() -> Decode:
        decode = decoding()

        def through(batch: Batch) -> Decoded:
            progress(int(batch.rows["length"].sum()))
            return decode(batch)

        return through

    return made
