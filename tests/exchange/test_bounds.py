"""Hostile clients: each is bounded, and the others do not notice."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import connect

from mdtool.exchange import bounds, client
from mdtool.exchange.bounds import BURST, IN_A_ROW, RATE, Door, Pace, relieve
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.kraken import NewSession
from mdtool.exchange.protocol import Reaction
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.source import Instrument
from mdtool.model import Scale

HANDSHAKE = (
    b"GET /v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Quiet:
    """A source that says what the test says."""

    def __init__(self) -> None:
        self.instruments: Sequence[Instrument] = (Instrument("BTC_USD", "BTC/USD", Scale(-1, -8)),)

    async def run(self, outlet: object) -> None:
        self.outlet = outlet
        await asyncio.Event().wait()

    def listened(self) -> None: ...

    def whole(self, symbol: str, stream: str) -> None: ...

    def lists(self) -> dict[str, bytes]:
        return {}

    def first(self, symbol: str, stream: str) -> None: ...

    def streams(self, symbol: str) -> tuple[str, ...]:
        return ("trade",)

    def now_ms(self) -> int:
        return 1


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


def text(message: bytes, opcode: int = 1) -> bytes:
    """A client's frame, masked with nothing."""
    head = struct.pack(">BBH", 0x80 | opcode, 0xFE, len(message)) if len(message) > 125 else bytes(
        (0x80 | opcode, 0x80 | len(message))
    )  # fmt: skip
    return head + bytes(4) + message


async def knock(server: Server, first: bytes = HANDSHAKE):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(first)
    if first is HANDSHAKE:
        await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def test_a_client_that_sends_too_much_is_read_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 6))
        now += seconds

    monkeypatch.setattr(bounds.asyncio, "sleep", sleep)

    async def main() -> None:
        nonlocal now
        pace = Pace(lambda: now)
        for _ in range(1_000):
            await pace.turn(0)
        assert slept == [0.0] * (1_000 // IN_A_ROW)  # a burst, in which the others have their turns
        await pace.turn(0)
        assert slept[-1] == round(1 / RATE, 6)
        now += 100.0
        await pace.turn(10 << 20)  # bytes count as well
        assert slept[-1] == round((1 + 10_240 - BURST) / RATE, 6)

    asyncio.run(main())


@pytest.mark.parametrize("opcode", [1, 9])
def test_a_flood_of_one_client_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch, opcode: int) -> None:
    """Garbage or pings by the thousand, from who reads none of the answers."""
    handled = 0

    def count(method):
        def counted(session: NewSession, *rest: object) -> Reaction:
            nonlocal handled
            handled += 1
            return method(session, *rest)

        return counted

    monkeypatch.setattr(NewSession, "on_text", count(NewSession.on_text))
    monkeypatch.setattr(NewSession, "on_control", count(NewSession.on_control))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Server(Quiet(), protocol_for("kraken")) as server, connect(f"{server.url}/v2") as good:
            await good.recv()
            began = loop.time()
            _, flood = await knock(server)
            flood.write(text(b'{"method":', opcode) * 100_000)
            for number in range(50):
                await good.send(json.dumps({"method": "ping", "req_id": number}))
                assert json.loads(await good.recv()) == {"method": "pong", "req_id": number}
            await until(lambda: handled > BURST)
            assert handled <= BURST + RATE * (loop.time() - began) + 50 + IN_A_ROW
            flood.transport.abort()

    asyncio.run(main())


def test_who_does_not_take_the_close_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CLOSE_WAIT", 0.01)

    async def main() -> None:
        source = Quiet()
        async with Server(source, protocol_for("kraken"), ServerOptions(client_buffer=64 << 20)) as server:
            deaf = socket.create_connection(("127.0.0.1", server.port))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            subscribe = b'{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}'
            deaf.sendall(HANDSHAKE + text(subscribe))
            await until(lambda: server.listeners("BTC_USD", "trade") == 1)
            for _ in range(40):
                server.publish("BTC_USD", "trade", b"x" * (1 << 20))  # what is buffered comes before a close
            deaf.sendall(text(b"\xff", 2))  # which the venue answers with one
            await until(lambda: server.clients == 0)
            deaf.close()

    asyncio.run(main())


def test_who_neither_speaks_nor_leaves_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(Door.__init__, "__defaults__", (3,))
        async with Server(Quiet(), protocol_for("kraken")) as server:
            silent = [await knock(server, b"GET / HT") for _ in range(3)]
            await until(lambda: len(server._door._server.connections) == 3)
            talking = [await knock(server) for _ in range(3)]  # each in the place of a silent one
            assert [await reader.read() for reader, _ in silent] == [b"", b"", b""]
            assert server.clients == 3
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await knock(server)  # all that stand have spoken
            for reader, writer in talking:
                assert json.loads((await reader.readuntil(b"}]}"))[2:])["channel"] == "status"
                writer.close()

    asyncio.run(main())


def test_all_together_lag_behind_by_so_much_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lagging:
        def __init__(self, buffered: int) -> None:
            self.buffered = buffered
            self.cut_for: str | None = None

        def cut(self, why: str) -> None:
            self.cut_for = why

    monkeypatch.setattr(bounds, "MOST_BUFFERED", 100)
    some = [Lagging(10), Lagging(60), Lagging(30)]
    assert relieve(some) is None
    some.append(Lagging(1))
    assert relieve(some) is some[1]
    assert [one.cut_for for one in some] == [None, "too slow", None, None]
