"""Kraken: both APIs' symbols, frames, routing and messages."""

from __future__ import annotations

import json

import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, Other, Quote, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.checksum import joined_digits
from mdtool.venues.sequence import IdRule, TimeRule
from mdtool.venues.venue import BookTraits, Place

KRAKEN = get("kraken")
ACK = (
    b'{"method":"subscribe","result":{"channel":"book","depth":%d,"snapshot":true,"symbol":"BTC/USD"},"success":true,'
    b'"time_in":"2023-10-06T17:35:55.219022Z","time_out":"2023-10-06T17:35:55.219067Z"}'
)
# docs.kraken.com, "Book (Level 2)" and "Spot Websockets (v2) Book Checksum"
WHOLE = (
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":['
    b'{"price":45283.5,"qty":0.10000000},{"price":45283.4,"qty":1.54582015},{"price":45282.1,"qty":0.10000000},'
    b'{"price":45281.0,"qty":0.10000000},{"price":45280.3,"qty":1.54592586},{"price":45279.0,"qty":0.07990000},'
    b'{"price":45277.6,"qty":0.03310103},{"price":45277.5,"qty":0.30000000},{"price":45277.3,"qty":1.54602737},'
    b'{"price":45276.6,"qty":0.15445238}],"asks":['
    b'{"price":45285.2,"qty":0.00100000},{"price":45286.4,"qty":1.54571953},{"price":45286.6,"qty":1.54571109},'
    b'{"price":45289.6,"qty":1.54560911},{"price":45290.2,"qty":0.15890660},{"price":45291.8,"qty":1.54553491},'
    b'{"price":45294.7,"qty":0.04454749},{"price":45296.1,"qty":0.35380000},{"price":45297.5,"qty":0.09945542},'
    b'{"price":45299.5,"qty":0.18772827}],"checksum":3310070434}]}'
)
UPDATE = (
    b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":45284.0,"qty":1.5}],'
    b'"checksum":%d,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
)
OLD = (
    b'[1920,{"a":[["0.042990","364630.28272081","1618678145.920470"]]},'
    b'{"b":[["0.042990","0.00000000","1618678145.920708"]],"c":"4105471083"},"book-1000","SC/EUR"]'
)


@pytest.mark.parametrize(
    ("canonical", "native", "others"),
    [
        ("BTC_USD", "BTC/USD", ["XBT/USD", "btc/usd", "BTC-USD", "xbt_usd"]),
        ("DOGE_BTC", "DOGE/BTC", ["XDG/XBT"]),
        ("WAVES_EUR", "WAVES/EUR", ["waves/eur"]),
        ("ETH_CHF", "ETH/CHF", []),
        ("1INCH_USD", "1INCH/USD", []),
    ],
)
def test_symbols(canonical, native, others):
    assert KRAKEN.native(canonical) == native
    for spelling in (canonical, native, *others):
        assert KRAKEN.canonical(spelling) == canonical


