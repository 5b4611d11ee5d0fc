"""The synthetic exchange in each venue's own form: recorded over a socket, everything it says of itself holds."""

from __future__ import annotations

import asyncio
import json

import pytest
from recording import record_all, record_until

from mdtool.audit import audit_store
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, open_book
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.clock import SECOND
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.faults import Drop, Faults, Swap
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import FORMS, Simulator
from mdtool.model import BookUpdate, Kind, OrderUpdate, Side, Trade
from mdtool.storage.store import Store
from mdtool.venues import catalog

START = 1_760_000_000 * SECOND  # within the time OKX still sent checksums
LATER = 1_790_000_000 * SECOND
SYMBOL = "ALPHA_USDT"
BOOKS = {"bitget": "books", "bybit": "orderbook.50", "kraken": "book-1000", "okx": "books"}
TRADES = {"bitget": "trade", "bybit": "publicTrade", "kraken": "trade", "okx": "trades"}
CASES = [(name, start) for name in BOOKS for start in (START, LATER)]


def recorder_of(store, venue, server, streams, notify=lambda event, text: None):
    options = record_options(venue, (SYMBOL,), streams=streams, ws_url=server.url, rest_url=server.rest, sync="none")
    return Recorder(store, options, notify)


def recorded(store, name, start_ns, *faults, seconds=6, speed=5.0):
    """One symbol of the simulated venue recorded for some of its time; the simulator and the recorder's status."""
    simulator = Simulator([SYMBOL], seed=3, rate=80.0, start_ns=start_ns, venue=name)

    async def main():
        source = SimulatedSource(simulator, speed=speed, wait=True, for_ns=seconds * SECOND)
        async with Server(source, protocol_for(name), faults=Faults(*faults) if faults else None) as server:
            return await record_all(recorder_of(store, catalog.get(name), server, simulator.streams), server)

    return simulator, asyncio.run(main())


def rebuilt(store, name):
    """The state of the book after all that is recorded."""
    venue = catalog.get(name)
    sync, decode = open_book(venue, BOOKS[name]), venue.decoder(BOOKS[name])
    with store.reader(f"{name}/{SYMBOL}") as reader:
        for record in reader.records():
            if record.kind == Kind.DATA and reader.stream_name(record.stream) == BOOKS[name]:
                for message in decode(record.payload):
                    sync.on_message(message, record.recv_ns)
    return sync


def audited(store, name):
    (report,) = audit_store(store, catalog.get, [f"{name}/{SYMBOL}"])
    return report


@pytest.mark.parametrize(("name", "start_ns"), CASES)
def test_what_is_recorded_is_whole_and_ends_in_the_true_book(tmp_path, name, start_ns):
    with Store.create(tmp_path / "store") as store:
        simulator, status = recorded(store, name, start_ns)
        report = audited(store, name)
        assert report.clean, report.findings
        assert status.gaps == 0
        streams = {stream.stream: stream for stream in report.streams}
        book = streams[BOOKS[name]]
        assert book.decoded["book_update"] > 30
        checked = name == "kraken" or (name == "okx" and start_ns == START)
        assert book.checksums.get("match", 0) == (book.decoded["book_update"] if checked else 0)
        trades = streams[TRADES[name]]
        assert (
            trades.verdicts["unverifiable" if name in ("bitget", "bybit") else "apply"] == trades.decoded["trade"] > 0
        )
        states = {interval.state.value for interval in report.intervals if interval.stream == BOOKS[name]}
        assert states == {"top" if name == "kraken" else "whole"}  # a checksum of the best levels proves those
        # The book built of what was recorded is the exchange's own, but for what it had not published yet.
        sync = rebuilt(store, name)
        assert sync.state is BookState.SYNCED
        simulator.step(simulator.now_ns)  # nothing is left to happen
        (whole,) = catalog.get(name).decoder(BOOKS[name])(simulator.whole(SYMBOL, BOOKS[name]))
        parser = LevelParser(sync.book.scale)
        ladders = parser.parse_update(whole)
        assert sync.book.bids() == list(zip(ladders.bid_prices, ladders.bid_sizes, strict=True))
        assert sync.book.asks() == list(zip(ladders.ask_prices, ladders.ask_sizes, strict=True))


@pytest.mark.parametrize("name", BOOKS)
def test_a_lost_message_is_found_at_once_and_mended(tmp_path, name):
    with Store.create(tmp_path / "store") as store:
        native = catalog.get(name).native(SYMBOL)
        wire = {"bybit": f"{BOOKS[name]}.{native}"}.get(name, f"{BOOKS[name]}:{native}")
        told = []

        async def main():
            source = SimulatedSource(Simulator([SYMBOL], seed=3, rate=80.0, start_ns=START, venue=name), wait=True)
            async with Server(source, protocol_for(name), faults=Faults(Drop(wire, 12))) as server:
                recorder = recorder_of(
                    store, catalog.get(name), server, tuple(source.streams(SYMBOL)), lambda *one: told.append(one[0])
                )
                return await record_until(
                    recorder, lambda: RecorderEvent.GAP in told and rebuilt(store, name).state is BookState.SYNCED
                )

        status = asyncio.run(main())
        report = audited(store, name)
        assert status.gaps == 1
        assert dict(report.finding_counts) == {"checksum" if name == "kraken" else "gap": 1}


@pytest.mark.parametrize(("name", "expected"), [(name, {"out_of_order": 1}) for name in ("bitget", "bybit", "okx")])
def test_two_messages_swapped(tmp_path, name, expected):
    with Store.create(tmp_path / "store") as store:
        native = catalog.get(name).native(SYMBOL)
        wire = f"{BOOKS[name]}.{native}" if name == "bybit" else f"{BOOKS[name]}:{native}"
        recorded(store, name, LATER, Swap(wire, 12), seconds=4, speed=5.0)
        assert dict(audited(store, name).finding_counts) == expected


