"""Bybit: its three markets' symbols, frames, routing, messages in the documented form, and its rules' numbered steps.

No capture of this venue is at hand: what is tested here is the documentation (bybit-exchange.github.io/docs/v5), in
messages written after it.
"""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books.engine import as_quote
from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Funding, Liquidation, Other, Quote, Side, Status, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import HttpRequest, Place

SPOT, LINEAR, INVERSE = (get(name) for name in ("bybit", "bybit-linear", "bybit-inverse"))
V = Verdict


def book(u, kind="delta", *, seq=None, ts=1672304484978, depth="50", bids='[["16493.50","0.006"]]', asks="[]"):
    return (
        f'{{"topic":"orderbook.{depth}.BTCUSDT","type":"{kind}","ts":{ts},"data":{{"s":"BTCUSDT","b":{bids},"a":{asks},'
        f'"u":{u},"seq":{7_961_638_724 + u if seq is None else seq}}},"cts":{ts - 2}}}'
    ).encode()


def best(u, ts, kind="snapshot", price="16493.50"):
    return book(u, kind, ts=ts, depth="1", bids=f'[["{price}","0.006"]]', asks='[["16611.00","0.029"]]')


def judged(stream, payloads, venue=LINEAR):
    rule = venue.rule(stream)
    return [rule.judge(message) for payload in payloads for message in venue.decoder(stream)(payload)]


@pytest.mark.parametrize(
    ("venue", "canonical", "native"),
    [
        (SPOT, "BTC_USDT", "BTCUSDT"),
        (SPOT, "ETH_BTC", "ETHBTC"),
        (SPOT, "BTC_USDC", "BTCUSDC"),
        (LINEAR, "BTC_USDT", "BTCUSDT"),
        (LINEAR, "1000PEPE_USDT", "1000PEPEUSDT"),
        (LINEAR, "BTC_USDC", "BTCPERP"),
        (LINEAR, "PERP_USDT", "PERPUSDT"),  # an asset of that name is no suffix
        (LINEAR, "BTC_USDT_251226", "BTCUSDT-26DEC25"),
        (LINEAR, "ETH_USDC_260102", "ETH-2JAN26"),
        (INVERSE, "BTC_USD", "BTCUSD"),
        (INVERSE, "BTC_USD_251226", "BTCUSDZ25"),
        (INVERSE, "ETH_USD_260327", "ETHUSDH26"),
    ],
)
def test_symbols(venue, canonical, native):
    assert venue.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.lower()):
        assert venue.canonical(spelling) == canonical
        assert venue.native(spelling) == native


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [
        (SPOT, ""), (SPOT, "BTCXYZ"), (SPOT, "é_USDT"), (LINEAR, "BTCUSDT-31FEB25"), (LINEAR, "BTC-26XXX25"),
        (LINEAR, "PERP"), (LINEAR, "BTC_USDT_PERP"), (LINEAR, "BTC_USDT_251399"), (LINEAR, "-26DEC25"),
        (INVERSE, "BTC_USD_251225"), (INVERSE, "BTC_USD_251301"), (INVERSE, "BTC_USD_PERP"), (INVERSE, "USDZ25"),
        (INVERSE, "BTCUSDA25"),
    ],
)  # fmt: skip
def test_what_is_no_symbol(venue, symbol):
    with pytest.raises(UnknownSymbol):
        venue.canonical(symbol)


def test_frames():
    (connection,) = LINEAR.plan(["BTC_USDT", "BTCPERP"], ["orderbook.50", "publicTrade"])
    assert (connection.path, connection.heartbeat) == ("/v5/public/linear", (20.0, '{"op":"ping"}'))
    assert connection.symbols == ("BTC_USDT", "BTC_USDC")
    assert [json.loads(frame) for frame in connection.send] == [
        {
            "req_id": "1",
            "op": "subscribe",
            "args": ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "orderbook.50.BTCPERP", "publicTrade.BTCPERP"],
        }
    ]
    again = [json.loads(frame) for frame in SPOT.resubscribe("BTC_USDT", "orderbook.50")]
    assert again == [{"req_id": "1", "op": op, "args": ["orderbook.50.BTCUSDT"]} for op in ("unsubscribe", "subscribe")]
    book_only, status = SPOT.plan(["BTC_USDT"], ["orderbook.1", "system.status"])
    assert (status.path, status.symbols) == ("/v5/public/misc/status", ())
    assert json.loads(status.send[0]) == {"req_id": "1", "op": "subscribe", "args": ["system.status"]}
    assert json.loads(book_only.send[0])["args"] == ["orderbook.1.BTCUSDT"]
    for wrong in ('orderbook.1","x', "a.b.c.d", ""):
        with pytest.raises(UsageError):
            SPOT.plan(["BTC_USDT"], [wrong])


