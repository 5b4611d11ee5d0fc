"""A stop is heard at any point, and leaves the records that belong to what had happened by then."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest
from aiohttp import web
from patience import LONGEST
from talkative import Talkative, told

from mdtool.capture import link as link_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.options import record_options
from mdtool.capture.recorder import Recorder
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues.venue import HttpRequest


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def no_help_from_a_timeout(monkeypatch):
    """What a stop does not end, nothing ends."""
    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT", 10_000.0)
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 10_000.0)


class Asking(Talkative):
    def snapshot_request(self, symbol, stream=None):
        return HttpRequest("GET", "/snapshot")


async def stopped(store, url, venue, reached):
    """Record from `url`, stop once `reached(recorder)` is done, and return when it has ended."""
    recorder = Recorder(store, record_options(venue, ws_url=url, sync="none"), lambda event, text: None)
    running = asyncio.create_task(recorder.run())
    async with asyncio.timeout(LONGEST):
        await reached(recorder)
        recorder.stop()
        await running


def records(store, symbol="_session"):
    """What is behind the plan, but for data."""
    found = [(kind, json.loads(payload)) for kind, _, payload in told(store, symbol) if kind is not Kind.DATA]
    assert (found[0][0], found[0][1]["note"], found[0][1]["streams"]) == (Kind.NOTE, "plan", ["book"])
    return found[1:]


END = (Kind.END, {"reason": "stopped"})


def test_while_a_name_is_being_resolved(store, monkeypatch):
    asked, never = threading.Event(), threading.Event()

    def getaddrinfo(*arguments, **named):
        asked.set()
        never.wait(10 * LONGEST)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def reached(recorder):
        while not asked.is_set():
            await asyncio.sleep(0.01)

    asyncio.run(stopped(store, "ws://somewhere.example:1", Talkative(), reached))
    never.set()
    assert records(store) == [END]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_while_the_handshake_is_not_answered(store, scheme):
    heard = asyncio.Event()

    async def mute(reader, writer):
        await reader.read(1)
        heard.set()
        await asyncio.sleep(10_000)

    async def main():
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await stopped(store, f"{scheme}://127.0.0.1:{port}", Talkative(), lambda recorder: heard.wait())
        server.close()

    asyncio.run(main())
    assert records(store) == records(store, "A_B") == [END]


def test_an_answer_to_the_handshake_that_comes_later_opens_nothing(store):
    stopping, heard = asyncio.Event(), asyncio.Event()

    async def late(request):
        heard.set()
        await stopping.wait()
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str("book [7, true]")
        async for _ in websocket:
            pass
        return websocket

    async def main():
        runner, url = await serving({"/ws": late})
        recorder = Recorder(store, record_options(Talkative(), ws_url=url, sync="none"), lambda event, text: None)
        running = asyncio.create_task(recorder.run())
        await heard.wait()
        recorder.stop()
        await asyncio.sleep(0)  # the stop has gone out
        stopping.set()
        await running
        await runner.cleanup()

    asyncio.run(main())
    assert records(store) == records(store, "A_B") == [END]


def test_while_it_waits_to_try_again(store):
    async def reached(recorder):
        while not recorder.status.failures:
            await asyncio.sleep(0.01)

    asyncio.run(stopped(store, "ws://127.0.0.1:9", Talkative(), reached))
    (note, fields), *rest = records(store)
    assert (note, fields["note"], rest) == (Kind.NOTE, "unreachable", [END])


async def serving(handlers):
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"ws://127.0.0.1:{runner.addresses[0][1]}"


def test_while_it_is_being_told_where_to_connect(store):
    async def main():
        asked = asyncio.Event()

        async def bullet(request):
            asked.set()
            await asyncio.sleep(10_000)

        runner, url = await serving({"/bullet": bullet})
        venue = Talkative(bootstrap=HttpRequest("POST", "/bullet"))
        await stopped(store, url, venue, lambda recorder: asked.wait())
        await runner.cleanup()
        return url.replace("ws", "http")

    url = asyncio.run(main())
    assert records(store) == [(Kind.REQUEST, {"method": "POST", "url": f"{url}/bullet"}), END]


def test_while_a_snapshot_is_on_its_way(store):
    async def main():
        asked = asyncio.Event()

        async def speak(request):
            websocket = web.WebSocketResponse()
            await websocket.prepare(request)
            await websocket.send_str("book [7, false]")
            async for _ in websocket:
                pass
            return websocket

        async def snapshot(request):
            asked.set()
            await asyncio.sleep(10_000)

        runner, url = await serving({"/ws": speak, "/snapshot": snapshot})
        await stopped(store, url, Asking(), lambda recorder: asked.wait())
        await runner.cleanup()
        return url

    url = asyncio.run(main())
    assert records(store, "A_B") == [
        (Kind.OPEN, {"url": f"{url}/ws"}),
        (Kind.REQUEST, {"method": "GET", "url": f"{url.replace('ws', 'http')}/snapshot"}),
        (Kind.CLOSE, {"code": 1000, "reason": "stopped"}),
        END,
    ]


def test_while_the_venue_does_not_heed_a_close_and_goes_on_sending(store):
    async def main():
        async def speak(request):
            websocket = web.WebSocketResponse(autoclose=False)
            await websocket.prepare(request)
            while True:
                await websocket.send_str("book [7, true]")
                await asyncio.sleep(0.01)

        runner, url = await serving({"/ws": speak})

        async def reached(recorder):
            while recorder.status.records < 10:
                await asyncio.sleep(0.01)

        await stopped(store, url, Talkative(), reached)
        await runner.cleanup()

    asyncio.run(main())
    assert [kind for kind, _ in records(store, "A_B")] == [Kind.OPEN, Kind.CLOSE, Kind.END]
    assert records(store, "A_B")[-2:] == [(Kind.CLOSE, {"code": 1000, "reason": "stopped"}), END]
