"""Deribit: instruments of every kind, frames and heartbeats, routing, messages, and the chain of change ids."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Funding, Liquidation, Other, Quote, Side, Status, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place, Reply

DERIBIT = get("deribit")
HEAD = '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%s","data":%s}}'


def notice(channel, data):
    return (HEAD % (channel, data if isinstance(data, str) else json.dumps(data, separators=(",", ":")))).encode()


def book(last, prev=None, bids="[]", asks="[]", kind=None, time=1617644858339):
    kind = kind or ("snapshot" if prev is None else "change")
    before = "" if prev is None else f'"prev_change_id":{prev},'
    data = (
        f'{{"type":"{kind}","timestamp":{time},{before}"instrument_name":"BTC-PERPETUAL","change_id":{last},'
        f'"bids":{bids},"asks":{asks}}}'
    )
    return notice("book.BTC-PERPETUAL.100ms", data)


def decoded(payload, stream="book.100ms"):
    (message,) = DERIBIT.decoder(stream)(payload)
    return message


@pytest.mark.parametrize(
    ("canonical", "native"),
    [
        ("BTC_USD_PERP", "BTC-PERPETUAL"),
        ("SOL_USDC_PERP", "SOL_USDC-PERPETUAL"),
        ("BTC_USD_211231", "BTC-31DEC21"),
        ("ETH_USD_210409", "ETH-9APR21"),
        ("BTC_USDC_250627", "BTC_USDC-27JUN25"),
        ("ETH_USD_210409_1950_C", "ETH-9APR21-1950-C"),
        ("XRP_USDC_250627_0.55_P", "XRP_USDC-27JUN25-0d55-P"),
        ("BTC_USDC", "BTC_USDC"),
    ],
)
def test_symbols(canonical, native):
    assert DERIBIT.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.lower()):
        assert DERIBIT.canonical(spelling) == canonical
        assert DERIBIT.native(spelling) == native


@pytest.mark.parametrize(
    "symbol",
    ["", "BTC", "BTC-", "BTC-31FEB21", "BTC-9XXX21", "BTC-PERPETUAL-1", "BTC_USD_211331", "BTC-FS-27JUN25_PERP",
     "é_USD", "BTC-9APR21-1950-X", "BTC_USD_210409_1950", "B" * 80],
)  # fmt: skip
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        DERIBIT.canonical(symbol)


def test_frames():
    (connection,) = DERIBIT.plan(["BTC_USD_PERP", "eth-9apr21-1950-c"], ["book.100ms", "quote", "platform_state"])
    assert (connection.path, connection.symbols) == ("/ws/api/v2", ("BTC_USD_PERP", "ETH_USD_210409_1950_C"))
    beat, subscribe = (json.loads(frame) for frame in connection.send)
    assert (beat["method"], beat["params"]) == ("public/set_heartbeat", {"interval": 30})
    assert subscribe == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "public/subscribe",
        "params": {
            "channels": [
                "book.BTC-PERPETUAL.100ms", "quote.BTC-PERPETUAL", "platform_state", "book.ETH-9APR21-1950-C.100ms",
                "quote.ETH-9APR21-1950-C",
            ]
        },
    }  # fmt: skip
    again = [json.loads(frame) for frame in DERIBIT.resubscribe("BTC_USD_PERP", "book.100ms")]
    assert [frame["method"] for frame in again] == ["public/unsubscribe", "public/subscribe"]
    assert {frame["params"]["channels"][0] for frame in again} == {"book.BTC-PERPETUAL.100ms"}
    with pytest.raises(UsageError):
        DERIBIT.plan(["BTC_USD_PERP"], ["user.orders.BTC-PERPETUAL"])


def test_a_large_plan_keeps_the_limits_and_loses_nothing():
    symbols = [f"BTC_USD_261225_{strike}_C" for strike in range(1_000, 3_000)]
    plan = DERIBIT.plan(symbols, DERIBIT.default_streams)
    frames = [json.loads(frame) for connection in plan for frame in connection.send]
    asked = [channel for frame in frames for channel in frame["params"].get("channels", ())]
    assert len(asked) == len(set(asked)) == 6_000
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols
    assert len(plan) == 16 and all(len(frame) < 20_000 for c in plan for frame in c.send)
    with pytest.raises(UsageError, match="connections, and the venue takes 32 of an address"):
        DERIBIT.plan([f"BTC_USD_261225_{strike}_C" for strike in range(1_000, 6_000)], DERIBIT.default_streams)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (book(1), Place("BTC_USD_PERP", "book.100ms")),
        (notice("quote.ETH-9APR21-1950-C", {}), Place("ETH_USD_210409_1950_C", "quote")),
        (notice("chart.trades.BTC-PERPETUAL.1", {}), Place("BTC_USD_PERP", "chart.trades.1")),
        (notice("book.BTC-PERPETUAL.none.10.100ms", {}), Place("BTC_USD_PERP", "book.none.10.100ms")),
        (notice("trades.future.BTC.100ms", []), Place(None, "trades.future.BTC.100ms")),
        (notice("platform_state", {"locked": True}), Place(None, "platform_state")),
        (
            notice("instrument.state.any.any", {"timestamp": 1, "state": "closed", "instrument_name": "ETH-9APR21"}),
            Place("ETH_USD_210409", "instrument.state.any.any"),
        ),
        (
            b'{"params": {"data": {}, "channel": "ticker.BTC-PERPETUAL.raw"}, "method": "subscription"}',
            Place("BTC_USD_PERP", "ticker.raw"),
        ),
        (b'{"jsonrpc":"2.0","id":1,"result":["book.BTC-PERPETUAL.raw"]}', Place(None, "session")),
        (b'{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params"},"id":1}', Place(None, "session")),
        (b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}', Place(None, "ping")),
        (
            b'{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}',
            Place(None, "ping", Reply('{"jsonrpc":"2.0","id":9999,"method":"public/test","params":{}}')),
        ),
        (notice("book.no-symbol.raw", {}), Place("no-symbol", "book.raw")),
        (notice("book.../../x", {}), Place(None, "other")),
        (b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"\xff"}}', Place(None, "other")),
        (b"", Place(None, "other")),
        (b"pong", Place(None, "other")),
    ],
)
def test_routing(payload, place):
    assert DERIBIT.place(DERIBIT.route(payload)) == place


def test_a_book_stays_wire_text_where_its_numbers_say_all():
    bids = '[["new",0.026,299.0],["change",0.0255,1.5],["delete",0.025,0.0]]'
    assert decoded(book(15, 10, bids)) == BookUpdate(
        1617644858339000000, 11, 15, 10, msgspec.Raw(bids.encode()), msgspec.Raw(b"[]"), shape=(1, 2)
    )
    whole = decoded(book(10, None, '[["new",0.026,299.0]]'))
    assert (whole.snapshot, whole.in_stream, whole.prev_seq, whole.last_seq) == (True, True, UNKNOWN, 10)


def test_a_book_is_written_anew_where_its_numbers_do_not():
    odd = decoded(book(15, 10, '[["delete",100.5,7.0],["new", 1e-05, 2.5e3]]', '[["new",0.5,1]]'))
    assert (bytes(odd.bids), bytes(odd.asks), odd.shape) == (
        b'[["100.5","0"],["0.00001","2500"]]', b'[["0.5","1"]]', None,
    )  # fmt: skip


def test_messages():
    trade = (
        '{"trade_seq":30289442,"trade_id":"48079269","timestamp":1590484512188,"tick_direction":2,"price":8950.0,'
        '"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10.0'
    )
    time = 1590484512188000000
    sold = Trade(time, 30289442, "8950.0", "10.0", Side.ASK)
    decode = DERIBIT.decoder("trades.100ms")
    assert list(decode(notice("trades.BTC-PERPETUAL.100ms", f"[{trade}}}]"))) == [sold]
    forced = list(decode(notice("trades.BTC-PERPETUAL.100ms", f'[{trade},"liquidation":"MT"}}]')))
    assert forced == [
        sold, Liquidation(time, "8950.0", "10.0", Side.ASK), Liquidation(time, "8950.0", "10.0", Side.BID),
    ]  # fmt: skip
    ticker = {
        "timestamp": 1, "state": "open", "mark_price": 1.5, "index_price": 1.25, "current_funding": -0.0001,
        "best_bid_price": 1.5, "best_bid_amount": 2.0, "best_ask_price": None, "best_ask_amount": 0.0,
    }  # fmt: skip
    quote, funding = Quote(10**6, UNKNOWN, "1.5", "2.0", "0", "0.0"), Funding(10**6, "1.5", "1.25", "-0.0001")
    decode = DERIBIT.decoder("ticker.100ms")
    assert list(decode(notice("ticker.BTC-PERPETUAL.100ms", ticker))) == [quote, funding]
    closed = notice("ticker.BTC-PERPETUAL.100ms", {**ticker, "state": "closed"})
    assert list(decode(closed)) == [quote, funding, Status(10**6, "closed", False)]
    assert list(DERIBIT.decoder("quote")(notice("quote.BTC-PERPETUAL", ticker))) == [quote]
    perpetual = notice("perpetual.BTC-PERPETUAL.100ms", {"timestamp": 1, "interest": 1e-05, "index_price": 7872.88})
    assert list(DERIBIT.decoder("perpetual.100ms")(perpetual)) == [
        Funding(10**6, index_price="7872.88", rate="0.00001")
    ]
    state = notice("instrument.state.any.any", {"timestamp": 2, "state": "started", "instrument_name": "BTC-9APR21"})
    assert list(DERIBIT.decoder("instrument.state.any.any")(state)) == [Status(2 * 10**6, "started", True)]
    platform = DERIBIT.decoder("platform_state")
    assert list(platform(notice("platform_state", {"price_index": "sol_usdc", "locked": True}))) == [
        Status(0, "locked", False)
    ]
    assert list(platform(notice("platform_state", {"maintenance": False}))) == [Status(0, "maintenance over", True)]
    for stream in ("incremental_ticker", "book.none.10.100ms", "chart.trades.1", "session"):
        assert list(DERIBIT.decoder(stream)(b"\xff anything")) == [Other(stream)]
        assert not DERIBIT.is_book(stream)


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("book.raw", b""),
        ("book.raw", b"\xff\xfe"),
        ("book.raw", b"[" * 100_000),
        ("book.raw", book(15, 10)[:-1]),
        ("book.raw", book(2**63, 10)),
        ("book.raw", book(-1, 10)),
        ("book.raw", book(15, 10, kind="what")),
        ("book.raw", book(15, None, kind="change")),  # a change that follows nothing
        ("book.raw", book(15, 10, '[["grow",1,2]]')),
        ("book.raw", book(15, 10, '[["new",1,-2],["delete",1,1]]')),
        ("book.raw", book(15, 10, "[[1,2]]")),
        ("trades.raw", notice("t", '[{"trade_seq":1,"timestamp":1,"price":1,"amount":1,"direction":"up"}]')),
        ("trades.raw", notice("t", '[{"trade_seq":1,"timestamp":1,"price":1,"amount":-1,"direction":"buy"}]')),
        ("trades.raw", notice("t", '[{"trade_seq":1,"timestamp":1,"price":[],"amount":1,"direction":"buy"}]')),
        ("ticker.raw", notice("t", '{"timestamp":1,"mark_price":"\\ud800"}')),
        ("quote", notice("t", "{}")),
        ("platform_state", notice("t", "{}")),
    ],
)
def test_what_is_not_as_documented_is_one_wire_error(stream, payload):
    with pytest.raises(WireError) as caught:
        DERIBIT.decoder(stream)(payload)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_chain():
    rule = DERIBIT.rule("book.100ms")
    steps = [(10, None), (15, 10), (19, 15), (30, 25), (25, 19), (25, 19), (40, None), (41, 40)]
    V = Verdict
    assert [rule.judge(decoded(book(*step))) for step in steps] == [
        V.APPLY, V.APPLY, V.APPLY, V.GAP, V.OUT_OF_ORDER, V.STALE, V.RESET, V.APPLY,
    ]  # fmt: skip
    rule = DERIBIT.rule("trades.raw")
    assert [rule.judge(Trade(1, number, "1", "1", Side.BID)) for number in (5, 6, 8, 7, 8, 9)] == [
        V.APPLY, V.APPLY, V.GAP, V.OUT_OF_ORDER, V.STALE, V.APPLY,
    ]  # fmt: skip


def test_a_gap_dirties_the_book_until_the_next_whole_one():
    sync = open_book(DERIBIT, "book.100ms")
    steps = [
        (book(10, None, '[["new",1.5,2.0]]', '[["new",2.5,1.0]]'), BookState.SYNCED),
        (book(12, 10, '[["delete",1.5,0.0],["new",1.0,4.0]]'), BookState.SYNCED),
        (book(20, 15, '[["new",1.2,4.0]]'), BookState.DIRTY),
        (book(30, None, '[["new",1.1,1.0]]'), BookState.SYNCED),
    ]
    assert [(sync.on_message(decoded(payload), 1), sync.state)[1] for payload, _ in steps] == [s for _, s in steps]
    assert sync.book.best_bid() == (11, 1) and sync.book.best_ask() is None


SAMPLES = [
    ("book.100ms", book(15, 10, '[["new",0.026,299.0],["delete",0.025,0.0]]', '[["change",1e-5,2]]')),
    ("trades.100ms", notice("trades.BTC-PERPETUAL.100ms", '[{"trade_seq":3,"timestamp":1,"price":1.5,"direction":"buy",'
                                                          '"amount":1,"liquidation":"T"}]')),
    ("perpetual.raw", notice("perpetual.BTC-PERPETUAL.raw", '{"timestamp":1,"interest":-1e-05,"index_price":7872.88}')),
    ("platform_state", notice("platform_state", '{"price_index":"sol_usdc","locked":true}')),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_is_messages_or_a_wire_error_and_always_has_a_place(case, data):
    stream, payload = case
    text = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    sync = open_book(DERIBIT, "book.100ms")
    try:
        for message in DERIBIT.decoder(stream)(bytes(text)):
            sync.on_message(message, 1)
    except WireError:
        pass
    place = DERIBIT.place(DERIBIT.route(bytes(text)))
    assert place.symbol is None or DERIBIT.named(DERIBIT.native(place.symbol)) == place.symbol
