"""Bitfinex: symbols, channels that are announced, frames numbered over the connection, books by price and by order."""

from __future__ import annotations

import json

import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import Action, BookUpdate, Funding, Liquidation, Order, OrderUpdate, Other, Side, Trade
from mdtool.venues.bitfinex.wire import number
from mdtool.venues.catalog import get
from mdtool.venues.checksum import interleaved_amounts
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place, Reconnect

BITFINEX = get("bitfinex")
BOOK = b'{"event":"subscribed","channel":"book","chanId":225206,"symbol":"tDOGUSD","prec":"P0","freq":"F0","len":"100"}'
RAW = b'{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","prec":"R0","freq":"F0","len":"100"}'
STATUS = b'{"event":"subscribed","channel":"status","chanId":8,"key":"deriv:tBTCF0:USTF0"}'
FORCED = b'{"event":"subscribed","channel":"status","chanId":9,"key":"liq:global"}'


@pytest.mark.parametrize(
    ("canonical", "native", "others"),
    [
        ("BTC_USD", "tBTCUSD", ["BTCUSD", "btcusd", "BTC/USD", "btc_usd"]),
        ("BTC_USDT", "tBTCUST", ["BTCUST", "BTC_UST"]),
        ("IOTA_ETH", "tIOTETH", ["IOT_ETH"]),
        ("TESTBTC_TESTUSD", "tTESTBTC:TESTUSD", ["TESTBTC:TESTUSD"]),
        ("DOGE_USD", "tDOGE:USD", ["doge:usd"]),
        ("BTC_USDT_PERP", "tBTCF0:USTF0", ["BTCF0:USTF0"]),
    ],
)
def test_symbols(canonical, native, others):
    assert BITFINEX.native(canonical) == native
    for spelling in (canonical, native, *others):
        assert BITFINEX.canonical(spelling) == canonical


@pytest.mark.parametrize("symbol", ["fUSD", "", "BTC", "tBTCUSDX", "BTC:USD:EUR:X", ":USD"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        BITFINEX.canonical(symbol)


def test_frames_and_the_limit_of_channels():
    plan = BITFINEX.plan([f"A{i:02}_USD" for i in range(20)], ["book-P0", "book-R0-F1", "trades", "status"])
    assert [len(connection.send) for connection in plan] == [25, 25, 25, 9]  # conf and at most 25 channels, 4 a symbol
    first = [json.loads(frame) for frame in plan[0].send[:5]]
    assert first == [
        {"event": "conf", "flags": 196608},
        {"event": "subscribe", "channel": "book", "symbol": "tA00USD", "prec": "P0", "freq": "F0", "len": "250"},
        {"event": "subscribe", "channel": "book", "symbol": "tA00USD", "prec": "R0", "freq": "F1", "len": "250"},
        {"event": "subscribe", "channel": "trades", "symbol": "tA00USD"},
        {"event": "subscribe", "channel": "status", "key": "deriv:tA00USD"},
    ]
    with pytest.raises(UsageError):
        BITFINEX.plan(["BTC_USD"], ["book"])


def test_a_channel_is_what_its_connection_announced():
    router = BITFINEX.router()
    frame = b"[225206,[279380,1,0.0089],19]"
    assert router.route(frame) is None  # a heartbeat may come before
    for announcement in (BOOK, RAW, STATUS, FORCED):
        assert BITFINEX.place(router.route(announcement)) == Place(None, "session")
    places = [BITFINEX.place(router.route(b"[%d,[],1]" % channel)) for channel in (225206, 7, 8, 9)]
    assert places == [
        Place("DOG_USD", "book-P0"),
        Place("BTC_USD", "book-R0"),
        Place("BTC_USDT_PERP", "status"),
        Place(None, "liquidations"),
    ]
    assert BITFINEX.router().route(frame) is None  # another connection's numbers are its own
    router.route(b'{"event":"unsubscribed","status":"OK","chanId":225206}')
    assert router.route(frame) is None


@pytest.mark.parametrize("code", [20051, 20061])
def test_a_restart_or_the_end_of_maintenance_asks_for_another_connection(code):
    notice = b'{"event":"info","code":%d,"msg":"..."}' % code
    place = BITFINEX.place(BITFINEX.router().route(notice))
    assert place == Place(None, "session", Reconnect("the venue restarts or comes out of maintenance"))
    assert BITFINEX.place(BITFINEX.router().route(b'{"event":"info","version":2}')) == Place(None, "session")


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"[225206,[279380,1,0.0089],19]", 19),
        (b"[225206,[279380,1,0.0089]]", None),
        (b'[1,"hb",7]', 7),
        (b'[1,"hb"]', None),
        (b'[1,"cs",-5,8]', 8),
        (b'[1,"cs",123]', None),
        (b'[1,"te",[1,2,3,4],9]', 9),
        (b"[1,[[1,2,3],[4,5,6]],10]\n", 10),
        (b"[1,[1,2,3],1618677543951]", None),  # a time
        (b'{"event":"info","version":2}', None),
        (b"", None),
    ],
)
def test_the_number_of_a_frame(payload, found):
    assert number(payload) == found


def test_connection_rule():
    rule = BITFINEX.connection_rule()
    V = Verdict
    assert [rule.judge_number(n) for n in (1, 2, 4, 3, 4, 5)] == [
        V.APPLY,
        V.APPLY,
        V.GAP,
        V.OUT_OF_ORDER,
        V.STALE,
        V.APPLY,
    ]


