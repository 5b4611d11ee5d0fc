"""KuCoin: symbols, frames, where to connect, routing, messages, and rows that only tell a sequence."""

from __future__ import annotations

import json

import msgspec
import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Other, Quote, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Endpoint, Heartbeat, HttpRequest, Place

KUCOIN = get("kucoin")
RAW = msgspec.Raw


def frame(topic, data, kind="message"):
    return f'{{"data":{data},"subject":"trade.x","topic":"{topic}","type":"{kind}"}}'.encode()


def update(first, last, bids="[]", asks="[]"):
    data = f'{{"sequenceStart":{first},"symbol":"A-B","changes":{{"asks":{asks},"bids":{bids}}},"sequenceEnd":{last}}}'
    (message,) = KUCOIN.decoder("level2")(frame("/market/level2:A-B", data))
    return message


def answer(sequence, bids="[]"):
    body = f'{{"code":"200000","data":{{"time":1619378326628,"sequence":"{sequence}","bids":{bids},"asks":[]}}}}'
    (message,) = KUCOIN.decoder("snapshot")(body.encode())
    return message


def bullet(endpoint="wss://ws-api-spot.kucoin.com/", interval=18000):
    """www.kucoin.com/docs "Apply connect token"."""
    server = {"endpoint": endpoint, "encrypt": True, "protocol": "websocket", "pingInterval": interval}
    return json.dumps({"code": "200000", "data": {"token": "abc", "instanceServers": [server]}}).encode()


@pytest.mark.parametrize(
    ("canonical", "native"), [("BTC_USDT", "BTC-USDT"), ("EQZ_BTC", "EQZ-BTC"), ("BTC3L_USDT", "BTC3L-USDT")]
)
def test_symbols(canonical, native):
    assert KUCOIN.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.lower()):
        assert KUCOIN.canonical(spelling) == canonical
        assert KUCOIN.native(spelling) == native


@pytest.mark.parametrize("symbol", ["BTCUSDT", "", "BTC-", "é-USDT", "level2"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        KUCOIN.canonical(symbol)


def test_frames():
    (connection,) = KUCOIN.plan(["BTC_USDT", "eth-usdt"], ["level2", "candles_1min", "level2Depth5"])
    assert connection.bootstrap == HttpRequest("POST", "/api/v1/bullet-public")
    assert connection.greeted
    asked = [json.loads(text) for text in connection.send]
    assert [(one["type"], one["topic"], one["response"]) for one in asked] == [
        ("subscribe", "/market/level2:BTC-USDT,ETH-USDT", True),
        ("subscribe", "/market/candles:BTC-USDT_1min,ETH-USDT_1min", True),
        ("subscribe", "/spotMarket/level2Depth5:BTC-USDT,ETH-USDT", True),
    ]
    with pytest.raises(UsageError):
        KUCOIN.plan(["BTC_USDT"], ['match","x'])


def test_a_large_plan_loses_nothing():
    symbols = [f"A{number}_USDT" for number in range(450)]
    plan = KUCOIN.plan(symbols, KUCOIN.default_streams)
    asked = [json.loads(text)["topic"] for c in plan for text in c.send]
    listed = [f"{topic.partition(':')[0]}:{native}" for topic in asked for native in topic.partition(":")[2].split(",")]
    assert len(listed) == len(set(listed)) == 450 * 3
    assert all(topic.count(",") < 100 for topic in asked)
    assert [symbol for c in plan for symbol in c.symbols] == symbols


def test_where_to_connect():
    (connection,) = KUCOIN.plan(["BTC_USDT"], ["level2"])
    ping = '{"id":"1","type":"ping"}'
    assert KUCOIN.endpoint(connection, bullet()) == Endpoint(
        "wss://ws-api-spot.kucoin.com/?token=abc", Heartbeat(16.2, ping)
    )
    assert KUCOIN.endpoint(connection, bullet(interval=10**9)).heartbeat.interval == 60.0


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"code":"400100","msg":"no"}', b'{"code":"200000","data":{"token":"a","instanceServers":[]}}',
     bullet("http://elsewhere"), bullet(interval=0), bullet(interval="18000")],
)  # fmt: skip
def test_an_answer_that_names_no_server(body):
    (connection,) = KUCOIN.plan(["BTC_USDT"], ["level2"])
    with pytest.raises(WireError, match="bullet-public"):
        KUCOIN.endpoint(connection, body)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (frame("/market/level2:BCHSV-USDT", "{}"), Place("BSV_USDT", "level2")),
        (frame("/market/candles:BTC-USDT_1min", "{}"), Place("BTC_USDT", "candles_1min")),
        (b'{"type":"message","topic":"/spotMarket/level1:BTC-USDT","data":{}}', Place("BTC_USDT", "level1")),
        (frame("/market/ofTomorrow:BTC-USDT", "{}"), Place("BTC_USDT", "ofTomorrow")),
        (frame("/market/match:BTC", "{}"), Place("BTC", "match")),
        (b'{"id":"NSkIrWGB1s","type":"welcome"}', Place(None, "session")),
        (b'{"id":"1","type":"ack"}', Place(None, "session")),
        (b'{"id":"1","type":"error","code":404,"data":"topic not found"}', Place(None, "session")),
        (b'{"id":"1","type":"pong"}', Place(None, "ping")),
    ],
)  # fmt: skip
def test_routing(payload, place):
    assert KUCOIN.place(KUCOIN.router().route(payload)) == place


