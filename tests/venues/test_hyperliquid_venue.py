"""Hyperliquid: coins of every kind, frames, routing, messages, and what can be said of an order nothing numbers."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Funding, Other, Quote, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place

HYPER = get("hyperliquid")


def book(time, bid="105055.0"):
    return (
        b'{"channel":"l2Book","data":{"coin":"BTC","levels":[[{"n":5,"px":"%s","sz":"3.03622"}],'
        b'[{"n":13,"px":"105056.0","sz":"6.3"}]],"time":%d}}' % (bid.encode(), time)
    )


def trades(*times_and_ids):
    listed = ",".join(
        f'{{"coin":"BTC","hash":"0xde","px":"105056.0","side":"B","sz":"0.00219","tid":{tid},"time":{time},"users":[]}}'
        for time, tid in times_and_ids
    )
    return f'{{"channel":"trades","data":[{listed}]}}'.encode()


def judged(rule, stream, payloads):
    return [rule.judge(message) for payload in payloads for message in HYPER.decoder(stream)(payload)]


@pytest.mark.parametrize(
    ("canonical", "native", "others"),
    [
        ("BTC_USD", "BTC", ["btc", "btc_usd", "BTC/USD"]),
        ("KAS_USD", "KAS", ["kas"]),
        ("KPEPE_USD", "kPEPE", ["KPEPE", "kPEPE_USD"]),
        ("XYZ.TSLA_USD", "xyz:TSLA", ["xyz.TSLA_USD", "XYZ:tsla"]),
        ("PURR_USDC", "PURR/USDC", ["purr/usdc"]),
        ("PURR_USD", "PURR", []),
        ("SPOT_107", "@107", ["spot_107"]),
        ("SPOT_0", "@0", []),
    ],
)
def test_symbols(canonical, native, others):
    for spelling in (canonical, native, *others):
        assert HYPER.canonical(spelling) == canonical
        assert HYPER.native(spelling) == native


@pytest.mark.parametrize(
    "symbol", ["", "@", "@x", "@007", "BTC_USDC", "BTC_USDT", "a:b:c", "é", "B" * 80, "_USD", "../x"]
)
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        HYPER.canonical(symbol)


def test_frames():
    (connection,) = HYPER.plan(["BTC", "kPEPE"], ["l2Book", "candle.1m"])
    assert (connection.path, connection.heartbeat) == ("/ws", (50.0, '{"method":"ping"}'))
    assert connection.symbols == ("BTC_USD", "KPEPE_USD")
    assert [json.loads(frame) for frame in connection.send] == [
        {"method": "subscribe", "subscription": {"type": "l2Book", "coin": "BTC"}},
        {"method": "subscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "1m"}},
        {"method": "subscribe", "subscription": {"type": "l2Book", "coin": "kPEPE"}},
        {"method": "subscribe", "subscription": {"type": "candle", "coin": "kPEPE", "interval": "1m"}},
    ]
    again = [json.loads(frame) for frame in HYPER.resubscribe("BTC_USD", "l2Book")]
    assert [frame["method"] for frame in again] == ["unsubscribe", "subscribe"]
    with pytest.raises(UsageError):
        HYPER.plan(["BTC"], ["userFills"])


def test_a_plan_keeps_the_limits():
    symbols = [f"C{number}_USD" for number in range(330)]
    plan = HYPER.plan(symbols, HYPER.default_streams)
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols
    assert len(plan) == 4 and sum(len(connection.send) for connection in plan) == 990
    assert len(plan) * 60 / plan[0].send_interval <= 2_000
    with pytest.raises(UsageError, match="1020 subscriptions, and the venue takes 1000"):
        HYPER.plan([f"C{number}_USD" for number in range(340)], HYPER.default_streams)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (book(1), Place("BTC_USD", "l2Book")),
        (trades((1, 2)), Place("BTC_USD", "trades")),
        (b'{"channel":"bbo","data":{"coin":"kPEPE"}}', Place("KPEPE_USD", "bbo")),
        (b'{"channel":"activeAssetCtx","data":{"coin":"xyz:TSLA","ctx":{}}}', Place("XYZ.TSLA_USD", "activeAssetCtx")),
        (b'{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{}}}', Place("SPOT_107", "activeAssetCtx")),
        (b'{"channel":"candle","data":{"t":1,"T":2,"s":"BTC","i":"1m"}}', Place("BTC_USD", "candle.1m")),
        (b'{"channel":"allMids","data":{"mids":{}}}', Place(None, "allMids")),
        (b'{"channel":"trades","data":[]}', Place(None, "trades")),
        (b'{ "channel" : "trades", "data" : [ { "px":"1", "coin" : "BTC" } ] }', Place("BTC_USD", "trades")),
        (
            b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}}',
            Place(None, "session"),
        ),
        (b'{"channel":"error","data":"Already subscribed: {\\"coin\\":\\"BTC\\"}"}', Place(None, "session")),
        (b'{"channel":"pong"}', Place(None, "ping")),
        (b"Websocket connection established.", Place(None, "session")),
        (b'{"channel":"l2Book","data":{"coin":"no symbol"}}', Place(None, "l2Book")),
        (b'{"channel":"l2Book","data":{"coin":"BTC_USDT"}}', Place("BTC_USDT", "l2Book")),
        (b'{"channel":"../x","data":{}}', Place(None, "other")),
        (b"", Place(None, "other")),
        (b"\xff\xfe", Place(None, "other")),
    ],
)
def test_routing(payload, place):
    key = HYPER.route(payload)
    assert (Place(None, "other") if key is None else HYPER.place(key)) == place


def test_messages():
    assert list(HYPER.decoder("l2Book")(book(1737918843542))) == [
        BookUpdate(
            1737918843542000000, UNKNOWN, UNKNOWN, UNKNOWN, msgspec.Raw(b'[{"n":5,"px":"105055.0","sz":"3.03622"}]'),
            msgspec.Raw(b'[{"n":13,"px":"105056.0","sz":"6.3"}]'), True, True, None, ("px", "sz"),
        )
    ]  # fmt: skip
    assert list(HYPER.decoder("trades")(trades((5, 7), (6, 3)))) == [
        Trade(5 * 10**6, 7, "105056.0", "0.00219", Side.BID), Trade(6 * 10**6, 3, "105056.0", "0.00219", Side.BID),
    ]  # fmt: skip
    bbo = b'{"channel":"bbo","data":{"coin":"BTC","time":5,"bbo":[{"px":"1.5","sz":"2","n":1},null]}}'
    assert list(HYPER.decoder("bbo")(bbo)) == [Quote(5 * 10**6, UNKNOWN, "1.5", "2", "0", "0")]
    context = b'{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":%s,"oraclePx":%s,"markPx":%s}}}'
    decode = HYPER.decoder("activeAssetCtx")
    assert list(decode(context % (b'"-0.0000125"', b'"10.5"', b'"10.25"'))) == [
        Funding(0, "10.25", "10.5", "-0.0000125")
    ]
    assert list(decode(context % (b"1.25e-05", b"null", b"10"))) == [Funding(0, "10", "", "0.0000125")]
    assert list(HYPER.decoder("candle.1m")(b"\xff")) == [Other("candle.1m")]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("l2Book", b""),
        ("l2Book", b"[" * 100_000),
        ("l2Book", book(1)[:-1]),
        ("l2Book", b'{"channel":"l2Book","data":{"coin":"BTC","levels":[[]],"time":1}}'),
        ("trades", trades((1, 2**63))),
        ("trades", trades((1, -1))),
        ("trades", trades((1, 1)).replace(b'"B"', b'"X"')),
        ("trades", trades((1, 1)).replace(b"0.00219", b"\xc3\x28")),
        ("bbo", b'{"channel":"bbo","data":{"coin":"BTC","time":5,"bbo":[]}}'),
        ("activeAssetCtx", b'{"data":{"ctx":{"markPx":"--1"}}}'),
        ("activeAssetCtx", b'{"data":{"ctx":{"markPx":[]}}}'),
        ("activeAssetCtx", b'{"data":{"ctx":{"funding":"NaN"}}}'),
    ],
)
def test_what_is_not_as_documented_is_one_wire_error(stream, payload):
    with pytest.raises(WireError) as caught:
        HYPER.decoder(stream)(payload)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_books_are_judged_by_their_time():
    V = Verdict
    again = [book(5), book(5), book(6), book(6), book(6, "105054.0"), book(4), book(7)]
    assert judged(HYPER.rule("l2Book"), "l2Book", again) == [
        V.UNVERIFIABLE, V.KEEPALIVE, V.UNVERIFIABLE, V.STALE, V.UNVERIFIABLE, V.OUT_OF_ORDER, V.UNVERIFIABLE,
    ]  # fmt: skip


def test_trades_are_told_apart_by_their_hash():
    V = Verdict
    payloads = [trades((5, 1), (5, 2), (7, 3)), trades((5, 2), (7, 3), (8, 4)), trades((6, 9)), trades((8, 5))]
    assert judged(HYPER.rule("trades"), "trades", payloads) == [
        V.UNVERIFIABLE, V.UNVERIFIABLE, V.UNVERIFIABLE, V.STALE, V.STALE, V.UNVERIFIABLE, V.OUT_OF_ORDER,
        V.UNVERIFIABLE,
    ]  # fmt: skip


def test_every_book_is_the_whole_of_it():
    sync = open_book(HYPER, "l2Book")
    for payload in (book(5), book(6, "105050.5")):
        (message,) = HYPER.decoder("l2Book")(payload)
        sync.on_message(message, 1)
    assert sync.state is BookState.SYNCED
    assert sync.book.top(5) == ([(1050505, 303622)], [(1050560, 630000)])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([
        ("l2Book", book(5)), ("trades", trades((5, 1), (6, 2))),
        ("bbo", b'{"channel":"bbo","data":{"coin":"BTC","time":5,"bbo":[{"px":"1.5","sz":"2","n":1},null]}}'),
        ("activeAssetCtx", b'{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"-0.1","markPx":1.5}}}'),
    ]),
    st.data(),
)  # fmt: skip
def test_damage_is_messages_or_a_wire_error_and_always_has_a_place(case, data):
    stream, payload = case
    text = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    sync = open_book(HYPER, "l2Book")
    try:
        for message in HYPER.decoder(stream)(bytes(text)):
            sync.on_message(message, 1)
    except WireError:
        pass
    place = HYPER.place(HYPER.route(bytes(text)))
    assert place.symbol is None or HYPER.named(HYPER.native(place.symbol)) == place.symbol
