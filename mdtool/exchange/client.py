"""One websocket client of the server: its bounded buffer, its writer, its pings.

Rule: nobody waits for a client. Frames are handed over with a plain call into a buffer of bounded size; a client that
lets it overflow is cut, as venues do, and costs the others nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import WSMsgType, web

from mdtool.exchange.protocol import POLICY_VIOLATION, Session

CLOSE_WAIT = 2.0  # seconds a client may take nothing of what is buffered, or not answer a close
FRAME_OVERHEAD = 64  # bytes of bookkeeping counted for every frame, so that tiny ones are bounded too


class _Frame(NamedTuple):
    body: bytes
    kind: WSMsgType
    stream: str | None  # wire name of the stream it is of; None for an answer or a ping


class Client:
    """What the server holds of one connection."""

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        session: Session,
        capacity: int,
        sent: Callable[[Client, str, bytes], None],
    ) -> None:
        self.number = number
        self.session = session
        self.buffered = 0  # bytes not yet handed to the transport
        self.cut_for: str | None = None  # why the server ended it
        self.relieved = asyncio.Event()  # the buffer has shrunk
        self._socket = socket
        self._transport = transport
        self._capacity = capacity
        self._sent = sent
        self._frames: deque[_Frame] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._unanswered: dict[bytes, float] = {}  # pings without a pong, oldest first

    @property
    def open(self) -> bool:
        return self._closing is None and self.cut_for is None and not self._socket.closed

    @property
    def closing(self) -> bool:
        """Whether the server is closing it with a close frame."""
        return self._closing is not None and self.cut_for is None

    def offer(self, body: bytes, stream: str | None = None, kind: WSMsgType = WSMsgType.TEXT) -> None:
        """Puts a frame into the buffer; cuts the client where it does not fit."""
        if not self.open:
            return
        size = len(body) + FRAME_OVERHEAD
        if self.buffered + size > self._capacity:
            self.cut("too slow")
            return
        self.buffered += size
        self._frames.append(_Frame(body, kind, stream))
        self._wake.set()

    def end(self, code: int, reason: str) -> None:
        """Closes with a close frame, after what is buffered."""
        if self.open:
            self._closing = (code, reason)
            self._wake.set()
            # Who does not take what is buffered does not take the close either.
            asyncio.get_running_loop().call_later(2 * CLOSE_WAIT, self._give_up)

    def cut(self, reason: str) -> None:
        """Ends the connection now, without a close frame: who does not read would not read that either."""
        if self.cut_for is None:
            self.cut_for = reason
            self._frames.clear()
            self.buffered = 0
            self.relieved.set()
            self._wake.set()
            if self._transport is not None:
                self._transport.abort()

    def _give_up(self) -> None:
        if not self._socket.closed:
            self.cut("did not close")

    def pong(self, payload: bytes) -> None:
        """The client's pong. An unsolicited one answers nothing."""
        if payload in self._unanswered:
            for sent in list(self._unanswered):
                del self._unanswered[sent]
                if sent == payload:
                    break

    async def write(self) -> None:
        """Sends what is offered until the connection ends."""
        try:
            while self.cut_for is None:
                if self._frames:
                    frame = self._frames.popleft()
                    await self._socket.send_frame(frame.body, frame.kind)
                    self.buffered = max(0, self.buffered - len(frame.body) - FRAME_OVERHEAD)
                    self.relieved.set()
                    if frame.kind is WSMsgType.TEXT:
                        self._sent(self, frame.stream or "", frame.body)
                elif self._closing is not None:
                    code, reason = self._closing
                    await self._socket.close(code=code, message=reason.encode())
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()
        except (ConnectionError, RuntimeError):
            # The peer is gone in the middle of a send; the reading side sees it and tidies up.
            self.cut("connection lost")

    async def ping(self, interval: float, timeout: float, now_ms: Callable[[], int]) -> None:
        """Pings every `interval` seconds and ends the client once a ping stays unanswered for `timeout`."""
        loop = asyncio.get_running_loop()
        next_ping = loop.time() + interval
        while self.open:
            deadlines = [next_ping, *(sent + timeout for sent in self._unanswered.values())]
            await asyncio.sleep(max(0.0, min(deadlines) - loop.time()))
            now = loop.time()
            if any(sent + timeout <= now for sent in self._unanswered.values()):
                self.end(POLICY_VIOLATION, "Pong timeout")
                return
            if next_ping <= now:
                payload = str(now_ms()).encode()
                self._unanswered.setdefault(payload, now)
                self.offer(payload, kind=WSMsgType.PING)
                next_ping += interval
