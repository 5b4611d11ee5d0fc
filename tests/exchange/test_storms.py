"""Faults by chance: what is done to a message is what the ledger says, and all else comes as it was sent."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import connect

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import UsageError
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Sent, Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator
from mdtool.exchange.storm import Injected, Shares, Storm

START = 1_760_000_000 * SECOND
NAMES = ("ALPHA_USDT", "BRAVO_USDT")
DEPTH, TRADE = "depth@100ms", "trade"
SUBSCRIBED = "/".join(f"{name.replace('_', '').lower()}@{stream}" for name in NAMES for stream in (DEPTH, TRADE))


def exchange() -> Simulator:
    return Simulator(NAMES, seed=8, rate=200.0, start_ns=START)


def heard(shares: Shares, **options) -> tuple[list[bytes], list[Injected], list[bytes]]:
    """What a client hears, what was done, and what the server says that it sent."""

    async def main():
        ledger: list[Injected] = []
        sent: list[Sent] = []
        got: list[bytes] = []
        storm = Storm(shares, ledger.append, **options)
        source = SimulatedSource(exchange(), speed=None, wait=True, for_ns=3 * SECOND)
        async with (
            Server(source, protocol_for("sim"), faults=storm, sent=sent.append) as server,
            connect(f"{server.url}/stream?streams={SUBSCRIBED}", max_queue=None) as client,
        ):
            try:
                while True:
                    got.append(await client.recv(decode=False))
            except ConnectionClosed:
                pass
        return got, ledger, [one.frame for one in sent]

    return asyncio.run(main())


def told() -> list[bytes]:
    messages = exchange().step(START + 3 * SECOND)
    return [one.payload for one in messages if one.stream in (DEPTH, TRADE)]


def test_without_faults_nothing_changes():
    got, ledger, sent = heard(Shares())
    assert (got, ledger, sent) == (told(), [], told())


def test_what_is_heard_is_what_was_said_and_what_the_ledger_says_was_done_to_it():
    shares = Shares(drop=0.03, repeat=0.03, swap=0.03, corrupt=0.03)
    got, ledger, sent = heard(shares, seed=5)
    assert got == sent
    assert (got, ledger) == heard(shares, seed=5)[:2]
    done = {one.payload: one.fault for one in ledger}
    assert min(Counter(done.values())[fault] for fault in ("drop", "repeat", "swap", "corrupt")) > 1
    streams: dict[str, list[bytes]] = {}
    for payload in told():
        streams.setdefault(json.loads(payload)["stream"], []).append(payload)
    whole: dict[str, list[bytes]] = {name: [] for name in streams}
    broken = []
    for frame in got:
        try:
            whole[json.loads(frame)["stream"]].append(frame)
        except ValueError:
            broken.append(frame)
    for name, payloads in streams.items():
        expected: list[bytes] = []
        late: bytes | None = None
        for payload in payloads:
            fault = done.get(payload)
            if fault == "swap":
                assert late is None
                late = payload
                continue
            expected += [] if fault in ("drop", "corrupt") else [payload] * (2 if fault == "repeat" else 1)
            if late is not None:
                expected.append(late)
                late = None
        assert whole[name] == expected
    spoiled = [payload for payload, fault in done.items() if fault == "corrupt"]
    assert len(broken) == len(spoiled)
    assert all(any(payload.startswith(frame) for payload in spoiled) for frame in broken)


def test_a_cut_ends_the_connection_behind_its_message():
    got, ledger, sent = heard(Shares(cut=0.01), seed=2)
    (cut,) = ledger
    assert cut.fault == "cut"
    everything = told()
    upto = everything.index(cut.payload)
    assert sent == everything[: len(sent)] and len(sent) <= upto + 1
    assert got == sent[: len(got)]


def test_it_is_over_after_its_time_and_when_it_is_stopped():
    clock = ManualClock(START)
    ledger: list[Injected] = []
    storm = Storm(Shares(drop=1.0), ledger.append, for_ns=2 * SECOND, clock=clock)
    clock.advance(100 * SECOND)  # it begins with the first message
    assert storm.decide() == "drop"
    clock.advance(2 * SECOND - 1)
    assert storm.decide() == "drop"
    clock.advance(1)
    assert storm.decide() == ""
    endless = Storm(Shares(drop=1.0), ledger.append)
    assert endless.decide() == "drop"
    endless.stop()
    assert endless.decide() == ""


def test_a_line_of_the_ledger():
    line = Injected("drop", "ALPHA_USDT", TRADE, b'{"t":1}').line()
    assert json.loads(line) == {"fault": "drop", "symbol": "ALPHA_USDT", "stream": TRADE, "message": '{"t":1}'}


def test_shares_are_read_and_refused():
    assert Shares.parse("drop=0.25, cut=1e-5") == Shares(drop=0.25, cut=1e-5)
    for wrong in ("", "drop", "drop=x", "drop=2", "drop=-0.1", "drop=nan", "loss=0.1", "drop=0.1,drop=0.1"):
        with pytest.raises(UsageError, match="expected corrupt, cut, drop, repeat, swap, each once"):
            Shares.parse(wrong)
    with pytest.raises(UsageError, match="more than all messages"):
        Shares.parse("drop=0.6,repeat=0.6")