@pytest.mark.parametrize("symbol", ["BTCUSD", "", "BTC/", "/USD", "BTC/USD/EUR", "B TC/USD", "BTC/USD\n"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        KRAKEN.canonical(symbol)


def test_frames_of_both_apis():
    (new,) = KRAKEN.plan(["BTC_USD", "XBT/EUR"], ["book-1000", "trade", "ticker"])
    assert (new.path, new.symbols, new.heartbeat.frame) == ("/v2", ("BTC_USD", "BTC_EUR"), '{"method":"ping"}')
    symbols = ["BTC/USD", "BTC/EUR"]
    assert [json.loads(frame) for frame in new.send] == [
        {"method": "subscribe", "params": {"channel": "book", "symbol": symbols, "depth": 1000}, "req_id": 1},
        {"method": "subscribe", "params": {"channel": "trade", "symbol": symbols, "snapshot": False}, "req_id": 2},
        {
            "method": "subscribe",
            "params": {"channel": "ticker", "symbol": symbols, "event_trigger": "bbo"},
            "req_id": 3,
        },
    ]
    (old,) = KRAKEN.plan(["BTC_USD"], ["v1:book-1000", "v1:spread"])
    assert old.path == ""
    assert [json.loads(frame) for frame in old.send] == [
        {"event": "subscribe", "reqid": 1, "pair": ["XBT/USD"], "subscription": {"name": "book", "depth": 1000}},
        {"event": "subscribe", "reqid": 2, "pair": ["XBT/USD"], "subscription": {"name": "spread"}},
    ]
    assert [json.loads(frame) for frame in KRAKEN.resubscribe("BTC_USD", "book-100")] == [
        {"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 100}, "req_id": 0},
        {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 100}, "req_id": 0},
    ]
    with pytest.raises(UsageError):
        KRAKEN.plan(["BTC_USD"], ["book-7"])


def test_a_large_plan_is_split_and_loses_nothing():
    symbols = [f"A{i}_USD" for i in range(1_500)]
    plan = KRAKEN.plan(symbols, ["book-1000", "trade"])
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols
    asked = [
        (frame["params"]["channel"], symbol)
        for connection in plan
        for frame in map(json.loads, connection.send)
        for symbol in frame["params"]["symbol"]
    ]
    assert sorted(asked) == sorted((channel, f"A{i}/USD") for i in range(1_500) for channel in ("book", "trade"))
    assert all(len(frame["params"]["symbol"]) <= 100 for c in plan for frame in map(json.loads, c.send))


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (OLD, Place("SC_EUR", "book-1000")),
        (
            b'[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]',
            Place("BTC_USD", "trade"),
        ),
        (UPDATE % 1, Place("BTC_USD", "book")),  # the depth is not known before the answer
        (b'{"channel":"heartbeat"}', Place(None, "ping")),
        (b'{"event":"heartbeat"}', Place(None, "ping")),
        (b'{"method":"pong","req_id":1}', Place(None, "ping")),
        (b'{"channel":"status","type":"update","data":[{"system":"online"}]}', Place(None, "status")),
        (b'{"connectionID":1,"event":"systemStatus","status":"online"}', Place(None, "session")),
        (
            b'{"channelID":992,"channelName":"book-1000","event":"subscriptionStatus","pair":"XMR/USD"}',
            Place(None, "session"),
        ),
        (ACK % 1000, Place(None, "session")),
        (b'{"error":"Malformed request","success":false}', Place(None, "session")),
    ],
)
def test_routing(payload, place):
    assert KRAKEN.place(KRAKEN.router().route(payload)) == place


def test_the_depth_is_learnt_from_the_answer_of_this_connection():
    router = KRAKEN.router()
    router.route(ACK % 100)
    assert KRAKEN.place(router.route(UPDATE % 1)) == Place("BTC_USD", "book-100")
    assert KRAKEN.place(KRAKEN.router().route(UPDATE % 1)) == Place("BTC_USD", "book")
    router.route(ACK % 17)  # no depth there is
    assert KRAKEN.place(router.route(UPDATE % 1)) == Place("BTC_USD", "book-100")


def test_a_book_of_bare_numbers_is_proven_by_the_digits_of_the_wire():
    book = open_book(KRAKEN, "book-10")
    decode = KRAKEN.decoder("book-10")
    (whole,) = decode(WHOLE)
    assert (whole.snapshot, whole.in_stream, whole.checksum, whole.shape) == (True, True, 3310070434, ("price", "qty"))
    step = book.on_message(whole, 1)
    assert (step.state, step.mismatch, book.check.matched) == (BookState.SYNCED, None, 1)
    (update,) = decode(UPDATE % 5)
    assert update.venue_ns == 1696613755440295000
    step = book.on_message(update, 2)
    assert step.state is BookState.DIRTY and step.needs_snapshot and step.applied == 1
    wire = json.loads(WHOLE, parse_float=str)["data"][0]
    bids, asks = ([(level["price"], level["qty"]) for level in wire[side]] for side in ("bids", "asks"))
    right = joined_digits(bids, [("45284.0", "1.5"), *asks[:9]])
    assert step.mismatch == f"the book's checksum is {right}, the venue's is 5"
    step = book.on_message(whole, 3)
    assert step.state is BookState.SYNCED
    (update,) = decode(UPDATE % right)
    assert book.on_message(update, 4).mismatch is None
    # The eleventh ask has fallen out without a word.
    assert len(book.book.asks()) == 10 and book.book.best_ask() == (452840, 150000000)


def test_a_v1_message_that_changes_both_sides():
    (update,) = KRAKEN.decoder("book-1000")(OLD)
    assert bytes(update.asks) == b'[["0.042990","364630.28272081","1618678145.920470"]]'
    assert bytes(update.bids) == b'[["0.042990","0.00000000","1618678145.920708"]]'
    assert (update.checksum, update.venue_ns, update.shape) == (4105471083, 1618678145920708000, (0, 1))
    (again,) = KRAKEN.decoder("book-1000")(
        b'[1,{"a":[["9999999997.00000","1.0","1618678145.000000","r"]],"c":"1"},"book-10","BTC/USD"]'
    )
    assert again.venue_ns == 1618678145000000000  # a price is no time, however much it looks like one


