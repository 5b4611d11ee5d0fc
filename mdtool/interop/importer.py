"""Other tools' captures into a store: their bytes, their receive times, their order.

Rule: an import adds history, it never interleaves it. What does not lie behind everything a feed already holds is
refused before anything is written. What precedes a damaged spot is kept, and the damage is raised at the end.
"""

from __future__ import annotations

import contextlib
import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from operator import itemgetter
from pathlib import Path
from typing import Any

from mdtool.errors import ImportFormatError, UsageError
from mdtool.interop.item import Item
from mdtool.interop.lines import open_file
from mdtool.interop.routing import SESSION, LineRouter
from mdtool.interop.source import ImportFile, first_items, format_of
from mdtool.model import SESSION_SYMBOL, Flag, Kind
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store
from mdtool.venues.venue import Venue

MAX_HELD = 1_000  # REST bodies before the first frame that names the symbol; one is usual
MAX_HELD_BYTES = 64 << 20

Progress = Callable[[int, int], None]  # bytes of the files read, bytes of the files


@dataclass(frozen=True, slots=True)
class FeedImport:
    """What one feed got."""

    name: str
    records: int  # taken from the files; the END and the copies of a connect not counted
    payload_bytes: int
    first_ns: int
    last_ns: int
    streams: dict[str, int]  # records by stream

    def to_json(self) -> dict[str, Any]:
        return {
            "feed": self.name,
            "records": self.records,
            "payload_bytes": self.payload_bytes,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "streams": self.streams,
        }


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    paths: tuple[Path, ...]
    feeds: tuple[FeedImport, ...]  # by name
    records: int  # lines that became records: each frame, connect, REST answer
    kinds: dict[str, int]  # the same by kind: "data", "open", "sent", "response", "note"

    def to_json(self) -> dict[str, Any]:
        return {
            "files": [str(path) for path in self.paths],
            "records": self.records,
            "kinds": self.kinds,
            "feeds": [feed.to_json() for feed in self.feeds],
        }


