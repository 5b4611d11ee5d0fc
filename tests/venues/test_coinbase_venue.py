"""Coinbase: symbols, frames, which stream a match is of, messages of both books, and the numbers of `full`."""

from __future__ import annotations

import json

import msgspec
import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import (
    NO_TIME,
    UNKNOWN,
    Action,
    BookUpdate,
    Order,
    OrderUpdate,
    Other,
    Quote,
    Side,
    Status,
    Trade,
)
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import HttpRequest, Place

COINBASE = get("coinbase")
TIME = '"time":"2016-03-12T05:08:36.805448Z"'
NS = 1457759316805448000
MAKER, TAKER = "a8871e64-8824-4234-9ec2-567dd84d3af9", "1ee273da-4cad-456c-abcd-6f5de66f2431"


def full(kind, seq, more=""):
    """A message of the full channel. docs.cdp.coinbase.com/exchange "Full channel", its ids and times changed."""
    return f'{{"type":"{kind}","sequence":{seq},"product_id":"BTC-USD",{TIME}{more}}}'.encode()


def opened(seq, order_id=MAKER, price="412.76", size="5.66", side="buy"):
    return full("open", seq, f',"order_id":"{order_id}","side":"{side}","price":"{price}","remaining_size":"{size}"')


def match(kind, trade_id, product="BTC-USD"):
    return (
        f'{{"type":"{kind}","trade_id":{trade_id},"maker_order_id":"{MAKER}","taker_order_id":"{TAKER}","side":"sell",'
        f'"size":"0.04","price":"14.7775","product_id":"{product}","sequence":333938798,{TIME}}}'
    ).encode()


@pytest.mark.parametrize(
    ("canonical", "native"),
    [("BTC_USD", "BTC-USD"), ("ETH_USDT", "ETH-USDT"), ("00_USD", "00-USD"), ("A8_USD", "A8-USD")],
)
def test_symbols(canonical, native):
    assert COINBASE.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.lower()):
        assert COINBASE.canonical(spelling) == canonical
        assert COINBASE.native(spelling) == native


@pytest.mark.parametrize("symbol", ["BTCUSD", "", "BTC-", "BTC USD", "é-USD", "products", "book"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        COINBASE.canonical(symbol)


def test_frames():
    (connection,) = COINBASE.plan(["BTC_USD", "eth-usd"], COINBASE.default_streams)
    assert (connection.path, connection.symbols, connection.heartbeat) == ("", ("BTC_USD", "ETH_USD"), None)
    assert [json.loads(frame) for frame in connection.send] == [
        {
            "type": "subscribe",
            "product_ids": ["BTC-USD", "ETH-USD"],
            "channels": ["level2_batch", "matches", "ticker", "heartbeat"],
        }
    ]
    again = [json.loads(frame) for frame in COINBASE.resubscribe("BTC_USD", "level2_batch")]
    assert again == [
        {"type": kind, "product_ids": ["BTC-USD"], "channels": ["level2_batch"]}
        for kind in ("unsubscribe", "subscribe")
    ]
    with pytest.raises(UsageError):
        COINBASE.plan(["BTC_USD"], ['full","x'])


def test_full_brings_the_matches_itself():
    (connection,) = COINBASE.plan(["BTC_USD"], ["full", "matches", "ticker"])
    assert json.loads(connection.send[0])["channels"] == ["full", "ticker"]


def test_a_large_plan_loses_nothing():
    symbols = [f"A{number}_USD" for number in range(1_000)]
    plan = COINBASE.plan(symbols, ["level2_batch", "matches"])
    asked = [product for c in plan for frame in c.send for product in json.loads(frame)["product_ids"]]
    assert asked == [symbol.replace("_", "-") for symbol in symbols]
    assert len(plan) == 10


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (b'{"type":"l2update","product_id":"SKL-GBP","changes":[]}', Place("SKL_GBP", "level2")),
        (b'{"product_id":"SKL-GBP", "type": "l2update"}', Place("SKL_GBP", "level2")),
        (b'{"type":"snapshot","product_id":"SKL-GBP","asks":[]}', Place("SKL_GBP", "level2")),
        (b'{"type":"ticker","sequence":1,"product_id":"SKL-GBP"}', Place("SKL_GBP", "ticker")),
        (b'{"type":"heartbeat","sequence":1,"product_id":"SKL-GBP"}', Place("SKL_GBP", "heartbeat")),
        (match("match", 5), Place("BTC_USD", "matches")),
        (match("last_match", 5), Place("BTC_USD", "matches")),
        (opened(5), Place("BTC_USD", "full")),
        (b'{"type":"status","products":[]}', Place(None, "status")),
        (b'{"type":"subscriptions","channels":[]}', Place(None, "session")),
        (b'{"type":"error","message":"Failed to subscribe"}', Place(None, "session")),
        (b'{"type":"of_tomorrow","product_id":"SKL-GBP"}', Place("SKL_GBP", "of_tomorrow")),
        (b'{"type":"ticker","product_id":"SKL"}', Place("SKL", "ticker")),
    ],
)
def test_routing(payload, place):
    assert COINBASE.place(COINBASE.router().route(payload)) == place


