"""Frames that are packed on the wire are recorded as what they were before; only who wants them so asks for them."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from recording import record_until
from talkative import Peer, Talkative, told

from mdtool.capture import link as link_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.model import Kind
from mdtool.storage.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


class Packing(Peer):
    """Packs what it sends to whoever asked for it, or does not offer that at all."""

    offers = True

    async def websocket(self, request):
        socket = web.WebSocketResponse(compress=self.offers)
        await socket.prepare(request)
        self.connections += 1
        self.packed = socket.compress
        await self.talk(self, self.connections, socket)
        async for _ in socket:
            pass
        return socket


def recorded(store, peer, deflate, done):
    async def main():
        app = web.Application()
        app.router.add_get("/ws", peer.websocket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        recorder = Recorder(
            store, record_options(Talkative(), ws_url=url, sync="none", deflate=deflate), lambda event, text: None
        )
        try:
            return await record_until(recorder, lambda: done(recorder.status))
        finally:
            await runner.cleanup()

    return asyncio.run(main())


START = 1_700_049_600 * 1_000_000_000
BOOKS = [f"book [{number}, true]" + " " * number * 997 for number in range(1, 60)]


@pytest.mark.parametrize(
    ("offered", "wanted", "packed"), [(True, True, 15), (True, False, 0), (False, True, 0), (False, False, 0)]
)
def test_what_is_recorded_is_what_was_said_packed_or_not(store, offered, wanted, packed):
    async def talk(peer, number, socket):
        for book in BOOKS:
            await socket.send_str(book)
        await socket.send_bytes(b"book [60, true]")

    peer = Packing(talk)
    peer.offers = offered
    recorded(store, peer, wanted, lambda status: status.records == 60)
    assert peer.packed == packed
    kept = [payload for kind, _, payload in told(store, "A_B") if kind is Kind.DATA]
    assert kept == [book.encode() for book in BOOKS] + [b"book [60, true]"]


def test_a_frame_that_unpacks_to_more_than_a_frame_may_have_ends_its_connection_only(store, monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.02)
    monkeypatch.setattr(link_module, "MAX_FRAME", 1 << 20)

    async def talk(peer, number, socket):
        await socket.send_str(f"book [{number}, true]")
        if number == 1:
            await socket.send_frame(b"book " + b" " * (8 << 20), WSMsgType.TEXT)

    recorded(store, Packing(talk), True, lambda status: status.records == 2)
    closes = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.CLOSE]
    assert closes[0]["code"] == 1006
    assert "1048576" in closes[0]["reason"]
    assert [payload for kind, _, payload in told(store, "A_B") if kind is Kind.DATA] == [
        b"book [1, true]", b"book [2, true]",
    ]  # fmt: skip


def test_the_emulator_offers_it():
    """Frame by frame what it sent, to one that has them packed and to one that has not."""

    async def main():
        source = SimulatedSource(Simulator(symbol_names(1), seed=7, rate=200.0, start_ns=START), speed=5.0, wait=True)
        async with (
            Server(source, protocol_for("sim"), ServerOptions(keep_log=True)) as server,
            aiohttp.ClientSession() as http,
        ):
            url = f"{server.url}/stream?streams=alphausdt@trade"
            async with http.ws_connect(url, compress=15) as packed, http.ws_connect(url) as plain:
                assert (packed.compress, plain.compress) == (15, 0)
                for number, socket in enumerate((packed, plain), 1):
                    got = [(await socket.receive()).data.encode() for _ in range(40)]
                    assert got == [sent.frame for sent in server.log if sent.client == number][:40]

    asyncio.run(main())
