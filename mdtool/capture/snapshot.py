"""REST snapshots: asked for by whoever watches the sequence, fetched within the venue's limit, appended as they came.

Rule: each symbol waits for its own answer and its own failures. What they share, with the other recorders of the store
too, is the venue's limit: requests start one after another, in the order in which they were needed, and all keep still
while the venue asks for that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.budget import Budget
from mdtool.capture.client import through
from mdtool.capture.failures import describe, retry_after
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.capture.protocol import text
from mdtool.capture.rest import TOO_MANY, Answered, fetch
from mdtool.errors import StoreFull
from mdtool.units import count
from mdtool.venues.venue import HttpRequest, Venue, book_stream

TIMEOUT = 30.0
MAX_BODY = 64 * 1024 * 1024  # the largest book met is 10 MB (every order of a market)
MOST_AT_ONCE = 16  # answers on their way
REGION_PAUSE = 3600.0  # seconds until a venue that refuses this region is asked again
_SAYS_REGION = re.compile(rb"region|country|jurisdiction|restricted location", re.IGNORECASE)
_SAID_WITHIN = 4096  # bytes of an answer


class SnapshotSink(Protocol):
    """Where requests and answers are recorded."""

    def requested(self, symbol: str, request: HttpRequest, url: str) -> None: ...

    def answered(self, symbol: str, body: bytes, failed: bool) -> None: ...

    def refused(self, symbol: str) -> None:
        """An answer was no whole book."""
        ...


@dataclass(slots=True)
class _Symbol:
    """What is known of one symbol's snapshots."""

    backoff: Backoff
    not_before: float = 0.0  # when it may be asked for again
    answered: float = 0.0


