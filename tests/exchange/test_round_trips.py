"""Real captures of every venue served in the venue's own protocol, and recorded again by the project's own recorder."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from recording import Attended, record_all

from mdtool.audit import audit_store
from mdtool.capture.recorder import Recorder, record_options
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.interop.importer import import_files
from mdtool.model import SESSION_SYMBOL, Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

pytestmark = pytest.mark.realdata

# (venue, files, streams asked for; None: the venue's own)
CAPTURES = [
    ("kraken", ["kraken/2021-04-17_v1.ws.cf.gz"], ("v1:book-1000",)),
    ("okx", ["okx/2022-05-13.ws.cf.gz"], ("books", "trades", "tickers")),
    ("deribit", ["deribit/2021-04-05.ws.cf.gz"], ("book.raw", "trades.raw", "ticker.raw")),
    ("hyperliquid", ["hyperliquid/btcusd_20250126.hb.gz"], ("l2Book", "trades")),
    ("bitfinex", ["bitfinex/2021-04-17.ws.cf.gz"], ("book-P0", "trades", "ticker")),
    ("coinbase", ["coinbase/2021-04-17_level2.ws.cf.gz"], ("level2", "matches", "ticker")),
    (
        "coinbase-advanced",
        ["coinbase_advanced/2026-08-09_head.ws.cf.gz"],
        ("level2", "market_trades", "ticker", "candles"),
    ),
    ("coinbase", ["coinbase/2016-03-12_full_l3.pat.gz"], ("full",)),
    ("bitstamp", ["bitstamp/2022-01-04.ws.cf.gz", "bitstamp/2022-01-04.http.cf.gz"], None),
    (
        "gate",
        ["gateio/2021-04-22.ws.cf.gz", "gateio/2021-04-22.http.cf.gz"],
        ("order_book_update", "trades", "tickers", "candlesticks-1m"),
    ),
    (
        "gate-futures",
        ["gateio_futures/2023-06-01.ws.cf.gz", "gateio_futures/2023-06-01.http.cf.gz"],
        ("order_book_update", "trades", "book_ticker", "candlesticks-1m"),
    ),
    (
        "kucoin",
        ["kucoin/2021-07-22.ws.cf.gz", "kucoin/2021-06-08.http.cf.gz"],
        ("level2", "match", "ticker", "candles_1min"),
    ),
]
OWN = ("session", "snapshot", "ping", "other", "bootstrap")  # streams of the recorder's, not of the venue's


def received(store, name):
    """Payloads by stream, and all together, in order."""
    by_stream, whole = defaultdict(list), []
    with store.reader(name) as reader:
        for record in reader.records():
            stream = reader.stream_name(record.stream)
            if record.kind == Kind.DATA and stream not in OWN:
                by_stream[stream].append(record.payload)
                whole.append(record.payload)
    return dict(by_stream), whole


@pytest.mark.parametrize(
    ("name", "files", "streams"), CAPTURES, ids=[capture[1][0].partition(".")[0] for capture in CAPTURES]
)
def test_a_capture_is_recorded_back_byte_for_byte(tmp_path, realdata, name, files, streams):
    venue = catalog.get(name)
    with Store.create(tmp_path / "original") as original, Store.create(tmp_path / "copy") as copy:
        import_files(original, venue, [realdata / file for file in files])
        feeds = [feed for feed in original.feeds() if feed.symbol != SESSION_SYMBOL]

        async def main():
            source = Attended(original, [feed.name for feed in feeds], speed=None)
            async with Server(source, protocol_for(name)) as server:
                symbols = tuple(feed.symbol for feed in feeds)
                options = record_options(
                    venue, symbols, streams=streams or (), ws_url=server.url, rest_url=server.rest, sync="none"
                )
                recorder = Recorder(copy, options, lambda event, text: None)
                return await record_all(recorder, server)

        asyncio.run(main())
        for feed in feeds:
            assert received(copy, feed.name) == received(original, feed.name), feed.name
        verdicts = [
            {
                report.feed: {stream.stream: (stream.verdicts, stream.checksums) for stream in report.streams}
                for report in audit_store(store, catalog.get, [feed.name for feed in feeds])
            }
            for store in (original, copy)
        ]
        for kept in verdicts:
            for of_feed in kept.values():
                for own in OWN:
                    of_feed.pop(own, None)
        assert verdicts[0] == verdicts[1]
