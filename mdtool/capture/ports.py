"""The writers of one run: which record goes into which feed. The hot path is `received`; all else is rare.

Rule: only this file appends to the store while recording.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from typing_extensions import Buffer

from mdtool.books.engine import MISSED
from mdtool.capture.connection import Act
from mdtool.capture.options import Notify, RecorderEvent, RecordOptions, RecordStatus
from mdtool.capture.protocol import text
from mdtool.capture.subscriptions import Subscriptions
from mdtool.clock import SECOND, Clock
from mdtool.errors import MdtoolError, StoreError
from mdtool.model import (
    LISTED_STREAM,
    OTHER_STREAM,
    SESSION_STREAM,
    SESSION_SYMBOL,
    SNAPSHOT_STREAM,
    Flag,
    Kind,
)
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store
from mdtool.venues.venue import Connection, HttpRequest, Place

PING_STREAM = "ping"
BOOTSTRAP_STREAM = "bootstrap"
# Route keys come from the wire: a hostile or broken venue must not grow the table without end. Beyond this a new key
# is resolved each time it comes, which is only slower.
MAX_ROUTES = 100_000

# Nor may the names it makes up take the room of those the recorder needs itself, of the 1,024 that a feed has.
MOST_STREAMS = 1_000

AT_ONCE = 8  # feeds brought to disk: two take half as long as one, eight a twentieth, and more no less
HEARTBEATS = 100  # in one go; some 5 us each
MOST_CARRIED = 100  # connections of which it is remembered what they carry

Append = Callable[[int, int, int, int, bytes, int], None]
_SESSION = Place(None, SESSION_STREAM)  # of answers
_NO_KEY = object()  # `route` has failed


class Ports:
    """The feeds of one run, opened for writing: a FrameSink for connections, and a door for REST answers."""

    def __init__(
        self, store: Store, options: RecordOptions, clock: Clock, notify: Notify,
        refused: Callable[[str], None] | None = None, histogram: Buffer | None = None,
    ) -> None:  # fmt: skip
        """`histogram`: of the time from receiving to the commit, as `Writer.measure` fills it."""
        self.status = RecordStatus()
        self._store = store
        self._histogram = histogram
        self._options = options
        self._venue = options.venue
        self._notify = notify
        self._now_ns = clock.now_ns
        self._clock = clock
        self._disk = ThreadPoolExecutor(AT_ONCE, "disk")
        self._dismissed_bytes = 0  # appended to feeds that have left
        self._writers: dict[str, Writer] = {}  # by symbol; SESSION_SYMBOL: the run's own session feed
        self._routes: dict[Hashable, tuple[Append, int]] = {}
        self._carried: dict[int, tuple[str, ...]] = {}  # the feeds of the latest connections
        self._named: set[tuple[str, type[BaseException]]] = set()  # what has been told of
        self._subscriptions = Subscriptions(
            options, self.status, self.note, notify, self.odd, lambda: clock.monotonic_ns() / SECOND, refused
        )
        try:
            # First: a run that cannot have them leaves no session feed behind. And together, before any socket: what a
            # feed needs at its first record takes milliseconds of the disk, for each of hundreds.
            self._writers = self._opened(*options.symbols)
            session = store.session_writer(
                self._venue.name, live=options.live, chunk_bytes=options.chunk_bytes, clock=clock, sync=options.sync
            )
            self._writers = {SESSION_SYMBOL: session, **self._writers}
            session.make_ready()
        except BaseException:
            self.close()
            raise

    def _opened(self, *symbols: str) -> dict[str, Writer]:
        options = self._options
        names = {symbol: f"{self._venue.name}/{symbol}" for symbol in symbols}
        opened = self._store.writers(
            names.values(),
            live=options.live,
            chunk_bytes=options.chunk_bytes,
            clock=self._clock,
            sync=options.sync,
        )
        for writer in opened.values():
            writer.stream(SESSION_STREAM)  # of the first record: a new name takes its time, too
            if self._histogram is not None:
                writer.measure(self._histogram)
        return {symbol: opened[name] for symbol, name in names.items()}

    @property
    def session_feed(self) -> str:
        """The symbol of the run's own session feed."""
        return self._writers[SESSION_SYMBOL].feed.symbol

    # -- frames -------------------------------------------------------------------------------------------------------

    def receiver(self, session: int, act: Act) -> Callable[[bytes, int], None]:
        """The hot path of one connection, with everything it touches at hand."""
        self._subscriptions.attach(session, act)
        now_ns, routes, status = self._now_ns, self._routes, self.status
        route = self._venue.router().route
        data = int(Kind.DATA)

        def resolve(key: Any, error: Exception) -> tuple[Append, int]:
            return self._resolve(key, error, act)

        def received(payload: bytes, flags: int) -> None:
            """Stamp, route, append, commit."""
            recv_ns = now_ns()
            key: Any = _NO_KEY
            try:
                key = route(payload)
                append, stream = routes[key]
            except Exception as error:  # noqa: BLE001 - the first of its key, or the venue's code failed: see there
                append, stream = resolve(key, error)
            append(recv_ns, data, stream, session, payload, flags)
            status.records += 1

        return received

    def _resolve(self, key: Any, error: Exception, act: Act) -> tuple[Append, int]:
        """Where frames of a key go. The door of a venue's code for routing: whatever that raises or makes up, the frame
        is kept, with what belongs to no symbol."""
        try:
            if key is _NO_KEY:
                try:
                    raise error
                finally:
                    del error  # it would hold this frame, which holds it
            place = self._venue.place(key) if key is not None else Place(None, OTHER_STREAM)
            # A symbol nobody asked for is kept all the same, with what belongs to none.
            writer = self._writers.get(place.symbol or SESSION_SYMBOL) or self._writers[SESSION_SYMBOL]
            name = place.stream if writer.takes(place.stream, MOST_STREAMS) else OTHER_STREAM
            target: tuple[Append, int]
            try:
                target = (writer.append, writer.stream(name))
            except StoreError:
                target = (writer.append, writer.stream(OTHER_STREAM))  # a name too long
            self._subscriptions.placed(place.symbol, name)
            if place == _SESSION:
                target = (self._answered, target[1])
            if place.action is not None:
                act(place.action)  # its route is never kept, so that each such frame comes through here
            elif len(self._routes) < MAX_ROUTES:
                self._routes[key] = target
        except StoreError:
            raise
        except Exception as failure:  # noqa: BLE001 - see above
            self.odd("cannot be routed", failure)
            writer = self._writers[SESSION_SYMBOL]
            return writer.append, writer.stream(OTHER_STREAM)
        return target

    def _answered(self, recv_ns: int, kind: int, stream: int, session: int, payload: bytes, flags: int) -> None:
        """Append a frame of the session's stream, which may answer what was asked."""
        self._writers[SESSION_SYMBOL].append(recv_ns, kind, stream, session, payload, flags)
        self._subscriptions.heard(session, payload)

    def odd(self, what: str, error: BaseException) -> None:
        """A frame, or what was to be done about one, that a venue's code failed at: counted, and named the first time.
        The frame itself is recorded like any other."""
        self.status.undecodable += 1
        why = text(f"{type(error).__name__}: {error}")
        if (what, type(error)) in self._named:
            return
        self._named.add((what, type(error)))
        self.note({"note": "undecodable", "what": what, "why": why})
        self._notify(RecorderEvent.UNDECODABLE, f"{self._venue.name}: {what}, kept as received: {why}")

    def ping(self, session: int, payload: bytes) -> None:
        self._put(SESSION_SYMBOL, Kind.DATA, PING_STREAM, session, bytes(payload))

    def sent(self, session: int, payload: bytes) -> None:
        self._put(SESSION_SYMBOL, Kind.SENT, SESSION_STREAM, session, payload)
        self._subscriptions.sent(session, payload)

    def begin(self, plan: Sequence[Connection]) -> None:
        """The plan goes on record before anything that comes of it."""
        self._subscriptions.begin(plan)

    async def admit(self, symbols: Sequence[str]) -> None:
        """Open feeds for more symbols, beside the loop; what came for them until now went to the session's. Raises what
        opening them raises, and then none is open."""
        fresh = [symbol for symbol in symbols if symbol not in self._writers]
        self._writers.update(await asyncio.to_thread(self._opened, *fresh))

    def replan(self, options: RecordOptions, plan: Sequence[Connection], come: Sequence[str]) -> None:
        """Another plan: it goes on record before anything that comes of it."""
        self._options = options
        self._routes.clear()  # frames of symbols that come have a feed now
        self._subscriptions.replan(options, plan, come)

    async def dismiss(self, symbols: Sequence[str], reason: str) -> None:
        """End the feeds of symbols, gracefully. What still comes for them goes to the session's. Raises StoreFull and
        SyncFailed, of the first; they are closed all the same."""
        gone = [self._writers.pop(symbol) for symbol in symbols]
        self._routes.clear()

        try:
            for writer in gone:
                writer.end(self._now_ns(), reason)
        finally:
            self._dismissed_bytes += sum(writer.appended_bytes for writer in gone)
            await asyncio.to_thread(self._close, gone)

    # -- the life of connections --------------------------------------------------------------------------------------

    def next_session(self) -> int:
        return self._store.next_session()

    def opened(self, connection: Connection, session: int, url: str) -> None:
        self._tell(connection, Kind.OPEN, session, {"url": url})
        self._carried[session] = (SESSION_SYMBOL, *connection.symbols)
        for old in sorted(self._carried)[:-MOST_CARRIED]:
            del self._carried[old]
        self._subscriptions.opened(connection, session)
        self.status.connections += 1
        self.status.sessions += 1
        for symbol in connection.symbols:
            self.status.of(symbol).connects += 1
        many = "" if len(connection.symbols) == 1 else "s"
        self._notify(
            RecorderEvent.CONNECTED, f"connected to {url} for {len(connection.symbols)} symbol{many}, session {session}"
        )

    def closed(self, connection: Connection, session: int, code: int, reason: str) -> None:
        self._subscriptions.closed(session)
        self._tell(connection, Kind.CLOSE, session, {"code": code, "reason": reason})
        self.status.connections -= 1
        what = f"code {code}" + (f", {reason}" if reason else "")
        self._notify(RecorderEvent.DISCONNECTED, f"session {session} closed: {what}")

    def failed(self, name: str, error: BaseException, wait: float) -> None:
        """Work beside the receiving has failed, and is begun again after so many seconds."""
        why = text(f"{type(error).__name__}: {error}")
        self.note({"note": "failed", "what": name, "why": why})
        self._notify(RecorderEvent.FAILED, f"{name} failed: {why}; going on in {wait:.1f} s")

    def unreachable(self, url: str, why: str, wait: float) -> None:
        self.status.failures += 1
        self.note({"note": "unreachable", "url": url, "why": why})
        self._notify(RecorderEvent.UNREACHABLE, f"cannot reach {url}: {why}; trying again in {wait:.1f} s")

    def _tell(self, connection: Connection, kind: Kind, session: int, what: dict[str, object]) -> None:
        payload = json.dumps(what).encode()
        for symbol in (SESSION_SYMBOL, *(one for one in connection.symbols if one in self._writers)):
            self._put(symbol, kind, SESSION_STREAM, session, payload)

    # -- REST and notes -----------------------------------------------------------------------------------------------

    def requested(self, symbol: str, request: HttpRequest, url: str) -> None:
        payload = json.dumps({"method": request.method, "url": url}).encode()
        self._put(symbol, Kind.REQUEST, SNAPSHOT_STREAM, 0, payload)

    def answered(self, symbol: str, body: bytes, failed: bool) -> None:
        self._put(symbol, Kind.RESPONSE, SNAPSHOT_STREAM, 0, body, Flag.FAILED if failed else 0)
        self.status.snapshots += not failed
        self.status.of(symbol).snapshots += not failed

    def refused(self, symbol: str) -> None:
        self.status.snapshots -= 1
        self.status.of(symbol).snapshots -= 1

    def asked(self, request: HttpRequest, url: str, stream: str = BOOTSTRAP_STREAM) -> None:
        payload = json.dumps({"method": request.method, "url": url}).encode()
        self._put(SESSION_SYMBOL, Kind.REQUEST, stream, 0, payload)

    def told(self, body: bytes, failed: bool, stream: str = BOOTSTRAP_STREAM) -> None:
        self._put(SESSION_SYMBOL, Kind.RESPONSE, stream, 0, body, Flag.FAILED if failed else 0)

    def list_asked(self, request: HttpRequest, url: str) -> None:
        self.asked(request, url, LISTED_STREAM)

    def list_told(self, body: bytes, failed: bool) -> None:
        self.told(body, failed, LISTED_STREAM)

    def note(self, what: dict[str, object], symbol: str = SESSION_SYMBOL) -> None:
        """Put on record what the recorder itself has to say."""
        self._put(symbol, Kind.NOTE, SESSION_STREAM, 0, json.dumps(what).encode())

    def missed(self, session: int, after: int, number: int, since_ns: int) -> None:
        """Frames of a connection are missing, as its numbers show: put on record in each feed that it carries, for
        whoever reads that one alone."""
        for symbol in self._carried.get(session, ()):
            if symbol not in self._writers:
                continue  # it has gone
            self.note(
                {"note": MISSED, "session": session, "after": after, "next": number, "since_ns": since_ns}, symbol
            )

    def _put(self, symbol: str, kind: Kind, stream: str, session: int, payload: bytes, flags: int = 0) -> None:
        writer = self._writers.get(symbol) or self._writers[SESSION_SYMBOL]  # a symbol may have gone
        writer.append(self._now_ns(), kind, writer.stream(stream), session, payload, flags)

    # -- housekeeping -------------------------------------------------------------------------------------------------

    async def heartbeat(self) -> None:
        """Say that the writers live, a few at a time: between two syncs the first touch of a chunk costs a fault."""
        now_ns = self._now_ns()
        self._subscriptions.look()
        for number, writer in enumerate(list(self._writers.values()), 1):
            writer.heartbeat(now_ns)
            if number % HEARTBEATS == 0:
                await asyncio.sleep(0)
        self._count_bytes()

    def _count_bytes(self) -> None:
        there = sum(writer.appended_bytes for writer in self._writers.values())
        self.status.payload_bytes = self._dismissed_bytes + there

    def maintain(self) -> dict[str, str]:
        """Prepare room ahead and bring to disk what the policy promises, each feed by itself; why by the symbols where
        that failed. It is tried again with the next call. Blocks: for a thread of its own.

        Several feeds at once: what each waits for is the file system's journal, which takes along all who wait."""
        found = self._disk.map(_maintained, list(self._writers.items()))
        return {symbol: said for symbol, said in found if said is not None}

    def end(self, reason: str) -> None:
        """An END record in every feed: this was a graceful stop."""
        for writer in self._writers.values():
            writer.end(self._now_ns(), reason)
        self._count_bytes()

    def close(self) -> None:
        """Close every feed, as many at once. One that fails keeps no other from it; a failure is raised in the end."""
        try:
            self._close(self._writers.values())
        finally:
            self._disk.shutdown()

    def _close(self, writers: Iterable[Writer]) -> None:
        closing = [self._disk.submit(writer.close) for writer in writers]
        wait(closing)
        for closed in closing:
            closed.result()


def _maintained(feed: tuple[str, Writer]) -> tuple[str, str | None]:
    """The symbol, and what went wrong first."""
    symbol, writer = feed
    failed = None
    for work in (writer.sync, writer.prepare):
        try:
            said = work()
        except (MdtoolError, OSError) as error:
            said = str(error)
        failed = failed or said
    return symbol, failed