def test_a_book_by_price():
    decode = BITFINEX.decoder("book-P0")
    (whole,) = decode(b"[1,[[60400,1,0.5],[1e-7,2,3e-8],[60401,1,-0.25]],3]")
    assert whole == BookUpdate(
        0, 3, 3, -1, b'[["60400","0.5"],["0.0000001","0.00000003"]]', b'[["60401","0.25"]]', True, True
    )
    assert list(decode(b"[1,[60400,0,1],4]")) == [BookUpdate(0, 4, 4, -1, b'[["60400","0"]]', b"[]")]
    assert list(decode(b"[1,[60401,0,-1],5]")) == [BookUpdate(0, 5, 5, -1, b"[]", b'[["60401","0"]]')]
    assert list(decode(b"[1,[],6]")) == [BookUpdate(0, 6, 6, -1, b"[]", b"[]", True, True)]
    assert list(decode(b'[1,"hb",7]')) == [Other("heartbeat")]
    assert list(decode(b'[1,"cs",-12,8,1618677543951]')) == [
        BookUpdate(1618677543951000000, 8, 8, -1, b"[]", b"[]", checksum=-12)
    ]


def test_a_checksum_is_a_frame_of_its_own():
    sync = open_book(BITFINEX, "book-P0")
    decode = BITFINEX.decoder("book-P0")
    for frame in (b"[1,[[100,1,0.5],[1e-7,2,3e-8],[101,1,-0.25]],3]", b"[1,[99,1,4],4]"):
        sync.on_message(decode(frame)[0], 1)
    checksum = interleaved_amounts([("100", "0.5"), ("99", "4"), ("1e-7", "3e-8")], [("101", "0.25")])
    step = sync.on_message(decode(b'[1,"cs",%d,5]' % checksum)[0], 2)
    assert (step.mismatch, sync.state, sync.check.matched) == (None, BookState.SYNCED, 1)
    step = sync.on_message(decode(b'[1,"cs",%d,6]' % (checksum ^ 1))[0], 3)
    assert step.mismatch and sync.state is BookState.DIRTY and step.needs_snapshot
    # Another connection counts from 1 again; its whole book mends this one.
    assert sync.on_message(decode(b"[1,[[100,1,0.5]],1]")[0], 4).state is BookState.SYNCED
    assert sync.on_message(decode(b"[1,[102,1,-1],2]")[0], 5).verdict is Verdict.APPLY


def test_a_book_by_order():
    decode = BITFINEX.decoder("book-R0")
    (whole,) = decode(b"[7,[[34753002978,7294.7,1.5],[34753002979,7294.8,-2]],1]")
    orders = (
        Order(Action.ADD, 34753002978, Side.BID, "7294.7", "1.5"),
        Order(Action.ADD, 34753002979, Side.ASK, "7294.8", "2"),
    )
    assert whole == OrderUpdate(0, 1, 1, -1, orders, True, True)
    sync = open_book(BITFINEX, "book-R0")
    steps = (whole, decode(b"[7,[34753002978,7294.7,0.5],2]")[0], decode(b"[7,[34753002979,0,-1],3]")[0],
             decode(b"[7,[5,7294.7,1],4]")[0])  # fmt: skip
    for message in steps:
        sync.on_message(message, 1)
    assert sync.state is BookState.SYNCED
    assert sync.book.bids() == [(72947, 15)] and sync.book.asks() == []


def test_trades_funding_and_liquidations():
    decode = BITFINEX.decoder("trades")
    assert list(decode(b'[2,"te",[669899159,1618665870435,-166.391496,0.076989],8]')) == [
        Trade(1618665870435000000, 669899159, "0.076989", "166.391496", Side.ASK)
    ]
    assert list(decode(b'[2,"tu",[669899159,1618665870435,-166.391496,0.076989],9]')) == [Other("trade_update")]
    assert list(decode(b"[2,[[669899159,1618665870435,166.391496,0.076989]],7]")) == [Other("history")]
    status = (
        b"[8,[1596124822000,null,0.89,8000.5,null,56100.1,null,1596153600000,0.0001056,8,null,-0.00001056,null,null,0.8978,"
        b"null,null,245.24]]"
    )
    assert list(BITFINEX.decoder("status")(status)) == [
        Funding(1596124822000000000, "0.8978", "8000.5", "-0.00001056", 1596153600000000000)
    ]
    forced = b'[9,[["pos",145400868,1609144352338,null,"tETHF0:USTF0",-1.67288094,730.96,null,1,1,null,736.13]]]'
    assert list(BITFINEX.decoder("liquidations")(forced)) == [
        Liquidation(1609144352338000000, "730.96", "1.67288094", Side.BID)
    ]
    assert list(BITFINEX.decoder("ticker")(b"anything")) == [Other("ticker")]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("book-P0", b""), ("book-P0", b"[1]"), ("book-P0", b"[1,[1,2],3]"),
        ("book-P0", b'[1,["x",1,1],3]'), ("book-P0", b"[1,[1,1.5,1],3]"),
        ("book-P0", b'[1,"cs",99999999999,3]'), ("book-P0", b"[1,[1,1,1e999],3]"), ("book-P0", b"[" * 100_000),
        ("book-R0", b"[1,[1.5,1,1],3]"), ("trades", b'[1,"te",[1,2,3],4]'),
        ("status", b"[1,[1],2]"),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError):
        BITFINEX.decoder(stream)(payload)
