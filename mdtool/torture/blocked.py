"""A recorder whose stderr nobody reads: it says what it has to say into a pipe that is full from the beginning."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import Callable

from mdtool.capture.child import command, environment
from mdtool.clock import SystemClock
from mdtool.errors import StoreError
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Sent, Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.exchange.storm import Shares, Storm
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.torture.case import Case
from mdtool.units import count

VENUE = "sim"
SYMBOLS = symbol_names(3)
RATE = 400.0
ENOUGH = 300  # records that must come while nobody reads
PIPE = 4096  # bytes it holds
LONGEST = 60.0  # seconds it may take to record those, and to end when it is told to; beyond it is stuck
LOOK = 0.02
SHARES = Shares(drop=0.02, repeat=0.02, swap=0.02, corrupt=0.02, cut=0.001)  # so that it has much to say


def blocked_stderr(case: Case) -> None:
    """It goes on recording, and ends when it is told to."""
    asyncio.run(_play(case))


async def _play(case: Case) -> None:
    sent: list[Sent] = []
    seed = case.random.getrandbits(32)
    simulator = Simulator(SYMBOLS, seed=seed, rate=RATE, start_ns=SystemClock().now_ns())
    storm = Storm(SHARES, lambda injected: None, seed=seed)
    source = SimulatedSource(simulator, wait=True)
    told = case.random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    async with Server(source, protocol_for(VENUE), faults=storm, sent=sent.append) as server:
        reading, writing = _full_pipe()
        process = None
        try:
            arguments = ("--store", case.store, "record", VENUE, *SYMBOLS, "--url", server.url, "--rest", server.rest)
            process = await asyncio.create_subprocess_exec(
                *command("mdtool", *arguments), env=environment(), stdin=DEVNULL, stdout=DEVNULL, stderr=writing,
                start_new_session=True,
            )  # fmt: skip
            case.fault(f"stderr blocked, then {told.name}")
            if not await _within(lambda: process.returncode is not None or _recorded(case).total() >= ENOUGH):
                case.outcome.silent.append("with a blocked stderr nothing is recorded")
            elif process.returncode is not None:
                case.outcome.silent.append(f"with a blocked stderr the recorder ended: exit {process.returncode}")
            else:
                process.send_signal(told)
                if not await _within(lambda: process.returncode is not None):
                    case.outcome.silent.append(f"with a blocked stderr {told.name} does not end it")
        finally:
            os.close(reading)
            os.close(writing)
            await _end(process)
    _judge(case, Counter(one.frame for one in sent))


async def _within(condition: Callable[[], bool]) -> bool:
    """Whether it comes to hold in time."""
    try:
        async with asyncio.timeout(LONGEST):
            while not condition():
                await asyncio.sleep(LOOK)
    except TimeoutError:
        return False
    return True


async def _end(process: Process | None) -> None:
    if process is not None and process.returncode is None:
        process.kill()
        await process.wait()


def _judge(case: Case, sent: Counter[bytes]) -> None:
    recorded = _recorded(case)
    case.outcome.records = recorded.total()
    strangers = recorded - sent
    if strangers:
        case.outcome.silent.append(f"{count(strangers.total(), 'record')} that nobody has sent")
    with Store.open(case.store) as store:
        for feed in store.feeds():
            with store.reader(feed.name) as reader:
                reader.to_end()
                if not reader.ended:
                    case.outcome.silent.append(f"{feed.name} has no END")


def _recorded(case: Case) -> Counter[bytes]:
    """The frames that are on record now."""
    found: Counter[bytes] = Counter()
    with contextlib.suppress(StoreError), Store.open(case.store) as store:  # there is none at first
        for feed in store.feeds():
            with store.reader(feed.name) as reader:
                for record in reader.records():
                    if record.kind == Kind.DATA and reader.stream_name(record.stream) != "ping":
                        found[record.payload] += 1
    return found


def _full_pipe() -> tuple[int, int]:
    """Both ends of a pipe that holds nothing more."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * PIPE)
    os.set_blocking(writing, True)
    return reading, writing
