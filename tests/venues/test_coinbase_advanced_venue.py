"""Coinbase Advanced Trade: routing, decoding, plans, and the numbers of a connection.

Messages are of the capture, shortened, or in the form of docs.cdp.coinbase.com "Advanced Trade WebSocket Channels".
"""

from __future__ import annotations

import contextlib
import gzip
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.interop import cf
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Kind, Other, Quote, Side, Status, Trade
from mdtool.venues.catalog import get
from mdtool.venues.coinbase_advanced.wire import number
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place

ADVANCED = get("coinbase-advanced")
NS = 1_786_309_548_505_350_477
TIME = "2026-08-09T21:05:48.505350477Z"


def frame(channel, events, seq=14, time=TIME):
    return json.dumps(
        {"channel": channel, "timestamp": time, "sequence_num": seq, "events": events}, separators=(",", ":")
    ).encode()


def book(kind, *rows, product="BTC-USD"):
    updates = [
        {"side": side, "event_time": "2026-08-09T21:05:48.210883Z", "price_level": price, "new_quantity": size}
        for side, price, size in rows
    ]
    return {"type": kind, "product_id": product, "updates": updates}


def trades(kind, *ids, product="BTC-USD", side="SELL"):
    said = {"product_id": product, "price": "65083.67", "size": "0.01", "time": TIME, "side": side}
    rows = [{**said, "trade_id": str(number)} for number in ids]
    return {"type": kind, "trades": rows}


def decoded(stream, payload):
    return list(ADVANCED.decoder(stream)(payload))


@pytest.mark.parametrize(
    ("canonical", "native"), [("BTC_USD", "BTC-USD"), ("ETH_USDC", "ETH-USDC"), ("00_USD", "00-USD")]
)
def test_symbols(canonical, native):
    for spelling in (canonical, native, native.lower(), canonical.lower(), native.replace("-", "/")):
        assert ADVANCED.canonical(spelling) == canonical
        assert ADVANCED.native(spelling) == native


