"""What the settings ask to be recorded, as jobs: each [[recording]] with its symbols found and its options made.

Rule: all that is wrong is found before anything is done, each with its line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdtool.capture.options import RecordOptions, record_options
from mdtool.config import BadConfig, Config, Finding, Recording
from mdtool.config.lines import Path as Key
from mdtool.errors import FeedNotFound, MdtoolError, StoreError, UsageError
from mdtool.history.lists import venue_at
from mdtool.storage import settings
from mdtool.venues import catalog
from mdtool.venues.symbols import match
from mdtool.venues.venue import Venue

PATTERN = frozenset("*?[")
FIRST = 5  # symbols that are named of many


@dataclass(frozen=True, slots=True)
class Job:
    """One venue with symbols that are recorded the same way, by so many recorders."""

    where: str  # FILE:LINE
    options: RecordOptions
    shards: int
    cpus: tuple[int, ...]
    kept: Mapping[str, Any]  # how its feeds are, as Store.set has it

    @property
    def feeds(self) -> tuple[str, ...]:
        return tuple(f"{self.options.venue.name}/{symbol}" for symbol in self.options.symbols)


def jobs(config: Config) -> list[Job]:
    """What the recordings of the settings come to. Raises BadConfig."""
    reading = _Reading(config)
    found = [job for number, one in enumerate(config.recordings) if (job := reading.job(number, one)) is not None]
    reading.check_streams_by_venue()
    if reading.findings:
        raise BadConfig(reading.findings)
    return found


def load_jobs(load: Callable[[], Config]) -> tuple[Config, list[Job]]:
    """The settings and what they ask for. Raises BadConfig with all that is wrong with them, be it with how they are
    written or with what they say."""
    try:
        config = load()
    except BadConfig as bad:
        more: tuple[Finding, ...] = ()
        if bad.rest is not None:
            try:
                jobs(bad.rest)
            except BadConfig as worse:
                more = worse.findings
        raise BadConfig([*bad.findings, *more]) from None
    return config, jobs(config)


class _Reading:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._taken: dict[str, str] = {}  # feed -> where it is asked for
        self.findings: list[Finding] = []

    def job(self, number: int, one: Recording) -> Job | None:
        """None where something is wrong with it."""
        before = len(self.findings)
        venue = self._venue(number, one)
        self._check_kept(number, one)
        self._check_cpus(number, one)
        if venue is None:
            return None
        self._check_streams(("recording", number, "streams"), venue, one.streams)
        symbols = self._symbols(number, one, venue)
        options = self._options(number, one, venue, symbols)
        if (one.symbols or one.exclude) and not symbols:
            return None
        if options is not None:
            self._check_plan(number, options)
            self._check_doubles(number, options)
        if len(self.findings) > before or options is None:
            return None
        where = self._where(number)
        return Job(where, options, one.shards, one.cpus, one.kept)

    def check_streams_by_venue(self) -> None:
        """That [record.streams] names venues there are, and streams of theirs."""
        for venue, streams in self._config.record.streams.items():
            try:
                self._check_streams(("record", "streams", venue), catalog.get(venue), streams)
            except UsageError as error:
                self.findings.append(self._config.finding(("record", "streams", venue), str(error)))

    def _check_streams(self, key: Key, venue: Venue, streams: Sequence[str]) -> None:
        for place, stream in enumerate(streams):
            try:
                venue.plan(venue.default_symbols[:1], (stream,))
            except MdtoolError as error:
                self.findings.append(self._config.finding((*key, place), str(error)))

    def _wrong(self, number: int, key: Key, error: object) -> None:
        self.findings.append(self._config.finding(("recording", number, *key), str(error)))

    def _where(self, number: int) -> str:
        return f"{self._config.file}:{self._config.lines.of(('recording', number))}"

    def _venue(self, number: int, one: Recording) -> Venue | None:
        if not one.venue:  # which has been said
            return None
        try:
            return venue_at(self._config.store, one.venue)
        except UsageError as error:
            self._wrong(number, ("venue",), error)
            return None

    def _symbols(self, number: int, one: Recording, venue: Venue) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for key, texts in (("symbols", one.symbols), ("exclude", one.exclude)):
            for place, text in enumerate(texts):
                try:
                    meant = _meant(text, venue)
                except MdtoolError as error:
                    self._wrong(number, (key, place), error)
                    continue
                if key == "symbols":
                    found.update(dict.fromkeys(meant))
                else:
                    found = found or dict.fromkeys(venue.default_symbols)
                    for symbol in meant:
                        found.pop(symbol, None)
        if one.exclude and not found:
            self._wrong(number, ("exclude",), "exclude leaves no symbol; take something out of it")
        return tuple(found)

    def _options(self, number: int, one: Recording, venue: Venue, symbols: Sequence[str]) -> RecordOptions | None:
        defaults, before = self._config.record, len(self.findings)
        for key, url, rest in (("url", one.url, None), ("rest", None, one.rest)):
            try:  # each by itself, so that each is named
                record_options(venue, ws_url=url, rest_url=rest)
            except UsageError as error:
                self._wrong(number, (key,), error)
        if len(self.findings) > before:
            return None
        return record_options(
            venue,
            tuple(symbols),
            streams=one.streams or defaults.streams.get(venue.name, ()),
            ws_url=one.url,
            rest_url=one.rest,
            live=one.live or defaults.live,  # type: ignore[arg-type]
            chunk_bytes=one.chunk_bytes if one.chunk_bytes is not None else defaults.chunk_bytes,
            instruments=one.instruments,
            sync=one.sync or defaults.sync or "1s",  # type: ignore[arg-type]
            ca=defaults.ca,
            deflate=bool(defaults.deflate),
        )

    def _check_kept(self, number: int, one: Recording) -> None:
        names = {"chunk_bytes": "chunk_size", "live_window_ns": "live_window", "retain_ns": "retain"}
        nothing = dict.fromkeys(
            ("live", "chunk_bytes", "live_window_ns", "retain_ns", "max_bytes", "keep_last", "archive")
        )
        for name, value in {"chunk_bytes": one.chunk_bytes, **one.kept}.items():
            try:
                settings.fields(**{**nothing, name: value})
            except (UsageError, StoreError) as error:
                self._wrong(number, (names.get(name, name),), error)

    def _check_cpus(self, number: int, one: Recording) -> None:
        usable = os.sched_getaffinity(0)
        for cpu in one.cpus:
            if cpu not in usable:
                there = ",".join(map(str, sorted(usable)))
                self._wrong(number, ("cpu",), f"cpu: no CPU {cpu} here; there are {there}")

    def _check_plan(self, number: int, options: RecordOptions) -> None:
        """That the venue can be asked for these symbols."""
        venue = options.venue
        try:
            venue.plan(options.symbols, venue.default_streams)
        except MdtoolError as error:
            self._wrong(number, ("symbols",), error)

    def _check_doubles(self, number: int, options: RecordOptions) -> None:
        here = self._where(number)
        twice: dict[str, list[str]] = {}
        unread = not self._config.recordings[number].symbols and self._config.where(("recording", number, "symbols"))
        if unread:  # which are meant is not known
            return
        for symbol in options.symbols:
            feed = f"{options.venue.name}/{symbol}"
            first = self._taken.setdefault(feed, here)
            if first != here:
                twice.setdefault(first, []).append(feed)
        for first, feeds in twice.items():
            named = ", ".join(feeds[:FIRST]) + (f" and {len(feeds) - FIRST:,} more" if len(feeds) > FIRST else "")
            self._wrong(
                number, ("symbols",),
                f"{named}: recorded by the [[recording]] of {first} already; take it out of one of the two",
            )  # fmt: skip


def _meant(text: str, venue: Venue) -> tuple[str, ...]:
    """The symbols a spelling or a pattern stands for. Raises UnknownSymbol, FeedNotFound."""
    if not PATTERN & set(text):
        return (venue.canonical(text),)
    names = [f"{venue.name}/{symbol}" for symbol in venue.listed()]
    try:
        found = match(text, names, {venue.name: venue})
    except FeedNotFound:
        raise FeedNotFound(
            f"{text!r} is like no symbol that {venue.name} is known to list; what is not known can be named"
        ) from None
    return tuple(name.partition("/")[2] for name in found)
