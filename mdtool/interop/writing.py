"""The records of an import, put into their feeds.

Rule: files are merged by receive time and a file's own order is never changed, so that the same files give the same
records, however often and in however many goes they are imported. What a feed holds already is not put in again.
"""

from __future__ import annotations

import contextlib
import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter

from mdtool.errors import ImportFormatError, UsageError
from mdtool.interop.held import Held, Twins
from mdtool.interop.item import Item
from mdtool.interop.lines import Stop
from mdtool.interop.report import FeedImport, ImportReport
from mdtool.interop.routing import SESSION, LineRouter
from mdtool.interop.source import ImportFile
from mdtool.interop.understanding import Understanding
from mdtool.model import OTHER_STREAM, Flag, Kind, is_session
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store
from mdtool.venues.venue import Venue

DAMAGED = "damaged"  # the stream, in the session feed, of lines that are none of their file's format
MAX_HELD = 1_000  # REST bodies before the first frame that names the symbol; one is usual
MAX_HELD_BYTES = 64 << 20


class MixedUp(Exception):
    """A record that is new and does not lie behind what its feed holds. The text says so of the record."""


class Sink:
    """One feed being written. Its writer is opened with the first record that is new, by `open_writer`. `held`: what
    feeds hold that its records may be in; what belongs to no symbol, any session feed of the venue may have. `overlap`:
    new records may lie before what the feed holds; `dry`: nothing is written, only looked whether it could be."""

    def __init__(
        self, name: str, open_writer: Callable[[], Writer], held: dict[str, Held], twins: Twins | None, *,
        overlap: bool, dry: bool,
    ) -> None:  # fmt: skip
        self.name = name
        self.writer: Writer | None = None
        self.resumed = False
        self.sessions: set[int] = set()  # whose connect the feed has
        self.counts: Counter[str] = Counter()
        self.already = 0
        self.payload_bytes = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self._open_writer = open_writer
        self._all_held = held
        self._twins = twins
        self._overlap = overlap
        self._dry = dry
        self._ids: dict[str, int] = {}
        self._found_ns: dict[str, int] = {}  # by feed: latest receive time of what was there already

    def append(self, recv_ns: int, kind: Kind, stream: str, session: int, payload: bytes, file: int) -> int | None:
        """Puts a record of a file behind the others. Where it is there already, that is all, and the answer is the
        session it belongs to; None: it was new. Raises MixedUp."""
        twins = self._twins
        if twins is not None and (twin := twins.of(recv_ns, kind, payload, file)) is not None:
            return twin
        for name, held in self._all_held.items():
            found = held.take(recv_ns, kind, payload)
            if found is not None:
                self._reached(recv_ns)
                if found.exact:
                    session = found.session
                    self._found_ns[name] = max(self._found_ns.get(name, 0), recv_ns)
                if twins is not None:
                    twins.put(recv_ns, kind, payload, session)
                return session
            if recv_ns <= held.last_ns and not self._overlap and held.goes_on_behind(recv_ns):
                raise MixedUp(
                    f"has records of {self.name} from {_utc(recv_ns)} that the store has not, and it holds that feed "
                    f"up to {_utc(held.last_ns)}: they would be mixed up; import into a fresh --store, or give "
                    f"--allow-overlap"
                )
        if twins is not None:
            twins.put(recv_ns, kind, payload, session)
        if not self._dry:
            self._write(recv_ns, kind, stream, session, payload)
        self._reached(recv_ns)
        return None

    def note(self, payload: bytes) -> None:
        """What the import has to say of itself."""
        self._write(self._end_ns, Kind.NOTE, SESSION, 0, payload)

    def end(self, reason: bytes) -> None:
        """The import is over: the feed says so, where anything was new or an earlier go could not."""
        if self.writer is None and not self._goes_on:
            return
        # Flagged as the rest: it ends a file, and does not say that the recording was meant to stop there.
        self._write(self._end_ns, Kind.END, SESSION, 0, reason)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        for held in self._all_held.values():
            held.close()

    @property
    def _goes_on(self) -> bool:
        """Whether an import that was broken off had come as far as this one now has."""
        held = self._all_held.get(self.name)
        return held is not None and held.unfinished and self._found_ns.get(self.name, 0) >= held.last_ns

    @property
    def _end_ns(self) -> int:
        held = self._all_held.get(self.name)
        return max(self.last_ns, held.last_ns) if held is not None else self.last_ns

    def _reached(self, recv_ns: int) -> None:
        if self.first_ns is None:
            self.first_ns = recv_ns
        self.last_ns = recv_ns

    def _write(self, recv_ns: int, kind: Kind, stream: str, session: int, payload: bytes) -> None:
        writer = self.writer
        if writer is None:
            writer = self.writer = self._open_writer()
            self.name = writer.feed.name  # of several session feeds the one that is free now
            if self._goes_on:
                # What follows was meant to follow: whoever judges the feed need not take it for another import.
                self.resumed = True
                note = json.dumps({"note": "import resumed", "already_there": self.already}).encode()
                self._write(self._found_ns[self.name], Kind.NOTE, SESSION, 0, note)
        number = self._ids.get(stream)
        if number is None:
            number = self._ids[stream] = writer.stream(stream)
        writer.append(recv_ns, kind, number, session, payload, Flag.IMPORTED)