@pytest.mark.parametrize(("venue", "room"), [(SPOT, 10), (LINEAR, 100)])
def test_a_large_plan_keeps_the_limits_and_loses_nothing(venue, room):
    symbols = [f"ASSET{i}_USDT" for i in range(1_000)]
    plan = venue.plan(symbols, venue.default_streams)
    asked = [arg for connection in plan for frame in connection.send for arg in json.loads(frame)["args"]]
    assert len(asked) == len(set(asked)) == 3_000
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols
    for connection in plan:
        args = [json.loads(frame)["args"] for frame in connection.send]
        assert all(len(some) <= room for some in args)
        assert len(json.dumps([arg for some in args for arg in some], separators=(",", ":"))) <= 21_000


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (book(1), Place("BTC_USDT", "orderbook.50")),
        (b'{"topic":"publicTrade.BTCPERP","data":[]}', Place("BTC_USDC", "publicTrade")),
        (b'{"topic":"kline.5.BTCUSDT","data":[]}', Place("BTC_USDT", "kline.5")),
        (b'{"id":"tickers.BTCUSDT-1","topic":"tickers.BTCUSDT","data":{}}', Place("BTC_USDT", "tickers")),
        (b'{ "topic" : "tickers.BTC-26DEC25" }', Place("BTC_USDC_251226", "tickers")),
        (b'{"topic":"system.status","ts":1,"data":[]}', Place(None, "system.status")),
        (b'{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}', Place(None, "session")),
        (
            b'{"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"x","req_id":"","op":"subscribe"}',
            Place(None, "session"),
        ),
        (b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}', Place(None, "ping")),
        (b'{"req_id":"1","op":"pong","args":["1675418560633"],"conn_id":"x"}', Place(None, "ping")),
        (b'{"topic":"insurance.USDT","data":[]}', Place("USDT", "insurance")),
        (b'{"topic":"../../x.BTCUSDT","data":[]}', Place(None, "other")),
        (b'{"topic":"BTCUSDT","data":[]}', Place(None, "other")),
        (b'{"topic":"' + b"a" * 100_000, Place(None, "other")),
        (b'{"topic":"\xff.BTCUSDT"}', Place(None, "other")),
        (b"", Place(None, "other")),
    ],
)
def test_routing(payload, place):
    key = LINEAR.route(payload)
    assert (Place(None, "other") if key is None else LINEAR.place(key)) == place


def test_messages():
    assert list(SPOT.decoder("orderbook.50")(book(18521288, "snapshot", seq=7))) == [
        BookUpdate(
            1672304484978000000, 18521288, 18521288, UNKNOWN, msgspec.Raw(b'[["16493.50","0.006"]]'),
            msgspec.Raw(b"[]"), True, True, cross_seq=7,
        )
    ]  # fmt: skip
    (delta,) = SPOT.decoder("orderbook.200")(book(5))
    assert (delta.first_seq, delta.last_seq, delta.prev_seq, delta.snapshot) == (5, 5, 4, False)
    (whole,) = SPOT.decoder("orderbook.1")(best(5, 1_000))
    assert (whole.first_seq, whole.last_seq, whole.prev_seq, whole.snapshot, whole.in_stream) == (5, 5, 4, True, True)
    assert as_quote(whole) == Quote(10**9, UNKNOWN, "16493.50", "0.006", "16611.00", "0.029")
    (restarted,) = SPOT.decoder("orderbook.1")(best(1, 1_000))
    assert (restarted.last_seq, restarted.prev_seq, restarted.snapshot) == (1, UNKNOWN, True)
    (change,) = SPOT.decoder("orderbook.1")(best(6, 1_000, "delta"))
    assert isinstance(change, BookUpdate) and not change.snapshot and as_quote(change) is None
    trades = (
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":['
        b'{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",'
        b'"i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false},'
        b'{"T":1672304486866,"s":"BTCUSDT","S":"Sell","v":"2","p":"16578","i":"2290000000068683805","BT":false}]}'
    )
    assert list(SPOT.decoder("publicTrade")(trades)) == [
        Trade(1672304486865000000, 0x1112A178EB6023AF, "16578.50", "0.001", Side.BID),
        Trade(1672304486866000000, 2290000000068683805, "16578", "2", Side.ASK),
    ]
    forced = b'{"topic":"allLiquidation.X","ts":1,"data":[{"T":5,"s":"X","S":"Sell","v":"20000","p":"0.04499"}]}'
    # A short position was liquidated: its order buys.
    assert list(LINEAR.decoder("allLiquidation")(forced)) == [Liquidation(5 * 10**6, "0.04499", "20000", Side.BID)]
    old = b'{"topic":"liquidation.X","data":{"updatedTime":5,"symbol":"X","side":"Buy","size":"3","price":"0.5"}}'
    assert list(LINEAR.decoder("liquidation")(old)) == [Liquidation(5 * 10**6, "0.5", "3", Side.ASK)]
    status = b'{"topic":"system.status","ts":5,"data":[{"id":"x","title":"t","state":"%s","begin":"1","end":"2"}]}'
    states = {b"completed": True, b"ongoing": False, b"scheduled": None}
    for word, trading in states.items():
        assert list(SPOT.decoder("system.status")(status % word)) == [Status(5 * 10**6, word.decode(), trading)]
    assert list(SPOT.decoder("kline.5")(b"\xff")) == [Other("kline.5")]


