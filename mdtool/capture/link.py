"""Keeps one connection of a plan up: connects, comes back when it is lost, and replaces it before the venue ends it.

Rule: a connection that is replaced is only closed once the next one streams, and `stop` is heard at any point.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.bootstrap import bootstrap
from mdtool.capture.budget import Budget
from mdtool.capture.client import through, way
from mdtool.capture.connection import FrameSink, Session
from mdtool.capture.failures import CONNECT_TIMEOUT, Refused, describe, retry_after
from mdtool.errors import ConnectError, StoreFull
from mdtool.venues.venue import Connection, Endpoint

HEARTBEAT = 20.0  # after this long without a byte we ping; half as long again without one and the connection is dead
MAX_FRAME = 64 * 1024 * 1024
WINDOW = 15  # bits of permessage-deflate: the largest, which packs best
SETTLED = 10.0  # seconds a connection must have held to be replaced at once when the venue asks for it
OVERLAP = 1.0  # seconds both are received once the new one streams: what it brings joins what the old one brought
LONGEST_OVERLAP = 30.0  # where nothing comes: a market may be quiet

T = TypeVar("T")


class Link:
    """Keeps one connection of the plan up until `stop`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        connection: Connection,
        base_url: str,
        sink: FrameSink,
        backoff: Backoff,
        *,
        lifetime: float = 0.0,
        fail_fast: bool = False,
        rest_url: str = "",
        endpoint: Callable[[Connection, bytes], Endpoint] | None = None,
        deflate: bool = False,
        budget: Budget | None = None,
    ) -> None:
        self._http = http
        self._connection = connection
        self._url = base_url + connection.path
        self._sink = sink
        self._backoff = backoff
        self._lifetime = lifetime
        self._fail_fast = fail_fast
        self._rest_url = rest_url
        self._endpoint = endpoint
        self._deflate = deflate
        self._budget = budget
        self._stopped = asyncio.Event()
        self._renewal = asyncio.Event()  # another connection is wanted
        self._why = ""  # it is
        self._attempt: asyncio.Future[Any] | None = None  # what `stop` abandons
        self._number = 0  # drawn for the session to come; 0: none yet
        self._running: dict[Session, asyncio.Task[None]] = {}  # the last one is the one that counts
        self._stood = asyncio.Event()

    @property
    def connection(self) -> Connection:
        """What it keeps up."""
        return self._connection

    @property
    def symbols(self) -> tuple[str, ...]:
        """What it carries."""
        return self._connection.symbols

    @property
    def stopping(self) -> bool:
        """It was told to stop."""
        return self._stopped.is_set()

    async def run(self) -> None:
        """Until `stop`: connect, receive, come back. Raises ConnectError with fail_fast, and StoreFull."""
        try:
            while not self._stopped.is_set():
                for gone in [session for session, task in self._running.items() if task.done()]:
                    await self._ended(gone)
                session = await self._connected()
                if session is None or self._stopped.is_set():
                    continue
                await self._replace(session)
                await self._lives(session)
        finally:
            await self._end_all("stopped")

    async def stop(self, why: str = "stopped") -> None:
        """Close what is open, give up what is not, and do not come back."""
        self._stopped.set()
        if self._attempt is not None:
            self._attempt.cancel()
        await asyncio.gather(*(session.close(why) for session in self._running))

    async def stands(self) -> None:
        """Until a connection has streamed, or stood for long without: what another one carries is had here, too."""
        await self._stood.wait()

    async def say(self, frames: tuple[str, ...]) -> None:
        """Send these text frames on the connection as it stands; nothing where it is down."""
        for session in list(self._running)[-1:]:
            await session.say(frames)

    def renew(self, why: str) -> None:
        """Have another connection, and close this one once that streams."""
        self._why = why
        self._renewal.set()

    async def _abandonable(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` returns; None where `stop` came first."""
        task = self._attempt = asyncio.ensure_future(work)
        if self._stopped.is_set():
            task.cancel()
        try:
            done: T = await task
            return done
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise
            return None
        finally:
            self._attempt = None

    async def _connected(self) -> Session | None:
        """One attempt. None where it failed, which is told and waited for, and where it was stopped."""
        self._renewal.clear()
        try:
            return await self._abandonable(self._connect())
        except StoreFull:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an address, its answer or the venue's code came to
            why = describe(error) + through(self._url)
            if self._fail_fast:
                raise ConnectError(f"cannot reach {self._url}: {why}") from None
            wait = max(self._backoff.next_wait(), _asked(error))
        self._sink.unreachable(self._url, why, wait)
        await self._abandonable(asyncio.sleep(wait))
        return None

    async def _connect(self) -> Session:
        heartbeat = self._connection.heartbeat
        if not self._number:
            self._number = await asyncio.to_thread(self._sink.next_session)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if self._connection.bootstrap is not None and self._endpoint is not None:
                body = await bootstrap(self._http, self._connection.bootstrap, self._rest_url, self._sink, self._budget)
                found = self._endpoint(self._connection, body)
                self._url, heartbeat = found.url, found.heartbeat or heartbeat
            socket = await self._http.ws_connect(
                self._url,
                autoping=False,  # pings are answered here, because they are records too
                heartbeat=HEARTBEAT,
                decode_text=False,  # a record is bytes; decoding and encoding again costs twice and could change them
                max_msg_size=MAX_FRAME,
                compress=WINDOW if self._deflate else 0,
                **way(self._url).options(),
            )
        number, self._number = self._number, 0
        session = Session(socket, self._connection, number, self._url, heartbeat, self._sink, self.renew)
        self._running[session] = asyncio.create_task(session.run())
        return session

    async def _replace(self, session: Session) -> None:
        """Close the one before, if it is still there, once this one streams."""
        if len(self._running) < 2:
            return
        running = self._running[session]
        await self._abandonable(self._streams(session))
        if running.done():
            return  # it is over already: the one before stays
        for old in list(self._running):
            if old is not session:
                await old.close(self._why)
                await self._ended(old)

    async def _streams(self, session: Session) -> None:
        """Until this one streams, and what it brings joins what the one before brought."""
        running = self._running[session]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_OVERLAP):
                await session.streaming.wait()
                await asyncio.sleep(OVERLAP)
        if not running.done():
            self._stood.set()

    async def _lives(self, session: Session) -> None:
        """Until the connection is over, or another one is to be made."""
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self._lifetime, self.renew, "renewed before the venue's own limit")
        if not self._lifetime:
            expiry.cancel()
        running = self._running[session]
        renewal = asyncio.ensure_future(self._renewal.wait())
        standing = asyncio.ensure_future(self._streams(session))
        try:
            await asyncio.wait((running, renewal), return_when=asyncio.FIRST_COMPLETED)
        finally:
            renewal.cancel()
            standing.cancel()
            expiry.cancel()
        held = loop.time() - session.began
        over = running.done()
        if over:
            await self._ended(session)
        if held >= STABLE:
            self._backoff.succeeded()
        if not self._stopped.is_set() and ((over and not self._renewal.is_set()) or held < SETTLED):
            await self._abandonable(asyncio.sleep(self._backoff.next_wait()))

    async def _ended(self, session: Session) -> None:
        """It is over. Raises what it failed with: StoreFull."""
        await self._running.pop(session)

    async def _end_all(self, why: str) -> None:
        for session in list(self._running):
            await session.close(why)
        for session in list(self._running):
            await self._ended(session)


def _asked(error: BaseException) -> float:
    """Seconds for which whoever refused wants no other attempt."""
    if isinstance(error, Refused):
        return error.wait
    headers = error.headers if isinstance(error, aiohttp.ClientResponseError) else None
    return retry_after(headers.get("Retry-After") if headers else None)