@dataclass(slots=True)
class _Origin:
    """What is known of one file while it is read."""

    source: ImportFile
    router: LineRouter
    session: int
    number: int  # among the files
    opened: Item | None = None  # the connect that `session` stands for
    by_url: dict[str, int] = field(default_factory=dict)
    waiting: list[Item] = field(default_factory=list)  # REST bodies whose symbol is not known yet
    waiting_bytes: int = 0


class Import(contextlib.ExitStack):
    """One go at a set of files. `start_ns`: the first receive time in them. With `dry` nothing is written: it is gone
    through only to see whether it could be."""

    def __init__(
        self,
        store: Store,
        venue: Venue,
        sources: Sequence[ImportFile],
        symbol: str | None,
        start_ns: int,
        *,
        overlap: bool = False,
        dry: bool = False,
        stop: Stop | None = None,
    ) -> None:
        super().__init__()
        self._store = store
        self._venue = venue
        self._overlap = overlap
        self._dry = dry
        self._stop = stop or Stop()
        self._origins = [
            _Origin(source, LineRouter(venue, symbol), 0 if dry else store.next_session(), number)
            for number, source in enumerate(sources)
        ]
        self._sinks: dict[str | None, Sink] = {}
        self._kinds: Counter[Kind] = Counter()
        self._understood = Understanding(venue, OTHER_STREAM)
        self._feeds = {info.name: info for info in store.feeds() if info.venue == venue.name}
        self._start_ns = start_ns

    def write(self) -> bool:
        """Everything, in the order of receive times. False where it was told to stop before the end."""
        stop = self._stop
        try:
            for origin, item in self._items():
                if stop.asked:
                    return False
                self._take(origin, item)
        except KeyboardInterrupt:
            if not stop.asked:
                raise
            return False
        return True

    def unplaced(self) -> tuple[str, ...]:
        """Why some items have found no place."""
        return tuple(
            f"{origin.source.name}: {len(origin.waiting)} REST bodies and no frame that names their symbol; "
            f"give it with --symbol"
            for origin in self._origins
            if origin.waiting
        )

    def end(self, reason: str) -> None:
        """The import is over, and what was written is brought to disk."""
        payload = json.dumps({"reason": reason}).encode()
        for sink in self._sinks.values():
            sink.end(payload)
            if sink.writer is not None:
                sink.writer.sync()

    def interrupted(self) -> None:
        """It ends here, and is to be gone on with: each feed says how far the files were read."""
        files = [
            {
                "file": origin.source.path.name,
                "offset": origin.source.lines.offset,
                "lines": origin.source.lines.number,
                "blake2b": origin.source.lines.digest,
            }
            for origin in self._origins
        ]
        payload = json.dumps({"note": "import interrupted", "files": files}).encode()
        for sink in self._sinks.values():
            if sink.writer is not None:
                sink.note(payload)
                sink.writer.sync()

    def report(self) -> ImportReport:
        feeds = [
            FeedImport(
                sink.name,
                sink.counts.total(),
                sink.payload_bytes,
                sink.first_ns if sink.first_ns is not None else 0,
                sink.last_ns,
                dict(sorted(sink.counts.items())),
                sink.already,
            )
            for sink in self._sinks.values()
        ]
        return ImportReport(
            tuple(origin.source.path for origin in self._origins),
            tuple(sorted(feeds, key=lambda feed: feed.name)),
            self._kinds.total(),
            {kind.name.lower(): count for kind, count in sorted(self._kinds.items())},
            self._understood.messages,
            self._understood.of_market,
            dict(self._understood.not_understood.most_common()),
            tuple(origin.source.damage for origin in self._origins),
            any(sink.resumed for sink in self._sinks.values()),
            self.unplaced(),
        )

    def _items(self) -> Iterator[tuple[_Origin, Item]]:
        def items(origin: _Origin) -> Iterator[tuple[int, _Origin, Item]]:
            for item in origin.source:
                yield item.recv_ns, origin, item

        merged = heapq.merge(*(items(origin) for origin in self._origins), key=itemgetter(0))
        for _, origin, item in merged:
            yield origin, item

    def _take(self, origin: _Origin, item: Item) -> None:
        if item.damaged:
            self._put(origin, item, Kind.DATA, None, DAMAGED)
            return
        if item.kind == Kind.OPEN:
            origin.router.place(item)
            self._open(origin, item)
            return
        placed = origin.router.place(item)
        if placed is None:
            self._wait(origin, item)
            return
        if origin.waiting and origin.router.symbol is not None:
            self._release(origin)
        kind, place = placed
        new = self._put(origin, item, kind, place.symbol, place.stream)
        if new and kind == Kind.DATA and not self._dry:
            self._understood.look(place, item.payload)

    def _sink(self, symbol: str | None) -> Sink:
        sink = self._sinks.get(symbol)
        if sink is None:
            venue, store = self._venue.name, self._store
            if symbol is None:
                name = store.free_session(venue)
                names = [info.name for info in self._feeds.values() if is_session(info.symbol)]
                opened = partial(store.session_writer, venue, sync="chunk")
            else:
                name = f"{venue}/{symbol}"
                names = [name] if name in self._feeds else []
                opened = partial(store.writer, name, sync="chunk")
            held = {each: Held(store, self._feeds[each], self._start_ns) for each in names}
            twins = Twins() if len(self._origins) > 1 else None
            # The venue's session feed is a log of unrelated connections: nothing in it is mixed up.
            overlap = self._overlap or symbol is None
            sink = self._sinks[symbol] = Sink(name, opened, held, twins, overlap=overlap, dry=self._dry)
            self.callback(sink.close)
        return sink

    def _put(self, origin: _Origin, item: Item, kind: Kind, symbol: str | None, stream: str) -> bool:
        """Whether it was new."""
        sink = self._sink(symbol)
        if origin.session not in sink.sessions:
            self._begin_session(sink, origin, symbol)
        session = origin.session
        try:
            if kind == Kind.SENT:
                session = origin.by_url.get(item.url or "", session)
            elif kind == Kind.RESPONSE and item.url is not None:
                request = json.dumps({"method": "GET", "url": item.url}).encode()
                sink.append(item.recv_ns, Kind.REQUEST, stream, session, request, origin.number)
            payload = item.payload
            if kind == Kind.NOTE:
                payload = json.dumps({"note": "configuration", "text": payload.decode("utf-8", "replace")}).encode()
            there = sink.append(item.recv_ns, kind, stream, session, payload, origin.number)
        except MixedUp as refused:
            raise UsageError(f"{origin.source.name} {refused}") from None
        if there is not None:
            sink.already += 1
            if there != origin.session and kind != Kind.SENT:
                # It is of a connection that was imported before, and so is what follows it.
                origin.session = there
                sink.sessions.add(there)
            return False
        sink.counts[stream] += 1
        sink.payload_bytes += len(item.payload)
        self._kinds[kind] += 1
        return True

    def _open(self, origin: _Origin, item: Item) -> None:
        """A connect begins a session. A file with several sockets does not say which one a frame came from: frames
        are taken to be of the last that was opened."""
        if origin.opened is not None:
            origin.session = 0 if self._dry else self._store.next_session()
        origin.opened = item
        sink = self._sink(None)
        there = sink.append(item.recv_ns, Kind.OPEN, SESSION, origin.session, _opening(item), origin.number)
        if there is not None:
            origin.session = there
            sink.already += 1
        else:
            sink.counts[SESSION] += 1
            sink.payload_bytes += len(item.payload)
            self._kinds[Kind.OPEN] += 1
        origin.by_url[item.url or ""] = origin.session
        sink.sessions.add(origin.session)

    def _begin_session(self, sink: Sink, origin: _Origin, symbol: str | None) -> None:
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
            sink.append(opened.recv_ns, Kind.OPEN, SESSION, session, _opening(opened), origin.number)

    def _wait(self, origin: _Origin, item: Item) -> None:
        origin.waiting.append(item)
        origin.waiting_bytes += len(item.payload)
        if len(origin.waiting) > MAX_HELD or origin.waiting_bytes > MAX_HELD_BYTES:
            raise ImportFormatError(
                f"{origin.source.name}: {len(origin.waiting):,} REST bodies before the first frame that names a "
                f"symbol; give it with --symbol"
            )

    def _release(self, origin: _Origin) -> None:
        waiting, origin.waiting, origin.waiting_bytes = origin.waiting, [], 0
        for item in waiting:
            placed = origin.router.place(item)
            if placed is not None:
                self._put(origin, item, placed[0], placed[1].symbol, placed[1].stream)


def reaches(store: Store, venue: Venue, start_ns: int) -> bool:
    """Whether some feed of a symbol of the venue holds records of a time or later."""
    for info in store.feeds():
        if info.venue == venue.name and not is_session(info.symbol):
            with store.reader(info.name, verify=False) as reader:
                if (reader.last_ns or 0) >= start_ns:
                    return True
    return False


def _opening(item: Item) -> bytes:
    return json.dumps({"url": item.url}).encode()


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