def test_tickers_say_what_is_in_them():
    ticker = (
        b'{"topic":"tickers.BTCUSDT","type":"%s","data":{"symbol":"BTCUSDT",%s},"cs":24987956059,"ts":1673272861686}'
    )
    time = 1673272861686000000
    whole = ticker % (
        b"snapshot",
        b'"markPrice":"17217.33","indexPrice":"17227.36","nextFundingTime":"1673280000000","fundingRate":"-0.000212",'
        b'"bid1Price":"17215.50","bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020"',
    )
    decode = LINEAR.decoder("tickers")
    assert list(decode(whole)) == [
        Quote(time, UNKNOWN, "17215.50", "84.489", "17216.00", "83.020"),
        Funding(time, "17217.33", "17227.36", "-0.000212", 1673280000000000000),
    ]
    assert list(decode(ticker % (b"delta", b'"markPrice":"17217.34"'))) == [Funding(time, "17217.34")]
    # Half of a quote is none: the other half has not changed, and is in a message before.
    assert list(decode(ticker % (b"delta", b'"bid1Price":"17215.00"'))) == [Other("tickers")]
    assert list(SPOT.decoder("tickers")(ticker % (b"snapshot", b'"lastPrice":"1"'))) == [Other("tickers")]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("orderbook.50", b""),
        ("orderbook.50", b"\xff\xfe"),
        ("orderbook.50", b"[" * 100_000),
        ("orderbook.50", book(5)[:-1]),
        ("orderbook.50", book(5, "what")),
        ("orderbook.50", book(-1)),
        ("orderbook.50", book(2**63)),
        ("orderbook.50", b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"b":[],"a":[]}}'),
        ("publicTrade", b'{"data":[{"T":1,"S":"Up","v":"1","p":"1","i":"5"}]}'),
        ("publicTrade", b'{"data":[{"T":1,"S":"Buy","v":"1","p":"1","i":"no uuid"}]}'),
        ("publicTrade", b'{"data":[{"T":1,"S":"Buy","v":1,"p":"1","i":"5"}]}'),
        ("snapshot", b'{"retCode":10001,"retMsg":"params error","result":{}}'),
    ],
)
def test_what_is_not_as_documented_is_one_wire_error(stream, payload):
    with pytest.raises(WireError) as caught:
        LINEAR.decoder(stream)(payload)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_u_steps_by_one():
    payloads = [book(10, "snapshot"), book(11), book(12), book(14), book(13), book(13), book(15)]
    assert judged("orderbook.50", payloads) == [
        V.APPLY, V.APPLY, V.APPLY, V.GAP, V.OUT_OF_ORDER, V.STALE, V.APPLY,
    ]  # fmt: skip


def test_a_later_whole_book_replaces_and_the_same_again_is_stale():
    payloads = [
        book(10, "snapshot"),
        book(11),
        book(40, "snapshot"),
        book(41),
        book(50, "snapshot"),
        book(50, "snapshot"),
    ]
    assert judged("orderbook.50", payloads) == [V.APPLY, V.APPLY, V.RESET, V.APPLY, V.RESET, V.STALE]


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_u_1_is_a_restart_of_the_service(kind):
    payloads = [book(900, "snapshot"), book(901), book(1, kind, seq=5), book(2, seq=6), book(4, seq=8)]
    assert judged("orderbook.50", payloads) == [V.APPLY, V.APPLY, V.RESET, V.APPLY, V.GAP]


