"""Real messages of every venue, bent: whatever the bytes, they have a place, and decode to messages or a WireError.

`MDTOOL_FUZZ` multiplies the number of cases: thousands in CI, millions in a long run (MDTOOL_FUZZ=100 makes 30,000 of
Hypothesis and 100,000 of plain random bytes a venue).
"""

from __future__ import annotations

import gc
import gzip
import json
import os
import random
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import TIMEOUT

from mdtool.books.events import EventBuilder
from mdtool.books.sync import open_book
from mdtool.errors import TooLarge, WireError
from mdtool.interop import cf, hb, pat
from mdtool.model import BookUpdate, Kind, OrderUpdate, Update
from mdtool.venues import catalog
from mdtool.venues.venue import Place

pytestmark = pytest.mark.realdata

CAPTURES = {
    "binance": ["binance/2021-10-11.ws.cf.gz"],
    "binance-usdm": ["binance_usdm/btcusdt_20240808_head3000.hb.gz"],
    "kraken": ["kraken/2021-04-17_v1.ws.cf.gz"],
    "okx": ["okx/2022-05-13.ws.cf.gz"],
    "deribit": ["deribit/2021-04-05.ws.cf.gz"],
    "hyperliquid": ["hyperliquid/btcusd_20250126.hb.gz"],
    "bitfinex": ["bitfinex/2021-04-17.ws.cf.gz"],
    "coinbase-advanced": ["coinbase_advanced/2026-08-09_head.ws.cf.gz"],
    "coinbase": ["coinbase/2021-04-17_level2.ws.cf.gz", "coinbase/2016-03-12_full_l3.pat.gz"],
    "bitstamp": ["bitstamp/2022-01-04.ws.cf.gz"],
    "gate": ["gateio/2021-04-22.ws.cf.gz"],
    "gate-futures": ["gateio_futures/2023-06-01.ws.cf.gz"],
    "kucoin": ["kucoin/2021-07-22.ws.cf.gz"],
}
# What no capture holds, in the form of the venues' documentation.
BYBIT = [
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],'
    b'"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1672304484976}',
    b'{"topic":"orderbook.full.BTCUSDT","type":"delta","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0"]],'
    b'"a":[],"u":18521289,"seq":7961638725},"cts":1672304484976}',
    b'{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],'
    b'"a":[],"u":18521288,"seq":7961638724},"cts":1672304484976}',
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}',
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","markPrice":"17217.33","indexPrice":"17227",'
    b'"nextFundingTime":"1673280000000","fundingRate":"-0.000212","bid1Price":"17215.50","bid1Size":"84.489",'
    b'"ask1Price":"17216.00","ask1Size":"83.020"},"cs":24987956059,"ts":1673272861686}',
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"BTCUSDT",'
    b'"S":"Sell","v":"20000","p":"0.04499"}]}',
    b'{"topic":"system.status","ts":1751858399649,"data":[{"id":"4d95b2a0","title":"t06","state":"completed",'
    b'"begin":"1751596902000","end":"1751597011000","href":"","serviceTypes":[2,3],"product":[1,2],"env":1}]}',
    b'{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}',
]
COINM = [
    b'{"stream":"btcusd_perp@depth@100ms","data":{"e":"depthUpdate","E":1591270260907,"T":1591270260891,"s":"BTCUSD_PERP",'
    b'"ps":"BTCUSD","U":17285681,"u":17285702,"pu":17285675,"b":[["9517.6","10"]],"a":[["9518.5","45"]]}}',
    b'{"stream":"btcusd_250926@bookTicker","data":{"e":"bookTicker","u":17242169,"s":"BTCUSD_250926","ps":"BTCUSD",'
    b'"b":"9548.1","B":"52","a":"9548.5","A":"11","T":1591268628155,"E":1591268628166}}',
    b'{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_PERP","p":"10934.62","P":"10962.17","i":"10933.62",'
    b'"r":"-0.00010000","T":1596096000000}',
    b'{"stream":"btcusd_perp@forceOrder","data":{"e":"forceOrder","E":1591154240950,"o":{"s":"BTCUSD_PERP","ps":"BTCUSD",'
    b'"S":"SELL","o":"LIMIT","f":"IOC","q":"1","p":"9425.5","ap":"9496.5","X":"FILLED","l":"1","z":"1"}}}',
    b'{"stream":"!contractInfo","data":{"e":"contractInfo","E":1669647330445,"s":"BTCUSD_PERP","cs":"TRADING"}}',
]
DERIBIT = [
    b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"trade_seq":3,'
    b'"timestamp":1590484512188,"price":8950.0,"direction":"sell","amount":10.0,"liquidation":"MT"}]}}',
    b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"perpetual.BTC-PERPETUAL.raw","data":{"timestamp":1,'
    b'"interest":-1e-05,"index_price":7872.88}}}',
    b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"instrument.state.any.any","data":{"timestamp":1,'
    b'"state":"created","instrument_name":"BTC-PERPETUAL"}}}',
    b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"platform_state","data":{"price_index":"btc_usd",'
    b'"locked":true}}}',
    b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
]
HYPERLIQUID = [
    b'{"channel":"bbo","data":{"coin":"BTC","time":1737918843542,"bbo":[{"px":"1.5","sz":"2","n":1},null]}}',
    b'{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"-0.0000125","oraclePx":"10.5","markPx":10.25}}}',
    b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}}',
]
COINBASE = [
    b'{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}',
    b'{"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27.265Z","changes":[["buy","10101.8","0.162567"],'
    b'["sell","10103.5","0"]]}',
    b'{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":"132fb6ae","side":"sell",'
    b'"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23"}',
    b'{"type":"change","time":"2014-11-07T08:19:27.028459Z","sequence":80,"order_id":"ac928c66","product_id":"BTC-USD",'
    b'"new_size":"5.23512","old_size":"12.234412","price":"400.23","side":"sell"}',
    b'{"type":"done","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"price":null,'
    b'"order_id":"d50ec984","reason":"filled","side":"sell","remaining_size":"0"}',
    b'{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}',
    b'{"type":"status","products":[{"id":"BTC-USD","status":"online"}],"currencies":[]}',
    b'{"type":"subscriptions","channels":[{"name":"full","product_ids":["BTC-USD"]}]}',
    b'{"sequence":3,"bids":[["295.96","4.39088265","da863862"]],"asks":[["295.97","25.23542881","f2a3b7c1"]]}',
]
BITGET = [
    b'{"action":"snapshot","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{"asks":[["26274.9",'
    b'"0.0009"]],"bids":[["26274.8","0.0009"]],"checksum":0,"seq":123,"ts":"1695710946294"}],"ts":1695710946294}',
    b'{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{"asks":[["26274.9","0"]],'
    b'"bids":[],"checksum":-1367582038,"seq":125,"ts":"1695710946494"}],"ts":1695710946495}',
    b'{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{"asks":[],"bids":[["1.5",'
    b'"2"]],"ts":"1790358811400","seq":850169288983,"pseq":850169286126}],"ts":1790358811401}',
    b'{"action":"snapshot","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},"data":[{"asks":[["26274.9",'
    b'"0.0009"]],"bids":[],"ts":"1790358811400","seq":850169288983,"pseq":0}],"ts":1790358811401}',
    b'{"action":"snapshot","arg":{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"},"data":[{"ts":"1695709835822",'
    b'"price":"26293.4","size":"0.0013","side":"buy","tradeId":"1000000000"}],"ts":1695711090682}',
    b'{"action":"snapshot","arg":{"instType":"SPOT","channel":"ticker","instId":"ETHUSDT"},"data":[{"instId":"ETHUSDT",'
    b'"bidPr":"1792","askPr":"2200.1","bidSz":"0.0084","askSz":"19740.8811","ts":"1695702438018"}],"ts":1695702438029}',
    b'{"event":"error","arg":{"instType":"SPOT","channel":"books","instId":"X"},"code":30001,"msg":"","op":"subscribe"}',
]
BITSTAMP = [
    b'{"data":{"id":1443875774971904,"id_str":"1443875774971904","order_type":0,"datetime":"1641343709",'
    b'"microtimestamp":"1641343709599000","amount":0.5,"amount_str":"0.50000000","price":3802.93,"price_str":"3802.93"},'
    b'"channel":"live_orders_ethusd","event":"order_created"}',
    b'{"data":{"timestamp":"1641343691","microtimestamp":"1641343691310202","bids":[["1.1","5"]],"asks":[["1.2","853.01"]]},'
    b'"channel":"order_book_ethusd","event":"data"}',
    b'{"timestamp":"1","microtimestamp":"1641343691310202","bids":[["1.1","5","1443875774971904"]],"asks":[]}',
    b'{"event":"bts:request_reconnect","channel":"","data":""}',
]
GATE = [
    b'{"time":1,"channel":"spot.obu","event":"update","result":{"t":1606294781123,"full":true,"s":"ob.BTC_USDT.400",'
    b'"u":48776301,"b":[["19137.74","0.0001"]],"a":[["19137.75","0.6135"]]}}',
    b'{"time":1,"channel":"spot.book_ticker","event":"update","result":{"t":1606293275123,"u":48733182,"s":"BTC_USDT",'
    b'"b":"19177.79","B":"0.0003341504","a":"19179.38","A":"0.09"}}',
    b'{"id":3,"current":1623898993123,"update":1623898993121,"asks":[["1.52","1.151"]],"bids":[["1.17","201.86"]]}',
]
GATE_FUTURES = [
    b'{"time":1,"channel":"futures.trades","event":"update","result":[{"size":-108,"id":27753479,"create_time":1545136464,'
    b'"create_time_ms":1545136464123,"price":"96.4","contract":"BTC_USDT"}]}',
    b'{"time":1,"channel":"futures.tickers","event":"update","result":[{"contract":"BTC_USDT","last":"118.4",'
    b'"mark_price":"118.35","funding_rate":"-0.000114","index_price":"118.36"}]}',
    b'{"time":1,"channel":"futures.public_liquidates","event":"update","result":[{"price":215.1,"size":-124,'
    b'"time":1541486601,"time_ms":1541486601123,"contract":"BTC_USDT"}]}',
    b'{"id":123456,"current":1623898993.123,"update":1623898993.121,"asks":[{"p":"1.52","s":100}],"bids":[]}',
]
KUCOIN = [
    b'{"topic":"/spotMarket/level1:BTC-USDT","type":"message","subject":"level1","data":{"asks":["51908","1.2"],'
    b'"bids":["51907","0.1"],"timestamp":1728641234567}}',
    b'{"topic":"/spotMarket/level2Depth5:BTC-USDT","type":"message","subject":"level2","data":{"asks":[["9989","8"]],'
    b'"bids":[["9988","56"]],"timestamp":1586948108193}}',
    b'{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":{"asks":'
    b'[["0","0","13067491988"]],"bids":[["19.99","0","13067491987"]]},"sequenceEnd":13067491988,'
    b'"sequenceStart":13067491987,"symbol":"BTC-USDT","time":1729843192731}}',
    b'{"code":"200000","data":{"time":1550653727731,"sequence":"3262786978","bids":[["6500.12","0.45"]],"asks":[]}}',
]
DOCUMENTED = {
    "bybit": BYBIT,
    "bybit-linear": [message.replace(b"BTCUSDT", b"BTC-26DEC25") for message in BYBIT],
    "bybit-inverse": [message.replace(b"BTCUSDT", b"BTCUSDZ25") for message in BYBIT],
    "binance-coinm": COINM,
    "deribit": DERIBIT,
    "hyperliquid": HYPERLIQUID,
    "coinbase": COINBASE,
    "bitget": BITGET,
    "bitstamp": BITSTAMP,
    "gate": GATE,
    "gate-futures": GATE_FUTURES,
    "kucoin": KUCOIN,
}
PARSERS = {"hb": hb.parse_line, "cf": cf.parse_line, "pat": pat.line_parser()}
LARGEST = 3_000  # bytes of a sample: a bent ladder of 2,000 levels says no more than one of 20
LONG = int(os.environ.get("MDTOOL_FUZZ", "0"))
CASES = 300 * max(1, LONG)
ODD = [
    None, True, -1, 0, 2**63, 2**64, 10**40, -(10**40), 1.5, 1e308, 1e-308, "", "0", "-1", "1e5", "NaN", "9" * 50,
    "x" * 200,
    "\u0000", "\ud800", [], {}, [[]], [[[[[[[[[[]]]]]]]]]], {"a": {"a": {}}}, [["1"]], [["1", "2", "3", "4", "5", "6"]],
]  # fmt: skip


@cache
def samples(folder: Path, venue: str) -> list[tuple[bytes, ...]]:
    """One message of each form there is, behind the announcements of its connection."""
    announced: list[bytes] = []
    forms: dict[object, bytes] = {}
    for file in CAPTURES.get(venue, ()):
        parse = PARSERS[file.split(".")[-2]]
        for line in gzip.decompress((folder / file).read_bytes()).splitlines():
            item = parse(line)
            if item is None or item.kind != Kind.DATA:
                continue
            payload = item.payload
            if b'"subscribed"' in payload[:40]:
                announced.append(payload)
            if len(payload) <= LARGEST:
                forms.setdefault((payload[:72].translate(None, b"0123456789"), len(payload) // 200), payload)
    documented = [(payload,) for payload in DOCUMENTED.get(venue, ())]
    return [(*announced, payload) for payload in forms.values()] + documented


def bent(data, payload: bytes) -> bytes:
    """The payload with bytes changed, or with one value of it another."""
    if data.draw(st.booleans()):
        text = bytearray(payload)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, max(0, len(text) - 1)))
            text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        return bytes(text[: data.draw(st.integers(0, len(text)))] if data.draw(st.booleans()) else text)
    value = json.loads(payload)
    holder, key = None, None
    here = value
    while isinstance(here, dict | list) and here and (holder is None or data.draw(st.integers(0, 3))):
        holder = here
        key = (
            data.draw(st.sampled_from(sorted(here)))
            if isinstance(here, dict)
            else data.draw(st.integers(0, len(here) - 1))
        )
        here = here[key]
    if holder is not None:
        if data.draw(st.booleans()):
            holder[key] = data.draw(st.sampled_from(ODD))
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.insert(key, data.draw(st.sampled_from(ODD)))
    return json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")


VENUES = sorted({*CAPTURES, *DOCUMENTED})


def survive(venue, announced, payload, damaged):
    """The damaged message has a place and is messages or a WireError, of its own stream and of the one it was of."""
    router = venue.router()
    for earlier in announced:
        router.route(earlier)
    place = venue.place(router.route(payload))
    key = router.route(damaged)
    hash(key)
    found = venue.place(key) if key is not None else Place(None, "other")
    assert found.symbol is None or venue.named(venue.native(found.symbol)) == found.symbol
    for stream in {place.stream, found.stream, "snapshot"}:
        try:
            decoded = venue.decoder(stream)(damaged)
        except WireError as error:
            assert len(str(error)) < 1_000
            continue
        builder, wide = EventBuilder(1), EventBuilder(1, wide=True)
        book = open_book(venue, stream)
        rule = venue.rule(stream)
        for message in decoded:
            if rule is not None:
                rule.judge(message)
            with suppress(WireError, TooLarge):
                builder.rows(message, 1)
            with suppress(WireError):
                wide.rows(message, 1)
            if book is not None and isinstance(message, Update):
                assert isinstance(message, BookUpdate | OrderUpdate)
                book.on_message(message, 1)
    connection = venue.connection_rule()
    if connection is not None:
        number = connection.number(damaged)
        assert number is None or 0 <= number < 2**63


@pytest.mark.parametrize("venue_name", VENUES)
def test_what_does_not_decode_is_let_go_at_once(realdata, venue_name):
    """A failure that holds the frame it was raised in holds the chunk it came from, mapped and all, until a collector
    comes by, which then warns of views that others have of it."""
    venue = catalog.get(venue_name)
    failed = 0
    cases = []
    for *announced, payload in samples(realdata, venue_name):
        router = venue.router()
        for earlier in announced:
            router.route(earlier)
        decode = venue.decoder(venue.place(router.route(payload)).stream)
        cut, renamed = payload[: len(payload) // 2], payload.replace(b'"', b'"x', 2)
        cases += [(decode, bent) for bent in (cut, renamed, payload.replace(b":", b":-", 1))]
    gc.collect()
    gc.disable()
    try:
        for decode, bent in cases:
            try:
                decode(bent)
            except WireError:
                failed += 1
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert failed


@pytest.mark.timeout(0 if LONG else TIMEOUT)
@pytest.mark.parametrize("venue_name", VENUES)
def test_no_bytes_break_an_adapter(realdata, venue_name):
    venue = catalog.get(venue_name)
    messages = samples(realdata, venue_name)
    assert len(messages) >= 5

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(messages), st.data())
    def run(sample, data):
        *announced, payload = sample
        survive(venue, announced, payload, bent(data, payload))

    run()


@pytest.mark.timeout(0 if LONG else TIMEOUT)
@pytest.mark.parametrize("venue_name", VENUES)
def test_no_bytes_break_an_adapter_in_a_long_run(realdata, venue_name):
    """The same with plain random bytes, spliced and cut: many more cases a second, and those are what a long run is
    for. A failure names the seed's number, and `damage` makes the same bytes of it again."""
    venue = catalog.get(venue_name)
    messages = samples(realdata, venue_name)
    for number in range(1_000 * LONG if LONG else 500):
        chance = random.Random(f"{venue_name}/{number}")
        *announced, payload = chance.choice(messages)
        damaged = damage(chance, payload, chance.choice(messages)[-1])
        try:
            survive(venue, announced, payload, damaged)
        except Exception as error:
            raise AssertionError(f"case {number}: {damaged!r}") from error


def damage(chance, payload, other):
    """Bytes changed, taken out, put in, taken from another message, or cut off."""
    text = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            text[at : at + chance.randint(1, 3)] = chance.randbytes(chance.randint(0, 3))
        elif kind == 1:
            text[at : at + 1] = chance.choice(
                [b'"', b"[", b"]", b"{", b"}", b",", b":", b"0", b"-", b"e", b"\\", b"\xff"]
            )
        elif kind == 2:
            start = chance.randrange(len(other))
            text[at:at] = other[start : start + chance.randint(1, 20)]
        elif kind == 3:
            text[at : at + 1] = chance.choice([b"9" * 30, b"1e400", b"null", b"true", b"[[[[", b'{"a":' * 5])
        else:
            del text[max(at, 1) :]
    return bytes(text)
