"""Nothing a peer holds back holds the recorder for longer than a limit that has a name; the link says why it goes on,
and the one beside it notices nothing."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from aiohttp import web
from patience import until
from talkative import Peer, Talkative, told

from mdtool.capture import connection as connection_module
from mdtool.capture import failures
from mdtool.capture import link as link_module
from mdtool.capture import snapshot as snapshot_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.recorder import Recorder
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues.venue import Connection, HttpRequest

SHORT = 0.3


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.02)
    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT", SHORT)
    monkeypatch.setattr(failures, "CONNECT_TIMEOUT", SHORT)
    return monkeypatch


class Twofold(Talkative):
    """One good connection, and one to a peer that holds something back."""

    bad = "/bad"

    def plan(self, symbols, streams):
        (good,) = super().plan(symbols, streams)
        return (good, Connection(self.bad, ("subscribe",), (), 0.01, **self.connection))


class Fetched(Talkative):
    def snapshot_request(self, symbol, stream=None):
        return HttpRequest("GET", "/snapshot")

    def snapshot_weight(self, symbol):
        return 0.0


async def ticking(peer, number, socket):
    for tick in range(1_000_000):
        await socket.send_str(f"book [{tick}, {'true' if tick == 0 and peer.whole else 'false'}]")
        await asyncio.sleep(0.01)


def beside(store, respond, condition, venue=None, talk=None, whole=True):
    """Records until the condition holds of what was said, with a good connection beside. `respond(reader, writer)`
    answers, in raw bytes, whoever asks for anything but the good one. Returns the peer."""
    said = [] if talk is None else talk
    peer = Peer(ticking, lambda request: web.Response(status=404))
    peer.whole = whole

    async def main():
        app = web.Application()
        app.router.add_get("/ws", peer.websocket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        good = runner.addresses[0][1]
        pumps = set()

        async def front(reader, writer):
            """The good path goes to the good server; all others to `respond`."""
            try:
                head = await reader.readuntil(b"\r\n")
                if not head.startswith(b"GET /ws "):
                    await respond(reader, writer)
                    return
                there, back = await asyncio.open_connection("127.0.0.1", good)
                back.write(head)
                await asyncio.gather(pump(reader, back), pump(there, writer))
            except (OSError, asyncio.IncompleteReadError):
                pass

        async def pump(source, target):
            while data := await source.read(65536):
                target.write(data)
            target.close()

        def accepted(reader, writer):
            pumps.add(asyncio.ensure_future(front(reader, writer)))

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        peer.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options = record_options(venue or Twofold(), ws_url=peer.url, sync="none")
        recorder = peer.recorder = Recorder(store, options, lambda event, text: said.append((event, text)))
        running = asyncio.create_task(recorder.run())
        try:
            await until(lambda: condition(said), running)
            seen = recorder.status.records
            await until(lambda: recorder.status.records > seen + 3, running)  # the good one goes on
        finally:
            recorder.stop()
            await asyncio.wait([running])
            for task in pumps:
                task.cancel()
            server.close()
            await runner.cleanup()
        return running.result()

    peer.status = asyncio.run(main())
    assert peer.connections == 1  # the good one was never disturbed
    ticks = [json.loads(payload[5:])[0] for kind, _, payload in told(store, "A_B") if kind is Kind.DATA]
    assert ticks == list(range(len(ticks)))
    return peer


def lines(said, event):
    return [text for what, text in said if what is event]


def twice(event):
    return lambda said: len(lines(said, event)) >= 2


async def forever(reader, writer):
    await asyncio.Event().wait()


async def dripping(reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        writer.write(b"X-More: of the same\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def circling(reader, writer):
    while True:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /bad\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(SHORT)


@pytest.mark.parametrize("respond", [forever, dripping, circling])
def test_who_accepts_and_does_not_answer_in_time_is_given_up(store, respond):
    """Silence, headers that never end, and redirects that take their time: one limit for all of it."""
    talk = []
    peer = beside(store, respond, twice(RecorderEvent.UNREACHABLE), talk=talk)
    said = f"cannot reach {peer.url}/bad: no answer within {SHORT:g} s; trying again in 0.0 s"
    if respond is dripping:
        assert lines(talk, RecorderEvent.UNREACHABLE)[0] in (
            said, f"cannot reach {peer.url}/bad: HTTP 400; trying again in 0.0 s",
        )  # fmt: skip
    else:
        assert lines(talk, RecorderEvent.UNREACHABLE)[0] == said


def accepting(after):
    """A peer that opens the websocket as it should, and then does `after(reader, writer)`."""

    async def respond(reader, writer):
        import base64
        import hashlib

        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search(r"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)[1]
        proof = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {proof}\r\n\r\n".encode()
        )
        await after(reader, writer)

    return respond


def test_a_line_that_died_without_a_word_is_told_by_its_silence(store, short):
    """Half-open: no byte comes, no ping is answered, nothing is closed."""
    short.setattr(link_module, "HEARTBEAT", 0.2)
    talk = []
    beside(store, accepting(forever), twice(RecorderEvent.DISCONNECTED), talk=talk)
    said = lines(talk, RecorderEvent.DISCONNECTED)[0]
    assert "fell silent: No PONG received after 0.1 seconds" in said


def test_a_venue_that_is_to_speak_first_and_does_not_is_given_up(store, short):
    short.setattr(connection_module, "GREETING_TIMEOUT", SHORT)

    async def answering_pings(reader, writer):
        while data := await reader.read(2):
            if data[0] == 0x89:
                await reader.read(data[1] & 0x7F)
                writer.write(b"\x8a\x00")

    class Awaited(Twofold):
        def plan(self, symbols, streams):
            good, _ = super().plan(symbols, streams)
            return (good, Connection("/bad", ("subscribe",), (), 0.01, greeted=True))

    talk = []
    beside(store, accepting(answering_pings), twice(RecorderEvent.DISCONNECTED), Awaited(), talk)
    closes = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.CLOSE]
    assert closes[0] == {"code": 1000, "reason": f"opened, and said nothing within {SHORT:g} s"}
    assert closes[1] == closes[0]


def test_an_answer_of_rest_that_drips_is_given_up(store, short):
    short.setattr(snapshot_module, "TIMEOUT", SHORT)

    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    talk = []
    peer = beside(store, drip, twice(RecorderEvent.SNAPSHOT_FAILED), Fetched(), talk, whole=False)
    url = peer.url.replace("ws://", "http://") + "/snapshot"
    assert lines(talk, RecorderEvent.SNAPSHOT_FAILED)[0] == (
        f"snapshot of A_B: {url}: no whole answer within {SHORT:g} s; will try again"
    )


def test_an_answer_to_where_to_connect_that_does_not_come_is_given_up(store, short):
    from mdtool.capture import bootstrap as bootstrap_module

    short.setattr(bootstrap_module, "TIMEOUT", SHORT / 2)

    class Told(Twofold):
        def plan(self, symbols, streams):
            good, _ = super().plan(symbols, streams)
            return (good, Connection("/bad", ("subscribe",), (), 0.01, bootstrap=HttpRequest("POST", "/bullet")))

    talk = []
    peer = beside(store, forever, twice(RecorderEvent.UNREACHABLE), Told(), talk)
    url = peer.url.replace("ws://", "http://") + "/bullet"
    assert lines(talk, RecorderEvent.UNREACHABLE)[0] == (
        f"cannot reach {peer.url}/bad: {url}: no whole answer within {SHORT / 2:g} s; trying again in 0.0 s"
    )


@pytest.mark.parametrize(("header", "wait"), [("90", "90.0"), ("", "0.0")])
def test_a_refusal_to_say_where_to_connect_is_heeded(store, header, wait):
    """And what was asked for there, the venue's other requests heed, too."""

    async def refuse(reader, writer):
        writer.write(f"HTTP/1.1 429 Too Many\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n".encode())

    class Told(Twofold):
        def plan(self, symbols, streams):
            good, _ = super().plan(symbols, streams)
            return (good, Connection("/bad", ("subscribe",), (), 0.01, bootstrap=HttpRequest("POST", "/bullet")))

    talk = []
    peer = beside(store, refuse, lambda said: lines(said, RecorderEvent.UNREACHABLE), Told(), talk)
    url = peer.url.replace("ws://", "http://") + "/bullet"
    assert lines(talk, RecorderEvent.UNREACHABLE)[0] == (
        f"cannot reach {peer.url}/bad: HTTP 429, too many requests to POST {url}; trying again in {wait} s"
    )
    left = asyncio.run(peer.recorder._budget.take(0.0))
    assert (left > 60.0) == bool(header)
