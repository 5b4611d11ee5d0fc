"""Venues' own lists of instruments, as recorders have put them on record: the newest of each, for whoever reads names.

Rule: a list on record overrules what ships, and is foreign text: what is no list is passed over, and a store without
one, or that cannot be read, is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mdtool.errors import FeedNotFound, StoreError, WireError
from mdtool.history.wholes import batches_of
from mdtool.model import LISTED_STREAM, Flag, Kind, is_session
from mdtool.storage.journal.batch import Batch
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.venues.symbols import match
from mdtool.venues.venue import Venue

MOST = 64  # answers looked back at


def recorded(store: Store, venue: Venue) -> dict[str, bytes]:
    """The newest answers of the venue, by the path and query they were asked for with, the newest first."""
    wanted = {request.path for request in venue.instrument_requests()}
    newest: dict[str, bytes] = {}
    newest_ns = -1
    for feed in store.feeds() if wanted else ():
        if feed.venue != venue.name or not is_session(feed.symbol):
            continue
        try:
            with store.reader(feed.name) as reader:
                if LISTED_STREAM not in reader.streams:
                    continue
                found, at_ns = _of_feed(reader, wanted)
        except StoreError:
            continue
        if at_ns > newest_ns and found:
            newest, newest_ns = found, at_ns
    return newest


def _of_feed(reader: Reader, wanted: set[str]) -> tuple[dict[str, bytes], int]:
    """The newest answers of one session feed, back to where each of the first pages was had, and when the newest
    came."""
    found: dict[str, bytes] = {}
    newest_ns = -1
    answer: tuple[Batch, int] | None = None
    for number, (batch, row) in enumerate(_backwards(reader)):
        kind, flags, recv_ns = (int(batch.rows[name][row]) for name in ("kind", "flags", "recv_ns"))
        if kind == Kind.RESPONSE:
            answer = None if flags & Flag.FAILED else (batch, row)
            newest_ns = max(newest_ns, recv_ns)
        elif kind == Kind.REQUEST and answer is not None:
            path = _path(batch.payload(row))
            if path is not None and path not in found:
                found[path] = answer[0].payload(answer[1])
            answer = None
        if wanted <= found.keys() or number > 2 * MOST:
            break
    return found, newest_ns


def _backwards(reader: Reader) -> Iterator[tuple[Batch, int]]:
    """The records of the stream as row of a batch, last first."""
    for chunk in reversed(reader.chunks()):
        for batch in reversed(list(batches_of(reader, chunk.chunk_id))):
            if LISTED_STREAM in batch.streams:
                number = batch.streams.index(LISTED_STREAM)
                rows = (batch.rows["stream"] == number).nonzero()[0]
                yield from ((batch, int(row)) for row in rows[::-1])


def _path(request: bytes) -> str | None:
    """What a REQUEST asked for."""
    try:
        parts = urlsplit(json.loads(request)["url"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def venue_in(store: Store, name: str) -> Venue:
    """The venue of that name, as it listed itself to the recorders of the store. Raises UnknownVenue."""
    return listed_in(store, catalog.get(name))


def listed_in(store: Store, venue: Venue) -> Venue:
    """The same of a venue."""
    known = venue
    for body in reversed(recorded(store, venue).values()):
        try:
            known = known.knowing(venue.instruments(body))
        except WireError:
            continue
    return known


def venue_at(path: Path, name: str) -> Venue:
    """The same of the store that may be at a path. Raises UnknownVenue."""
    try:
        with Store.open(path) as store:
            return venue_in(store, name)
    except StoreError:
        return catalog.get(name)


class Venues(Mapping[str, Venue]):
    """Every venue, each as a store knows it by the time it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Venue] = {}

    def __getitem__(self, name: str) -> Venue:
        if name not in catalog.VENUES:
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = venue_in(self._store, name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(catalog.VENUES)

    def __len__(self) -> int:
        return len(catalog.VENUES)

    def __contains__(self, name: object) -> bool:
        return name in catalog.VENUES


def meant(store: Store, patterns: str | Sequence[str], names: Sequence[str]) -> list[str]:
    """The feeds of these names that patterns mean, as `match` has it; by what venues listed where nothing that ships
    reads one of them. Raises FeedNotFound."""
    try:
        return match(patterns, names, catalog.VENUES)
    except FeedNotFound:
        return match(patterns, names, Venues(store))