def test_a_channel_a_frame_and_few_products_a_connection():
    (plan,) = ADVANCED.plan(["BTC_USD", "ETH-USD", "btc_usd"], ADVANCED.default_streams)
    assert [json.loads(sent) for sent in plan.send] == [
        {"type": "subscribe", "channel": "heartbeats"},
        {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channel": "level2"},
        {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channel": "market_trades"},
        {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channel": "ticker"},
    ]
    assert (plan.path, plan.symbols) == ("", ("BTC_USD", "ETH_USD"))
    assert 1 / plan.send_interval < 8  # messages a second of an address
    symbols = [f"S{number}_USD" for number in range(60)]
    many = ADVANCED.plan(symbols, ["level2", "candles"])
    assert [len(connection.symbols) for connection in many] == [25, 25, 10]
    assert [symbol for connection in many for symbol in connection.symbols] == symbols
    again = [json.loads(sent) for sent in ADVANCED.resubscribe("BTC_USD", "level2")]
    assert again == [
        {"type": kind, "product_ids": ["BTC-USD"], "channel": "level2"} for kind in ("unsubscribe", "subscribe")
    ]
    assert ADVANCED.plan([], ADVANCED.default_streams) == () == ADVANCED.plan(["BTC_USD"], [])
    assert ADVANCED.snapshot_request("BTC_USD") is None
    with pytest.raises(UsageError, match="'full' is no channel; there are level2, "):
        ADVANCED.plan(["BTC_USD"], ["full"])
    with pytest.raises(UnknownSymbol):
        ADVANCED.plan(["BTC USD"], ["level2"])


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (frame("l2_data", [book("snapshot")]), Place("BTC_USD", "level2")),
        (frame("l2_data", [book("update", ("bid", "1", "2")), book("update")]), Place("BTC_USD", "level2")),
        (frame("l2_data", [book("update"), book("update", product="ETH-USD")]), Place(None, "level2")),
        (frame("market_trades", [trades("update", 6, 5)]), Place("BTC_USD", "market_trades")),
        (frame("ticker", [{"type": "update", "tickers": [{"type": "ticker", "product_id": "SKL-GBP"}]}]),
         Place("SKL_GBP", "ticker")),
        (frame("candles", [{"type": "update", "candles": [{"start": "1786309500", "product_id": "ETH-USD"}]}]),
         Place("ETH_USD", "candles")),
        (frame("subscriptions", [{"subscriptions": {"level2": ["BTC-USD"]}}]), Place(None, "session")),
        (frame("heartbeats", [{"current_time": "now", "heartbeat_counter": 41691}]), Place(None, "heartbeats")),
        (frame("status", [{"type": "snapshot", "products": [{"id": "BTC-USD"}]}]), Place(None, "status")),
        (b'{"type":"error","message":"authentication failure"}', Place(None, "session")),
        (frame("of_tomorrow", [{"product_id": "BTC-PERP-INTX"}]), Place("BTC-PERP-INTX", "of_tomorrow")),
        (frame("l2_data", [{"product_id": "no symbol"}]), Place(None, "level2")),
        (b'{"channel":"l2_data"', Place(None, "level2")),
        (b'{"channel":"../x","product_id":"BTC-USD"}', Place(None, "other")),
        (b'{"channel":"ticker","events":[{"product_id":"BTC\xff"}]}', Place(None, "other")),
        (b"", Place(None, "other")),
        (b"[]", Place(None, "other")),
    ],
)  # fmt: skip
def test_routing(payload, place):
    key = ADVANCED.router().route(payload)
    assert (Place(None, "other") if key is None else ADVANCED.place(key)) == place


def test_a_book_is_whole_first_and_then_changes_with_absolute_sizes():
    whole = frame("l2_data", [book("snapshot", ("bid", "65083.66", "0.2"), ("offer", "65083.67", "0.1"))], seq=13)
    assert decoded("level2", whole) == [
        BookUpdate(NS, UNKNOWN, 13, UNKNOWN, b'[["65083.66","0.2"]]', b'[["65083.67","0.1"]]', True, True)
    ]
    rows = ("bid", "65061.91", "0"), ("bid", "65051.12", "0.0614901")
    assert decoded("level2", frame("l2_data", [book("update", *rows), book("update", ("bid", "65061.91", "3"))])) == [
        BookUpdate(NS, UNKNOWN, 14, UNKNOWN, b'[["65061.91","0"],["65051.12","0.0614901"],["65061.91","3"]]', b"[]")
    ]  # one frame, one number, one update: of a level said twice the last holds


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "", None, "yesterday", 7, {}])
@pytest.mark.parametrize("seq", [14, None])
def test_what_no_rule_needs_may_be_odd(time, seq):
    """The levels are kept: the time and the number are unknown."""
    payload = frame("l2_data", [book("update", ("bid", "1", "2"))], seq=seq, time=time)
    wanted = BookUpdate(NO_TIME, UNKNOWN, UNKNOWN if seq is None else seq, UNKNOWN, b'[["1","2"]]', b"[]")
    assert decoded("level2", payload) == [wanted]
    assert number(payload) == seq


@pytest.mark.parametrize(
    "events",
    [
        [], [book("snapshot"), book("update")], [book("snapshot"), book("snapshot")], [book("partial")],
        [book("update", ("sell", "1", "2"))], [{"type": "update", "updates": [{"side": "bid"}]}], [{"type": "update"}],
    ],
)  # fmt: skip
def test_what_is_no_book(events):
    with pytest.raises(WireError):
        decoded("level2", frame("l2_data", events))


def test_trades_are_the_makers_side_and_oldest_first():
    payload = frame("market_trades", [trades("update", 7, 6)])
    assert decoded("market_trades", payload) == [
        Trade(NS, number, "65083.67", "0.01", Side.BID, 1) for number in (6, 7)
    ]
    before = frame("market_trades", [trades("snapshot", 5, side="BUY")])
    assert decoded("market_trades", before) == [Trade(NS, 5, "65083.67", "0.01", Side.ASK, 0)]


