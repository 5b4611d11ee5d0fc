"""A venue's lists of instruments: fetched beside a recording, kept in its session feed, and read by who comes later."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from recording import record_until

from mdtool.audit import audit_store
from mdtool.capture import lists
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.commands.tasks.recording import Wanted
from mdtool.config import RecordDefaults
from mdtool.errors import UnknownSymbol
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.source import Instrument
from mdtool.history.lists import Venues, recorded, venue_in
from mdtool.model import SESSION_SYMBOL, Flag, Kind, Scale
from mdtool.storage.store import Store
from mdtool.venues import catalog

LISTS = [name for name in catalog.names() if catalog.get(name).instrument_requests()]
SERVED = {"binance-coinm": "NEW_USD_PERP", "bybit-inverse": "NEW_USD"}  # and NEW_USDT


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "BOOKS_FIRST", 0.0)
    with Store.create(tmp_path / "store") as made:
        yield made


class Quiet:
    """A source of one instrument that nothing happens to. `held`: lists that it has on record."""

    recorded = True

    def __init__(self, name, symbol, held=None):
        self.instruments = (Instrument(symbol, catalog.get(name).native(symbol), Scale(-2, -3)),)
        self._held = held or {}

    async def run(self, outlet):
        await asyncio.Event().wait()

    def listened(self):
        pass

    def lists(self):
        return self._held

    def streams(self, symbol):
        return catalog.get("binance").default_streams

    def depth(self, symbol, limit):
        return None

    def orders(self, symbol):
        return None

    def first(self, symbol, stream):
        return None

    def whole(self, symbol, stream):
        return None

    def now_ms(self):
        return 0


def kept(store, name):
    """(kind, failed) of what is on record."""
    with store.reader(f"{name}/{SESSION_SYMBOL}") as reader:
        return [
            (Kind(one.kind), bool(one.flags & Flag.FAILED))
            for one in reader.records()
            if reader.stream_name(one.stream) == "listed"
        ]


@pytest.mark.parametrize("name", LISTS)
def test_what_a_venue_lists_is_fetched_over_sockets_and_known_from_then_on(store, name):
    venue = catalog.get(name)
    symbol = SERVED.get(name, "NEW_USDT")
    native = venue.native(symbol)

    async def main():
        async with Server(Quiet(name, symbol), protocol_for(name)) as server:
            options = record_options(venue, (symbol,), ws_url=server.url, rest_url=server.rest, sync="none")
            recorder = Recorder(store, options, lambda event, text: None)
            wanted = len(venue.instrument_requests())
            await record_until(recorder, lambda: len(recorded(store, venue)) == wanted)

    asyncio.run(main())
    assert set(recorded(store, venue)) == {request.path for request in venue.instrument_requests()}
    told = venue_in(store, name)
    assert told is not venue and told.named(native) == symbol
    pair = "_".join(symbol.split("_")[:2])
    assert any(pair in venue.instruments(body).listed for body in recorded(store, venue).values())
    assert Venues(store)[name].named(native) == symbol
    (report,) = audit_store(store, catalog.get, [f"{name}/{SESSION_SYMBOL}"])
    assert report.clean


def test_a_list_on_record_overrules_what_ships(store):
    rows = [
        {"symbol": "FOOBAR", "baseAsset": "FOO", "quoteAsset": "BAR"},
        {"symbol": "ADAEUR", "baseAsset": "AD", "quoteAsset": "AEUR"},
    ]
    fill(store, "binance", [("/api/v3/exchangeInfo", {"symbols": rows}, 0)])
    with pytest.raises(UnknownSymbol):
        catalog.get("binance").canonical("FOOBAR")
    told = venue_in(store, "binance")
    assert (told.canonical("foobar"), told.named("ADAEUR")) == ("FOO_BAR", "AD_AEUR")
    wanted = Wanted("binance", ("FOOBAR",), None, None, None, None, False, None, None, None)
    assert wanted.options(RecordDefaults(), store.path).symbols == ("FOO_BAR",)
    with store.writer("binance/FOO_BAR") as writer:
        writer.end(1, "done")
    with pytest.raises(UnknownSymbol):  # of a venue without a list on record nothing is new
        venue_in(store, "binance-usdm").canonical("FOOBAR")


def fill(store, name, answers):
    with store.writer(f"{name}/{SESSION_SYMBOL}") as writer:
        stream = writer.stream("listed")
        for ns, (path, answer, flags) in enumerate(answers):
            url = json.dumps({"method": "GET", "url": f"http://venue{path}"}).encode()
            writer.append(2 * ns + 1, int(Kind.REQUEST), stream, 0, url, 0)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            writer.append(2 * ns + 2, int(Kind.RESPONSE), stream, 0, body, flags)


def test_the_newest_list_counts_and_what_is_none_is_passed_over(store):
    def row(quote):
        return {"symbols": [{"symbol": "FOOBAR", "baseAsset": "FOOBAR".removesuffix(quote), "quoteAsset": quote}]}

    path = "/api/v3/exchangeInfo"
    fill(store, "binance", [(path, row("R"), 0), (path, row("AR"), 0), (path, b"<html>", int(Flag.FAILED))])
    assert venue_in(store, "binance").named("FOOBAR") == "FOOB_AR"
    assert list(recorded(store, catalog.get("binance"))) == [path]


def test_a_list_in_pages_is_had_whole(store):
    venue = catalog.get("bybit")
    first = venue.instrument_requests()[0].path
    pages = {"": ("A", "page%3D2%26"), "page=2&": ("B", "three"), "three": ("C", "")}
    asked = []

    async def instruments(request):
        cursor = request.query.get("cursor", "")
        asked.append(cursor)
        base, after = pages[cursor]
        rows = [{"symbol": f"{base}NEWX", "baseCoin": f"{base}NEW", "quoteCoin": "X"}]
        return web.json_response({"result": {"list": rows, "nextPageCursor": after}})

    record_against(store, venue, instruments, lambda: len(asked) == 3)
    assert asked == ["", "page=2&", "three"]
    found = recorded(store, venue)
    assert [path.removeprefix(first) for path in found] == ["&cursor=three", "&cursor=page%3D2%26", ""]
    told = venue_in(store, "bybit")
    assert [told.named(f"{base}NEWX") for base in "ABC"] == ["ANEW_X", "BNEW_X", "CNEW_X"]


def record_against(store, venue, instruments, done, talk=None):
    """Records from a venue whose REST is only this, until `done`; the status."""

    async def main():
        async def listen(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str('{"topic":"publicTrade.BTCUSDT","data":[]}')
            async for _ in socket:
                pass
            return socket

        app = web.Application()
        app.router.add_get("/v5/public/{market}", listen)
        app.router.add_get("/v5/market/instruments-info", instruments)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"127.0.0.1:{runner.addresses[0][1]}"
        options = record_options(venue, ("BTC_USDT",), ws_url=f"ws://{base}", sync="none")
        told = [] if talk is None else talk
        recorder = Recorder(store, options, lambda event, text: told.append((event, text)))
        try:
            return await record_until(recorder, lambda: done() and recorder.status.records)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


async def hangs(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"result":{"list":[')
    await asyncio.Event().wait()


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * (1 << 16))


async def gone(request):
    return web.Response(status=404, text="<html>no</html>")


async def circle(request):
    return web.json_response({"result": {"list": [], "nextPageCursor": "again"}})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hangs, "no whole answer within 0.2 s"),
        (endless, "more than 200,000 bytes"),
        (gone, "HTTP 404"),
        (circle, "more than 3 pages"),
    ],
)
def test_a_list_that_cannot_be_had_is_told_once_and_holds_up_nothing(store, monkeypatch, answer, why):
    if answer is hangs:
        monkeypatch.setattr(lists, "TIMEOUT", 0.2)
    monkeypatch.setattr(lists, "MAX_BYTES", 200_000)
    monkeypatch.setattr(lists, "MOST_PAGES", 3)  # one a second: requests share a budget
    talk = []
    status = record_against(
        store, catalog.get("bybit"), answer, lambda: any(event is RecorderEvent.LIST_FAILED for event, _ in talk), talk
    )
    assert (status.records, status.undecodable) == (1, 0)
    (told,) = [text for event, text in talk if event is RecorderEvent.LIST_FAILED]
    assert told.startswith("list of instruments: ") and told.endswith(f"{why}; will try again")
    with store.reader("bybit/BTC_USDT") as reader:
        assert Kind(list(reader.records())[-1].kind) is Kind.END


def test_none_is_fetched_where_none_is_wanted(store):
    async def main():
        async with Server(Quiet("sim", "ALPHA_USDT"), protocol_for("sim")) as server:
            options = record_options(
                catalog.get("sim"), ("ALPHA_USDT",), ws_url=server.url, sync="none", instruments=False
            )
            recorder = Recorder(store, options, lambda event, text: None)
            await record_until(recorder, lambda: recorder.status.acknowledged == 3)

    asyncio.run(main())
    assert kept(store, "sim") == []


def test_a_name_that_nothing_known_reads_is_asked_for(store):
    """At the first recording, there is no list on record."""

    async def main():
        async with Server(Quiet("binance", "FOO_BAR"), protocol_for("binance")) as server:
            wanted = Wanted("binance", ("FOOBAR",), server.url, server.rest, None, None, False, None, None, None)
            return await asyncio.to_thread(wanted.options, RecordDefaults(), store.path)

    options = asyncio.run(main())
    assert options.symbols == ("FOO_BAR",)


def test_a_recorder_that_is_told_such_a_name_asks_too_and_none_where_all_is_known(store):
    """It is a process of its own, and is told symbols and no list."""

    async def main():
        async with Server(Quiet("binance", "FOO_BAR"), protocol_for("binance")) as server:
            venue = catalog.get("binance")
            plain = await lists.known(store, venue, ("BTC_USDT", "NEWCOIN_USDT"), server.rest)
            asked_before = server.counts.requests
            told = await lists.known(store, venue, ("BTC_USDT", "FOO_BAR"), server.rest)
            return plain is venue, asked_before, server.counts.requests, told.named("FOOBAR")

    assert asyncio.run(main()) == (True, 0, 1, "FOO_BAR")


def test_where_it_cannot_be_asked_for_it_is_no_symbol(store):
    wanted = Wanted("binance", ("FOOBAR",), "ws://127.0.0.1:9", None, None, None, False, None, None, None)
    with pytest.raises(UnknownSymbol, match="'FOOBAR' is no symbol"):
        wanted.options(RecordDefaults(), store.path)


def test_a_server_gives_the_list_that_is_on_record(store):
    body = b'{"symbols":[],"as":"recorded"}'

    async def main():
        source = Quiet("binance", "BTC_USDT", {"/api/v3/exchangeInfo": body})
        async with (
            Server(source, protocol_for("binance")) as server,
            aiohttp.ClientSession() as http,
            http.get(f"{server.rest}/api/v3/exchangeInfo") as answer,
        ):
            return await answer.read()

    assert asyncio.run(main()) == body