def import_file(
    store: Store,
    venue: Venue,
    path: Path | str,
    *,
    symbol: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """One file; see import_files."""
    return import_files(store, venue, [path], symbol=symbol, progress=progress)


def import_files(
    store: Store,
    venue: Venue,
    paths: Sequence[Path | str],
    *,
    symbol: str | None = None,
    form: str | None = None,
    zone: tzinfo | None = None,
    allow_overlap: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Files of one venue, merged by receive time, so that a websocket file and its REST file become one history.

    `symbol`: of REST bodies that stand before any frame naming one, in either spelling. `form`: "hb", "cf" or "pat"
    where the names do not tell. `zone`: of naive times, UTC unless given. Raises UsageError (overlap, format unknown),
    UnknownSymbol, ImportFormatError (wrong, damaged or cut: what came before is kept), StoreError.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise UsageError("no file to import")
    for path in files:
        open_file(path).close()
    canonical = venue.canonical(symbol) if symbol is not None else None
    forms = [format_of(path, form) for path in files]
    sources = [ImportFile(path, its, zone=zone) for path, its in zip(files, forms, strict=True)]
    starts = [first.recv_ns for first in first_items(sources)]
    if not allow_overlap:
        _refuse_overlap(store, venue, sources, min(starts), canonical)
    counters = _counters(files, progress)
    sources = [
        ImportFile(path, its, zone=zone, progress=count)
        for path, its, count in zip(files, forms, counters, strict=True)
    ]
    run = _Import(store, venue, sources, canonical)
    with run:
        run.write()
        report = run.report()
        broken = [source.broken for source in sources if source.broken is not None]
        stuck = run.unplaced()
        names = ", ".join(path.name for path in files)
        run.end(f"import of {names}" + (" (damaged: what came before is kept)" if broken or stuck else ""))
    if broken:
        kept = f"{report.records:,} records before it are kept" if report.records else "nothing is imported"
        raise ImportFormatError("; ".join(broken) + f"; {kept}")
    if stuck:
        raise ImportFormatError(f"{stuck}; {report.records:,} other records are kept")
    return report


def _counters(files: list[Path], progress: Progress | None) -> list[Callable[[int], None] | None]:
    """One progress callback a file that reports the sum over all."""
    if progress is None:
        return [None] * len(files)
    total = sum(path.stat().st_size for path in files)
    done = [0] * len(files)

    def counter(number: int) -> Callable[[int], None]:
        def count(position: int) -> None:
            done[number] = position
            progress(sum(done), total)

        return count

    return [counter(number) for number in range(len(files))]


def _refuse_overlap(store: Store, venue: Venue, sources: list[ImportFile], start_ns: int, symbol: str | None) -> None:
    """Raises UsageError where a feed's records would not lie behind those it has.

    The venue's session feed is not asked: it is a log of unrelated connections. Only where some feed reaches beyond
    the files' beginning are the files read through beforehand, to find each feed's first record.
    """
    held: dict[str, int] = {}
    for info in store.feeds():
        if info.venue == venue.name and info.symbol != SESSION_SYMBOL:
            with store.reader(info.name, verify=False) as reader:
                if (last_ns := reader.last_ns) is not None and last_ns >= start_ns:
                    held[info.symbol] = last_ns
    if not held:
        return
    for source in sources:
        router = LineRouter(venue, symbol)
        first_ns: int | None = None  # of a body whose symbol is not known yet
        for item in source:
            placed = router.place(item)
            if placed is None:
                first_ns = item.recv_ns if first_ns is None else first_ns
                continue
            owner = placed[1].symbol
            if owner is None or owner not in held:
                continue
            begins_ns = item.recv_ns
            if first_ns is not None and owner == router.symbol:
                begins_ns, first_ns = first_ns, None
            if begins_ns <= held[owner]:
                raise UsageError(
                    f"{source.path} has records of {venue.name}/{owner} from {_utc(begins_ns)}, and the store holds "
                    f"that feed up to {_utc(held[owner])}: they would be mixed up; import into a fresh --store, or "
                    f"give --allow-overlap"
                )


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Sink:
    """One feed being written."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.ids: dict[str, int] = {}
        self.sessions: set[int] = set()  # whose connect the feed has
        self.counts: Counter[str] = Counter()
        self.payload_bytes = 0
        self.first_ns: int | None = None
        self.last_ns = 0

    def stream(self, name: str) -> int:
        number = self.ids.get(name)
        if number is None:
            number = self.ids[name] = self.writer.stream(name)
        return number

    def append(self, recv_ns: int, kind: Kind, stream: str, session: int, payload: bytes) -> None:
        number = self.ids.get(stream)
        if number is None:
            number = self.stream(stream)
        self.writer.append(recv_ns, kind, number, session, payload, Flag.IMPORTED)
        if self.first_ns is None:
            self.first_ns = recv_ns
        self.last_ns = recv_ns


@dataclass(slots=True)
class _Origin:
    """What is known of one file while it is read."""

    source: ImportFile
    router: LineRouter
    session: int
    opened: Item | None = None  # the connect that `session` stands for
    by_url: dict[str, int] = field(default_factory=dict)
    held: list[Item] = field(default_factory=list)  # REST bodies whose symbol is not known yet
    held_bytes: int = 0


class _Import(contextlib.ExitStack):
    def __init__(self, store: Store, venue: Venue, sources: list[ImportFile], symbol: str | None) -> None:
        super().__init__()
        self._store = store
        self._venue = venue
        self._origins = [_Origin(source, LineRouter(venue, symbol), store.next_session()) for source in sources]
        self._sinks: dict[str | None, _Sink] = {}
        self._kinds: Counter[Kind] = Counter()

    def write(self) -> None:
        """Everything, in the order of receive times; a file's own order is never changed."""
        for origin, item in self._items():
            kind = item.kind
            if kind == Kind.OPEN:
                origin.router.place(item)
                self._open(origin, item)
                continue
            placed = origin.router.place(item)
            if placed is None:
                self._hold(origin, item)
                continue
            if origin.held and origin.router.symbol is not None:
                self._release(origin)
            kind, place = placed
            self._put(origin, item, kind, place.symbol, place.stream)

    def unplaced(self) -> str | None:
        """Why some items have found no place; None where all have."""
        for origin in self._origins:
            if origin.held:
                return (
                    f"{origin.source.path}: {len(origin.held)} REST bodies and no frame that names their symbol; "
                    f"give it with --symbol"
                )
        return None

    def end(self, reason: str) -> None:
        """The import is over: the feeds say so, and what was written is brought to disk."""
        payload = json.dumps({"reason": reason}).encode()
        for sink in self._sinks.values():
            # Flagged as the rest: it ends a file, and does not say that the recording was meant to stop there.
            sink.append(sink.last_ns, Kind.END, SESSION, 0, payload)
            sink.writer.sync()

    def report(self) -> ImportReport:
        feeds = [
            FeedImport(
                sink.writer.feed.name,
                sink.counts.total(),
                sink.payload_bytes,
                sink.first_ns if sink.first_ns is not None else 0,
                sink.last_ns,
                dict(sorted(sink.counts.items())),
            )
            for sink in self._sinks.values()
        ]
        return ImportReport(
            tuple(origin.source.path for origin in self._origins),
            tuple(sorted(feeds, key=lambda feed: feed.name)),
            self._kinds.total(),
            {kind.name.lower(): count for kind, count in sorted(self._kinds.items())},
        )

    def _items(self) -> Iterator[tuple[_Origin, Item]]:
        def items(origin: _Origin) -> Iterator[tuple[int, _Origin, Item]]:
            for item in origin.source:
                yield item.recv_ns, origin, item

        merged = heapq.merge(*(items(origin) for origin in self._origins), key=itemgetter(0))
        for _, origin, item in merged:
            yield origin, item

    def _sink(self, symbol: str | None, origin: _Origin) -> _Sink:
        sink = self._sinks.get(symbol)
        if sink is None:
            writer = self._store.writer(f"{self._venue.name}/{symbol or SESSION_SYMBOL}", sync="chunk")
            self.enter_context(writer)
            sink = self._sinks[symbol] = _Sink(writer)
        return sink

    def _put(self, origin: _Origin, item: Item, kind: Kind, symbol: str | None, stream: str) -> None:
        sink = self._sink(symbol, origin)
        session = origin.session
        if session not in sink.sessions:
            self._begin_session(sink, origin, symbol)
        if kind == Kind.SENT:
            session = origin.by_url.get(item.url or "", session)
        elif kind == Kind.RESPONSE and item.url is not None:
            request = json.dumps({"method": "GET", "url": item.url}).encode()
            sink.append(item.recv_ns, Kind.REQUEST, stream, session, request)
        payload = item.payload
        if kind == Kind.NOTE:
            payload = json.dumps({"note": "configuration", "text": payload.decode("utf-8", "replace")}).encode()
        sink.append(item.recv_ns, kind, stream, session, payload)
        sink.counts[stream] += 1
        sink.payload_bytes += len(item.payload)
        self._kinds[kind] += 1

    def _open(self, origin: _Origin, item: Item) -> None:
        """A connect begins a session. A file with several sockets does not say which one a frame came from: frames
        are taken to be of the last that was opened."""
        if origin.opened is not None:
            origin.session = self._store.next_session()
        origin.opened = item
        origin.by_url[item.url or ""] = origin.session
        sink = self._sink(None, origin)
        sink.sessions.add(origin.session)
        sink.append(item.recv_ns, Kind.OPEN, SESSION, origin.session, _opening(item))
        sink.counts[SESSION] += 1
        sink.payload_bytes += len(item.payload)
        self._kinds[Kind.OPEN] += 1

    def _begin_session(self, sink: _Sink, origin: _Origin, symbol: str | None) -> None:
        """A feed learns of the connection with the first record it gets from it. A REST file has none of its own: its
        first record brings the connect of the one websocket file beside it, so that no time in the feed steps back."""
        sink.sessions.add(origin.session)
        connects = [origin] if origin.opened else [other for other in self._origins if other.opened]
        if symbol is None or len(connects) != 1 or connects[0].opened is None:
            return
        session, opened = connects[0].session, connects[0].opened
        if session in sink.sessions and connects[0] is not origin:
            return
        sink.sessions.add(session)
        if sink.first_ns is None or sink.last_ns <= opened.recv_ns:
            sink.append(opened.recv_ns, Kind.OPEN, SESSION, session, _opening(opened))

    def _hold(self, origin: _Origin, item: Item) -> None:
        origin.held.append(item)
        origin.held_bytes += len(item.payload)
        if len(origin.held) > MAX_HELD or origin.held_bytes > MAX_HELD_BYTES:
            raise ImportFormatError(
                f"{origin.source.path}: {len(origin.held):,} REST bodies before the first frame that names a symbol; "
                f"give it with --symbol"
            )

    def _release(self, origin: _Origin) -> None:
        held, origin.held, origin.held_bytes = origin.held, [], 0
        for item in held:
            placed = origin.router.place(item)
            if placed is not None:
                self._put(origin, item, placed[0], placed[1].symbol, placed[1].stream)


def _opening(item: Item) -> bytes:
    return json.dumps({"url": item.url}).encode()
