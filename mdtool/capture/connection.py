"""One websocket connection of a plan, kept alive: connect, say what to subscribe to, hand every frame on, come back.

Rule: between a frame's arrival and its commit nothing is awaited and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp
from aiohttp import WSMsgType

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.bootstrap import bootstrap
from mdtool.errors import ConnectError, WireError
from mdtool.model import Flag
from mdtool.venues.venue import Connection, Endpoint, Heartbeat, HttpRequest, Reconnect, Reply

CONNECT_TIMEOUT = 15.0
HEARTBEAT = 20.0  # after this long without a byte we ping; half as long again without one and the connection is dead
MAX_FRAME = 64 * 1024 * 1024
CLOSE_TIMEOUT = 2.0
ABNORMAL = 1006  # RFC 6455: closed without a close frame
GOING_AWAY = 1001
SETTLED = 10.0  # a connection that held this long may be replaced at once when the venue asks for it


Act = Callable[[Reply | Reconnect], None]


class FrameSink(Protocol):
    """Where a connection's frames and its life go."""

    def opened(self, connection: Connection, url: str) -> int:
        """A connection is open; returns its session number."""
        ...

    def receiver(self, session: int, act: Act) -> Callable[[bytes, int], None]:
        """What takes the session's frames: payload, flags. It calls `act` where one asks for something."""
        ...

    def ping(self, session: int, payload: bytes) -> None: ...

    def sent(self, session: int, payload: bytes) -> None: ...

    def closed(self, connection: Connection, session: int, code: int, reason: str) -> None: ...

    def asked(self, request: HttpRequest, url: str) -> None: ...

    def told(self, body: bytes, failed: bool) -> None: ...

    def unreachable(self, url: str, why: str, wait: float) -> None: ...