def test_a_change_whose_cross_sequence_falls_is_discarded():
    payloads = [
        book(10, "snapshot", seq=100), book(11, seq=150), book(12, seq=120), book(13, seq=160), book(14, seq=160),
        book(20, "snapshot", seq=90),  # a whole book is what it is
        book(21, seq=95),
    ]  # fmt: skip
    assert judged("orderbook.50", payloads) == [
        V.APPLY, V.APPLY, V.OUT_OF_ORDER, V.GAP, V.APPLY, V.RESET, V.APPLY,
    ]  # fmt: skip


def test_the_best_quote_comes_again_after_quiet():
    payloads = [
        best(5, 1_000),
        best(6, 1_200),
        best(6, 4_200),
        best(6, 4_200),
        best(9, 4_300),
        best(8, 4_250),
        best(1, 9_000),
    ]
    assert judged("orderbook.1", payloads) == [
        V.APPLY, V.APPLY, V.KEEPALIVE, V.STALE, V.GAP, V.OUT_OF_ORDER, V.RESET,
    ]  # fmt: skip


def test_a_feed_of_best_prices_alone_has_a_book_of_one_level():
    """A lost one is a gap, and the next is the whole best again; one that comes late is not what the book is now."""
    sync = open_book(LINEAR, "orderbook.1")
    found = []
    for payload in (best(5, 1_000), best(6, 1_100, price="2"), best(8, 1_300, price="4"), best(7, 1_200, price="3")):
        (message,) = LINEAR.decoder("orderbook.1")(payload)
        step = sync.on_message(message, 1)
        found.append((step.verdict, sync.state, sync.last_seq))
    assert found == [
        (V.APPLY, BookState.SYNCED, 5), (V.APPLY, BookState.SYNCED, 6),
        (V.GAP, BookState.SYNCED, 8), (V.OUT_OF_ORDER, BookState.SYNCED, 8),
    ]  # fmt: skip
    assert [len(side) for side in sync.book.top(10)] == [1, 1]
    assert sync.book.best_bid()[0] == 4 * 10**-sync.book.scale.price_exp


def test_trades_are_told_apart():
    def trade(time, number):
        return f'{{"data":[{{"T":{time},"S":"Buy","v":"1","p":"1","i":"{number:032x}"}}]}}'.encode()

    assert judged("publicTrade", [trade(5, 1), trade(5, 2), trade(5, 1), trade(7, 3), trade(6, 4)]) == [
        V.UNVERIFIABLE, V.UNVERIFIABLE, V.STALE, V.UNVERIFIABLE, V.OUT_OF_ORDER,
    ]  # fmt: skip