def test_trades_before_the_subscription_say_where_the_ids_stand():
    rule = ADVANCED.rule("market_trades")

    def judged(kind, *ids):
        return [rule.judge(trade) for trade in decoded("market_trades", frame("market_trades", [trades(kind, *ids)]))]

    assert judged("snapshot", 5, 4, 3) == [Verdict.KEEPALIVE, Verdict.APPLY, Verdict.APPLY]
    assert judged("update", 7, 6) == [Verdict.APPLY] * 2
    assert judged("snapshot", 9, 8, 7, 6) == [Verdict.KEEPALIVE] * 2 + [Verdict.APPLY] * 2  # two were missed
    assert judged("update", 11) == [Verdict.GAP]
    assert judged("update", 11) == [Verdict.STALE]


def test_quotes_and_states():
    ticker = {
        "type": "ticker", "product_id": "BTC-USD", "price": "65086.18", "best_bid": "65083.66",
        "best_ask": "65083.67", "best_bid_quantity": "0.2", "best_ask_quantity": "0.24",
    }  # fmt: skip
    payload = frame("ticker", [{"type": "update", "tickers": [ticker]}])
    assert decoded("ticker", payload) == [Quote(NS, 14, "65083.66", "0.2", "65083.67", "0.24")]
    batch = frame("ticker_batch", [{"type": "update", "tickers": [{"product_id": "BTC-USD", "price": "1"}]}])
    assert decoded("ticker_batch", batch) == []
    state = frame("status", [{"type": "snapshot", "products": [{"id": "BTC-USD", "status": "online"}]}])
    assert decoded("status", state) == [Status(NS, "BTC-USD: online", True)]
    assert decoded("candles", b"?") == [Other("candle")]
    assert decoded("heartbeats", b"?") == [Other("heartbeat")]


def test_the_numbers_of_a_connection():
    rule = ADVANCED.connection_rule()
    payloads = [frame("heartbeats", [], seq=n) for n in (0, 1, 2, 2, 4, 3)]
    assert [rule.judge_number(number(payload)) for payload in payloads] == [
        Verdict.APPLY, Verdict.APPLY, Verdict.APPLY, Verdict.STALE, Verdict.GAP, Verdict.OUT_OF_ORDER,
    ]  # fmt: skip
    assert number(b'{"type":"error","message":"x"}') is None
    assert number(b'{"events":[],"sequence_num": 7 }') == 7


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data):
    number(data)
    for stream in ("level2", "market_trades", "ticker", "status"):
        with contextlib.suppress(WireError):
            decoded(stream, data)


@pytest.mark.realdata
def test_the_capture(realdata):
    """README: sequence_num 0 to 323, one more each, over all channels of the connection."""
    path = realdata / "coinbase_advanced" / "2026-08-09_head.ws.cf.gz"
    items = [cf.parse_line(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    payloads = [item.payload for item in items if item is not None and item.kind == Kind.DATA]
    assert [number(payload) for payload in payloads] == list(range(324))
    router = ADVANCED.router()
    places = [ADVANCED.place(router.route(payload)) for payload in payloads]
    counts: dict[tuple[str | None, str], int] = {}
    for place in places:
        counts[place.symbol, place.stream] = counts.get((place.symbol, place.stream), 0) + 1
    assert counts == {
        ("BTC_USD", "level2"): 120, ("ETH_USD", "level2"): 116, ("BTC_USD", "market_trades"): 15,
        ("ETH_USD", "market_trades"): 6, ("BTC_USD", "ticker"): 28, ("ETH_USD", "ticker"): 22,
        ("BTC_USD", "candles"): 2, ("ETH_USD", "candles"): 2, (None, "heartbeats"): 8, (None, "session"): 5,
    }  # fmt: skip
    for payload, place in zip(payloads, places, strict=True):
        if place.stream == "level2":
            (update,) = decoded("level2", payload)
            rows = [row for event in json.loads(payload)["events"] for row in event["updates"]]
            for ladder, side in ((update.bids, "bid"), (update.asks, "offer")):
                said = [[row["price_level"], row["new_quantity"]] for row in rows if row["side"] == side]
                assert msgspec.json.decode(ladder) == said
