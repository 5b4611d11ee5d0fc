"""A venue that says what a test wants, and the peer that plays it: what a recorder is tried on."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web
from recording import record_until

from mdtool.capture.recorder import Recorder, record_options
from mdtool.errors import WireError
from mdtool.model import BookUpdate, Kind, Other
from mdtool.venues.sequence import BookSteps, ContiguousRule
from mdtool.venues.venue import Adapter, Connection, Endpoint, Heartbeat, Place, Reconnect, Reply


class Talkative(Adapter):
    """A venue of one symbol whose frames are `WORD rest`: "test" wants an answer, "bye" another connection."""

    name = "talkative"
    title = "Talkative"
    ws_url = "ws://127.0.0.1:1"
    rest_url = "http://127.0.0.1:1"
    default_symbols = ("A_B",)
    default_streams = ("book",)

    def __init__(self, **connection):
        self.connection = connection

    def native(self, symbol):
        return "A_B"

    def canonical(self, symbol):
        return "A_B"

    def plan(self, symbols, streams):
        return (Connection("/ws", ("subscribe",), ("A_B",), 0.01, **self.connection),)

    def route(self, payload):
        return payload.partition(b" ")[0]

    def place(self, key):
        if key == b"test":
            return Place(None, "session", Reply("answer"))
        if key == b"bye":
            return Place(None, "session", Reconnect("it said bye"))
        return Place("A_B", "book") if key == b"book" else Place(None, "session")

    def decoder(self, stream):
        def decode(payload):
            word, _, rest = payload.partition(b" ")
            if word != b"book":
                return (Other("word"),)
            try:
                first, whole = json.loads(rest)
                if not isinstance(first, int) or abs(first) >= 1 << 63:
                    raise ValueError(f"an id, not {first}")
            except ValueError as error:
                raise WireError(str(error)) from error
            return (BookUpdate(0, first, first, first - 1, b'[["1","1"]]', b"[]", whole, whole),)

        return decode

    def rule(self, stream):
        return ContiguousRule(BookSteps(drops_equal=True, overlap=False)) if stream == "book" else None

    def is_book(self, stream):
        return stream == "book"

    def endpoint(self, connection, body):
        try:
            told = json.loads(body)
            return Endpoint(told["url"], Heartbeat(0.05, "beat from the token"))
        except (ValueError, KeyError) as error:
            raise WireError(f"no token: {error}") from error


class Peer:
    """The venue's side: `talk(number, socket, heard)` is what it does on its `number`th connection."""

    def __init__(self, talk, token=None):
        self.talk = talk
        self.token = token
        self.heard = []  # (connection, text)
        self.connections = 0
        self.asked = []

    async def websocket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        number = self.connections
        talking = asyncio.create_task(self.talk(self, number, socket))
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.heard.append((number, message.data))
        talking.cancel()
        return socket

    async def rest(self, request):
        self.asked.append((request.method, request.path))
        return self.token(request)


def run(store, venue, peer, condition, talk=None, *, tls=None, scheme="", host="127.0.0.1", ca=None):
    """Records until the condition holds. `talk` gets what the recorder says, as (event, line). `tls`: what the peer
    proves itself with, as `host`, to whoever trusts `ca`. `scheme`: what it is spoken to in."""
    said = [] if talk is None else talk

    async def main():
        app = web.Application()
        app.router.add_get("/ws", peer.websocket)
        app.router.add_route("*", "/{path:.*}", peer.rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        base = f"{scheme or ('ws' if tls is None else 'wss')}://{host}:{runner.addresses[0][1]}"
        peer.url = f"{base}/ws"
        options = record_options(venue, ws_url=base, sync="none", ca=ca)
        recorder = peer.recorder = Recorder(store, options, lambda event, text: said.append((event, text)))

        def done():
            """And what the peer has heard is on record."""
            return condition() and [kind for kind, _, _ in told(store)].count(Kind.SENT) >= len(peer.heard)

        try:
            return await record_until(recorder, done)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def told(store, symbol="_session"):
    """(kind, stream, payload) of the feed's records, but those of the clock, which come when their time has come."""
    with store.reader(f"talkative/{symbol}") as reader:
        records = [one for one in reader.records() if not one.payload.startswith(b'{"note": "clock"')]
        return [(Kind(r.kind), reader.stream_name(r.stream), r.payload) for r in records]