def test_a_gap_dirties_the_book_until_the_next_whole_one():
    sync = open_book(LINEAR, "orderbook.50")
    found = []
    for payload in (
        book(10, "snapshot", asks='[["16494.00","1"]]'),
        book(11, bids='[["16493.50","0"],["16493.00","2"]]'),
        book(13),
        book(1, "snapshot", seq=1, bids='[["5.5","1"]]'),
    ):
        (message,) = LINEAR.decoder("orderbook.50")(payload)
        sync.on_message(message, 1)
        found.append((sync.state, sync.book.best_bid()))
    assert [state for state, _ in found] == [BookState.SYNCED, BookState.SYNCED, BookState.DIRTY, BookState.SYNCED]
    assert found[-1][1] == (550000 // 10 ** (5 + sync.book.scale.price_exp), 10**-sync.book.scale.size_exp)


def test_levels_that_fall_out_of_the_depth_are_not_kept():
    sync = open_book(SPOT, "orderbook.50")
    bids = json.dumps([[str(100 + level), "1"] for level in range(50)])
    for payload in (book(10, "snapshot", bids=bids), book(11, bids='[["200","1"]]')):
        (message,) = SPOT.decoder("orderbook.50")(payload)
        sync.on_message(message, 1)
    levels, _ = sync.book.top(100)
    assert (len(levels), levels[0], levels[-1]) == (50, (200, 1), (101, 1))


def full(u, seq, prefix="orderbook.full"):
    return book(u, seq=seq, depth=prefix.partition(".")[2])


def whole(u, seq):
    return (
        f'{{"retCode":0,"retMsg":"OK","result":{{"s":"BTCUSDT","a":[["62998.2","0.2"]],"b":[["62998.1","0.3"]],'
        f'"ts":1784103578352,"u":{u},"seq":{seq},"cts":1784103578350}},"retExtInfo":{{}},"time":1784103579732}}'
    ).encode()


def test_the_full_book_by_its_numbered_procedure():
    stream = "orderbook.full"
    assert SPOT.snapshot_request("BTC_USDT") is None and SPOT.snapshot_request("BTC_USDT", "orderbook.50") is None
    assert INVERSE.snapshot_request("BTC_USD", stream) == HttpRequest(
        "GET", "/v5/market/full_orderbook?category=inverse&symbol=BTCUSD"
    )
    rule = SPOT.rule(stream)
    (snapshot,) = SPOT.decoder("snapshot")(whole(100, 1_000))
    assert (snapshot.snapshot, snapshot.in_stream, snapshot.last_seq, snapshot.cross_seq) == (True, False, 100, 1_000)
    bridges = {(99, 990): V.STALE, (100, 1_000): V.STALE, (101, 1_010): V.APPLY, (102, 1_020): V.GAP, (7, 1_000): V.GAP}
    for ids, verdict in bridges.items():
        (update,) = SPOT.decoder(stream)(full(*ids))
        assert rule.bridge(snapshot, update) is verdict, ids
    # u 1 comes with a change: a book has to be fetched anew, and until then there is none.
    assert judged(stream, [full(5, 50), full(6, 51), full(1, 60), full(2, 61)], SPOT) == [
        V.APPLY, V.APPLY, V.GAP, V.APPLY,
    ]  # fmt: skip
    sync = open_book(SPOT, stream)
    steps = []
    for message in (full(99, 990), full(100, 1_000), whole(100, 1_000), full(101, 1_010), full(103, 1_030)):
        (decoded,) = SPOT.decoder("snapshot" if b"retCode" in message else stream)(message)
        steps.append((sync.on_message(decoded, 1).needs_snapshot, sync.state))
    S = BookState
    assert steps == [
        (True, S.PARTIAL), (False, S.PARTIAL), (False, S.SYNCED), (False, S.SYNCED), (True, S.DIRTY),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 6), min_size=2, max_size=30), st.data())
def test_whatever_is_lost_shows_at_the_next_message(steps, data):
    """The law of the chain: of a run of u, each message kept is APPLY exactly where the one before it was kept."""
    ids = [10]
    for _ in steps:
        ids.append(ids[-1] + 1)
    kept = [ids[0], *(u for u in ids[1:] if data.draw(st.booleans()))]
    verdicts = judged("orderbook.50", [book(u, "snapshot" if u == 10 else "delta") for u in kept])
    assert verdicts == [V.APPLY, *(V.APPLY if after == before + 1 else V.GAP for before, after in pairwise(kept))]


SAMPLES = [
    ("orderbook.50", book(10, "snapshot", asks='[["16494.00","1"]]')),
    ("orderbook.50", book(11)),
    ("orderbook.1", best(5, 1_000)),
    ("orderbook.full", full(5, 6)),
    ("snapshot", whole(100, 1_000)),
    ("publicTrade", b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,'
                    b'"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f43950-d8dd-5b31-9112-a178eb6023af"}]}'),
    ("tickers", b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.33",'
                b'"nextFundingTime":"1673280000000","fundingRate":"-0.000212"},"cs":24987956059,"ts":1673272861686}'),
    ("allLiquidation", b'{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":'
                       b'[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}'),
    ("system.status", b'{"topic":"system.status","ts":5,"data":[{"id":"x","state":"ongoing","begin":"1","end":"2"}]}'),
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(SAMPLES), st.sampled_from([SPOT, LINEAR, INVERSE]), st.data())
def test_damage_is_messages_or_a_wire_error_and_always_has_a_place(case, venue, data):
    stream, payload = case
    text = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    sync = open_book(venue, "orderbook.50")
    try:
        for message in venue.decoder(stream)(bytes(text)):
            sync.on_message(message, 1)
    except WireError:
        pass
    place = venue.place(venue.route(bytes(text)))
    assert place.symbol is None or venue.named(venue.native(place.symbol)) == place.symbol


@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31)))
def test_any_delivery_day_goes_both_ways(day):
    symbol = f"BTC_USDC_{day:%y%m%d}"
    assert LINEAR.canonical(LINEAR.native(symbol)) == symbol