def test_a_match_is_of_full_where_full_is_subscribed():
    router = COINBASE.router()

    def stream(payload):
        return COINBASE.place(router.route(payload)).stream

    assert stream(match("match", 1)) == "matches"
    router.route(b'{"type":"subscriptions","channels":[{"name":"full","product_ids":["BTC-USD"]},{"name":"ticker"}]}')
    assert stream(match("match", 2)) == "full"
    assert stream(match("match", 2, "ETH-USD")) == "matches"
    router.route(b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}')
    assert stream(match("match", 3)) == "matches"
    router.route(b'{"type":"subscriptions","channels":7}')  # what cannot be read changes nothing
    router.route(opened(9))  # a recording may begin after the answer
    assert stream(match("match", 4)) == "full"
    assert COINBASE.router().route(match("match", 5)) == (b"matches", b"BTC-USD")  # another connection knows nothing


def test_messages_by_level():
    decode = COINBASE.decoder("level2_batch")
    assert decode(
        b'{"type":"l2update","product_id":"A-B","changes":[["sell","2","0"],["buy","1.50","7"],["buy","1","2"]],'
        + TIME.encode()
        + b"}"
    ) == (BookUpdate(NS, UNKNOWN, UNKNOWN, UNKNOWN, b'[["1.50","7"],["1","2"]]', b'[["2","0"]]'),)
    for changes, bids, asks in (
        (b"[]", b"[]", b"[]"),
        (b'[["sell","2","0"]]', b"[]", b'[["2","0"]]'),
        (b'[ ["buy", "2","0"],["sell","3","1"] ]', b'[["2","0"]]', b'[["3","1"]]'),  # as the venue does not write it
        (b'[["buy","2e1","0"]]', b'[["2e1","0"]]', b"[]"),  # none of our numbers: the ladder's parser refuses it
    ):
        payload = b'{"type":"l2update","product_id":"A-B","changes":' + changes + b"," + TIME.encode() + b"}"
        assert list(decode(payload)) == [BookUpdate(NS, UNKNOWN, UNKNOWN, UNKNOWN, bids, asks)]
    asks, bids = b'[["14.8024","12.77"]]', b'[["14.7","1"]]'
    (whole,) = decode(b'{"type":"snapshot","product_id":"A-B","asks":' + asks + b',"bids":' + bids + b"}")
    assert whole == BookUpdate(
        NO_TIME, UNKNOWN, UNKNOWN, UNKNOWN, msgspec.Raw(bids), msgspec.Raw(asks), snapshot=True, in_stream=True
    )
    assert list(COINBASE.decoder("matches")(match("match", 5))) == [Trade(NS, 5, "14.7775", "0.04", Side.BID)]
    (before,) = COINBASE.decoder("matches")(match("last_match", 5))
    assert before.count == 0
    ticker = f'{{"type":"ticker","sequence":7,"best_bid":"1","best_ask":"2","best_ask_size":"3",{TIME}}}'.encode()
    assert list(COINBASE.decoder("ticker")(ticker)) == [Quote(NS, 7, "1", "0", "2", "3")]
    assert list(COINBASE.decoder("heartbeat")(b"anything")) == [Other("heartbeat")]
    said = b'{"type":"status","products":[{"id":"BTC-USD","status":"online"},{"id":"A-B","status":"delisted"}]}'
    assert list(COINBASE.decoder("status")(said)) == [
        Status(NO_TIME, "BTC-USD: online", True),
        Status(NO_TIME, "A-B: delisted", False),
    ]


