"""Commit: how long a frame takes to be committed by the recorder as it runs, with all that it does beside receiving,
and with none of it.

Each contestant is a process of its own that receives from the same server in turns. The recorder is the whole one; the
only thing added is that the time behind each commit is kept in memory. Where it is busy, its sidecar watches a book,
and its keeper seals and removes chunks in one round after the other, where otherwise it has one in ten minutes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from array import array
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import aiohttp
import websockets
from aiohttp import WSMsgType, web

from mdtool.bench.measure import Contestant, Setting, Unit, figure, race
from mdtool.bench.report import Figure
from mdtool.capture import keeping
from mdtool.capture.child import own_modules
from mdtool.capture.connection import Act
from mdtool.capture.link import HEARTBEAT
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.ports import Ports
from mdtool.capture.recorder import Recorder
from mdtool.storage.store import Store
from mdtool.venues import catalog

# What is sent in turns, whatever was subscribed to. Parts of a book stay for as long as they are needed; of the other
# feed they go. Of a plan without a book's stream nothing is watched.
BOOK, NO_BOOK = ("ALPHA_USDT", "depth@100ms"), ("BRAVO_USDT", "trade")
SYMBOLS, STREAMS = zip(BOOK, NO_BOOK, strict=True)
PAUSE = 0.001  # seconds between two messages
CHUNK_BYTES = 64 * 1024  # some three a second, so that each round of the keeper has work
MOST_BYTES = 64 * 1024  # kept of a feed: each round removes what it has sealed
ROUND_EVERY = 0.1  # seconds between two rounds
PATIENCE = 60.0  # seconds a contestant may need to begin, and again for what it is to receive
PERCENTILES = (("p50", 0.50), ("p99", 0.99), ("p99.9", 0.999))
SENT = slice(-21, -2)  # where a frame says when it was sent
FRAME = (
    '{"stream":"%s@%s","data":{"e":"depthUpdate","E":1723161255308,"s":"%s","U":%d,"u":%d,'
    '"b":[["2683.80","3.0292"],["2679.00","28.2153"]],"a":[["2733.70","0.0000"]]},"sent":"%019d"}'
)
MICROSECONDS = Unit("us/message", "lower", 1e-3)

Times = tuple[list[int], list[int]]  # ns from sent to done, and where there is a commit from received to committed


def bench_commit(setting: Setting) -> list[Figure]:
    setting.tell("commit")
    count = setting.size(3_000, 50)
    taken: dict[str, list[Times]] = {"busy": [], "idle": [], "aiohttp": [], "websockets": []}
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(there,), daemon=True)
    with own_modules():
        server.start()
    there.close()

    def contestant(name: str) -> Contestant:
        def once() -> float:
            taken[name].append(_turn(setting, name, url, count))
            return 0.0

        return once

    try:
        if not here.poll(PATIENCE):
            raise TimeoutError("the serving process does not answer")
        url = f"ws://127.0.0.1:{int(here.recv_bytes())}"
        race({name: contestant(name) for name in taken}, setting.size(2, 1))
    finally:
        server.kill()
        here.close()
    return _figures(taken)


def _figures(taken: dict[str, list[Times]]) -> list[Figure]:
    def turns(name: str, which: int, quantile: float) -> list[float]:
        sorted_turns = [sorted(times[which]) for times in taken[name]]
        return [float(turn[min(len(turn) - 1, int(len(turn) * quantile))]) for turn in sorted_turns]

    rows = (
        ("received", 1, "idle", "received to committed", "the recorder with nothing beside"),
        ("sent", 0, "idle", "sent to committed", "the recorder with nothing beside"),
        ("aiohttp", 0, "aiohttp", "the same beside a bare loop of aiohttp", "it, sent to received"),
        ("websockets", 0, "websockets", "the same beside a bare loop of websockets", "it, sent to received"),
    )
    return [
        figure(
            "commit",
            f"{name}_{percentile}",
            f"{title}, {percentile}",
            MICROSECONDS,
            turns("busy", which, quantile),
            against=(label, turns(rival, which, quantile)),
            note="while it is watched, sealed and cleaned",
        )
        for name, which, rival, title, label in rows
        for percentile, quantile in PERCENTILES
    ]


def _turn(setting: Setting, name: str, url: str, count: int) -> Times:
    """What one contestant, in a process of its own, took for `count` messages."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    # At the beginning there is more to do: not least for the sidecar and the keeper, which start.
    skipped = setting.size(1_500, 10) if name in ("busy", "idle") else setting.size(300, 10)
    path = setting.directory / f"commit-{time.monotonic_ns()}"
    child = spawn.Process(target=receive, args=(there, name, url, path, skipped, count))
    with own_modules():
        child.start()
    there.close()
    try:
        if not here.poll(2 * PATIENCE):
            raise TimeoutError(f"{name}: nothing was received")
        whole, within = (array("q", here.recv_bytes()) for _ in range(2))
        child.join(PATIENCE)
    finally:
        child.kill()
        here.close()
    return whole.tolist(), within.tolist()


