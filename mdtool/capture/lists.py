"""A venue's lists of instruments, fetched beside a recording and put on record in its session feed.

Rule: a list is for who reads later, and nothing to the recording that fetches it: it is bounded, read here no further
than tells of its next page, renames nothing that is being recorded, and what it fails with is told and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import aiohttp

from mdtool.capture.backoff import Backoff
from mdtool.capture.budget import Budget
from mdtool.capture.client import client, through
from mdtool.capture.failures import describe, retry_after
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.capture.rest import TOO_MANY, fetch
from mdtool.errors import UnknownSymbol, WireError
from mdtool.history.lists import listed_in
from mdtool.storage.store import Store
from mdtool.units import count
from mdtool.venues.instruments import MAX_BYTES
from mdtool.venues.listed import SymbolTable
from mdtool.venues.venue import HttpRequest, Venue

BOOKS_FIRST = 3.0  # seconds from the start to the first request: connections and whole books come before it
EVERY = 24 * 3600.0  # seconds between two lists: instruments are listed by day
TIMEOUT = 60.0  # for one answer; the largest has 15 MB
ASKING = 10.0  # for all of them, where somebody waits for it
MOST_PAGES = 50
APART = 1.0  # seconds between two requests: more than any venue's weight of a list asks for
ATTEMPTS = 5  # at one list, before the next day


class ListSink(Protocol):
    """Where requests and answers are recorded."""

    def list_asked(self, request: HttpRequest, url: str) -> None: ...

    def list_told(self, body: bytes, failed: bool) -> None: ...


class Lists:
    """The lists of one recording's venue."""

    def __init__(
        self, http: aiohttp.ClientSession, venue: Venue, base_url: str, sink: ListSink, budget: Budget,
        notify: Notify, new_backoff: Callable[[], Backoff],
    ) -> None:  # fmt: skip
        self._http = http
        self._venue = venue
        self._base_url = base_url
        self._sink = sink
        self._budget = budget
        self._notify = notify
        self._new_backoff = new_backoff

    async def run(self) -> None:
        """Every list once, and again each day, until cancelled. Raises StoreFull."""
        await asyncio.sleep(BOOKS_FIRST)
        while True:
            for request in self._venue.instrument_requests():
                await self._have(request)
            await asyncio.sleep(EVERY)

    async def _have(self, request: HttpRequest) -> None:
        """One list, tried again for as long as that may help today."""
        backoff = self._new_backoff()
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(backoff.next_wait())
            why = await self._pages(request)
            if why is None:
                return
            if not attempt:
                self._notify(RecorderEvent.LIST_FAILED, f"list of instruments: {why}; will try again")

    async def _pages(self, first: HttpRequest) -> str | None:
        """A list from its first page to its last; why that failed."""
        request: HttpRequest | None = first
        for _ in range(MOST_PAGES):
            if request is None:
                return None
            url = self._base_url + request.path
            while wait := await self._budget.take(APART):
                await asyncio.sleep(wait)
            self._sink.list_asked(request, url)
            try:
                answer = await fetch(self._http, request, url, timeout=TIMEOUT, max_body=MAX_BYTES)
            except TimeoutError:
                return f"{url}: no whole answer within {TIMEOUT:g} s{through(url)}"
            except (aiohttp.ClientError, OSError) as error:
                return f"{url}: {describe(error)}{through(url)}"
            self._sink.list_told(answer.body, answer.failed)
            if answer.failed:
                wait = retry_after(answer.retry_after)
                if wait and answer.status in TOO_MANY:
                    await self._budget.rest(wait)
                return f"{url}: {answer.words}"
            self._notify(RecorderEvent.LIST, f"list of instruments: {count(len(answer.body), 'byte')} of {url}")
            request = self._venue.next_instruments(first, answer.body)
        return f"{first.path}: more than {count(MOST_PAGES, 'page')}"


def reads(venue: Venue, symbol: str) -> bool:
    """Whether what the venue knows reads a symbol, and the venue's own name for it as that symbol."""
    try:
        canonical = venue.canonical(symbol)
        return venue.named(venue.native(canonical)) == canonical
    except UnknownSymbol:
        return False


async def known(store: Store, venue: Venue, symbols: Sequence[str], base_url: str, ca: str | None = None) -> Venue:
    """The venue as it listed itself to the recorders of the store, and with what it lists now where that does not read
    one of the symbols."""
    told = await asyncio.to_thread(listed_in, store, venue)
    return told if all(reads(told, symbol) for symbol in symbols) else await asked(told, base_url, ca)


async def asked(venue: Venue, base_url: str, ca: str | None = None) -> Venue:
    """The venue with what it lists now, for who has a name that nothing known reads; as it is where that cannot be had
    soon."""
    tables: list[SymbolTable] = []
    try:
        async with asyncio.timeout(ASKING), client(ca) as http:
            for first in venue.instrument_requests():
                request: HttpRequest | None = first
                for _ in range(MOST_PAGES):
                    if request is None:
                        break
                    url = base_url + request.path
                    answer = await fetch(http, request, url, timeout=ASKING, max_body=MAX_BYTES)
                    if answer.failed:
                        break
                    tables.append(venue.instruments(answer.body))
                    request = venue.next_instruments(first, answer.body)
    except (TimeoutError, aiohttp.ClientError, OSError, WireError):
        pass  # what is known is what there is
    for table in tables:
        venue = venue.knowing(table)
    return venue
