"""The exchange as clients meet it: websocket and REST on one port, in front of any source, in any venue's protocol.

Rule: this file knows sockets and who listens to what; what is said is the protocol's, what happens is the source's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from aiohttp import WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError

from mdtool.clock import Clock, SystemClock
from mdtool.errors import PortInUse, UsageError
from mdtool.exchange.bounds import Door, Pace, relieve
from mdtool.exchange.client import CLOSE_WAIT, Client
from mdtool.exchange.faults import Refuse, Trouble
from mdtool.exchange.lists import InstrumentLists
from mdtool.exchange.protocol import Answer, Reaction, Refusal, Session, WireProtocol
from mdtool.exchange.source import Outlet, Source

GOING_AWAY = 1001
NORMAL = 1000
MAX_REQUEST_BODY = 64 << 10  # bytes; no endpoint takes a body worth mentioning
MOST_TOLD = 1_000  # names refused that are told of: a client may make up any number
BACKLOG = 256  # connections that wait to be accepted
LOOK_EVERY = 16 << 20  # bytes handed out between two looks at all clients' buffers together
STALL = 5.0  # seconds without any progress after which a client no longer holds up a source that waits for it


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server serves."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    client_buffer: int = 16 << 20  # bytes a client may lag behind before it is cut
    keep_log: bool = False  # remember every message sent to every client; for tests
    stall: float = STALL


class Sent(NamedTuple):
    """One message handed to one client's transport."""

    client: int
    stream: str  # wire name; "" of an answer
    frame: bytes


@dataclass(slots=True)
class ServerCounts:
    """What a server has done so far."""

    connections: int = 0
    published: Counter[str] = field(default_factory=Counter)  # messages a stream, heard or not
    sent: Counter[str] = field(default_factory=Counter)  # frames a stream, over all clients
    slow_cut: int = 0
    requests: int = 0