class Snapshots:
    """Whole books by request. A symbol waits once, however often it is asked for."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        venue: Venue,
        base_url: str,
        sink: SnapshotSink,
        budget: Budget,
        notify: Notify,
        new_backoff: Callable[[], Backoff],
        streams: Sequence[str] = (),
    ) -> None:
        self._http = http
        self._stream = book_stream(venue, streams)  # whose book is kept whole
        self._venue = venue
        self._base_url = base_url
        self._sink = sink
        self._budget = budget
        self._notify = notify
        self._new_backoff = new_backoff
        self._waiting: dict[str, None] = {}  # an ordered set
        self._symbols: dict[str, _Symbol] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._quiet_until = 0.0  # no request is to go before
        self._outside = False  # the venue refuses this region, and that was said
        self._clock = asyncio.get_running_loop().time

    def request(self, symbol: str) -> None:
        """Have the whole book of a symbol fetched soon."""
        known = self._symbols.get(symbol)
        if known is not None and known.answered and self._clock() - known.answered > STABLE:
            known.backoff.succeeded()
        under_way = self._under_way.get(symbol)
        if under_way is None or under_way.done():
            self._waiting.setdefault(symbol)
            self._changed.set()

    def had(self, symbol: str) -> None:
        """The book of a symbol is whole: a request for it that has not begun is not needed any more."""
        self._waiting.pop(symbol, None)

    def forget(self, symbols: Sequence[str]) -> None:
        """Nobody wants the books of these symbols any more."""
        for symbol in symbols:
            self._waiting.pop(symbol, None)
            if (task := self._under_way.pop(symbol, None)) is not None:
                task.cancel()

    def refused(self, symbol: str, why: str) -> None:
        """What came for a symbol is no whole book: ask again, ever more slowly."""
        self._sink.refused(symbol)
        self._notify(RecorderEvent.SNAPSHOT_FAILED, f"snapshot of {symbol}: no whole book: {why}; will try again")
        self._fail(symbol, 0.0)

    async def run(self) -> None:
        """Serve the requests until cancelled. Raises StoreFull."""
        try:
            while True:
                self._changed.clear()
                for symbol, task in [*self._under_way.items()]:
                    if task.done():
                        del self._under_way[symbol]
                        task.result()
                due, wait = self._next()
                if due is not None and not wait:
                    if wait := await self._budget.take(self._weight(due)):
                        self._quiet_until = max(self._quiet_until, self._clock() + wait)
                    elif due in self._waiting:  # it may have been had, or let go, meanwhile
                        self._begin(due)
                    continue
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._under_way.values():
                task.cancel()

    def _begin(self, symbol: str) -> None:
        del self._waiting[symbol]
        self._under_way[symbol] = task = asyncio.create_task(self._serve(symbol))
        task.add_done_callback(lambda _: self._changed.set())

    def _next(self) -> tuple[str | None, float | None]:
        """Which symbol is next, and in how many seconds; None: until something changes."""
        if len(self._under_way) >= MOST_AT_ONCE:
            return None, None
        now = self._clock()
        due = {
            symbol: max(self._of(symbol).not_before - now, 0.0)
            for symbol in self._waiting
            if symbol not in self._under_way
        }
        if not due:
            return None, None
        symbol = min(due, key=due.__getitem__)  # of those that are due, the one that has waited longest
        return symbol, max(due[symbol], self._quiet_until - now, 0.0)

    def _of(self, symbol: str) -> _Symbol:
        if symbol not in self._symbols:
            self._symbols[symbol] = _Symbol(self._new_backoff())
        return self._symbols[symbol]

    def _weight(self, symbol: str) -> float:
        try:
            return self._venue.snapshot_weight(symbol)
        except Exception:  # noqa: BLE001 - the venue's code: the request itself has failed by it, or will
            return 1.0

    def _fail(self, symbol: str, at_least: float) -> float:
        known = self._of(symbol)
        wait = max(at_least, known.backoff.next_wait())
        known.not_before = self._clock() + wait
        self._waiting.setdefault(symbol)
        self._changed.set()
        return wait

    async def _serve(self, symbol: str) -> None:
        """One request. Raises StoreFull; whatever else it fails with is this symbol's."""
        try:
            await self._fetch(symbol)
        except StoreFull:
            raise
        except Exception as error:  # noqa: BLE001 - the line, the client library, the venue's code
            self._notify(RecorderEvent.SNAPSHOT_FAILED, f"snapshot of {symbol}: {describe(error)}; will try again")
            self._fail(symbol, 0.0)

    async def _fetch(self, symbol: str) -> None:
        request = self._venue.snapshot_request(symbol, self._stream)
        if request is None:
            return
        url = self._base_url + request.path
        self._sink.requested(symbol, request, url)
        try:
            answer = await fetch(self._http, request, url, timeout=TIMEOUT, max_body=MAX_BODY)
        except TimeoutError:
            raise ConnectionError(f"{url}: no whole answer within {TIMEOUT:g} s{through(url)}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionError(f"{url}: {describe(error)}{through(url)}") from None
        self._sink.answered(symbol, answer.body, answer.failed)
        if not answer.failed:
            self._outside = False
            self._of(symbol).answered = self._clock()
            self._notify(RecorderEvent.SNAPSHOT, f"snapshot of {symbol}: {count(len(answer.body), 'byte')}")
            return
        await self._refuse(symbol, answer)

    async def _refuse(self, symbol: str, answer: Answered) -> None:
        """Say why there is no book, and keep still for as long as that means."""
        outside = answer.status == 451 or (
            answer.status == 403 and _SAYS_REGION.search(answer.body[:_SAID_WITHIN]) is not None
        )
        if not (outside and self._outside):
            said = text(answer.body[:120].decode("utf-8", "replace"))
            then = "books come from the stream alone; asked again once an hour" if outside else "will try again"
            self._notify(RecorderEvent.SNAPSHOT_FAILED, f"snapshot of {symbol}: {answer.words}: {said}; {then}")
        self._outside |= outside
        asked = REGION_PAUSE if outside else retry_after(answer.retry_after)
        wait = self._fail(symbol, asked)
        if asked or answer.status in TOO_MANY:
            self._quiet_until = max(self._quiet_until, self._clock() + wait)
            await self._budget.rest(wait)
