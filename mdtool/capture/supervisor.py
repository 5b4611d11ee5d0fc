"""Keeps a recorder's sidecar running, and takes what it says.

Rule: the sidecar is not trusted. What it says is read a little at a time and checked, never waited for on the way of a
frame; it may flood, fall silent, or die, and what that costs is its own work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from mdtool.books.sync import BookState
from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.child import command, complaint, environment, last_said, put_away
from mdtool.capture.options import BOOK_STATES, Notify, RecorderEvent, RecordOptions, RecordStatus
from mdtool.capture.protocol import (
    Alive,
    Ask,
    Book,
    Counted,
    Delays,
    Gap,
    Lines,
    Mark,
    Missed,
    NoBook,
    Reset,
    Said,
    Start,
    Undecodable,
    Unwatched,
    line,
)
from mdtool.errors import MdtoolError
from mdtool.model import Scale
from mdtool.storage.store import Store
from mdtool.venues import catalog

SIDECAR = "mdtool.capture.sidecar"
MOUTHFUL = 16 * 1024  # bytes taken at a time, with PAUSE between: at most 800 KB a second, about 1 % of a core
PAUSE = 0.02
SILENCE = 60.0  # seconds without a sign of life after which it is taken for stuck
LAST_WORDS = 3.0  # seconds it has at the end to read what was recorded last
MOST_COUNTED = 16  # connections of which it is kept how far their numbers are known
FUTILE = 2  # lives that came no further than the one before, after which what stands there is passed over


class Mended(Protocol):
    """What is done about a book that is not whole."""

    def request(self, symbol: str) -> None: ...

    def refused(self, symbol: str, why: str) -> None: ...

    def had(self, symbol: str) -> None: ...


class Noting(Protocol):
    """Where it is put on record."""

    @property
    def session_feed(self) -> str: ...

    def note(self, what: dict[str, object]) -> None: ...

    def missed(self, session: int, after: int, number: int, since_ns: int) -> None: ...


class Supervisor:
    """One sidecar for the feeds of one recorder: started, listened to, started again."""

    def __init__(
        self,
        store: Store,
        options: RecordOptions,
        status: RecordStatus,
        books: Mended,
        notify: Notify,
        noting: Noting,
        backoff: Backoff,
    ) -> None:
        self._store = store
        self._options = options
        self._status = status
        self._books = books
        self._notify = notify
        self._noting = noting
        self._backoff = backoff
        self._marks = dict[str, Mark]()
        self._counted = dict[int, Counted]()
        self._process: asyncio.subprocess.Process | None = None
        self._ending = False
        self._idle = False  # no stream is a book's
        self._ended = asyncio.Event()
        self._began = False  # the one that lives, or lived last, has begun to read
        self._futile = 0
        self._learned: dict[str, Scale] = {}
        self._learning: asyncio.Task[None] | None = None
        self._gone: set[str] = set()  # not watched any more; one that was to be told of such is passed over
        self._renewing = False  # another sidecar is wanted, and nothing is wrong with this one
        # Where connections are numbered, what belongs to no symbol is counted too.
        self._numbered = options.venue.connection_rule() is not None
        watched = (*options.symbols, noting.session_feed) if self._numbered else options.symbols
        self._watch_from(self._heads(watched))

    async def watch(self, symbols: Sequence[str]) -> None:
        """Watch more feeds, from their end as of now: by another sidecar, which takes over from this one."""
        heads = await asyncio.to_thread(self._heads, symbols)
        self._gone.difference_update(symbols)
        self._watch_from(heads)
        if symbols and self._process is not None:
            self._renew(self._process)

    def _renew(self, process: asyncio.subprocess.Process) -> None:
        self._renewing = True
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def unwatch(self, symbols: Sequence[str]) -> None:
        """These feeds are not recorded any more."""
        self._gone.update(symbols)
        for symbol in symbols:
            self._marks.pop(symbol, None)
            self._status.of(symbol).book = BOOK_STATES.index(None)

    def _heads(self, symbols: Iterable[str]) -> list[Mark | tuple[str, str]]:
        """Where each feed ends as of now; the symbol and why, where that cannot be told."""
        venue, found = self._options.venue, list[Mark | tuple[str, str]]()
        for symbol in symbols:
            try:
                with self._store.reader(f"{venue.name}/{symbol}", verify=False) as reader:
                    reader.to_end()
                    at = reader.position
                    found.append(Mark(symbol, at, at, at if self._numbered else None))
            except (MdtoolError, OSError) as error:
                found.append((symbol, str(error)))
        return found

    def _watch_from(self, heads: Iterable[Mark | tuple[str, str]]) -> None:
        for head in heads:
            if isinstance(head, Mark):
                self._marks[head.symbol] = head
            else:
                self._notify(RecorderEvent.SIDECAR, f"{head[0]}: not watched: {head[1]}")

    # -- its lives -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; without a book among the streams there is nothing to do."""
        self._idle = not any(self._options.venue.is_book(stream) for stream in self._options.streams)
        if self._idle:
            await self._ended.wait()
        clock = asyncio.get_running_loop().time
        while True:
            began, before = clock(), dict(self._marks)
            why = await self._live()
            if self._ending:
                self._ended.set()
                return
            if self._renewing:
                self._renewing = False
                continue
            if clock() - began >= STABLE:
                self._backoff.succeeded()
            await self._pass_over(before)
            for symbol in self._marks:
                self._status.of(symbol).book = BOOK_STATES.index(None)  # until somebody watches again
            wait = self._backoff.next_wait()
            self._noting.note({"note": "sidecar", "why": why})
            self._notify(RecorderEvent.SIDECAR, f"watching has failed: {why}; starting again in {wait:.1f} s")
            await asyncio.sleep(wait)

    async def finish(self) -> bool:
        """Have it read to the end of what is recorded; whether it came there."""
        self._ending = True
        if self._idle:
            return True
        process = self._process
        if process is None or process.stdin is None:
            return False
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._ended.wait()
        return self._ended.is_set() and process.returncode == 0

    async def _pass_over(self, before: dict[str, Mark]) -> None:
        """A record that ends whoever reads it must not end them all."""
        if not self._began:
            return
        self._futile = self._futile + 1 if self._marks == before else 0
        if self._futile >= FUTILE:
            self._futile = 0
            self._counted.clear()
            self._watch_from(await asyncio.to_thread(self._heads, list(self._marks)))

    async def _live(self) -> str:
        """One sidecar from start to end; why it ended."""
        self._began = False
        given = dict(self._marks)
        try:
            start = line(self._start())
            process = await asyncio.create_subprocess_exec(
                *command(SIDECAR), env=environment(), start_new_session=True, limit=MOUTHFUL,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except (OSError, LookupError) as error:
            return f"it could not be started: {error}"
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process = process
        if self._marks.keys() - given.keys():
            self._renew(process)
        complaining = asyncio.create_task(last_said(process.stderr))
        try:
            process.stdin.write(start)
            if wrong := await self._listen(process.stdout):
                return wrong
            said = await complaining
            return complaint(said, await process.wait())
        finally:
            self._process = None
            await put_away(process, complaining)

    def _start(self) -> Start:
        marks = tuple(self._marks.values())
        counted = tuple(self._counted.values())
        name = catalog.name_of(self._options.venue)
        return Start(str(self._store.path), name, self._options.streams, marks, counted)

    async def _listen(self, stdout: asyncio.StreamReader) -> str:
        """Take what it says until it ends; what is wrong with it, "" where it has to say that itself."""
        lines = Lines()
        while True:
            try:
                async with asyncio.timeout(SILENCE):  # wait_for forgets a cancellation where there is always more
                    data = await stdout.read(MOUTHFUL)
            except TimeoutError:
                return f"no sign of life for {SILENCE:g} s"
            if not data:
                return ""
            for said in lines.take(data):
                self._take(said)
            self._unknown(lines.unknown)
            lines.unknown = 0
            await asyncio.sleep(PAUSE)

    # -- what it says --------------------------------------------------------------------------------------------------

    def _take(self, said: Said) -> None:
        self._began = True
        if isinstance(said, Alive):
            self._status.signs += 1
            return
        if isinstance(said, Counted):
            self._counted[said.session] = said
            for old in sorted(self._counted)[:-MOST_COUNTED]:
                del self._counted[old]
            return
        if isinstance(said, Missed):
            self._status.gaps += 1
            self._noting.missed(said.session, said.after, said.next, said.since_ns)
            between = f"frames are missing between its {said.after} and {said.next}"
            self._notify(RecorderEvent.GAP, f"session {said.session}: {between}; asking for each of its books")
            return
        symbol, status = said.symbol, self._status
        if symbol in self._gone:
            return
        if symbol not in self._marks:
            self._unknown(1)
        elif isinstance(said, Mark):
            self._marks[symbol] = said
        elif isinstance(said, Ask):
            self._books.request(symbol)
        elif isinstance(said, NoBook):
            self._books.refused(symbol, said.text)
        elif isinstance(said, Gap):
            status.gaps += 1
            status.of(symbol).gaps += 1
            self._notify(RecorderEvent.GAP, f"{symbol}: {said.text}")
        elif isinstance(said, Undecodable):
            status.undecodable += said.records
            status.of(symbol).undecodable += said.records
            if said.text:
                self._notify(RecorderEvent.UNDECODABLE, f"{symbol}: cannot be decoded, kept as received: {said.text}")
        elif isinstance(said, Delays):
            status.of(symbol).early += said.early
            status.delayed(symbol, said.counts)
        elif isinstance(said, Reset):
            status.of(symbol).resets += 1
        elif isinstance(said, Book):
            status.of(symbol).book = BOOK_STATES.index(said.state)
            if said.state is BookState.SYNCED:
                self._books.had(symbol)
        elif isinstance(said, Unwatched):
            status.of(symbol).book = BOOK_STATES.index(None)
            self._notify(RecorderEvent.SIDECAR, f"{symbol}: no longer watched: {said.text}")
        else:
            self._learn(symbol, Scale(said.price_exp, said.size_exp))

    def _unknown(self, count: int) -> None:
        if count and not self._status.unknown_lines:
            self._notify(RecorderEvent.SIDECAR, "what watches says what is no message; passed over")
        self._status.unknown_lines += count

    def _learn(self, symbol: str, scale: Scale) -> None:
        self._learned[symbol] = scale
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._keep_scales())

    async def _keep_scales(self) -> None:
        while self._learned:
            symbol, scale = self._learned.popitem()
            try:  # in a thread: the registry is locked for it, and that may be by another process
                await asyncio.to_thread(self._store.set_scale, f"{self._options.venue.name}/{symbol}", scale)
            except (MdtoolError, OSError) as error:
                self._notify(RecorderEvent.SIDECAR, f"{symbol}: its number of digits is not kept: {error}")
