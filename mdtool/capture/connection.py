"""One websocket connection from open to close: say what to subscribe to, hand every frame on, answer what it asks.

Rule: between a frame's arrival and its commit nothing is awaited and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

import aiohttp
from aiohttp import WSMsgType

from mdtool.capture.failures import describe
from mdtool.errors import StoreFull
from mdtool.model import Flag
from mdtool.venues.venue import Connection, Heartbeat, HttpRequest, Reconnect, Reply

CLOSE_TIMEOUT = 2.0  # seconds for a peer to take its close
GREETING_TIMEOUT = 15.0  # seconds for a venue that speaks first to do so
ABNORMAL = 1006  # RFC 6455: closed without a close frame
NORMAL = 1000
LONGEST_REASON = 120  # bytes of a close frame's reason


class Requests(NamedTuple):
    """What an answer leads to: send these text frames, at the pace the venue allows."""

    frames: tuple[str, ...]


Act = Callable[[Reply | Reconnect | Requests], None]
Socket = aiohttp.ClientWebSocketResponse[Any]


class FrameSink(Protocol):
    """Where a connection's frames and its life go."""

    def next_session(self) -> int:
        """A number for the connection to come. Blocks: others of the store draw theirs, too."""
        ...

    def opened(self, connection: Connection, session: int, url: str) -> None:
        """A connection is open, under this number."""
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

    def odd(self, what: str, error: BaseException) -> None:
        """What a venue sent, or its adapter made of it, could not be done."""
        ...


class Session:
    """One connection. `run` receives until it ends, by itself or by `close`."""

    def __init__(
        self,
        socket: Socket,
        connection: Connection,
        number: int,
        url: str,
        heartbeat: Heartbeat | None,
        sink: FrameSink,
        renew: Callable[[str], None],
    ) -> None:
        self._socket = socket
        self._connection = connection
        self._heartbeat = heartbeat
        self._sink = sink
        self._renew = renew
        self._closing: str | None = None  # why we close it ourselves
        self._greeting = asyncio.Event()
        if not connection.greeted:
            self._greeting.set()
        self._subscribed = False
        self._turn = asyncio.Lock()  # of whoever has something to say: the venue's pace is for all of them together
        self._said_at = float("-inf")
        self._working: set[asyncio.Task[None]] = set()
        self.streaming = asyncio.Event()  # a frame has come since all was subscribed to, or it is over
        self.began = asyncio.get_running_loop().time()
        self.number = number
        sink.opened(connection, number, url)

    async def run(self) -> None:
        """Until it is over, which is put on record however that comes. Raises StoreFull."""
        self._do(self._subscribe())
        if self._heartbeat is not None:
            self._do(self._beat(self._heartbeat))
        code, reason = ABNORMAL, ""
        try:
            code, reason = await self._receive()
        except StoreFull:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the line or the client library came to: it is over
            reason = describe(error)
        finally:
            for task in self._working:
                task.cancel()
            if self._closing is not None:
                code, reason = NORMAL, self._closing
            self.streaming.set()
            try:
                await self._shut(reason)
            finally:
                self._sink.closed(self._connection, self.number, code, reason)

    async def close(self, why: str) -> None:
        """End it from our side. What arrives until then is still taken, if it comes soon."""
        if self._closing is None:
            self._closing = why
        await self._shut(why)

    async def _shut(self, why: str) -> None:
        # Bounded here: the client library waits for as long as the peer keeps sending.
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._socket.close(message=why.encode("utf-8", "replace")[:LONGEST_REASON])

    async def say(self, frames: tuple[str, ...]) -> None:
        """Send these text frames; nothing where it is down."""
        clock, interval = asyncio.get_running_loop().time, self._connection.send_interval
        for frame in frames:
            async with self._turn:
                if (wait := self._said_at + interval - clock()) > 0:
                    await asyncio.sleep(wait)
                if self._socket.closed or not await self._send(frame):
                    return
                self._said_at = clock()

    async def _reply(self, frame: str) -> None:
        """At once: the venue waits for it, and cuts who gives none."""
        await self._send(frame)

    async def _subscribe(self) -> None:
        try:
            async with asyncio.timeout(GREETING_TIMEOUT):
                await self._greeting.wait()
        except TimeoutError:
            self._do(self.close(f"opened, and said nothing within {GREETING_TIMEOUT:g} s"))
            return
        await self.say(self._connection.send)
        self._subscribed = True

    async def _beat(self, heartbeat: Heartbeat) -> None:
        while True:
            await asyncio.sleep(heartbeat.interval)
            if not await self._send(heartbeat.frame):
                return

    async def _send(self, frame: str) -> bool:
        """Whether it could be sent; where not, the receiving side learns why."""
        try:
            await self._socket.send_str(frame)
        except (aiohttp.ClientError, OSError):
            return False
        self._sink.sent(self.number, frame.encode())
        return True

    def _act(self, action: Reply | Reconnect | Requests) -> None:
        """A frame asked for something. It is done beside the receiving, never before the frame is committed."""
        if isinstance(action, Reply):
            self._do(self._reply(action.frame))
        elif isinstance(action, Requests):
            self._do(self.say(action.frames))
        else:
            self._renew(action.why)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink.odd("cannot be sent", error)

    async def _receive(self) -> tuple[int, str]:
        """Hand frames on until the connection ends; returns its close code and reason."""
        socket, session = self._socket, self.number
        receive, received = socket.receive, self._sink.receiver(session, self._act)
        text, binary = WSMsgType.TEXT, WSMsgType.BINARY
        opening = True
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
                return socket.close_code or ABNORMAL, describe(error) if error else ""
            if opening:
                opening = self._opens()

    def _opens(self) -> bool:
        """A frame has come; whether the connection is still about to say what it wants."""
        self._greeting.set()
        if self._subscribed:
            self.streaming.set()
        return not self._subscribed
