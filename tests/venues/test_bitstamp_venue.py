"""Bitstamp: symbols, frames, routing, messages, and a book whose updates nothing numbers."""

from __future__ import annotations

import json

import msgspec
import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, Action, BookUpdate, Order, OrderUpdate, Other, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import HttpRequest, Place, Reconnect

BITSTAMP = get("bitstamp")
MICROS = 1_641_343_691_310_202


def diff(micros=MICROS, bids="[]", asks="[]", channel="diff_order_book_btcusd", event="data"):
    """www.bitstamp.net/websocket/v2, "Live full order book"; as in captures."""
    return (
        f'{{"data":{{"timestamp":"{micros // 10**6}","microtimestamp":"{micros}","bids":{bids},"asks":{asks}}},'
        f'"channel":"{channel}","event":"{event}"}}'
    ).encode()


def order(event, order_id, amount, micros=MICROS, kind=0, price="3802.93"):
    return (
        f'{{"data":{{"id":{order_id},"id_str":"{order_id}","order_type":{kind},"datetime":"1641343709",'
        f'"microtimestamp":"{micros}","amount":{amount},"amount_str":"{amount}","price":{price},"price_str":"{price}"}},'
        f'"channel":"live_orders_btcusd","event":"{event}"}}'
    ).encode()


def book(micros, bids="[]", asks="[]"):
    body = f'{{"timestamp": "1", "microtimestamp": "{micros}", "bids": {bids}, "asks": {asks}}}'.encode()
    (message,) = BITSTAMP.decoder("snapshot")(body)
    return message


@pytest.mark.parametrize(
    ("canonical", "native"),
    [
        ("BTC_USD", "btcusd"),
        ("USDT_EUR", "usdteur"),
        ("USDT_USD", "usdtusd"),
        ("BAT_BTC", "batbtc"),
        ("BTC_USDT", "btcusdt"),
        ("BTC_USD_PERP", "btcusd-perp"),
    ],
)
def test_symbols(canonical, native):
    assert BITSTAMP.native(canonical) == native
    for spelling in (canonical, native, native.upper(), canonical.lower()):
        assert BITSTAMP.canonical(spelling) == canonical
        assert BITSTAMP.native(spelling) == native


@pytest.mark.parametrize("symbol", ["", "btc", "usd", "BTC_XYZ", "order_book", "-perp", "é"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        BITSTAMP.canonical(symbol)


def test_frames():
    (connection,) = BITSTAMP.plan(["BTC_USD", "ethusd"], BITSTAMP.default_streams)
    assert (connection.path, connection.symbols) == ("/", ("BTC_USD", "ETH_USD"))
    assert connection.heartbeat == (30.0, '{"event":"bts:heartbeat"}')
    assert [json.loads(frame) for frame in connection.send] == [
        {"event": "bts:subscribe", "data": {"channel": channel}}
        for channel in (
            "diff_order_book_btcusd", "live_trades_btcusd", "diff_order_book_ethusd", "live_trades_ethusd",
        )
    ]  # fmt: skip
    assert [json.loads(frame)["event"] for frame in BITSTAMP.resubscribe("BTC_USD", "order_book")] == [
        "bts:unsubscribe",
        "bts:subscribe",
    ]
    with pytest.raises(UsageError):
        BITSTAMP.plan(["BTC_USD"], ["diff"])


def test_a_large_plan_loses_nothing():
    symbols = [f"A{number}_USD" for number in range(500)]
    plan = BITSTAMP.plan(symbols, BITSTAMP.default_streams)
    asked = [json.loads(frame)["data"]["channel"] for c in plan for frame in c.send]
    assert len(asked) == len(set(asked)) == 1_000
    assert [symbol for c in plan for symbol in c.symbols] == symbols
    assert all(len(c.send) <= 200 for c in plan)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (diff(), Place("BTC_USD", "diff_order_book")),
        (b'{"event": "data", "channel": "order_book_btcusd-perp", "data": {}}', Place("BTC_USD_PERP", "order_book")),
        (order("order_created", 5, "1"), Place("BTC_USD", "live_orders")),
        (b'{"data":{},"channel":"live_trades_ethusd","event":"trade"}', Place("ETH_USD", "live_trades")),
        (b'{"event":"bts:subscription_succeeded","channel":"live_orders_btcusd","data":{}}', Place(None, "session")),
        (b'{"event":"bts:error","channel":"","data":{"code":4009}}', Place(None, "session")),
        (b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}', Place(None, "ping")),
        (
            b'{"event":"bts:request_reconnect","channel":"","data":""}',
            Place(None, "session", Reconnect("the venue asks for it")),
        ),
        (b'{"data":{},"channel":"of_tomorrow_ethusd","event":"data"}', Place(None, "other")),
        (b'{"data":{},"channel":"live_trades_eth","event":"data"}', Place("ETH", "live_trades")),
    ],
)  # fmt: skip
def test_routing(payload, place):
    assert BITSTAMP.place(BITSTAMP.router().route(payload)) == place