def test_messages_by_order():
    decode = COINBASE.decoder("full")

    def update(seq, *orders):
        return OrderUpdate(NS, seq, seq, seq - 1, orders)

    side = f',"order_id":"{MAKER}","side":"sell"'
    cases = [
        (opened(5), update(5, Order(Action.ADD, MAKER, Side.BID, "412.76", "5.66"))),
        (full("received", 6, f'{side},"order_type":"limit","size":"1","price":"2"'), update(6)),
        (
            full("done", 7, f'{side},"reason":"canceled","price":"2","remaining_size":"1"'),
            update(7, Order(Action.DELETE, MAKER, Side.ASK, "2", "")),
        ),
        (
            full("done", 7, f'{side},"reason":"filled","price":null'),
            update(7, Order(Action.DELETE, MAKER, Side.ASK, "", "")),
        ),
        (
            full("change", 8, f'{side},"new_size":"5.23","old_size":"12","price":"2"'),
            update(8, Order(Action.MODIFY, MAKER, Side.ASK, "2", "5.23")),
        ),
        (
            full("change", 8, f'{side},"reason":"modify_order","new_size":"5","new_price":"3","price":"2"'),
            update(8, Order(Action.MODIFY, MAKER, Side.ASK, "3", "5")),
        ),
        (full("change", 8, f'{side},"new_funds":"5.23","old_funds":"12"'), update(8)),
    ]
    for payload, wanted in cases:
        assert list(decode(payload)) == [wanted]
    executed = full(
        "match",
        9,
        f',"trade_id":10,"maker_order_id":"{MAKER}","taker_order_id":"{TAKER}","side":"sell","size":"2","price":"3"',
    )
    assert list(decode(executed)) == [
        update(9, Order(Action.EXECUTE, MAKER, Side.ASK, "3", "2")),
        Trade(NS, 10, "3", "2", Side.BID),
    ]
    assert list(decode(b'{"type":"activate","product_id":"A-B"}')) == [Other("activate")]


def test_the_whole_book_by_order():
    assert COINBASE.snapshot_request("BTC_USD", "full") == HttpRequest("GET", "/products/BTC-USD/book?level=3")
    assert COINBASE.snapshot_request("BTC_USD", "level2_batch") is None
    body = f'{{"sequence":3,"bids":[["1.5","2","{MAKER}"]],"asks":[["1.6","3","{TAKER}"]],{TIME}}}'.encode()
    assert list(COINBASE.decoder("snapshot")(body)) == [
        OrderUpdate(
            NS,
            3,
            3,
            UNKNOWN,
            (Order(Action.ADD, MAKER, Side.BID, "1.5", "2"), Order(Action.ADD, TAKER, Side.ASK, "1.6", "3")),
            snapshot=True,
        )
    ]


def test_the_book_by_order_is_the_answer_and_what_comes_after_its_sequence():
    sync = open_book(COINBASE, "full")
    decode, answer = COINBASE.decoder("full"), COINBASE.decoder("snapshot")
    for seq in (3, 4, 5):
        (update,) = decode(opened(seq, f"order-{seq}", price=f"{seq}"))
        assert sync.on_message(update, 1).state is BookState.PARTIAL
    (whole,) = answer(b'{"sequence":4,"bids":[["3","1","order-3"],["4","1","order-4"]],"asks":[]}')
    assert sync.on_message(whole, 1).state is BookState.SYNCED
    assert sync.last_seq == 5
    (late,) = decode(full("done", 4, ',"order_id":"order-5","side":"buy"'))
    assert sync.on_message(late, 1).verdict is Verdict.STALE
    (gone,) = decode(full("done", 6, ',"order_id":"order-3","side":"buy"'))
    assert sync.on_message(gone, 1).applied == 1
    assert [order_id for order_id, _, _ in sync.book.orders(Side.BID)] == ["order-5", "order-4"]
    (after,) = decode(opened(8, "order-8"))
    step = sync.on_message(after, 1)
    assert (step.verdict, step.state, step.needs_snapshot) == (Verdict.GAP, BookState.DIRTY, True)