# -- a contestant's process --------------------------------------------------------------------------------------------


class _Times:
    """Of `count` messages behind the first few. `full` is set once they have come."""

    def __init__(self, skipped: int, count: int) -> None:
        self.whole, self.within = array("q"), array("q")
        self.full = asyncio.Event()
        self._skipped, self._count = skipped, count

    def take(self, payload: bytes, received: int) -> None:
        done = time.monotonic_ns()
        if self._skipped:
            self._skipped -= 1
        elif len(self.whole) < self._count:
            self.whole.append(done - int(payload[SENT]))
            self.within.append(done - received)
        else:
            self.full.set()


class _TimedPorts(Ports):
    """As a recorder's, each commit timed."""

    times: _Times

    def receiver(self, session: int, act: Act) -> Callable[[bytes, int], None]:
        received, take, now = super().receiver(session, act), self.times.take, time.monotonic_ns

        def timed(payload: bytes, flags: int) -> None:
            at = now()
            received(payload, flags)
            if payload.endswith(b'"}'):  # and is no acknowledgement
                take(payload, at)

        return timed


def receive(pipe: Pipe, name: str, url: str, path: Path, skipped: int, count: int) -> None:
    """A contestant: receives, and answers with its two arrays of nanoseconds."""

    async def run() -> _Times:
        times = _Times(skipped, count)
        if name in ("busy", "idle"):
            await _recorded(times, url, path, busy=name == "busy")
        else:
            await {"aiohttp": _aiohttp, "websockets": _websockets}[name](times, f"{url}/stream")
        return times

    times = asyncio.run(run())
    pipe.send_bytes(times.whole.tobytes())
    pipe.send_bytes(times.within.tobytes())


async def _recorded(times: _Times, url: str, path: Path, *, busy: bool) -> None:
    _TimedPorts.times = times
    options = record_options(
        catalog.get("sim"), SYMBOLS, streams=STREAMS[not busy :], ws_url=url, chunk_bytes=CHUNK_BYTES
    )
    with Store.create(path) as store:
        if busy:
            keeping.EVERY = ROUND_EVERY
            for symbol in SYMBOLS:
                store.writer(f"sim/{symbol}").close()
                store.set(f"sim/{symbol}", max_bytes=MOST_BYTES)
        recorder = Recorder(store, options, _silent, ports=_TimedPorts)
        running = asyncio.ensure_future(recorder.run())
        full = asyncio.ensure_future(times.full.wait())
        await asyncio.wait((running, full), return_when=asyncio.FIRST_COMPLETED)
        recorder.stop()
        await running


async def _aiohttp(times: _Times, url: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, decode_text=False, autoping=False, heartbeat=HEARTBEAT) as socket,
    ):
        receive, take, full = socket.receive, times.take, times.full
        while not full.is_set():
            message = await receive()
            take(message.data, time.monotonic_ns())


async def _websockets(times: _Times, url: str) -> None:
    async with websockets.connect(url) as socket:
        receive, take, full = socket.recv, times.take, times.full
        while not full.is_set():
            payload = await receive(decode=False)
            assert isinstance(payload, bytes)
            take(payload, time.monotonic_ns())


def _silent(event: RecorderEvent, text: str) -> None:
    pass


# -- the server's process ----------------------------------------------------------------------------------------------


def serve(pipe: Pipe) -> None:
    """The serving process: tells its port, then sends whoever connects one message after the other."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Pipe) -> None:
    number = 0

    async def stream(request: web.Request) -> web.WebSocketResponse:
        nonlocal number
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        reading = asyncio.ensure_future(_answer(socket))
        sent = [(symbol.replace("_", ""), stream) for symbol, stream in (BOOK, NO_BOOK)]
        try:
            while not socket.closed and not reading.done():
                number += 1
                (native, name), turn = sent[number % len(sent)], number // len(sent)
                frame = FRAME % (native.lower(), name, native, turn, turn, time.monotonic_ns())
                await socket.send_frame(frame.encode(), WSMsgType.TEXT)
                await asyncio.sleep(PAUSE)
        except ConnectionError:
            pass  # it has what it needs
        finally:
            reading.cancel()
        return socket

    async def book(request: web.Request) -> web.Response:
        levels = {"bids": [["2683.80", "3.0292"]], "asks": [["2733.70", "1.0000"]]}
        return web.json_response({"lastUpdateId": number // len(SYMBOLS), **levels})

    app = web.Application()
    app.router.add_get("/stream", stream)
    app.router.add_get("/api/v3/depth", book)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send_bytes(str(runner.addresses[0][1]).encode())
    await asyncio.Event().wait()


async def _answer(socket: web.WebSocketResponse) -> None:
    """What is subscribed to is acknowledged."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(json.dumps({"result": None, "id": json.loads(message.data)["id"]}))
