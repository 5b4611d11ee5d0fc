"""Receive: what the recorder adds, in CPU, to receiving a frame with the same client library and nothing else.

Two rhythms. Paced, each message wakes the event loop by itself, as live feeds mostly do; flooded, the loop finds many
at once and its own share is smallest, so the recorder's weighs most. And what frames cost that come packed
(permessage-deflate), against the bytes they save.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from random import Random
from statistics import median

import aiohttp
from aiohttp import WSMsgType, web

from mdtool.bench.measure import Contestant, Setting, figure, nanoseconds, race
from mdtool.bench.report import Figure
from mdtool.capture.backoff import Backoff
from mdtool.capture.child import own_modules
from mdtool.capture.link import HEARTBEAT, WINDOW, Link
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.ports import Ports
from mdtool.clock import SystemClock
from mdtool.storage.store import Store
from mdtool.venues import catalog

ALLOWED = 1.25  # budget: times the bare loop
PAUSE = 0.0002  # seconds between two paced messages
START_TIMEOUT = 30.0
MESSAGES = [
    b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255308,"s":"ALPHAUSDT","U":%d,"u":%d,'
    b'"b":[["2683.80","3.0292"],["2679.00","28.2153"]],"a":[["2733.70","0.0000"]]}}' % (number, number)
    for number in range(256)
]


def bench_receive(setting: Setting) -> list[Figure]:
    setting.tell("receive")
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(there,), daemon=True)
    with own_modules():
        server.start()
    there.close()
    try:
        if not here.poll(START_TIMEOUT):
            raise TimeoutError("the serving process does not answer")
        port = int(here.recv_bytes())
        figures = []
        for rhythm, count, title in (
            ("paced", setting.size(1_000, 100), "receive to commit, CPU a message that comes alone"),
            ("flood", setting.size(100_000, 2_000), "receive to commit, CPU a message of a flood"),
        ):
            turns = race(_contestants(setting, f"ws://127.0.0.1:{port}", f"/stream?{rhythm}={count}"), setting.repeats)
            figures.append(
                figure(
                    "receive",
                    f"receive_{rhythm}",
                    title,
                    nanoseconds("message"),
                    turns["recorder"],
                    budget=ALLOWED * median(turns["bare"]),
                    against=("the bare receive loop (budget: 1.25 times it)", turns["bare"]),
                )
            )
        turns = race(
            {
                "packed": lambda: asyncio.run(_bare(f"ws://127.0.0.1:{port}/stream?flood={count}", WINDOW)),
                "plain": lambda: asyncio.run(_bare(f"ws://127.0.0.1:{port}/stream?flood={count}")),
            },
            setting.repeats,
        )
        figures.append(
            figure(
                "receive",
                "receive_packed",
                "bare receive loop, CPU a message of a flood that comes packed",
                nanoseconds("message"),
                turns["packed"],
                against=("not packed", turns["plain"]),
                note=f"{packed_share():.0%} of the bytes",
            )
        )
    finally:
        server.kill()
        here.close()
    return figures


def _contestants(setting: Setting, url: str, path: str) -> dict[str, Contestant]:
    return {
        "bare": lambda: asyncio.run(_bare(url + path)),
        "recorder": lambda: asyncio.run(_recorded(setting, url, path)),
    }


async def _bare(url: str, window: int = 0) -> float:
    """CPU ns a message of receiving and counting."""
    count = 0
    async with aiohttp.ClientSession() as http:
        began = time.process_time_ns()
        async with http.ws_connect(
            url, decode_text=False, autoping=False, heartbeat=HEARTBEAT, compress=window
        ) as socket:
            receive, text = socket.receive, WSMsgType.TEXT
            while (await receive()).type is text:
                count += 1
        return (time.process_time_ns() - began) / count


async def _recorded(setting: Setting, url: str, path: str) -> float:
    """CPU ns a message of the recorder's own link and ports."""
    options = record_options(catalog.get("sim"), ("ALPHA_USDT",), ws_url=url, sync="none")
    with Store.create(setting.directory / f"receive-{time.monotonic_ns()}") as store:
        ports = Ports(store, options, SystemClock(), _silent)
        (planned,) = options.venue.plan(options.symbols, options.streams)
        connection = replace(planned, path=path, send=())
        try:
            async with aiohttp.ClientSession() as http:
                link = Link(http, connection, url, ports, Backoff(Random(1)))
                return await _one_session(link, ports)
        finally:
            ports.close()


async def _one_session(link: Link, ports: Ports) -> float:
    began = time.process_time_ns()
    running = asyncio.ensure_future(link.run())
    while not (ports.status.sessions and not ports.status.connections):
        await asyncio.sleep(0.02)
    spent = time.process_time_ns() - began
    await link.stop()
    await running
    return spent / ports.status.records


def packed_share() -> float:
    """Of the messages' bytes, what is left of them packed one by one on one connection."""
    packer = zlib.compressobj(wbits=-WINDOW)
    ends = 4  # bytes of each that are not sent: RFC 7692, 7.2.1
    packed = sum(len(packer.compress(message)) + len(packer.flush(zlib.Z_SYNC_FLUSH)) - ends for message in MESSAGES)
    return packed / sum(map(len, MESSAGES))


def _silent(event: RecorderEvent, text: str) -> None:
    pass


def serve(pipe: Pipe) -> None:
    """The serving process: tells its port, then sends whoever connects what the query asks for."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Pipe) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        rhythm, count = next((name, int(value)) for name, value in request.query.items())
        pause: Callable[[], Awaitable[None]] | None = _pause if rhythm == "paced" else None
        for number in range(count):
            await socket.send_frame(MESSAGES[number % len(MESSAGES)], WSMsgType.TEXT)
            if pause is not None:
                await pause()
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/stream", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send_bytes(str(runner.addresses[0][1]).encode())
    await asyncio.Event().wait()


async def _pause() -> None:
    await asyncio.sleep(PAUSE)