def test_a_whole_book_in_parts():
    """As a recorder of 2016 wrote it: one "open" an order, without a time, all of one sequence."""

    def part(order_id, price):
        return (
            f'{{"product_id": "BTC-USD", "remaining_size": "4", "time": "", "order_id": "{order_id}", '
            f'"price": "{price}", "sequence": 10, "type": "open", "side": "buy"}}'
        ).encode()

    decode, sync = COINBASE.decoder("full"), open_book(COINBASE, "full")
    messages = [
        *decode(part("a", "1")),
        *decode(part("b", "2")),
        *decode(part("b", "2")),
        *decode(part("c", "3")),
        *decode(full("done", 11, ',"order_id":"a","side":"buy"')),
    ]
    V = Verdict
    assert [sync.on_message(m, 1).verdict for m in messages] == [V.APPLY, V.APPLY, V.STALE, V.APPLY, V.APPLY]
    assert [order_id for order_id, _, _ in sync.book.orders(Side.BID)] == ["c", "b"]
    (again,) = decode(part("z", "9").replace(b"10,", b"30,"))  # another one replaces it
    assert sync.on_message(again, 1).verdict is V.RESET
    assert [order_id for order_id, _, _ in sync.book.orders(Side.BID)] == ["z"]


def test_the_last_match_before_a_subscription():
    rule, decode = COINBASE.rule("matches"), COINBASE.decoder("matches")
    kinds = [
        ("last_match", 5), ("match", 6), ("match", 7),
        ("last_match", 7),  # connected anew, nothing traded meanwhile
        ("match", 8),
        ("last_match", 9),  # the one trade that was missed
        ("match", 10),
        ("last_match", 13),  # 11 and 12 are missing
        ("match", 14),
    ]  # fmt: skip
    V = Verdict
    judged = [rule.judge(message) for kind in kinds for message in decode(match(*kind))]
    assert judged == [V.KEEPALIVE, V.APPLY, V.APPLY, V.KEEPALIVE, V.APPLY, V.APPLY, V.APPLY, V.GAP, V.APPLY]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("level2", b""), ("level2", b"[]"), ("level2", b'{"type":"ticker"}'), ("level2", b'{"type":"snapshot"}'),
        ("level2", b'{"type":"l2update","changes":[["up","1","1"]],"time":"2021-04-17T16:43:37Z"}'),
        ("level2", b'{"type":"l2update","changes":[["buy","1"]],"time":"2021-04-17T16:43:37Z"}'),
        ("level2", b'{"type":"l2update","changes":[["buy","1","1"],7],"time":"2021-04-17T16:43:37Z"}'),
        ("level2", b'{"type":"l2update","changes":[["buy","1","1"],[]],"time":"2021-04-17T16:43:37Z"}'),
        ("level2", b'{"type":"l2update","changes":{"a":["buy","1","1"]},"time":"2021-04-17T16:43:37Z"}'),
        ("full", b'{"type":"open"}'), ("full", b'{"type":"what","sequence":5}'), ("full", opened(2**63)),
        ("full", full("open", 5)), ("full", full("match", 5)), ("full", full("done", 5, ',"side":"buy"')),
        ("full", opened(5, side="up")), ("full", b"[" * 100_000), ("full", b"\xff" + opened(5)),
        ("matches", match("match", -1)), ("matches", match("match", '"5"')),
        ("snapshot", b'{"sequence":3,"bids":[["1","2"]],"asks":[]}'),
        ("snapshot", b'{"sequence":3,"bids":[[1,2,3]],"asks":[]}'),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError, match=rf"^{stream}: "):
        COINBASE.decoder(stream)(payload)