def test_messages():
    asks = '[["244.351","150","1613277183875"]]'
    assert update(5, 7, asks=asks) == BookUpdate(0, 5, 7, 4, RAW(b"[]"), RAW(asks.encode()), shape=(0, 1))
    match = (
        '{"symbol":"A-B","sequence":"1612701563871","side":"buy","size":"0.0267","price":"0.0000001119",'
        '"takerOrderId":"6085c097587c2000060cde57","time":"1619378327739050725","type":"match",'
        '"makerOrderId":"6085bf2fbcabdc0006cf0f69","tradeId":"6085c09769bc506996295e37"}'
    )
    assert list(KUCOIN.decoder("match")(frame("/market/match:A-B", match))) == [
        Trade(1619378327739050725, 1612701563871, "0.0000001119", "0.0267", Side.BID)
    ]
    ticker = (
        '{"sequence":"1613277183873","bestAsk":"242.951","size":"0.08","bestBidSize":"0.68","price":"243.65",'
        '"time":1619378326330,"bestAskSize":"4.51","bestBid":null}'
    )
    assert list(KUCOIN.decoder("ticker")(frame("/market/ticker:A-B", ticker))) == [
        Quote(1619378326330000000, 1613277183873, "0", "0.68", "242.951", "4.51")
    ]
    best = '{"asks":["51908","1.2"],"bids":[],"timestamp":1728641234567}'
    assert list(KUCOIN.decoder("level1")(frame("/spotMarket/level1:A-B", best))) == [
        Quote(1728641234567000000, UNKNOWN, "0", "0", "51908", "1.2")
    ]
    depth = '{"asks":[["2","1"]],"bids":[["1","1"]],"timestamp":1728641234567}'
    assert list(KUCOIN.decoder("level2Depth5")(frame("/spotMarket/level2Depth5:A-B", depth))) == [
        BookUpdate(1728641234567000000, UNKNOWN, UNKNOWN, UNKNOWN, RAW(b'[["1","1"]]'), RAW(b'[["2","1"]]'), True, True)
    ]
    assert list(KUCOIN.decoder("candles_1min")(b"anything")) == [Other("candles_1min")]
    assert KUCOIN.snapshot_request("BTC_USDT") == HttpRequest(
        "GET", "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"
    )


@pytest.mark.parametrize("none", ["0", "0.0", "0.00000000"])
def test_a_row_of_price_0_only_tells_the_sequence(none):
    rows = f'[["{none}","0","5"],["0.5","2","6"],["{none}","7","7"],["10","0","7"]]'
    assert update(5, 7, bids=rows).bids == b'[["0.5","2","6"],["10","0","7"]]'
    only = update(5, 7, asks=f'[["{none}","0","7"]]')
    assert (only.asks, only.last_seq) == (b"[]", 7)
    small = '[["0.00000771","357.285","5"]]'
    assert update(5, 5, bids=small).bids == RAW(small.encode())


def test_the_steps_of_a_book():
    """drop sequenceEnd <= sequence; require sequenceStart <= sequence + 1 and sequenceEnd > sequence."""
    rule = KUCOIN.rule("level2")
    V = Verdict
    spans = [(9, 10), (10, 11), (11, 12), (5, 20), (12, 13)]
    assert [rule.bridge(answer(10), update(*span)) for span in spans] == [V.STALE, V.APPLY, V.APPLY, V.APPLY, V.GAP]
    spans = [(1, 5), (6, 6), (5, 9), (7, 9), (11, 12), (10, 10)]
    assert [rule.judge(update(*span)) for span in spans] == [
        V.APPLY, V.APPLY, V.APPLY, V.STALE, V.GAP, V.OUT_OF_ORDER,
    ]  # fmt: skip


def test_a_book():
    sync = open_book(KUCOIN, "level2")
    assert sync.on_message(update(10, 11, '[["1","1","10"]]'), 1).needs_snapshot
    assert sync.on_message(answer(10, '[["1","1"],["2","5"]]'), 1).state is BookState.SYNCED
    sync.on_message(update(12, 13, '[["2","0","12"],["0","0","13"]]'), 1)
    assert (sync.book.top(5), sync.last_seq) == (([(1, 1)], []), 13)


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("level2", b""), ("level2", frame("t", "{}")), ("level2", frame("t", "[]")),
        ("level2", frame("t", '{"sequenceStart":7,"sequenceEnd":6,"changes":{}}')),
        ("level2", frame("t", '{"sequenceStart":1,"sequenceEnd":9223372036854775808,"changes":{}}')),
        ("level2", frame("t", '{"sequenceStart":1,"sequenceEnd":2,"changes":{"asks":[["0",1]]}}')),
        ("match", frame("t", '{"sequence":"x","side":"buy","size":"1","price":"1","time":"1"}')),
        ("match", frame("t", '{"sequence":"1","side":"up","size":"1","price":"1","time":"1"}')),
        ("level1", frame("t", '{"asks":["1"],"bids":[]}')),
        ("snapshot", b'{"code":"400003","msg":"KC-API-KEY not exists"}'), ("snapshot", b"[" * 100_000),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError, match=rf"^{stream}: "):
        KUCOIN.decoder(stream)(payload)