class Server:
    """`async with Server(source, protocol) as server:` serves until the block ends."""

    def __init__(
        self,
        source: Source,
        protocol: WireProtocol,
        options: ServerOptions | None = None,
        *,
        faults: Trouble | None = None,
        clock: Clock | None = None,
        refused: Callable[[str, Sequence[str]], None] | None = None,
        sent: Callable[[Sent], None] | None = None,
    ) -> None:
        """`refused` is told, once a name, of what a client asked for that is not there, and what is there instead;
        `sent` of every text frame that is handed to a client's transport."""
        self.source = source
        self.protocol = protocol
        self.options = options or ServerOptions()
        self.counts = ServerCounts()
        self.log: list[Sent] = []  # in the order of sending, where keep_log asks for it
        self.port = 0
        self._clock: Clock = clock or SystemClock()
        self._faults = faults
        self._refused = refused
        self._sent = sent
        self._told: set[str] = set()  # names refused that were told of
        self._names: dict[tuple[str, str], str] = {}
        self._streams: dict[str, tuple[str, str]] = {}  # wire name -> canonical symbol and stream
        self._instruments = {instrument.symbol: instrument for instrument in source.instruments}
        self._clients: set[Client] = set()
        self._published = 0  # bytes handed out since all clients' buffers were looked at together
        self._channels: dict[str, dict[Client, None]] = {}  # a wire name's listeners, in order of subscription
        self._runner: web.AppRunner | None = None
        self._door: Door | None = None
        self._listener: asyncio.Server | None = None
        self._playing: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """Base of the websocket URLs."""
        return f"ws://{self._authority}"

    @property
    def rest(self) -> str:
        """Base of the REST URLs."""
        return f"http://{self._authority}"

    @property
    def _authority(self) -> str:
        host = self.options.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def clients(self) -> int:
        """Connections that stand."""
        return len(self._clients)

    async def start(self) -> None:
        """Binds and serves. PortInUse, or UsageError where the address cannot be bound at all."""
        app = web.Application(client_max_size=MAX_REQUEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, logger=_LOG, handle_signals=False, shutdown_timeout=CLOSE_WAIT)
        await runner.setup()
        host, port = self.options.host, self.options.port
        assert runner.server is not None  # after setup() there is one
        self._door = Door(runner.server)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._door, host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as failure:
            await runner.cleanup()
            if failure.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"cannot serve on {host}:{port}: the port is in use; choose another with --port, or 0 for any"
                ) from None
            raise UsageError(f"cannot serve on {host}:{port}: {failure.strerror or failure}") from None
        except OverflowError:
            await runner.cleanup()
            raise UsageError(f"cannot serve on port {port}: expected 0 to 65535") from None
        self._runner = runner
        self.port = self._listener.sockets[0].getsockname()[1]
        self.protocol.attach(self.source, self.url)
        self._lists = InstrumentLists(self.protocol.name, self.source)
        for symbol in self._instruments:
            for stream in self.source.streams(symbol):
                self._streams[self._name(symbol, stream)] = (symbol, stream)
        outlet: Outlet = self if self._faults is None else self._faults.around(self, self._name)
        self._playing = asyncio.create_task(self._play(outlet))

    async def close(self) -> None:
        """Ends the source, closes every client and frees the port. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.wait([self._playing])
        if self._listener is not None:
            self._listener.close()
        await self._end_clients(GOING_AWAY, "server shutdown")
        await runner.cleanup()
        self._finished.set()

    async def finished(self) -> None:
        """Returns once the source has nothing more to say and every client is closed; raises what it failed with."""
        await self._finished.wait()
        if self._playing is not None and self._playing.done() and not self._playing.cancelled():
            self._playing.result()

    # What a source may call (Outlet).

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        self._hand_out(symbol, stream, payload)

    def corrupt(self, symbol: str, stream: str, payload: bytes, spoil: Callable[[bytes], bytes]) -> None:
        self._hand_out(symbol, stream, payload, spoil)

    def _hand_out(
        self, symbol: str, stream: str, payload: bytes, spoil: Callable[[bytes], bytes] | None = None
    ) -> None:
        name = self._name(symbol, stream)
        self.counts.published[name] += 1
        listeners = self._channels.get(name)
        if not listeners:
            return
        forms: dict[bool, bytes] = {}
        for client in list(listeners):
            wrapped = client.session.wrapped
            body = forms.get(wrapped)
            if body is None:
                body = forms[wrapped] = self.protocol.frame(name, payload, wrapped)
            frame = client.session.sent(body)
            client.offer(frame if spoil is None else spoil(frame), name)
            if client.cut_for is not None:
                self._forget(client)
        self._published += len(payload) * len(listeners)
        if self._published > LOOK_EVERY:
            self._published = 0
            if (cut := relieve(self._clients)) is not None:
                self._forget(cut)

    def lose(self, symbol: str, stream: str, payload: bytes) -> None:
        for client in self._channels.get(self._name(symbol, stream), ()):
            client.session.sent(payload)

    def listeners(self, symbol: str, stream: str) -> int:
        return len(self._channels.get(self._name(symbol, stream), ()))

    async def drain(self) -> None:
        await asyncio.sleep(0)
        full = self.options.client_buffer // 2
        for client in list(self._clients):
            while client.open and client.buffered > full:
                client.relieved.clear()
                try:
                    await asyncio.wait_for(client.relieved.wait(), self.options.stall)
                except TimeoutError:
                    client.cut("too slow")
                    self._forget(client)

    def cut(self, code: int | None) -> None:
        for client in list(self._clients):
            if code is None:
                client.cut("fault")
                self._forget(client)
            else:
                client.end(code, "")

    # The machinery.

    def _name(self, symbol: str, stream: str) -> str:
        name = self._names.get((symbol, stream))
        if name is None:
            name = self.protocol.stream_name(self._instruments[symbol], stream)
            self._names[symbol, stream] = name
        return name

    async def _play(self, outlet: Outlet) -> None:
        try:
            await self.source.run(outlet)
            await self._end_clients(NORMAL, "")
        finally:
            self._finished.set()

    async def _end_clients(self, code: int, reason: str) -> None:
        clients = list(self._clients)
        for client in clients:
            client.end(code, reason)
        loop = asyncio.get_running_loop()
        left, deadline = self._buffered(), loop.time() + CLOSE_WAIT
        while self._clients and loop.time() < deadline:
            await asyncio.sleep(0.005)
            if (now := self._buffered()) < left:  # a slow client is no dead one
                left, deadline = now, loop.time() + CLOSE_WAIT
        for client in list(self._clients):
            client.cut("did not close")

    def _buffered(self) -> int:
        """Bytes that clients have not yet taken."""
        return sum(client.buffered for client in self._clients)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._door is not None:
            self._door.spoke(request.transport)
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        self.counts.requests += not is_websocket
        if self._faults is not None:
            refusal = self._faults.refuse("connect" if is_websocket else "rest")
            if refusal is not None:
                return _refused(refusal)
        listed = None if is_websocket else self._lists.answer(request.path, dict(request.query))
        if listed is not None:
            return _response(Answer(200, listed))
        if not is_websocket:
            return _response(self.protocol.rest(request.method, request.path, dict(request.query), self.source))
        session = self.protocol.open(request.path, dict(request.query))
        if isinstance(session, Answer):
            return _response(session)
        return await self._serve(request, session)

    async def _serve(self, request: web.Request, session: Session) -> web.StreamResponse:
        protocol = self.protocol
        socket = web.WebSocketResponse(autoping=False, max_msg_size=protocol.max_inbound_bytes, timeout=CLOSE_WAIT)
        await socket.prepare(request)
        self.counts.connections += 1
        number = self.counts.connections
        client = Client(number, socket, request.transport, session, self.options.client_buffer, self._on_sent)
        self._clients.add(client)
        tasks = [
            asyncio.create_task(client.write()),
            asyncio.create_task(client.ping(protocol.ping_interval, protocol.pong_timeout, self.source.now_ms)),
        ]
        try:
            self._react(client, session.opened())
            pace = Pace(asyncio.get_running_loop().time)
            while (message := await socket.receive()).type not in _ENDS:
                await pace.turn(len(message.data or ""))
                if not client.open:
                    continue
                now_ns = self._clock.monotonic_ns()
                if message.type is WSMsgType.TEXT:
                    self._react(client, session.on_text(message.data, now_ns))
                elif message.type is WSMsgType.BINARY:
                    self._react(client, session.on_binary(now_ns))
                elif message.type is WSMsgType.PING:
                    client.offer(bytes(message.data), kind=WSMsgType.PONG)
                    self._react(client, session.on_control(now_ns))
                elif message.type is WSMsgType.PONG:
                    client.pong(bytes(message.data))
                    self._react(client, session.on_control(now_ns))
            if client.closing:
                await tasks[0]  # the close frame is on its way; leaving now would break it off
        finally:
            self._forget(client)
            self._clients.discard(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    def _react(self, client: Client, reaction: Reaction) -> None:
        for reply in reaction.replies:
            client.offer(client.session.sent(reply))
        for refusal in reaction.refused:
            self._tell(refusal)
        for name in reaction.unsubscribed:
            listeners = self._channels.get(name, {})
            listeners.pop(client, None)
            if not listeners:
                self._channels.pop(name, None)
        for name in reaction.subscribed:
            self._channels.setdefault(name, {})[client] = None
            self._send_whole(client, name)
        if reaction.subscribed:
            self.source.listened()
        if reaction.close is not None:
            client.end(*reaction.close)

    def _tell(self, refusal: Refusal) -> None:
        if self._refused is not None and refusal.name not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(refusal.name)
            self._refused(refusal.name, self.protocol.instead(refusal))

    def _send_whole(self, client: Client, name: str) -> None:
        """What a venue sends first to who subscribes to a book on the stream."""
        known = self._streams.get(name)
        if known is None:
            return
        body = self.source.whole(*known)
        if body is not None:
            client.offer(client.session.sent(self.protocol.frame(name, body, client.session.wrapped)), name)

    def _forget(self, client: Client) -> None:
        if client.cut_for == "too slow" and client in self._clients:
            self.counts.slow_cut += 1
        self._clients.discard(client)
        for name in [name for name, listeners in self._channels.items() if client in listeners]:
            del self._channels[name][client]
            if not self._channels[name]:
                del self._channels[name]

    def _on_sent(self, client: Client, stream: str, frame: bytes) -> None:
        if self._sent is not None:
            self._sent(Sent(client.number, stream, frame))
        if not stream:
            return
        self.counts.sent[stream] += 1
        if self.options.keep_log:
            self.log.append(Sent(client.number, stream, frame))


def _not_the_clients_fault(record: logging.LogRecord) -> bool:
    """A request that is no HTTP has its answer (400); it is no failure of ours to be told with a traceback."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_not_the_clients_fault)
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers=dict(answer.headers),
        content_type=answer.content_type,
        charset="utf-8",
    )


def _refused(refusal: Refuse) -> web.Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return web.Response(status=refusal.status, body=refusal.body, headers=headers, content_type="application/json")
