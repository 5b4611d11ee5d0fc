"""A recorded feed served as an exchange: the bytes, the rhythm, the book behind REST."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from patience import LONGEST, until
from websockets.asyncio.client import connect

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync
from mdtool.clock import ManualClock
from mdtool.errors import FeedNotFound, UsageError
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Message, Simulator, profile_of
from mdtool.exchange.source import BookView, Instrument
from mdtool.exchange.stored import ROOM, StoredSource
from mdtool.model import Flag, Kind, Scale, Side
from mdtool.storage.store import Store
from mdtool.venues import catalog

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
SYMBOLS = ("ALPHA_USDT", "BRAVO_USDT")
STREAMS = ("depth@100ms", "trade", "bookTicker", "aggTrade")
LENGTH = 4 * SECOND
SNAPSHOT_AT = SECOND  # after the start: when the recorder got its snapshots


def recorded(path: Path, skip: Sequence[int] = (), snapshots: bool = True) -> tuple[Store, list[Message]]:
    """A store as a recorder would have left it, and the messages in it. `skip`: ALPHA's depth updates lost (from 1)."""
    simulator = Simulator(SYMBOLS, seed=6, rate=100.0, start_ns=START)
    messages: list[Message] = []
    lost = 0
    with Store.create(path) as store:
        writers = {symbol: store.writer(f"sim/{symbol}") for symbol in SYMBOLS}
        ids = {(s, name): writers[s].stream(name) for s in SYMBOLS for name in ("session", "snapshot", "ping")}
        for symbol, writer in writers.items():
            writer.append(START, Kind.OPEN, ids[symbol, "session"], 1, b'{"url":"ws://somewhere"}')
            writer.append(START, Kind.SENT, ids[symbol, "session"], 1, b'{"method":"SUBSCRIBE"}')
            writer.append(START, Kind.DATA, ids[symbol, "ping"], 1, b"1760000000000")
        view = protocol_for("sim")
        source = SimulatedSource(simulator)
        for until in range(SNAPSHOT_AT, LENGTH + 1, SNAPSHOT_AT):
            for message in simulator.step(START + until):
                if message.symbol == "ALPHA_USDT" and message.stream == "depth@100ms":
                    lost += 1
                    if lost in skip:
                        continue
                messages.append(message)
                writer = writers[message.symbol]
                writer.append(message.venue_ns, Kind.DATA, writer.stream(message.stream), 1, message.payload)
            # One failed answer, and from then on one good snapshot: at 1 s, and at 3 s to mend what was lost.
            if not snapshots or until not in (SNAPSHOT_AT, 3 * SECOND):
                continue
            for symbol, writer in writers.items():
                native = symbol.replace("_", "")
                body = view.rest("GET", "/api/v3/depth", {"symbol": native, "limit": "5000"}, source).body
                stamp = START + until
                writer.append(stamp, Kind.RESPONSE, ids[symbol, "snapshot"], 1, b'{"code":-1}', Flag.FAILED)
                writer.append(stamp, Kind.RESPONSE, ids[symbol, "snapshot"], 1, body)
        for writer in writers.values():
            writer.end(START + LENGTH, "stopped")
            writer.close()
    return Store.open(path), messages


