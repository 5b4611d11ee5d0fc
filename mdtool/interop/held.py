"""What a feed holds already of what is imported into it.

Rule: an overlap is recognised by content. A record is there already where one of the same receive time, kind and bytes
is, each of them once; and a message is, too, where one of the same bytes was received about that time by somebody else,
if those bytes occur once in it: what is said twice alike has nothing to be known by.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from mdtool.model import Flag, Kind, is_session
from mdtool.storage.format.layout import ROW_BITS, ChunkFlag
from mdtool.storage.journal.registry import ChunkInfo
from mdtool.storage.reading.reader import Reader, Record
from mdtool.storage.store import FeedInfo, Store

APART = 5 * 10**9  # ns: how far two recorders' receive times of one message lie apart at most
COPIED = frozenset({Kind.DATA, Kind.SENT, Kind.OPEN, Kind.REQUEST, Kind.RESPONSE, Kind.NOTE})  # what an import writes
MESSAGES = frozenset({Kind.DATA, Kind.RESPONSE})

_Content = tuple[int, bytes]  # kind, payload


class Found(NamedTuple):
    """A record that is there already."""

    session: int
    exact: bool  # to the receive time: it came over the same connection, and `session` is that one's number


class _Known(NamedTuple):
    """A record nobody has asked for yet."""

    recv_ns: int
    session: int
    position: int


class Held:
    """The records of one feed, walked along with an import that is in order of time: in memory is what was received in
    a few seconds. Where the times of the feed step back, or those of the import do, all that lies behind is known at
    once, by digest.
    """

    def __init__(self, store: Store, feed: FeedInfo, since_ns: int) -> None:
        self.last_ns = 0  # of all the feed holds
        self.unfinished = False  # its last record was imported and is no END: an import was broken off there
        self._store = store
        self._name = feed.name
        self._by_bytes = not is_session(feed.symbol)  # there, acks of unrelated connections are all alike
        self._known: dict[_Content, list[_Known]] = {}
        self._occurrences: Counter[_Content] = Counter()  # in what is known, asked for or not
        self._taken: dict[int, bytearray] = {}  # by chunk, its rows: whether they have been asked for
        self._latest_ns = 0  # that was asked about
        with store.reader(feed.name, verify=False) as reader:
            self._chunks = chunks = [chunk for chunk in reader.chunks() if chunk.rows]
            self.last_ns = reader.last_ns or 0
            if chunks:
                reader.move_to((chunks[-1].chunk_id << ROW_BITS) | (chunks[-1].rows - 1))
                for last in reader.records():
                    self.unfinished = last.kind != Kind.END and bool(last.flags & Flag.IMPORTED)
                    break
        self._walks: list[_Walk] = []
        self._begin(since_ns - 2 * APART)

    def _begin(self, since_ns: int, *, stepping: bool = False) -> None:
        """What is known is what was received from a time on."""
        first = next((at for at, chunk in enumerate(self._chunks) if chunk.max_ns >= since_ns), len(self._chunks))
        chunks = self._chunks[first:]
        self._stepping = stepping or _steps(chunks)
        self._ahead = deque(sorted(chunks, key=lambda chunk: chunk.min_ns))
        self._end_ns = max((chunk.max_ns for chunk in chunks), default=0)
        self._since_ns = since_ns
        self._whole = not first

    def take(self, recv_ns: int, kind: Kind, payload: bytes) -> Found | None:
        """The record that this one is, which is then spoken for; None where it is new."""
        self._go_to(recv_ns)
        content = self._content(kind, payload)
        entries = self._known.get(content)
        if not entries:
            return None
        for at, entry in enumerate(entries):
            if entry.recv_ns == recv_ns:
                del entries[at]
                if not entries:
                    del self._known[content]
                return self._found(entry, exact=True)
        if not self._by_bytes or kind not in MESSAGES or self._occurrences[content] > 1:
            return None
        if abs(entries[0].recv_ns - recv_ns) > APART:
            return None
        del self._known[content]
        return self._found(entries[0], exact=False)

    def goes_on_behind(self, recv_ns: int) -> bool:
        """Whether messages are held from that time on that nobody has asked for: what is put behind them is mixed up
        with them. Where all have been, it goes on where they end, whatever its time."""
        self._go_to(recv_ns)
        return (
            any(chunk.max_ns >= recv_ns for chunk in self._ahead)
            or any(walk.holds_more for walk in self._walks)
            or any(
                entry.recv_ns >= recv_ns
                for (kind, _), entries in self._known.items()
                if kind in MESSAGES
                for entry in entries
            )
        )

    def close(self) -> None:
        for walk in self._walks:
            walk.close()
        self._walks.clear()
        self._known.clear()
        self._occurrences.clear()

    def _found(self, entry: _Known, *, exact: bool) -> Found:
        chunk_id, row = entry.position >> ROW_BITS, entry.position & ((1 << ROW_BITS) - 1)
        rows = self._taken.get(chunk_id)
        if rows is None:
            rows = self._taken[chunk_id] = bytearray(
                next(chunk.rows for chunk in self._chunks if chunk.chunk_id == chunk_id)
            )
        rows[row] = True
        return Found(entry.session, exact)

    def _is_taken(self, position: int) -> bool:
        rows = self._taken.get(position >> ROW_BITS)
        return rows is not None and bool(rows[position & ((1 << ROW_BITS) - 1)])

    def _content(self, kind: int, payload: bytes) -> _Content:
        return int(kind), blake2b(payload, digest_size=16).digest() if self._stepping else payload

    def _go_to(self, recv_ns: int) -> None:
        self._latest_ns = max(self._latest_ns, recv_ns)
        known_ns = self._since_ns if self._stepping else max(self._since_ns, self._latest_ns - 2 * APART)
        if recv_ns - APART < known_ns and not (self._stepping and self._whole):
            # It steps back to what is not known, or not any more. As far again behind it, so that an import which goes
            # on doing so has the feed read a few times and not each time.
            self.close()
            self._begin(recv_ns - APART - max(0, self._latest_ns - recv_ns), stepping=True)
        until_ns = self._end_ns if self._stepping else recv_ns + APART
        while self._ahead and self._ahead[0].min_ns <= until_ns:
            self._walks.append(_Walk(self._store, self._name, self._ahead.popleft()))
        for walk in list(self._walks):
            for record in walk.until(until_ns):
                if record.kind in COPIED and (self._stepping or record.recv_ns >= self._since_ns):
                    content = self._content(record.kind, record.payload)
                    entry = _Known(record.recv_ns, record.session, record.position)
                    self._occurrences[content] += 1
                    if not self._is_taken(entry.position):
                        self._known.setdefault(content, []).append(entry)
                    if not self._stepping:
                        walk.given.append((entry, content))
            for entry, content in walk.forgotten(self._latest_ns - 2 * APART):
                self._forget(entry, content)
            if walk.over:
                walk.close()
                self._walks.remove(walk)

    def _forget(self, entry: _Known, content: _Content) -> None:
        self._occurrences[content] -= 1
        if not self._occurrences[content]:
            del self._occurrences[content]
        entries = self._known.get(content, [])
        if entry in entries:
            entries.remove(entry)
        if not entries:
            self._known.pop(content, None)


class Twins:
    """What several files have put into one feed lately. A record that two files have is one record, as often as it is
    in the file that has it most often. REST bodies are known for good: one may have to wait for its symbol."""

    def __init__(self) -> None:
        self._latest_ns = 0
        self._known: dict[tuple[int, int, bytes], _Twin] = {}  # by receive time, kind, and payload or its digest
        self._frames: deque[tuple[int, int, bytes]] = deque()  # of them, what is forgotten in time

    def of(self, recv_ns: int, kind: Kind, payload: bytes, file: int) -> int | None:
        """The session of the record that another file has put in for this one; None where none has."""
        self._latest_ns = max(self._latest_ns, recv_ns)
        while self._frames and self._frames[0][0] < self._latest_ns - APART:
            del self._known[self._frames.popleft()]
        key = self._key(recv_ns, kind, payload)
        twin = self._known.get(key)
        if twin is None:
            twin = self._known[key] = _Twin()
            if kind == Kind.DATA:
                self._frames.append(key)
        at = twin.seen[file]
        twin.seen[file] += 1
        return twin.sessions[at] if at < len(twin.sessions) else None

    def put(self, recv_ns: int, kind: Kind, payload: bytes, session: int) -> None:
        """What `of` had none for is in the feed now, as of that session."""
        self._known[self._key(recv_ns, kind, payload)].sessions.append(session)

    def _key(self, recv_ns: int, kind: Kind, payload: bytes) -> tuple[int, int, bytes]:
        return recv_ns, int(kind), payload if kind == Kind.DATA else blake2b(payload, digest_size=16).digest()


class _Twin:
    """One content at one time: the sessions of the records it has become, and how often each file has it."""

    __slots__ = ("seen", "sessions")

    def __init__(self) -> None:
        self.sessions: list[int] = []
        self.seen: Counter[int] = Counter()


def _steps(chunks: Sequence[ChunkInfo]) -> bool:
    """Whether times step back in some chunk or, by more than what is known at once, from one to a later."""
    latest_ns = 0
    for chunk in chunks:
        if not chunk.flags & ChunkFlag.ORDERED or chunk.min_ns < latest_ns - APART:
            return True
        latest_ns = max(latest_ns, chunk.max_ns)
    return False


class _Walk:
    """One chunk, read as far as the import has come."""

    def __init__(self, store: Store, name: str, chunk: ChunkInfo) -> None:
        self._reader: Reader | None = store.reader(name)
        self._reader.move_to(chunk.chunk_id << ROW_BITS)
        self._records = self._reader.records()
        self._left = chunk.rows
        self._next: Record | None = None
        self.given: deque[tuple[_Known, _Content]] = deque()  # in order, not forgotten yet
        self._advance()

    @property
    def holds_more(self) -> bool:
        return self._next is not None

    @property
    def over(self) -> bool:
        return self._next is None and not self.given

    def until(self, ns: int) -> Iterator[Record]:
        """What follows, up to a time."""
        while self._next is not None and self._next.recv_ns <= ns:
            yield self._next
            self._advance()

    def forgotten(self, ns: int) -> Iterator[tuple[_Known, _Content]]:
        """What was given and lies before a time."""
        while self.given and self.given[0][0].recv_ns < ns:
            yield self.given.popleft()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _advance(self) -> None:
        self._next = next(self._records, None) if self._left else None
        self._left -= 1
