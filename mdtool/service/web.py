"""How the recorders of a store are doing, over HTTP: /health, /ready, /metrics, /status, and a page for people at /.

Started as `python -m mdtool.service.web` it is told in a line on stdin what to read, gets the socket it serves from
whoever started it, and ends with it. Rule: it reads pages and the store and asks nobody. One reading serves all who ask
until the next one is taken, so that a thousand cost as much as one; who does not speak, or does not listen, is cut.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

from aiohttp import hdrs, web
from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import decode, encode

from mdtool.clock import SECOND, Clock, SystemClock
from mdtool.errors import MdtoolError, UsageError
from mdtool.service.doorkeeping import HEADERS, Door, refusal
from mdtool.service.exposition import CONTENT_TYPE, expose
from mdtool.service.health import Verdict, health, readiness, unreadable
from mdtool.service.readings import Reading, Readings
from mdtool.storage.store import Store

TICK = 2.0  # seconds between two readings, at least
SPARED = 20.0  # times as long as one took nothing is done until the next: a thousand feeds cost 5 % of a core
LONGEST_TICK = 6.0
OLD_NS = 15 * SECOND  # a reading that is older is none: the disk hangs, or this process does
SIGN_OF_LIFE = 5.0
PIECE = 64 * 1024  # bytes handed to a connection at a time
PATIENCE = 20.0  # seconds for an answer to be taken
LAST_LOOK = 5.0  # seconds in which it ends once told, come what may
NICE = 10
LAST_ANSWERS = 1.0  # seconds for those that are under way
JSON = "application/json"


class Start(Struct, frozen=True):
    """What it is told first."""

    store: str
    fd: int  # of the socket that listens


class Answer(Struct, frozen=True):
    """What one path says of one reading."""

    status: int
    kind: str
    body: bytes


def _verdict(verdict: Verdict) -> Answer:
    return Answer(200 if verdict.good else 503, JSON, encode(verdict.report) + b"\n")


PATHS: dict[str, Callable[[Reading], Answer]] = {
    "/health": lambda reading: _verdict(health(reading)),
    "/ready": lambda reading: _verdict(readiness(reading)),
    "/metrics": lambda reading: Answer(200, CONTENT_TYPE, expose(reading)),
    "/status": lambda reading: Answer(200, JSON, encode({"schema": 1, **reading.to_json()}) + b"\n"),
}


class Web:
    """Serves one store from a socket that listens."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._reading: Reading | None = None
        self._read = asyncio.Event()  # the first is there
        self._failure = ""  # why none can be had
        self._answers: dict[str, tuple[Reading, Answer]] = {}
        self._rendering = asyncio.Lock()
        self._page = resources.files("mdtool.service").joinpath("overview.html").read_bytes()

    async def serve(self, listening: socket.socket, stopped: asyncio.Event) -> None:
        """Until `stopped`."""
        # Threads of their own: a disk that hangs holds up the reading, and not the answers.
        with Readings(self._store) as readings, ThreadPoolExecutor(1) as disk, ThreadPoolExecutor(1) as self._pen:
            await self._serve(listening, stopped, asyncio.create_task(self._keep_reading(readings, disk)))

    async def _serve(self, listening: socket.socket, stopped: asyncio.Event, reading: asyncio.Task[None]) -> None:
        server = web.Server(self._handle)
        self._door = Door(server)
        listener = await asyncio.get_running_loop().create_server(self._door, sock=listening)
        stopping = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait([stopping, reading], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()  # it only ends by failing: fail with it
        finally:
            stopping.cancel()
            listener.close()
            reading.cancel()
            await server.shutdown(LAST_ANSWERS)
            await asyncio.gather(reading, return_exceptions=True)

    async def _keep_reading(self, readings: Readings, disk: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                self._reading = await loop.run_in_executor(disk, readings.take, self._clock.now_ns())
                self._failure = ""
            except (MdtoolError, OSError) as error:
                self._failure = str(error)
            self._read.set()
            await asyncio.sleep(max(TICK, min(SPARED * (loop.time() - began), LONGEST_TICK)))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._door.spoke(request.transport)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            return refusal(405, Allow="GET, HEAD")
        if request.path == "/":
            return await self._send(request, Answer(200, "text/html; charset=utf-8", self._page))
        if request.path not in PATHS:
            return refusal(404)
        return await self._send(request, await self._answer(request.path))

    async def _answer(self, path: str) -> Answer:
        """What a path says of the newest reading, made once for all who ask."""
        try:
            async with asyncio.timeout(PATIENCE / 2):
                await self._read.wait()
        except TimeoutError:
            return self._none("the store has not been read yet")
        reading = self._reading
        if reading is None:
            return self._none(self._failure)
        age_ns = self._clock.now_ns() - reading.now_ns
        if age_ns > OLD_NS:
            why = self._failure or "the disk may hang"
            return self._none(f"the store was read {age_ns // SECOND} s ago: {why}")
        async with self._rendering:
            made = self._answers.get(path)
            if made is None or made[0] is not reading:
                loop = asyncio.get_running_loop()
                made = self._answers[path] = (reading, await loop.run_in_executor(self._pen, PATHS[path], reading))
        return made[1]

    def _none(self, why: str) -> Answer:
        return _verdict(unreadable(self._clock.now_ns(), why))

    async def _send(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """A little at a time, so that who does not take it costs no more than that, and not for long."""
        response = web.StreamResponse(status=answer.status, headers={**HEADERS, hdrs.CONTENT_TYPE: answer.kind})
        response.content_length = len(answer.body)
        try:
            async with asyncio.timeout(PATIENCE):
                await response.prepare(request)
                if request.method != hdrs.METH_HEAD:
                    for at in range(0, len(answer.body), PIECE):
                        await response.write(answer.body[at : at + PIECE])
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response


def main() -> int:
    """Until stdin ends."""
    try:
        start = decode(sys.stdin.buffer.readline(), type=Start)
    except (ValidationError, DecodeError) as error:
        sys.stderr.write(f"not told what to serve: {error}\n")
        return UsageError.exit_code
    os.nice(NICE)
    with Store.open(start.store) as store, socket.socket(fileno=start.fd) as listening:
        asyncio.run(_serve(store, listening))
    return 0


async def _serve(store: Store, listening: socket.socket) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    threading.Thread(target=_await_the_end, args=(loop, stopped), daemon=True).start()
    serving = asyncio.create_task(serve(store, listening, stopped))
    while not serving.done():
        try:
            os.write(sys.stdout.fileno(), b"\n")  # a sign of life
        except BrokenPipeError:
            stopped.set()
        await asyncio.wait([serving], timeout=SIGN_OF_LIFE)
    await serving


async def serve(store: Store, listening: socket.socket, stopped: asyncio.Event) -> None:
    """Serve a store until `stopped`, or the process is told to end (SIGTERM)."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await Web(store).serve(listening, stopped)


def _await_the_end(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # A thread, so that nothing that hangs keeps an orphan alive, and with it the port.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stopped.set)
    time.sleep(LAST_LOOK)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
