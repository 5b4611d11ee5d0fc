"""Faults on purpose: each happens where it was asked for, and nothing else changes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect

from mdtool.errors import UsageError
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.faults import Cut, Delay, Drop, Fault, Faults, Refuse, Repeat, Swap
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Message, Simulator

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
DEPTH = "alphausdt@depth@100ms"
TRADE = "alphausdt@trade"


def told() -> list[Message]:
    """What the exchange says."""
    simulator = Simulator(("ALPHA_USDT", "BRAVO_USDT"), seed=8, rate=100.0, start_ns=START)
    return simulator.step(START + SECOND)


def heard(*faults: Fault, speed: float | None = None) -> tuple[list[bytes], int | None]:
    """What a client hears of it, and the close code it saw."""

    async def main() -> tuple[list[bytes], int | None]:
        simulator = Simulator(("ALPHA_USDT", "BRAVO_USDT"), seed=8, rate=100.0, start_ns=START)
        source = SimulatedSource(simulator, speed=speed, wait=True, for_ns=SECOND)
        got: list[bytes] = []
        options = ServerOptions(keep_log=True)
        async with Server(source, protocol_for("sim"), options, faults=Faults(*faults)) as server:
            async with connect(f"{server.url}/stream?streams={DEPTH}/{TRADE}", max_queue=None) as client:
                try:
                    while True:
                        got.append(await client.recv(decode=False))
                except websockets.ConnectionClosed:
                    pass
                code = client.close_code
            assert [sent.frame for sent in server.log[: len(got)]] == got
        return got, code

    return asyncio.run(main())


def of(messages: list[Message], *streams: str) -> list[bytes]:
    return [m.payload for m in messages if m.symbol == "ALPHA_USDT" and m.stream in streams]


def stream_of(payloads: list[bytes], name: str) -> list[bytes]:
    return [p for p in payloads if p.startswith(f'{{"stream":"{name}"'.encode())]


def test_no_fault_no_change() -> None:
    assert heard() == (of(told(), "depth@100ms", "trade"), 1000)


def test_drop_duplicate_swap() -> None:
    depth, trades = of(told(), "depth@100ms"), of(told(), "trade")
    got, _ = heard(Drop(DEPTH, 3), Repeat(TRADE, 2), Swap(DEPTH, 5))
    assert stream_of(got, DEPTH) == [*depth[:2], depth[3], depth[5], depth[4], *depth[6:]]
    assert stream_of(got, TRADE) == [trades[0], trades[1], *trades[1:]]


def test_a_pattern_counts_over_all_streams_it_matches() -> None:
    both = of(told(), "depth@100ms", "trade")
    got, _ = heard(Drop("alphausdt@*", 1), Drop("*", 4))
    assert got == [payload for n, payload in enumerate(both, 1) if n not in (1, 4)]


def test_a_delay_holds_its_stream_and_keeps_its_order() -> None:
    depth, trades = of(told(), "depth@100ms"), of(told(), "trade")
    got, _ = heard(Delay(DEPTH, 2, 0.3), speed=2.0)
    assert stream_of(got, DEPTH) == depth
    assert stream_of(got, TRADE) == trades
    # 0.3 s are 0.6 s of the exchange's time: the held messages come out in one piece, after trades of that time.
    told_ns = {m.payload: m.venue_ns for m in told()}
    held = got.index(depth[1])
    overtaken = [p for p in got[:held] if told_ns[p] > told_ns[depth[1]]]
    assert overtaken
    assert set(overtaken) <= set(trades)
    assert got[held : held + 3] == depth[1:4]


@pytest.mark.parametrize(("code", "seen"), [(None, 1006), (1012, 1012)])
def test_a_cut_ends_every_connection_once(code: int | None, seen: int) -> None:
    async def main() -> None:
        simulator = Simulator(("ALPHA_USDT",), seed=8, rate=100.0, start_ns=START)
        source = SimulatedSource(simulator, speed=20.0)
        faults = Faults(Cut(10, code))
        async with Server(source, protocol_for("sim"), faults=faults) as server:
            async with connect(f"{server.url}/stream?streams={DEPTH}") as client:
                got = 0
                with pytest.raises(websockets.ConnectionClosed):
                    while True:
                        await client.recv()
                        got += 1
                assert client.close_code == seen
                # Without a close frame what was still on its way may be lost; with one, nothing is.
                assert got == 10 if code else got <= 10
            async with connect(f"{server.url}/stream?streams={DEPTH}") as client:
                for _ in range(15):
                    await client.recv()

    asyncio.run(main())


def test_refusals_at_both_doors() -> None:
    async def main() -> None:
        source = SimulatedSource(Simulator(seed=8, start_ns=START))
        faults = Faults(
            Refuse("connect", 451), Refuse("connect", 429, retry_after=3), Refuse("rest", 418, times=2, retry_after=9)
        )
        async with Server(source, protocol_for("sim"), faults=faults) as server:
            seen: list[Any] = []
            for _ in range(2):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(f"{server.url}/ws")
                seen.append((refused.value.response.status_code, refused.value.response.headers.get("Retry-After")))
            assert seen == [(451, None), (429, "3")]
            async with connect(f"{server.url}/ws"):
                pass
            async with aiohttp.ClientSession() as session:
                statuses = []
                for _ in range(3):
                    async with session.get(f"{server.rest}/api/v3/ping") as answer:
                        statuses.append((answer.status, answer.headers.get("Retry-After")))
            assert statuses == [(418, "9"), (418, "9"), (200, None)]

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Drop(DEPTH, 0), Cut(0), Refuse("rest", 429, times=0)])
def test_a_fault_counts_from_one(fault: Fault) -> None:
    with pytest.raises(UsageError, match="counts from 1, not 0"):
        Faults(fault)