def describe(error: BaseException) -> str:
    """Why a connection could not be made, in words for one line."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        known = {451: "the venue refuses this region", 429: "too many requests", 418: "banned for too many requests"}
        return f"HTTP {error.status}" + (f", {known[error.status]}" if error.status in known else "")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return f"fell silent: {error}"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"cannot resolve {error.host}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause)
    return str(error) or type(error).__name__


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
        self._heartbeat = connection.heartbeat
        self._socket: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._session_number = 0
        self._at_once = False  # the venue, or whoever watches the sequence, asked for another connection
        self._working: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`: connect, receive, come back. Raises ConnectError with fail_fast."""
        while not self._stopped.is_set():
            try:
                self._socket = await asyncio.wait_for(self._connect(), CONNECT_TIMEOUT)
            except (aiohttp.ClientError, OSError, TimeoutError, WireError) as error:
                why = describe(error)
                if self._fail_fast:
                    raise ConnectError(f"cannot reach {self._url}: {why}") from None
                wait = self._backoff.next_wait()
                self._sink.unreachable(self._url, why, wait)
                await self._pause(wait)
                continue
            held = await self._session(self._socket)
            if held >= STABLE:
                self._backoff.succeeded()
            if self._at_once and held >= SETTLED:
                continue
            if not self._stopped.is_set():
                await self._pause(self._backoff.next_wait())

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def stop(self) -> None:
        """Close the connection and do not come back."""
        self._stopped.set()
        if self._socket is not None:
            await self._socket.close()

    @property
    def symbols(self) -> tuple[str, ...]:
        """What it carries."""
        return self._connection.symbols

    async def say(self, frames: tuple[str, ...]) -> None:
        """Send these text frames on the connection as it stands; nothing where it is down."""
        socket, session = self._socket, self._session_number
        if socket is None or socket.closed:
            return
        for number, frame in enumerate(frames):
            if number:
                await asyncio.sleep(self._connection.send_interval)
            if not await self._send(socket, session, frame):
                return

    async def renew(self, why: str) -> None:
        """Close the connection and open another at once."""
        self._at_once = True
        if self._socket is not None:
            await self._socket.close(message=why.encode()[:120])

    async def _connect(self) -> aiohttp.ClientWebSocketResponse[Any]:
        self._at_once = False
        self._heartbeat = self._connection.heartbeat
        if self._connection.bootstrap is not None and self._endpoint is not None:
            body = await bootstrap(self._http, self._connection.bootstrap, self._rest_url, self._sink)
            found = self._endpoint(self._connection, body)
            self._url, self._heartbeat = found.url, found.heartbeat or self._heartbeat
        return await self._http.ws_connect(
            self._url,
            autoping=False,  # pings are answered here, because they are records too
            heartbeat=HEARTBEAT,
            decode_text=False,  # a record is bytes; decoding and encoding again would cost twice and could change them
            max_msg_size=MAX_FRAME,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
        )

    async def _session(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> float:
        """One connection from open to close; returns how many seconds it held."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        session = self._session_number = self._sink.opened(self._connection, self._url)
        greeting = asyncio.Event()
        if not self._connection.greeted:
            greeting.set()
        helpers = [asyncio.create_task(self._subscribe(socket, session, greeting))]
        if self._heartbeat is not None:
            helpers.append(asyncio.create_task(self._beat(socket, session, self._heartbeat)))
        expiry = loop.call_later(self._lifetime, self._expire, socket) if self._lifetime else None
        code, reason = ABNORMAL, ""
        try:
            code, reason = await self._receive(socket, session, greeting)
        except (aiohttp.ClientError, OSError) as error:
            reason = describe(error)
        finally:
            for helper in helpers:
                helper.cancel()
            if expiry is not None:
                expiry.cancel()
            if not socket.closed:
                await socket.close(code=GOING_AWAY)
            self._sink.closed(self._connection, session, code, reason)
        return loop.time() - began

    async def _subscribe(
        self, socket: aiohttp.ClientWebSocketResponse[Any], session: int, greeting: asyncio.Event
    ) -> None:
        await greeting.wait()
        for number, frame in enumerate(self._connection.send):
            if number:
                await asyncio.sleep(self._connection.send_interval)
            if not await self._send(socket, session, frame):
                return

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse[Any], session: int, heartbeat: Heartbeat) -> None:
        while True:
            await asyncio.sleep(heartbeat.interval)
            if not await self._send(socket, session, heartbeat.frame):
                return

    async def _send(self, socket: aiohttp.ClientWebSocketResponse[Any], session: int, frame: str) -> bool:
        """Whether it could be sent; where not, the receiving side learns why."""
        try:
            await socket.send_str(frame)
        except (aiohttp.ClientError, OSError):
            return False
        self._sink.sent(session, frame.encode())
        return True

    def _act(self, action: Reply | Reconnect) -> None:
        """A frame asked for something. It is done beside the receiving, never before the frame is committed."""
        doing = self.say((action.frame,)) if isinstance(action, Reply) else self.renew(action.why)
        task = asyncio.ensure_future(doing)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _receive(
        self, socket: aiohttp.ClientWebSocketResponse[Any], session: int, greeting: asyncio.Event
    ) -> tuple[int, str]:
        """Hand frames on until the connection ends; returns its close code and reason."""
        receive, received = socket.receive, self._sink.receiver(session, self._act)
        text, binary = WSMsgType.TEXT, WSMsgType.BINARY
        if not greeting.is_set():
            received = _greeted(received, greeting)
        while True:
            message = await receive()
            kind = message.type
            if kind is text:
                received(message.data, 0)
            elif kind is binary:
                received(message.data, Flag.BINARY)
            elif kind is WSMsgType.PING:
                self._sink.ping(session, message.data)
                await socket.pong(message.data)
            elif kind is WSMsgType.CLOSE:
                return int(message.data or ABNORMAL), str(message.extra or "")
            elif kind is WSMsgType.ERROR:
                return ABNORMAL, describe(message.data)
            elif kind is not WSMsgType.PONG:
                # CLOSING or CLOSED: by us, or the line went away without a word.
                error = socket.exception()
                if self._stopped.is_set():
                    return 1000, "stopped"
                return socket.close_code or ABNORMAL, describe(error) if error else ""

    def _expire(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        # Sooner than the venue would, so that not every connection of a day's start is cut in the same second.
        self._closing = asyncio.ensure_future(socket.close(message=b"renewing before the venue's own limit"))


def _greeted(received: Callable[[bytes, int], None], greeting: asyncio.Event) -> Callable[[bytes, int], None]:
    """`received`, which also says that the venue has spoken."""

    def first(payload: bytes, flags: int) -> None:
        received(payload, flags)
        greeting.set()

    return first
