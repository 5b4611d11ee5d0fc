"""REST snapshots: asked for by whoever watches the sequence, fetched one at a time within the venue's limit, appended
as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import aiohttp

from mdtool.capture.backoff import Backoff
from mdtool.capture.connection import describe
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.capture.rest import fetch
from mdtool.venues.venue import HttpRequest, Venue

TIMEOUT = 30.0
MAX_BODY = 256 * 1024 * 1024
LONGEST_RETRY_AFTER = 3600.0  # a venue's ban is honoured up to this; a longer one is asked again each hour
TOO_MANY = (418, 429)


class SnapshotSink(Protocol):
    """Where requests and answers are recorded."""

    def requested(self, symbol: str, request: HttpRequest, url: str) -> None: ...

    def answered(self, symbol: str, body: bytes, failed: bool) -> None: ...


class Snapshots:
    """A queue of symbols whose book is wanted; a symbol waits in it once, however often it is asked for."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        venue: Venue,
        base_url: str,
        sink: SnapshotSink,
        notify: Notify,
        new_backoff: Callable[[], Backoff],
        streams: Sequence[str] = (),
    ) -> None:
        self._http = http
        self._stream = next((stream for stream in streams if venue.is_book(stream)), None)  # whose book is kept whole
        self._venue = venue
        self._base_url = base_url
        self._sink = sink
        self._notify = notify
        self._new_backoff = new_backoff
        self._waiting: dict[str, None] = {}  # an ordered set
        self._wanted = asyncio.Event()
        self.fetched = 0

    def request(self, symbol: str) -> None:
        """Have the whole book of a symbol fetched soon."""
        self._waiting[symbol] = None
        self._wanted.set()

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        backoff = self._new_backoff()
        while True:
            while not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            symbol = next(iter(self._waiting))
            pause = await self._fetch(symbol)
            if pause is None:
                self._waiting.pop(symbol, None)
                backoff.succeeded()
                await asyncio.sleep(self._venue.snapshot_weight(symbol))
            else:
                # To the end of the queue: one symbol the venue refuses must not keep the others waiting.
                self._waiting[symbol] = self._waiting.pop(symbol)
                await asyncio.sleep(max(pause, backoff.next_wait()))

    async def _fetch(self, symbol: str) -> float | None:
        """One request. None when it was answered, else how many seconds to wait at least."""
        request = self._venue.snapshot_request(symbol, self._stream)
        if request is None:
            return None
        url = self._base_url + request.path
        self._sink.requested(symbol, request, url)
        try:
            status, retry_after, body = answer = await fetch(
                self._http, request, url, timeout=TIMEOUT, max_body=MAX_BODY
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._notify(
                RecorderEvent.SNAPSHOT_FAILED, f"snapshot of {symbol}: {url}: {describe(error)}; will try again"
            )
            return 0.0
        self._sink.answered(symbol, body, answer.failed)
        if not answer.failed:
            self.fetched += 1
            self._notify(RecorderEvent.SNAPSHOT, f"snapshot of {symbol}: {len(body):,} bytes")
            return None
        wait = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        known = ", too many requests" if status in TOO_MANY else ""
        text = body[:120].decode("utf-8", "replace")
        self._notify(
            RecorderEvent.SNAPSHOT_FAILED, f"snapshot of {symbol}: HTTP {status}{known}: {text}; will try again"
        )
        return min(wait, LONGEST_RETRY_AFTER)