@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_form_is_read_by_its_adapter_and_the_seed_is_all_there_is(name):
    venue = catalog.get(name)

    def run(steps):
        simulator = Simulator([SYMBOL], seed=5, rate=200.0, start_ns=START, venue=name)
        out = []
        for step in range(1, steps + 1):
            out += simulator.step(START + step * 3 * SECOND // steps)
        return out

    messages = run(1)
    assert messages == run(7)
    assert {message.stream for message in messages} == set(FORMS[name].streams)
    router = venue.router()
    if name == "kraken":
        router.route(
            b'{"method":"subscribe","result":{"channel":"book","depth":1000,"symbol":"ALPHA/USDT"},"success":true}'
        )
    seen = set()
    for message in messages:
        json.loads(message.payload)
        place = venue.place(router.route(message.payload))
        if message.stream != "matches":  # alike in both channels: which one it is of, the subscription tells
            assert (place.symbol, place.stream) == (SYMBOL, message.stream.removesuffix("_batch"))
        for decoded in venue.decoder(message.stream)(message.payload):
            seen.add(type(decoded))
            assert decoded.venue_ns in (0, *(message.venue_ns // unit * unit for unit in (1_000, 1_000_000)))
    assert {BookUpdate, Trade} <= seen and (OrderUpdate in seen) == (name == "coinbase")


@pytest.mark.parametrize("lost", [False, True])
def test_the_numbers_of_a_connection_are_its_own(tmp_path, lost):
    """Coinbase Advanced: books, trades and answers share one row of numbers, in which a lost update shows."""
    venue = catalog.get("coinbase-advanced")
    fault = (Drop("level2:ALPHA-USDT", 12),) if lost else ()
    with Store.create(tmp_path / "store") as store:
        simulator, _ = recorded(store, venue.name, START, *fault)
        reports = {report.feed: report for report in audit_store(store, catalog.get, [f.name for f in store.feeds()])}
        session = reports[f"{venue.name}/_session"]
        assert dict(session.finding_counts) == ({"gap": 1} if lost else {})
        (numbered,) = [dict(stream.verdicts) for stream in session.streams if stream.stream == "connection"]
        assert numbered["apply"] > 100 and numbered.get("gap", 0) == lost
        streams = {stream.stream: stream for stream in reports[f"{venue.name}/{SYMBOL}"].streams}
        assert streams["market_trades"].verdicts["apply"] == streams["market_trades"].decoded["trade"] > 0
        if lost:
            return
        assert reports[f"{venue.name}/{SYMBOL}"].clean
        sync = open_book(venue, "level2")
        with store.reader(f"{venue.name}/{SYMBOL}") as reader:
            for record in reader.records():
                if record.kind == Kind.DATA and reader.stream_name(record.stream) == "level2":
                    for message in venue.decoder("level2")(record.payload):
                        sync.on_message(message, record.recv_ns)
        simulator.step(simulator.now_ns)
        (whole,) = venue.decoder("level2")(simulator.whole(SYMBOL, "level2"))
        ladders = LevelParser(sync.book.scale).parse_update(whole)
        assert sync.book.bids() == list(zip(ladders.bid_prices, ladders.bid_sizes, strict=True))
        assert sync.book.asks() == list(zip(ladders.ask_prices, ladders.ask_sizes, strict=True))


def test_a_market_is_the_same_whoever_speaks():
    books = []
    for name in sorted(FORMS):
        simulator = Simulator([SYMBOL], seed=5, rate=200.0, start_ns=START, venue=name)
        simulator.step(START + 2 * SECOND)
        books.append(simulator.book(SYMBOL))
    assert all(book == books[0] for book in books)


def test_a_book_of_orders_is_the_exchanges_own(tmp_path):
    """Coinbase's full channel on top of the level 3 answer: every order, its size and its place in the queue."""
    venue = catalog.get("coinbase")
    with Store.create(tmp_path / "store") as store:
        simulator = Simulator([SYMBOL], seed=3, rate=80.0, start_ns=START, venue="coinbase")

        told = []

        async def main():
            source = SimulatedSource(simulator, speed=5.0, wait=True, for_ns=8 * SECOND)
            async with Server(source, protocol_for("coinbase")) as server:
                recorder = recorder_of(
                    store, venue, server, ("full", "matches"), lambda event, text: told.append(event)
                )
                return await record_all(recorder, server, lambda: RecorderEvent.SNAPSHOT in told)

        status = asyncio.run(main())
        assert status.gaps == 0 and status.snapshots >= 1
        report = audited(store, "coinbase")
        assert report.clean, report.findings
        sync = open_book(venue, "full")
        with store.reader(f"coinbase/{SYMBOL}") as reader:
            for record in reader.records():
                name = reader.stream_name(record.stream)
                if (record.kind == Kind.DATA and name == "full") or record.kind == Kind.RESPONSE:
                    for message in venue.decoder(name)(record.payload):
                        sync.on_message(message, record.recv_ns)
        assert sync.state is BookState.SYNCED
        scale, truth = simulator.instruments[0].scale, simulator.by_order(SYMBOL)
        sync.book.rescale(sync.book.scale.finest(scale))
        assert sync.book.scale == scale and sync.last_seq == truth.last_id
        assert list(sync.book.orders(Side.BID)) == list(truth.bids)
        assert list(sync.book.orders(Side.ASK)) == list(truth.asks)