def test_trades_and_quotes_of_both_apis():
    assert list(
        KRAKEN.decoder("trade")(
            b'{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,'
            b'"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
        )
    ) == [Trade(1695628177708706000, 4665906, "0.5117", "40.0", Side.ASK)]
    assert list(
        KRAKEN.decoder("trade")(b'[0,[["5541.20000","0.15850568","1534614057.321597","b","l",""]],"trade","XBT/USD"]')
    ) == [Trade(1534614057321597000, UNKNOWN, "5541.20000", "0.15850568", Side.BID)]
    assert list(
        KRAKEN.decoder("ticker")(
            b'{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,'
            b'"ask_qty":1361.44813783}]}'
        )
    ) == [Quote(0, UNKNOWN, "0.10025", "740.0", "0.10035", "1361.44813783")]
    assert list(
        KRAKEN.decoder("spread")(
            b'[0,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]'
        )
    ) == [Quote(1542057299545897000, UNKNOWN, "5698.40000", "1.01234567", "5700.00000", "0.98765432")]
    assert list(KRAKEN.decoder("ohlc-1")(b"anything")) == [Other("ohlc-1")]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("book-10", b""), ("book-10", b"[1]"), ("book-10", b'[1,{},"book-10","A/B"]'), ("book-10", WHOLE[:-1]),
        ("book-10", WHOLE.replace(b"3310070434", b"4294967296")), ("book-10", WHOLE.replace(b'"snapshot"', b'"what"')),
        ("book-10", OLD.replace(b'"4105471083"', b'"-1"')),
        ("trade", b'[0,[["1","2"]],"trade","A/B"]'), ("trade", b'[0,[["1","2",null,7]],"trade","A/B"]'),
        ("trade", b'[0,[["1","2","1.0","?"]],"trade","A/B"]'), ("spread", b'[0,["1"],"spread","A/B"]'),
        ("ticker", b'{"data":[{"bid":1,"bid_qty":-1,"ask":1,"ask_qty":1}]}'), ("book-10", b"[" * 100_000),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError):
        KRAKEN.decoder(stream)(payload)


def test_rules_and_traits():
    assert isinstance(KRAKEN.rule("book-1000"), TimeRule) and isinstance(KRAKEN.rule("trade"), IdRule)
    assert KRAKEN.rule("ticker") is None
    assert KRAKEN.traits("book-1000") == BookTraits(1000, KRAKEN.traits("book").checksum)
    assert (KRAKEN.traits("book").depth, KRAKEN.traits("book").depths) == (None, (10, 25, 100, 500, 1000))
    # A stream asked for by the first API is the same stream.
    assert KRAKEN.is_book("v1:book-1000") and not KRAKEN.is_book("v1:trade")
    assert KRAKEN.traits("v1:book-100") == KRAKEN.traits("book-100")
    assert isinstance(KRAKEN.rule("v1:trade"), IdRule)
    assert list(KRAKEN.decoder("v1:book-1000")(OLD)) == list(KRAKEN.decoder("book-1000")(OLD))


def test_a_whole_book_tells_the_depth_where_no_answer_did():
    book, known = open_book(KRAKEN, "book"), open_book(KRAKEN, "book-10")
    wire = json.loads(WHOLE, parse_float=str)["data"][0]
    bids, asks = ([(level["price"], level["qty"]) for level in wire[side]] for side in ("bids", "asks"))
    best, right = joined_digits(bids, [("45284.0", "1.5"), *asks[:9]]), joined_digits(bids, asks)
    (whole,), (update,) = KRAKEN.decoder("book")(WHOLE), KRAKEN.decoder("book")(UPDATE % best)
    back = UPDATE.replace(b'{"price":45284.0,"qty":1.5}', b'{"price":45284.0,"qty":0.0}') % joined_digits(
        bids, asks[:9]
    )
    for built in (book, known):
        for message in (whole, update, *KRAKEN.decoder("book")(back)):
            step = built.on_message(message, 1)
            assert (step.state, step.mismatch) == (BookState.SYNCED, None)
        assert built.book.counts() == (10, 9)  # the tenth ask fell out without a word, and has not been told again
    assert right == 3310070434