def test_messages():
    bids, asks = '[["1.5","0.00000000"]]', '[["1.6","853.01809477"]]'
    raw = msgspec.Raw(bids.encode()), msgspec.Raw(asks.encode())
    times = (MICROS * 1000, UNKNOWN, UNKNOWN, UNKNOWN)
    assert list(BITSTAMP.decoder("diff_order_book")(diff(bids=bids, asks=asks))) == [BookUpdate(*times, *raw)]
    assert list(BITSTAMP.decoder("order_book")(diff(bids=bids, asks=asks))) == [
        BookUpdate(*times, *raw, snapshot=True, in_stream=True)
    ]
    trade = (
        b'{"data":{"id":216000484,"timestamp":"1641343709","amount":0.931,"amount_str":"0.93100000","price":3802.93,'
        b'"price_str":"3802.93","type":1,"microtimestamp":"1641343709599000","buy_order_id":1,"sell_order_id":2},'
        b'"channel":"live_trades_ethusd","event":"trade"}'
    )
    wanted = Trade(1641343709599000000, 216000484, "3802.93", "0.93100000", Side.ASK)
    assert list(BITSTAMP.decoder("live_trades")(trade)) == [wanted]
    bare = (
        trade.replace(b'"amount_str":"0.93100000",', b"")
        .replace(b'"price_str":"3802.93",', b"")
        .replace(b"0.931", b"1e-7")
    )
    assert list(BITSTAMP.decoder("live_trades")(bare)) == [msgspec.structs.replace(wanted, size="0.0000001")]
    for event, action in (
        ("order_created", Action.ADD),
        ("order_changed", Action.MODIFY),
        ("order_deleted", Action.DELETE),
    ):
        (update,) = BITSTAMP.decoder("live_orders")(order(event, 7, "0.5", kind=1))
        assert update == OrderUpdate(*times, (Order(action, 7, Side.ASK, "3802.93", "0.5"),))
    assert list(BITSTAMP.decoder("funding_rate")(b"anything")) == [Other("funding_rate")]


def test_whole_books():
    assert BITSTAMP.snapshot_request("BTC_USD") == HttpRequest("GET", "/api/v2/order_book/btcusd/?group=1")
    assert BITSTAMP.snapshot_request("BTC_USD", "live_orders") == HttpRequest(
        "GET", "/api/v2/order_book/btcusd/?group=2"
    )
    for stream in ("order_book", "detail_order_book"):
        assert BITSTAMP.snapshot_request("BTC_USD", stream) is None and BITSTAMP.is_book(stream)
    assert BITSTAMP.traits("detail_order_book").by_order and not BITSTAMP.traits("order_book").by_order
    detail = diff(bids='[["1.5","2","7"]]', channel="detail_order_book_btcusd")
    assert list(BITSTAMP.decoder("detail_order_book")(detail)) == [
        OrderUpdate(
            MICROS * 1000, UNKNOWN, UNKNOWN, UNKNOWN, (Order(Action.ADD, 7, Side.BID, "1.5", "2"),),
            snapshot=True, in_stream=True,
        )
    ]  # fmt: skip
    assert BITSTAMP.snapshot_every > 0
    by_level = book(MICROS, '[["1.5", "2"]]')
    assert by_level == BookUpdate(
        MICROS * 1000, UNKNOWN, UNKNOWN, UNKNOWN, msgspec.Raw(b'[["1.5", "2"]]'), msgspec.Raw(b"[]"), snapshot=True
    )
    by_order = book(MICROS, "[]", '[["1.6", "3", "1443875774971904"]]')
    orders = (Order(Action.ADD, 1443875774971904, Side.ASK, "1.6", "3"),)
    assert by_order == OrderUpdate(MICROS * 1000, UNKNOWN, UNKNOWN, UNKNOWN, orders, snapshot=True)


def test_updates_that_the_whole_book_has_are_dropped():
    """Step: drop diffs with microtimestamp <= the answer's."""
    sync = open_book(BITSTAMP, "diff_order_book")
    decode = BITSTAMP.decoder("diff_order_book")
    for micros, size in ((1, "1"), (2, "2"), (3, "3")):
        (update,) = decode(diff(micros, f'[["{micros}","{size}"]]'))
        assert sync.on_message(update, 1).verdict is Verdict.UNVERIFIABLE
    assert sync.on_message(book(2, '[["2","7"]]'), 1).state is BookState.SYNCED
    assert [tuple(level) for level in sync.book.top(5)[0]] == [(3, 3), (2, 7)]
    (back,) = decode(diff(1, '[["9","9"]]'))
    assert sync.on_message(back, 1).verdict is Verdict.OUT_OF_ORDER
    assert sync.book.top(1)[0] == [(3, 3)]


def test_a_timed_whole_book_replaces_what_a_loss_had_left():
    sync = open_book(BITSTAMP, "diff_order_book")
    decode = BITSTAMP.decoder("diff_order_book")
    sync.on_message(book(10, '[["1","1"],["2","1"]]'), 1)
    # The update that took level 2 away was lost; nothing shows it.
    for micros in (12, 14):
        (update,) = decode(diff(micros, f'[["1","{micros}"]]'))
        sync.on_message(update, 1)
    assert sync.state is BookState.SYNCED
    sync.on_message(book(13, '[["1","12"]]'), 1)
    assert [tuple(level) for level in sync.book.top(5)[0]] == [(1, 14)]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("diff_order_book", b""), ("diff_order_book", b'{"data":[]}'), ("live_trades", b'{"data":{"id":1}}'),
        ("live_orders", order("order_eaten", 1, "1")), ("live_orders", order("order_created", 1, "1", kind=2)),
        ("live_orders", order("order_created", -1, "1")),
        ("snapshot", b'{"microtimestamp":"1","bids":[["1","2","x"]],"asks":[]}'),
        ("snapshot", b'{"microtimestamp":"1","bids":[["1","2","3"],["1","2"]],"asks":[]}'),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError, match=rf"^{stream}: "):
        BITSTAMP.decoder(stream)(payload)
