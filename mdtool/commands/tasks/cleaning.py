"""Retention as a report: what would go, what went, what is held and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mdtool.clock import SystemClock
from mdtool.errors import UsageError
from mdtool.history.needs import needs
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.upkeep.removal import Effect, execute, finish, unfinished
from mdtool.storage.upkeep.retention import FeedPlan, RemovalPlan, RemovalUnit, RetentionLimits, plan
from mdtool.units import parse_duration, parse_size


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for, as it was given. None: it does not say, which is not the same as 0."""

    older_than: str | None
    max_bytes: str | None
    keep_last: int | None
    closed_chunks: bool

    def limits(self) -> RetentionLimits:
        """Raises UsageError."""
        return RetentionLimits(
            older_than_ns=parse_duration(self.older_than) if self.older_than is not None else 0,
            max_bytes=parse_size(self.max_bytes) if self.max_bytes is not None else 0,
            keep_last=self.keep_last or 0,
            closed_chunks=self.closed_chunks,
        )

    def check(self) -> None:
        """Raises UsageError where it cannot be meant."""
        limits = self.limits()
        for option, given, value in (
            ("--older-than", self.older_than, limits.older_than_ns),
            ("--max-bytes", self.max_bytes, limits.max_bytes),
        ):
            if given is not None and not value:
                raise UsageError(
                    f"{option} {given}: expected more than nothing; to remove a feed: mdtool registry remove"
                )
        if self.closed_chunks and not limits:
            raise UsageError("--closed-chunks goes with --older-than or --max-bytes: a feed's policy is about parts")

    def plans(self, feeds: Sequence[FeedInfo]) -> list[RemovalPlan]:
        """One plan over all feeds; where no limit is given, one for each feed that has a policy of its own, by that."""
        now_ns, limits = SystemClock().now_ns(), self.limits()
        if limits:
            return [plan(feeds, limits, now_ns, needs)]
        own = [(feed, RetentionLimits.of(feed)) for feed in feeds]
        if self.keep_last is not None:
            own = [(feed, replace(theirs, keep_last=self.keep_last)) for feed, theirs in own]
        return [plan([feed], theirs, now_ns, needs) for feed, theirs in own if theirs]


def begun(feeds: Sequence[FeedInfo]) -> int:
    """How many chunks earlier runs have left half gone."""
    return sum(map(unfinished, feeds))


def carry_out(feeds: Sequence[FeedInfo], plans: Sequence[RemovalPlan]) -> Iterator[Effect]:
    """What earlier runs have left half gone, then the plans."""
    for feed in feeds:
        if unfinished(feed):
            finish(feed)
    for made in plans:
        yield from execute(made)


def report(plans: Sequence[RemovalPlan], effects: Sequence[Effect], begun: int, *, dry_run: bool) -> dict[str, Any]:
    """What `clean --json` prints. The removals are those of the plan, dry run or not; `skipped` is what a real run
    left alone since things had changed, `finished` how many chunks earlier runs had left half gone."""
    by_feed = {effect.feed.name: effect for effect in effects}
    feeds = [_feed(one, by_feed.get(one.feed.name)) for made in plans for one in made.feeds]
    return {
        "dry_run": dry_run,
        "freed_bytes": sum(feed["freed_bytes"] for feed in feeds),
        "finished": begun,
        "over_bytes": sum(made.over_bytes for made in plans),
        "feeds": [feed for feed in feeds if feed["removals"] or feed["held"]],
    }


def _feed(made: FeedPlan, effect: Effect | None) -> dict[str, Any]:
    skipped = effect.skipped if effect else ()
    left = sum(one.unit.bytes for one in skipped)
    return {
        "feed": made.feed.name,
        "removals": [{**_unit(one.unit), "why": one.why.value} for one in made.removals],
        "held": [{**_unit(one.unit), "why": one.why.value, "by": one.by} for one in made.held],
        "skipped": [{**_unit(one.unit), "by": one.why} for one in skipped],
        "freed_bytes": made.freed_bytes - left,
        "kept_bytes": made.kept_bytes + left,
    }


def _unit(unit: RemovalUnit) -> dict[str, Any]:
    return {
        "unit": unit.name,
        "path": unit.path,
        "chunks": list(unit.chunks),
        "records": unit.rows,
        "bytes": unit.bytes,
        "first_ns": unit.first_ns,
        "last_ns": unit.last_ns,
    }
