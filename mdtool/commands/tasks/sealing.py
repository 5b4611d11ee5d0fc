"""Sealing feeds with what their venues' adapters make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mdtool.clock import SystemClock
from mdtool.errors import FeedLocked
from mdtool.history.columns import decoding_of
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.upkeep.sealing import SealReport, seal_feed


def seal_feeds(feeds: Sequence[FeedInfo], *, everything: bool, dry_run: bool) -> Iterator[SealReport]:
    """One report a feed; a feed that another process is at is a report with `error`, and the others go on."""
    for feed in feeds:
        try:
            yield seal_feed(
                feed, SystemClock().now_ns(), decoding=decoding_of(feed.venue), everything=everything, dry_run=dry_run
            )
        except FeedLocked as error:
            yield SealReport(feed.name, dry_run, (), 0, (), str(error))
