"""Sealing feeds with what their venues' adapters make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mdtool.audit.columns import decoding
from mdtool.clock import SystemClock
from mdtool.errors import FeedLocked, UnknownVenue
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.part_writer import Decode
from mdtool.storage.upkeep.sealing import SealReport, seal_feed
from mdtool.venues import catalog


def seal_feeds(feeds: Sequence[FeedInfo], *, everything: bool, dry_run: bool) -> Iterator[SealReport]:
    """One report a feed; a feed that another process is at is a report with `error`, and the others go on."""
    for feed in feeds:
        try:
            yield seal_feed(
                feed, SystemClock().now_ns(), decoding=_decoding(feed), everything=everything, dry_run=dry_run
            )
        except FeedLocked as error:
            yield SealReport(feed.name, dry_run, (), 0, (), str(error))


def _decoding(feed: FeedInfo) -> Callable[[], Decode] | None:
    """None for a venue without an adapter, whose parts have no decoded columns."""
    try:
        return decoding(catalog.get(feed.venue))
    except UnknownVenue:
        return None