class Deaf:
    """An outlet that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes]] = []

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        self.heard.append((symbol, stream, payload))

    def lose(self, symbol: str, stream: str, payload: bytes) -> None:
        raise AssertionError("nothing is lost here")

    def corrupt(self, symbol: str, stream: str, payload: bytes, spoil: Callable[[bytes], bytes]) -> None:
        raise AssertionError("nothing is damaged here")

    def listeners(self, symbol: str, stream: str) -> int:
        return 1

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def cut(self, code: int | None) -> None:
        raise AssertionError("nothing cuts here")


def play(source: StoredSource) -> list[tuple[str, str, bytes]]:
    outlet = Deaf()
    asyncio.run(source.run(outlet))
    return outlet.heard


def mantissas(body: dict[str, Any], side: str, symbol: str) -> list[tuple[int, int]]:
    scale = profile_of(symbol).scale
    return [
        (int(Decimal(price).scaleb(-scale.price_exp)), int(Decimal(size).scaleb(-scale.size_exp)))
        for price, size in body[side]
    ]


def test_every_data_record_is_published_byte_for_byte_in_order(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")
    names = [f"sim/{symbol}" for symbol in SYMBOLS]
    with StoredSource(store, names, speed=None, wait=False, at_end="close") as source:
        assert play(source) == [(m.symbol, m.stream, m.payload) for m in messages]
    with StoredSource(
        store, names, speed=None, wait=False, at_end="close", from_ns=START + SECOND, until_ns=START + 2 * SECOND
    ) as source:
        assert play(source) == [
            (m.symbol, m.stream, m.payload) for m in messages if START + SECOND <= m.venue_ns < START + 2 * SECOND
        ]


def test_a_client_gets_all_of_it_and_the_server_finishes(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")

    async def main() -> None:
        clock = ManualClock()
        source = StoredSource(store, [f"sim/{s}" for s in SYMBOLS], speed=20.0, settle=0, at_end="close", clock=clock)
        async with Server(source, protocol_for("sim"), ServerOptions(keep_log=True)) as server:
            async with connect(f"{server.url}/stream", max_queue=None) as client:
                names = [f"{s.replace('_', '').lower()}@{stream}" for s in SYMBOLS for stream in STREAMS]
                await client.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
                await until(lambda: source._pacer._start_ns is not None)
                for step in range(21):  # a twentieth of the recording's length
                    due = sum(m.venue_ns <= START + step * LENGTH // 20 for m in messages)
                    await until(lambda due=due: server.counts.published.total() >= due)
                    assert server.counts.published.total() == due
                    clock.advance(LENGTH // 20 // 20)
                got = []
                with pytest.raises(websockets.ConnectionClosedOK):
                    while True:
                        got.append(await client.recv(decode=False))
            assert json.loads(got[0]) == {"result": None, "id": 1}
            assert got[1:] == [m.payload for m in messages]
            assert [sent.frame for sent in server.log] == got[1:]
            await asyncio.wait_for(server.finished(), LONGEST)
        source.close()

    asyncio.run(main())


def test_as_fast_as_clients_take_it_is_no_more_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    class Counting(Deaf):
        def __init__(self) -> None:
            super().__init__()
            self.drained = [0]

        async def drain(self) -> None:
            self.drained.append(len(self.heard))

    store, messages = recorded(tmp_path / "s")
    outlet = Counting()
    with StoredSource(store, [f"sim/{s}" for s in SYMBOLS], speed=None, wait=False, at_end="close") as source:
        asyncio.run(source.run(outlet))
    steps = [after - before for before, after in itertools.pairwise(outlet.drained)]
    assert len(outlet.heard) == len(messages) == outlet.drained[-1]
    assert max(steps) <= ROOM


def test_playback_waits_for_a_listener_and_until_nobody_asks_for_more(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")

    async def main() -> None:
        for settle, begins in ((3600.0, False), (0.0, True)):
            with StoredSource(store, ["sim/ALPHA_USDT"], speed=None, settle=settle, at_end="close") as source:
                outlet = Deaf()
                playing = asyncio.create_task(source.run(outlet))
                await asyncio.sleep(0.02)
                assert not outlet.heard
                for _ in range(3):
                    source.listened()
                    await asyncio.sleep(0.005)
                if begins:
                    await playing
                assert len(outlet.heard) == begins * sum(m.symbol == "ALPHA_USDT" for m in messages)
                playing.cancel()

    asyncio.run(main())


def test_at_the_end_the_exchange_is_quiet(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")

    async def main() -> None:
        with StoredSource(store, ["sim/ALPHA_USDT"], speed=None, settle=0.0) as source:
            async with Server(source, protocol_for("sim")) as server:
                trades = [m.payload for m in messages if (m.symbol, m.stream) == ("ALPHA_USDT", "trade")]
                async with connect(f"{server.url}/stream?streams=alphausdt@trade") as client:
                    assert [await client.recv(decode=False) for _ in trades] == trades
                    await asyncio.wait_for(source.ended.wait(), LONGEST)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(client.recv(), 0.1)
                    await (await client.ping())
                    assert server.clients == 1

    asyncio.run(main())


def test_rest_answers_from_the_book_as_it_is_played(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")
    truth = Simulator(SYMBOLS, seed=6, rate=100.0, start_ns=START, keep_truth=True)
    truth.step(START + LENGTH)
    source = StoredSource(store, ["sim/ALPHA_USDT"], speed=None, wait=False, at_end="close")
    first = source.depth("ALPHA_USDT", 5000)
    assert isinstance(first, bytes)  # before anything is played: the first recorded answer, which is ahead
    body = json.loads(first)
    assert mantissas(body, "bids", "ALPHA_USDT") == list(
        truth.truth("ALPHA_USDT").at(body["lastUpdateId"]).bids.items()
    )
    short = source.depth("ALPHA_USDT", 5)
    assert isinstance(short, bytes)
    assert json.loads(short) == {**body, "bids": body["bids"][:5], "asks": body["asks"][:5]}

    checked = 0

    class Asking(Deaf):
        def publish(self, symbol: str, stream: str, payload: bytes) -> None:
            nonlocal checked
            book = source.depth(symbol, 5000)
            if isinstance(book, bytes):
                assert book == first
                return
            if stream != "depth@100ms":
                return
            assert isinstance(book, BookView)
            published = json.loads(payload)["data"]["u"]
            true = truth.truth(symbol).at(max(published, body["lastUpdateId"]))
            assert book.last_id == true.update_id
            assert book.scale == profile_of(symbol).scale
            assert dict(book.bids) == true.bids
            assert dict(book.asks) == true.asks
            checked += 1

    asyncio.run(source.run(Asking()))
    assert checked == sum(
        m.stream == "depth@100ms" and m.symbol == "ALPHA_USDT" and m.venue_ns > START + SNAPSHOT_AT for m in messages
    )
    source.close()


def test_behind_a_gap_the_next_snapshot_answers(tmp_path: Path) -> None:
    store, _ = recorded(tmp_path / "s", skip=[15])
    source = StoredSource(store, ["sim/ALPHA_USDT"], speed=None, wait=False, at_end="close")
    kinds: list[str] = []
    bodies: set[bytes] = set()

    class Asking(Deaf):
        def publish(self, symbol: str, stream: str, payload: bytes) -> None:
            answer = source.depth(symbol, 5000)
            if isinstance(answer, bytes):
                bodies.add(answer)
            kind = "recorded" if isinstance(answer, bytes) else "book" if answer else "none"
            if not kinds or kinds[-1] != kind:
                kinds.append(kind)

    asyncio.run(source.run(Asking()))
    assert kinds == ["recorded", "book", "recorded", "book"]
    assert len(bodies) == 2
    source.close()


def test_a_feed_without_a_snapshot_has_no_book(tmp_path: Path) -> None:
    store, _ = recorded(tmp_path / "s", snapshots=False)

    async def main() -> None:
        with StoredSource(store, ["sim/BRAVO_USDT"], speed=None, wait=False) as source:
            assert source.instruments == (Instrument("BRAVO_USDT", "BRAVOUSDT", Scale(-4, -1)),)
            async with (
                Server(source, protocol_for("sim")) as server,
                aiohttp.ClientSession() as session,
                session.get(f"{server.rest}/api/v3/depth?symbol=BRAVOUSDT") as answer,
            ):
                assert answer.status == 503
                assert (await answer.json())["code"] == -1000

    asyncio.run(main())


def test_starting_in_the_middle_knows_the_book_of_that_moment(tmp_path: Path) -> None:
    store, messages = recorded(tmp_path / "s")
    at = START + 2 * SECOND + 123_456_789
    truth = Simulator(SYMBOLS, seed=6, rate=100.0, start_ns=START, keep_truth=True)
    truth.step(START + LENGTH)
    with StoredSource(store, [f"sim/{s}" for s in SYMBOLS], speed=None, from_ns=at) as source:
        assert source.now_ms() == at // 1_000_000
        for symbol in SYMBOLS:
            last = [m for m in messages if m.symbol == symbol and m.stream == "depth@100ms" and m.venue_ns < at][-1]
            true = truth.truth(symbol).at(json.loads(last.payload)["data"]["u"])
            book = source.depth(symbol, 20)
            assert isinstance(book, BookView)
            assert book.last_id == true.update_id
            assert list(book.bids) == list(true.bids.items())[:20]
            assert list(book.asks) == list(true.asks.items())[:20]


def test_the_simulators_orders_are_not_needed_for_its_levels(tmp_path: Path) -> None:
    """A book rebuilt from what was served equals the book of the orders behind it."""
    store, messages = recorded(tmp_path / "s")
    simulator = Simulator(SYMBOLS, seed=6, rate=100.0, start_ns=START)
    last = [m for m in messages if m.symbol == "BRAVO_USDT" and m.stream == "depth@100ms"][-1]
    simulator.step(last.venue_ns)
    with StoredSource(store, ["sim/BRAVO_USDT"], speed=None, wait=False, at_end="close") as source:
        play(source)
        book = source.depth("BRAVO_USDT", 5000)
    assert isinstance(book, BookView)
    for side, half in ((Side.BID, book.bids), (Side.ASK, book.asks)):
        sums: dict[int, int] = {}
        for _, price, size in simulator.orders("BRAVO_USDT", side):
            sums[price] = sums.get(price, 0) + size
        assert dict(half) == sums


def test_what_cannot_be_served(tmp_path: Path) -> None:
    store, _ = recorded(tmp_path / "s")
    with pytest.raises(FeedNotFound):
        StoredSource(store, ["sim/NOPE_USDT"])
    with pytest.raises(UsageError, match="these feeds are of no feed"):
        StoredSource(store, ["sim/_session"])
    with Store.create(tmp_path / "s") as writable:
        writable.writer("binance/ETH_USDT").close()
    with pytest.raises(UsageError, match="feeds are of binance, sim: name feeds of one"):
        StoredSource(Store.open(tmp_path / "s"), ["sim/ALPHA_USDT", "binance/ETH_USDT"])
    with pytest.raises(UsageError, match="nothing is recorded in binance/ETH_USDT"):
        StoredSource(Store.open(tmp_path / "s"), ["binance/ETH_USDT"])


REAL = {
    "binance-usdm": ("binance_usdm/btcusdt_20240808_head3000.hb.gz", "BTC_USDT", "depth@0ms", "/fapi/v1/depth"),
    "binance": ("binance/ethusdt_20240808_head3000.hb.gz", "ETH_USDT", "depth@100ms", "/api/v3/depth"),
}


def real_store(path: Path, capture: Path, venue: str, symbol: str) -> tuple[Store, list[bytes]]:
    """The capture as the importer would store it."""
    payloads = []
    with Store.create(path) as store, store.writer(f"{venue}/{symbol}") as writer, gzip.open(capture, "rb") as lines:
        for line in lines:
            stamp, payload = line.rstrip(b"\n").split(b" ", 1)
            if payload.startswith(b'{"lastUpdateId"'):
                writer.append(int(stamp), Kind.RESPONSE, writer.stream("snapshot"), 1, payload, Flag.IMPORTED)
            else:
                stream = json.loads(payload)["stream"].partition("@")[2]
                writer.append(int(stamp), Kind.DATA, writer.stream(stream), 1, payload, Flag.IMPORTED)
                payloads.append(payload)
    return Store.open(path), payloads


@pytest.mark.realdata
@pytest.mark.parametrize("venue", sorted(REAL))
def test_a_real_capture_served_rebuilds_the_same_book(realdata: Path, tmp_path: Path, venue: str) -> None:
    """A client of the emulator ends with the book that the capture itself leads to, whichever snapshot it was given."""
    file, symbol, depth_stream, path = REAL[venue]
    store, payloads = real_store(tmp_path / "s", realdata / file, venue, symbol)
    adapter = catalog.get(venue)
    native = adapter.native(symbol)

    def sync() -> BookSync:
        rule = adapter.rule(depth_stream)
        assert rule is not None
        return BookSync(rule, L2Book(), LevelParser())

    async def main() -> tuple[list[bytes], list[bytes]]:
        source = StoredSource(store, [f"{venue}/{symbol}"], speed=200.0, settle=0.0, at_end="close")
        got, bodies = [], []
        streams = "/".join(f"{native.lower()}@{s}" for s in (depth_stream, "trade", "bookTicker"))
        async with (
            Server(source, protocol_for(venue)) as server,
            aiohttp.ClientSession() as session,
            connect(f"{server.url}/stream?streams={streams}", max_queue=None) as client,
        ):
            url = f"{server.rest}{path}?symbol={native}&limit=1000"
            try:
                while True:
                    got.append(await client.recv(decode=False))
                    if len(got) in (1, 1500):
                        async with session.get(url) as answer:
                            assert answer.status == 200
                            bodies.append(await answer.read())
            except websockets.ConnectionClosedOK:
                pass
        source.close()
        return got, bodies

    got, bodies = asyncio.run(main())
    assert got == payloads
    assert len(bodies) == 2
    books = []
    for body in bodies:
        book = sync()
        steps = []
        for message in adapter.decoder("snapshot")(body):
            steps.append(book.on_message(message, 0))
        for payload in got:
            if f"@{depth_stream}".encode() in payload[:60]:
                for message in adapter.decoder(depth_stream)(payload):
                    steps.append(book.on_message(message, 0))
        assert book.state is BookState.SYNCED
        assert not any(step.error for step in steps)
        assert book.gaps == 0
        books.append(book)
    assert books[0].last_seq == books[1].last_seq
    # The later snapshot has more than the recorded one only where levels outside it changed; the top must agree.
    assert books[0].book.top(200) == books[1].book.top(200)
    assert json.loads(bodies[0])["bids"][0][0].count(".") == 1
    digits = {len(p.partition(".")[2]) for body in bodies for p, _ in json.loads(body)["bids"]}
    assert len(digits) == 1  # the emulator prints the digits the venue prints
