"""The server over real sockets, with a websocket client that shares no code with it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
import websockets
from patience import LONGEST, until
from websockets.asyncio.client import ClientConnection, connect

from mdtool.clock import ManualClock
from mdtool.errors import PortInUse, UsageError
from mdtool.exchange import server as server_module
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.client import FRAME_OVERHEAD, Client
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SLICE, SimulatedSource
from mdtool.exchange.simulator import Simulator
from mdtool.exchange.source import BookView, Instrument, Outlet
from mdtool.model import Scale

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
ALPHA = Instrument("ALPHA_USDT", "ALPHAUSDT", Scale(-2, -4))


class Script:
    """A source that publishes what the test says."""

    def __init__(self) -> None:
        self.instruments: Sequence[Instrument] = (ALPHA,)
        self.published: tuple[str, ...] = ("trade", "bookTicker", "aggTrade", "depth@0ms")
        self.outlet: Outlet | None = None
        self.heard = asyncio.Event()
        self.over = asyncio.Event()
        self.pings = 0

    async def run(self, outlet: Outlet) -> None:
        self.outlet = outlet
        await self.over.wait()

    def listened(self) -> None:
        self.heard.set()

    def depth(self, symbol: str, limit: int) -> BookView | bytes | None:
        return None

    def whole(self, symbol: str, stream: str) -> bytes | None:
        return None

    def lists(self) -> dict[str, bytes]:
        return {}

    def first(self, symbol: str, stream: str) -> bytes | None:
        return None

    def streams(self, symbol: str) -> tuple[str, ...]:
        return self.published

    def now_ms(self) -> int:
        self.pings += 1  # nothing else asks for the time here
        return START // 1_000_000 + self.pings

    def say(self, number: int, stream: str = "trade", pad: int = 0) -> bytes:
        payload = f'{{"stream":"alphausdt@{stream}","data":{{"t":{number},"pad":"{"x" * pad}"}}}}'.encode()
        assert self.outlet is not None
        self.outlet.publish("ALPHA_USDT", stream, payload)
        return payload


async def ask(client: ClientConnection, request: Any) -> Any:
    await client.send(request if isinstance(request, str) else json.dumps(request))
    return json.loads(await client.recv())


def live(speed: float | None = 20.0, **options: Any) -> SimulatedSource:
    return SimulatedSource(Simulator(seed=3, rate=100.0, start_ns=START), speed=speed, **options)


def test_combined_streams_are_the_simulators_own_bytes() -> None:
    async def main() -> None:
        expected = [
            m.payload
            for m in Simulator(seed=3, rate=100.0, start_ns=START).step(START + 2 * SECOND)
            if (m.symbol, m.stream)
            in {("ALPHA_USDT", "depth@100ms"), ("BRAVO_USDT", "trade"), ("CHARLIE_USDT", "bookTicker")}
        ]
        source = live(wait=True, for_ns=2 * SECOND)
        options = ServerOptions(keep_log=True)
        async with Server(source, protocol_for("sim"), options) as server:
            streams = "alphausdt@depth@100ms/bravousdt@trade/charlieusdt@bookTicker"
            async with connect(f"{server.url}/stream?streams={streams}") as client:
                got = [message.encode() async for message in client if isinstance(message, str)]
                assert client.close_code == 1000  # the simulated exchange closed after two seconds
            assert got == expected
            assert [sent.frame for sent in server.log] == expected
            assert {sent.client for sent in server.log} == {1}
            assert sum(server.counts.sent.values()) == len(expected)
            await server.finished()

    asyncio.run(main())


def test_raw_streams_are_the_data_part_alone() -> None:
    async def main() -> None:
        source = Script()
        async with (
            Server(source, protocol_for("binance")) as server,
            connect(f"{server.url}/ws/alphausdt@trade") as raw,
            connect(f"{server.url}/stream?streams=alphausdt@trade") as combined,
        ):
            await until(lambda: server.listeners("ALPHA_USDT", "trade") == 2)
            payload = source.say(1)
            assert await raw.recv(decode=False) == b'{"t":1,"pad":""}'
            assert await combined.recv(decode=False) == payload
            assert await ask(raw, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 4}) == {
                "result": None,
                "id": 4,
            }
            payload = source.say(2)
            assert await raw.recv(decode=False) == payload
            assert await ask(raw, {"method": "GET_PROPERTY", "params": ["combined"], "id": 5}) == {
                "result": True,
                "id": 5,
            }

    asyncio.run(main())


def test_subscribe_list_unsubscribe() -> None:
    async def main() -> None:
        source = Script()
        async with Server(source, protocol_for("binance")) as server, connect(f"{server.url}/ws") as client:
            assert not source.heard.is_set()
            names = ["alphausdt@trade", "alphausdt@bookTicker"]
            assert await ask(client, {"method": "SUBSCRIBE", "params": names, "id": 1}) == {
                "result": None,
                "id": 1,
            }
            assert source.heard.is_set()
            source.say(1)
            assert json.loads(await client.recv())["t"] == 1
            assert await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": "x"}) == {"result": names, "id": "x"}
            gone = {"method": "UNSUBSCRIBE", "params": ["alphausdt@trade"], "id": 2}
            assert await ask(client, gone) == {"result": None, "id": 2}
            source.say(2)
            source.say(3, "bookTicker")
            assert json.loads(await client.recv())["t"] == 3
            assert await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 3}) == {
                "result": ["alphausdt@bookTicker"],
                "id": 3,
            }

    asyncio.run(main())


def test_an_ack_comes_before_the_first_message_of_its_stream() -> None:
    async def main() -> None:
        async with Server(live(), protocol_for("sim")) as server, connect(f"{server.url}/stream") as client:
            first = await ask(client, {"method": "SUBSCRIBE", "params": ["alphausdt@depth@100ms"], "id": 1})
            assert first == {"result": None, "id": 1}
            assert json.loads(await client.recv())["stream"] == "alphausdt@depth@100ms"

    asyncio.run(main())


def test_routed_sockets_are_silent_for_the_other_route() -> None:
    async def main() -> None:
        source = Script()
        async with Server(source, protocol_for("binance-usdm")) as server:
            names = "alphausdt@depth@0ms/alphausdt@aggTrade"
            async with (
                connect(f"{server.url}/public/stream?streams={names}") as public,
                connect(f"{server.url}/market/ws/{names}") as market,
                connect(f"{server.url}/stream?streams={names}") as unrouted,
            ):
                await until(lambda: server.listeners("ALPHA_USDT", "depth@0ms") == 2)
                await until(lambda: server.listeners("ALPHA_USDT", "aggTrade") == 2)
                depth, trade = source.say(1, "depth@0ms"), source.say(2, "aggTrade")
                assert [await unrouted.recv(decode=False) for _ in range(2)] == [depth, trade]
                assert await public.recv(decode=False) == depth
                assert json.loads(await market.recv())["t"] == 2
                for client in (public, market):  # the subscription is accepted all the same
                    listed = await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
                    assert listed["result"] == names.split("/")

    asyncio.run(main())


BAD_REQUESTS = [
    ("{", 3, "Invalid JSON"),
    ("", 3, "Invalid JSON"),
    ("[" * 5000, 3, "Invalid JSON"),
    ("nonsense\x00", 3, "Invalid JSON"),
    ("[]", 2, "expected a JSON object"),
    ('"SUBSCRIBE"', 2, "expected a JSON object"),
    ('{"id":1}', 2, "missing field `method`"),
    ('{"method":"subscribe","params":["a@trade"],"id":1}', 2, "unknown variant `subscribe`, expected one of"),
    ('{"method":["SUBSCRIBE"],"id":1}', 2, "unknown variant"),
    ('{"method":"SUBSCRIBE","id":1}', 2, "params must be an array"),
    ('{"method":"SUBSCRIBE","params":[1,null],"id":1}', 2, "params must be stream names"),
    ('{"method":"SUBSCRIBE","params":[],"id":1.5}', 2, "request ID must be an unsigned integer"),
    ('{"method":"SUBSCRIBE","params":[],"id":[1]}', 2, "request ID must be an unsigned integer"),
    ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', 2, "too many parameters"),
    ('{"method":"GET_PROPERTY","params":["speed"],"id":1}', 0, "Unknown property"),
    ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1, "expected Boolean"),
    ('{"method":"SET_PROPERTY","params":[],"id":1}', 2, "property name must be a string"),
]


def test_bad_requests_are_answered_in_the_venues_form(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        source = Script()
        async with Server(source, protocol_for("binance")) as server, connect(f"{server.url}/ws") as client:
            for request, code, message in BAD_REQUESTS:
                answer = await ask(client, request)
                assert answer["error"]["code"] == code
                assert message in answer["error"]["msg"]
            assert (await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"] == []

    caplog.set_level(logging.DEBUG)
    asyncio.run(main())
    assert "Traceback" not in caplog.text


def test_hostile_clients_do_not_disturb_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        source = Script()
        async with (
            Server(source, protocol_for("binance")) as server,
            connect(f"{server.url}/ws/alphausdt@trade") as good,
        ):
            for garbage in (
                b"\x00\x01\x02\x03" * 50,
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"POST /api/v3/depth HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(garbage)
                writer.write_eof()
                answer = await reader.read()
                assert answer == b"" or answer.startswith(b"HTTP/1.")
                assert b"Traceback" not in answer
                writer.close()
            async with connect(f"{server.url}/ws") as binary:
                await binary.send(b"\xff\xfe")
                await binary.wait_closed()
                assert binary.close_code == 1008
            async with connect(f"{server.url}/ws", max_size=None) as huge:
                await huge.send("x" * 200_000)
                await huge.wait_closed()
                assert huge.close_code == 1009
            # A text frame that is no UTF-8, sent past the client library's own check.
            async with connect(f"{server.url}/ws") as broken:
                broken.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xff")
                await broken.wait_closed()
                assert broken.close_code == 1007
            # A frame cut in the middle.
            async with connect(f"{server.url}/ws") as cut:
                cut.transport.write(b"\x81\xfe\x10")
                cut.transport.abort()
            source.say(1)
            assert json.loads(await good.recv())["t"] == 1
            await until(lambda: server.clients == 1)

    caplog.set_level(logging.INFO)
    asyncio.run(main())
    assert "Traceback" not in caplog.text


def test_no_such_path() -> None:
    async def main() -> None:
        async with Server(Script(), protocol_for("binance")) as server:
            for path, status in (
                ("/nowhere", 404),
                ("/public/ws", 404),
                ("/stream?streams=" + "/".join(map(str, range(1025))), 400),
            ):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(f"{server.url}{path}")
                assert refused.value.response.status_code == status

    asyncio.run(main())


def test_at_most_1024_streams() -> None:
    async def main() -> None:
        source = Script()
        source.instruments = [Instrument(f"S{n}_USDT", f"S{n}USDT", ALPHA.scale) for n in range(1024)]
        async with Server(source, protocol_for("binance")) as server, connect(f"{server.url}/ws") as client:
            names = [f"s{n}usdt@trade" for n in range(1024)]
            assert (await ask(client, {"method": "SUBSCRIBE", "params": names, "id": 1}))["id"] == 1
            assert (await ask(client, {"method": "SUBSCRIBE", "params": names[:5], "id": 2}))["id"] == 2
            await client.send('{"method":"SUBSCRIBE","params":["one@more"],"id":3}')
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1008, "Too many streams: the limit is 1024")

    asyncio.run(main())


@pytest.mark.parametrize(("venue", "burst"), [("binance", 40), ("binance-usdm", 80)])
def test_too_many_messages_end_the_connection(venue: str, burst: int) -> None:
    async def main() -> None:
        async with Server(Script(), protocol_for(venue)) as server, connect(f"{server.url}/ws") as client:
            for number in range(2 * burst):
                await client.send(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
            answers = []
            with pytest.raises(websockets.ConnectionClosedError):
                while True:
                    answers.append(json.loads(await client.recv())["id"])
            # An allowance refills while they arrive, so a few more than the burst may be answered.
            assert answers == list(range(len(answers)))
            assert burst <= len(answers) < 2 * burst
            assert (client.close_code, client.close_reason) == (1008, "Too many requests")

    asyncio.run(main())


def test_pings_are_answered_and_sent() -> None:
    async def main() -> None:
        source = Script()
        protocol = protocol_for("binance", ping_interval=0.01, pong_timeout=LONGEST)
        async with Server(source, protocol) as server, connect(f"{server.url}/ws", ping_interval=None) as client:
            await (await client.ping(b"here"))
            (served,) = server._clients
            # The client library pongs by itself.
            await until(lambda: source.pings >= 3 and len(served._unanswered) <= 1)
            assert (await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1

    asyncio.run(main())


def test_a_client_that_does_not_pong_is_let_go() -> None:
    async def main() -> None:
        protocol = protocol_for("binance", ping_interval=0.05, pong_timeout=0.2)
        async with Server(Script(), protocol) as server:
            session = aiohttp.ClientSession()
            async with session, session.ws_connect(f"{server.url}/ws", autoping=False) as mute:
                pings = []
                while (message := await mute.receive(timeout=LONGEST)).type is aiohttp.WSMsgType.PING:
                    pings.append(bytes(message.data))
                    await mute.pong(b"unsolicited")  # allowed, and prevents nothing
                assert pings and pings == [b"%d" % (START // 1_000_000 + n) for n in range(1, len(pings) + 1)]
                assert (message.type, message.data, message.extra) == (
                    aiohttp.WSMsgType.CLOSE,
                    1008,
                    "Pong timeout",
                )

    asyncio.run(main())


@pytest.mark.parametrize(("over", "held", "cut"), [(0, 200, None), (1, 0, "too slow")])
def test_a_buffer_holds_what_fits_whole_and_no_frame_more(over: int, held: int, cut: str | None) -> None:
    class Open:
        closed = False

    client = Client(1, Open(), None, None, 200, lambda *sent: None)  # type: ignore[arg-type]
    client.offer(b"x" * (100 - FRAME_OVERHEAD))
    client.offer(b"x" * (100 - FRAME_OVERHEAD + over))
    assert (client.buffered, client.cut_for, client.open) == (held, cut, cut is None)


def test_an_answered_ping_answers_for_those_before_it() -> None:
    client = Client(1, None, None, None, 200, lambda *sent: None)  # type: ignore[arg-type]
    client._unanswered = {b"1": 0.0, b"2": 0.0, b"3": 0.0}
    client.pong(b"unsolicited")
    assert list(client._unanswered) == [b"1", b"2", b"3"]
    client.pong(b"2")
    assert list(client._unanswered) == [b"3"]


def test_a_slow_client_is_cut_and_nobody_waits_for_it() -> None:
    async def main() -> None:
        source = Script()
        options = ServerOptions(client_buffer=1 << 20, keep_log=True)
        async with Server(source, protocol_for("binance"), options) as server:
            # A bare socket that never reads after its handshake.
            slow = socket.create_connection(("127.0.0.1", server.port))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(
                b"GET /ws/alphausdt@trade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            async with connect(f"{server.url}/ws/alphausdt@trade", max_queue=None) as good:
                await until(lambda: server.listeners("ALPHA_USDT", "trade") == 2)
                for number in range(2000):
                    source.say(number, pad=10_000)
                    if number % 10 == 0:
                        await asyncio.sleep(0)
                        held = [client.buffered for client in server._clients]
                        assert max(held) <= options.client_buffer
                    if number % 50 == 0:  # the good one has taken all there was
                        await until(lambda: all(c.cut_for or c.number == 1 or not c.buffered for c in server._clients))
                got = [json.loads(await good.recv())["t"] for _ in range(2000)]
                assert got == list(range(2000))
                assert server.counts.slow_cut == 1
                await until(lambda: server.clients == 1)
            slow.close()

    asyncio.run(main())


def test_draining_waits_for_room_and_leaves_who_makes_none() -> None:
    class Full:
        cut_for: str | None = None

        def __init__(self) -> None:
            self.buffered, self.relieved = 60, asyncio.Event()

        @property
        def open(self) -> bool:
            return self.cut_for is None

        def cut(self, reason: str) -> None:
            self.cut_for = reason

    async def main() -> None:
        server = Server(Script(), protocol_for("binance"), ServerOptions(client_buffer=100, stall=LONGEST))
        slow = Full()
        server._clients = {slow}  # type: ignore[arg-type]
        draining = asyncio.create_task(server.drain())
        for buffered in (60, 51):  # more than half of what it may lag behind
            slow.buffered = buffered
            slow.relieved.set()
            await asyncio.sleep(0.01)
            assert not draining.done()
        slow.buffered = 50
        slow.relieved.set()
        await draining
        server = Server(Script(), protocol_for("binance"), ServerOptions(client_buffer=100, stall=0.01))
        server._clients = {stuck := Full()}  # type: ignore[arg-type]
        await server.drain()
        assert (stuck.cut_for, server.counts.slow_cut, server.clients) == ("too slow", 1, 0)

    asyncio.run(main())


def test_a_source_that_is_faster_than_time_waits_for_its_clients() -> None:
    async def main() -> None:
        source = live(speed=None, wait=True, for_ns=20 * SECOND)
        options = ServerOptions(client_buffer=1 << 18)
        async with Server(source, protocol_for("sim"), options) as server:
            names = "/".join(f"{i.native.lower()}@bookTicker" for i in source.instruments)
            async with connect(f"{server.url}/stream?streams={names}", max_queue=4) as client:
                got = 0
                async for _ in client:
                    got += 1
                    if got % 500 == 0:
                        await asyncio.sleep(0.01)
            assert got == sum(n for name, n in server.counts.published.items() if "bookTicker" in name)
            assert got > 2000
            assert server.counts.slow_cut == 0

    asyncio.run(main())


def test_deflate_is_negotiated() -> None:
    async def main() -> None:
        source = Script()
        async with Server(source, protocol_for("binance")) as server:
            for compression, extensions in (("deflate", 1), (None, 0)):
                async with connect(f"{server.url}/ws/alphausdt@trade", compression=compression) as client:
                    assert len(client.protocol.extensions) == extensions
                    await until(lambda: server.listeners("ALPHA_USDT", "trade") == 1)
                    source.say(1, pad=5000)
                    assert json.loads(await client.recv()) == {"t": 1, "pad": "x" * 5000}
                await until(lambda: server.clients == 0)

    asyncio.run(main())


def test_a_port_in_use_is_one_clear_line() -> None:
    async def main() -> None:
        async with Server(Script(), protocol_for("binance")) as server:
            with pytest.raises(PortInUse) as refused:
                async with Server(Script(), protocol_for("binance"), ServerOptions(port=server.port)):
                    pass
            assert str(refused.value) == (
                f"cannot serve on 127.0.0.1:{server.port}: the port is in use; choose another with --port, or 0 for any"
            )
        async with Server(Script(), protocol_for("binance"), ServerOptions(port=server.port)) as again:
            assert again.port == server.port  # a closed server has freed its port
        for options in (ServerOptions(host="192.0.2.1"), ServerOptions(port=70_000)):
            with pytest.raises(UsageError, match="cannot serve on"):
                await Server(Script(), protocol_for("binance"), options).start()

    asyncio.run(main())


def test_closing_the_server_closes_its_clients() -> None:
    async def main() -> None:
        server = Server(Script(), protocol_for("binance"))
        await server.start()
        client = await connect(f"{server.url}/ws/alphausdt@trade")
        await until(lambda: server.clients == 1)
        await server.close()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1001, "server shutdown")
        await server.close()
        await server.finished()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize(("takes", "cut"), [(True, []), (False, ["did not close"])])
def test_at_the_end_a_client_is_waited_for_as_long_as_it_takes_something(
    monkeypatch: pytest.MonkeyPatch, takes: bool, cut: list[str]
) -> None:
    class Slow:
        looks = 0

        @property
        def buffered(self) -> int:
            self.looks += 1
            if takes and self.looks == 50:
                asyncio.get_running_loop().call_soon(server._clients.clear)
            return 1000 - self.looks if takes else 1000

        def end(self, code: int, reason: str) -> None:
            assert code == 1000

        def cut(self, reason: str) -> None:
            cuts.append(reason)
            server._clients.clear()

    monkeypatch.setattr(server_module, "CLOSE_WAIT", 0.05)
    server, cuts = Server(Script(), protocol_for("binance")), list[str]()
    server._clients = {Slow()}  # type: ignore[arg-type]
    asyncio.run(server._end_clients(1000, ""))
    assert cuts == cut


def test_a_source_that_fails_is_reported() -> None:
    class Broken(Script):
        async def run(self, outlet: Outlet) -> None:
            raise UsageError("no such thing")

    async def main() -> None:
        async with Server(Broken(), protocol_for("binance")) as server:
            with pytest.raises(UsageError, match="no such thing"):
                await server.finished()

    asyncio.run(main())


def test_catching_up_is_done_in_slices() -> None:
    class Slept(ManualClock):
        def monotonic_ns(self) -> int:  # the machine sleeps behind the first look at it
            now_ns = super().monotonic_ns()
            self.advance(0 if now_ns else 3 * SECOND)
            return now_ns

    steps: list[int] = []
    source = live(speed=1.0, for_ns=3 * SECOND, clock=Slept())
    step = source.simulator.step

    def stepping(until_ns: int) -> Any:
        steps.append(until_ns - source.simulator.now_ns)
        return step(until_ns)

    source.simulator.step = stepping  # type: ignore[method-assign]

    async def main() -> None:
        async with Server(source, protocol_for("sim")) as server:
            await server.finished()

    asyncio.run(main())
    assert sum(steps) == 3 * SECOND
    assert max(steps) == SLICE


def test_the_simulator_keeps_pace_with_time() -> None:
    async def main() -> None:
        clock = ManualClock()
        source = live(speed=20.0, clock=clock)
        async with Server(source, protocol_for("sim")):
            for passed_ns in (0, 1, SECOND // 20, SECOND // 2, 3 * SECOND):
                clock.advance(passed_ns)
                due = START + 20 * clock.monotonic_ns()
                await until(lambda due=due: source.simulator.now_ns == due)
                await asyncio.sleep(0.02)  # and no further, whatever the machine's clock says
                assert source.simulator.now_ns == due

    asyncio.run(main())
