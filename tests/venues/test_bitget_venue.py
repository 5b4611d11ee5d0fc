"""Bitget: symbols, frames within its limits, routing, both forms of its book, its checksum by hand, and its rules."""

from __future__ import annotations

import json
import zlib

import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Other, Quote, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place

BITGET = get("bitget")
NOW = 1_790_358_811_400  # ms
V = Verdict


def arg(channel, native="BTCUSDT"):
    return {"instType": "SPOT", "channel": channel, "instId": native}


def message(channel, action, data):
    said = {"action": action, "arg": arg(channel), "data": data, "ts": NOW}
    return json.dumps(said, separators=(",", ":")).encode()


def book(seq, pseq=None, action="update", ms=NOW, channel="books", **more):
    data = {"asks": [["8476.98", "4.5"]], "bids": [["8476.97", "2.50"]], "ts": str(ms), "seq": seq, **more}
    if pseq is not None:
        data["pseq"] = pseq
    (said,) = BITGET.decoder(channel)(message(channel, action, [data]))
    return said


@pytest.mark.parametrize(
    ("canonical", "native"),
    [
        ("BTC_USDT", "BTCUSDT"),
        ("ETH_BTC", "ETHBTC"),
        ("1000SATS_USDT", "1000SATSUSDT"),
        ("USDC_USDT", "USDCUSDT"),
        ("牛来_USDT", "牛来USDT"),
    ],
)
def test_symbols(canonical, native):
    assert BITGET.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.replace("_", "-")):
        assert BITGET.canonical(spelling) == canonical


@pytest.mark.parametrize("symbol", ["", "USDT", "BTC_XXX"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        BITGET.canonical(symbol)


def test_frames():
    (connection,) = BITGET.plan(["BTC_USDT", "ethusdt"], ["books", "trade"])
    assert (connection.path, connection.heartbeat) == ("/v2/ws/public", (25.0, "ping"))
    assert [json.loads(frame) for frame in connection.send] == [
        {
            "op": "subscribe",
            "args": [arg(channel, native) for native in ("BTCUSDT", "ETHUSDT") for channel in ("books", "trade")],
        }
    ]
    assert [json.loads(frame) for frame in BITGET.resubscribe("BTC_USDT", "books")] == [
        {"op": op, "args": [arg("books")]} for op in ("unsubscribe", "subscribe")
    ]
    with pytest.raises(UsageError):
        BITGET.plan(["BTC_USDT"], ['books","x'])


def test_a_large_plan_keeps_the_limits_and_loses_nothing():
    symbols = [f"LONGNAME{i}_USDT" for i in range(200)]
    plan = BITGET.plan(symbols, ["books", "trade", "books1"])
    asked = [args for connection in plan for frame in connection.send for args in json.loads(frame)["args"]]
    assert len(asked) == len({json.dumps(args) for args in asked}) == 600
    assert all(sum(len(json.loads(frame)["args"]) for frame in c.send) < 50 for c in plan)
    assert max(len(frame) for connection in plan for frame in connection.send) <= 4_096
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (message("books", "update", []), Place("BTC_USDT", "books")),
        (b'{"action": "update", "arg": {"channel":"books", "instId":"BTCUSDT","instType":"SPOT"}}',
         Place("BTC_USDT", "books")),
        (b'{"data":[],"arg":{"instType":"SPOT","channel":"candle1m","instId":"BTCUSDT"},"action":"update"}',
         Place("BTC_USDT", "candle1m")),
        (b"pong", Place(None, "ping")),
        (json.dumps({"event": "subscribe", "arg": arg("books")}).encode(), Place(None, "session")),
        (b'{"event":"error","code":30002,"msg":"Unrecognized request:hello"}', Place(None, "session")),
        (b'{"action":"update","arg":{"instType":"USDT-FUTURES","channel":"books","instId":"BTCUSDT"},"data":[]}',
         Place(None, "other")),
        (b'{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"\xe7\x89\x9bUSDT"},"data":[]}',
         Place("牛_USDT", "books")),
        (b'{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"FOOBAR"},"data":[]}',
         Place("FOOBAR", "books")),
        (b'{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"\xff"},"data":[]}',
         Place(None, "other")),
        (b'{"action":"update","arg":{"channel":7},"data":[]}', Place(None, "other")),
    ],
)  # fmt: skip
def test_routing(payload, place):
    assert BITGET.place(BITGET.route(payload)) == place


@pytest.mark.parametrize("payload", [b"", b"{", b'{"action":"update"}', b'{"action":"update","arg":{'])
def test_what_has_no_place(payload):
    assert BITGET.route(payload) is None


def test_the_book_in_both_its_forms():
    rows = (b'[["8476.97","2.50"]]', b'[["8476.98","4.5"]]')

    def said(update):
        return (update.venue_ns, update.first_seq, update.last_seq, update.prev_seq, bytes(update.bids),
                bytes(update.asks), update.snapshot, update.in_stream, update.checksum)  # fmt: skip

    ns = NOW * 1_000_000
    assert said(book(9, 0, "snapshot")) == (ns, 9, 9, UNKNOWN, *rows, True, True, None)
    assert said(book(12, 9)) == (ns, 12, 12, 9, *rows, False, False, None)
    assert said(book(12, "9")) == said(book(12, 9))  # text by the unified account's page
    assert said(book(9, action="snapshot", checksum=0)) == (ns, 9, 9, UNKNOWN, *rows, True, True, None)
    assert said(book(12, checksum=-5)) == (ns, 12, 12, UNKNOWN, *rows, False, False, -5)


def test_trades_best_prices_tickers_and_what_is_not_decoded():
    rows = [
        {"ts": str(NOW), "price": "10.50", "size": "2", "side": side, "tradeId": str(number)}
        for number, side in ((1_000_000_000_000_000_007, "buy"), (1_000_000_000_000_000_003, "sell"))
    ]
    ns = NOW * 1_000_000
    assert BITGET.decoder("trade")(message("trade", "snapshot", rows)) == [
        Trade(ns, 1_000_000_000_000_000_003, "10.50", "2", Side.ASK),
        Trade(ns, 1_000_000_000_000_000_007, "10.50", "2", Side.BID),
    ]
    best = {"asks": [["1.1", "2"]], "bids": [], "ts": str(NOW), "seq": 7, "pseq": 0}
    assert BITGET.decoder("books1")(message("books1", "snapshot", [best])) == [Quote(ns, 7, "0", "0", "1.1", "2")]
    ticker = {"bidPr": "1.0", "bidSz": "3", "askPr": "", "askSz": "", "ts": "yesterday"}
    assert BITGET.decoder("ticker")(message("ticker", "snapshot", [ticker])) == [
        Quote(NO_TIME, UNKNOWN, "1.0", "3", "0", "0")
    ]
    assert BITGET.decoder("candle1m")(b"{}") == (Other("candle1m"),)


@pytest.mark.parametrize("action", ["replace", ""])
def test_an_action_that_is_none(action):
    with pytest.raises(WireError, match="expected snapshot or update"):
        book(1, action=action)


def judged(stream, messages):
    rule = BITGET.rule(stream)
    return [rule.judge(one) for one in messages]


def test_the_chain():
    assert judged("books", [
        book(10, 0, "snapshot"), book(15, 10), book(17, 15), book(17, 15), book(30, 20), book(20, 17), book(31, 30),
        book(40, 0, "snapshot"), book(41, 40), book(50, 0),
    ]) == [
        V.APPLY, V.APPLY, V.APPLY, V.STALE, V.GAP, V.OUT_OF_ORDER, V.APPLY, V.RESET, V.APPLY, V.GAP,
    ]  # fmt: skip


def test_a_seq_that_names_none_before_it_only_rises():
    assert judged("books", [
        book(12, checksum=1), book(15, checksum=1), book(10, action="snapshot", ms=NOW + 1), book(15, checksum=1),
        book(19, checksum=1), book(19, checksum=1), book(17, checksum=1), book(21, checksum=1, ms=NOW + 5),
        book(3, checksum=1, ms=NOW + 6), book(4, checksum=1, ms=NOW + 7), book(5, 4, ms=NOW + 8),
    ]) == [
        V.UNVERIFIABLE, V.UNVERIFIABLE, V.RESET, V.UNVERIFIABLE, V.UNVERIFIABLE, V.STALE, V.OUT_OF_ORDER,
        V.UNVERIFIABLE, V.GAP, V.UNVERIFIABLE, V.APPLY,
    ]  # fmt: skip


def test_tops_replace_each_other():
    tops = [(10, NOW), (10, NOW + 9), (12, NOW + 20), (12, NOW + 20), (11, NOW + 15), (2, NOW + 30)]
    messages = [book(seq, 0, "snapshot", ms, "books15") for seq, ms in tops]
    assert judged("books15", messages) == [V.APPLY, V.KEEPALIVE, V.APPLY, V.STALE, V.OUT_OF_ORDER, V.APPLY]
    assert BITGET.traits("books15").checksum is None


def test_the_checksum_is_of_the_text_joined_by_hand():
    """26 levels a side before the update that takes the best bid: text with trailing zeros, a side of fewer levels."""
    bids = [[f"10{9 - n // 10}.{9 - n % 10}0", f"{n + 1}.50"] for n in range(26)]
    asks = [["110.10", "0.100"], ["110.20", "7"]]
    text = "109.80:2.50:110.10:0.100:109.70:3.50:110.20:8.00"
    for price, size in bids[3:26]:
        text += f":{price}:{size}"
    value = zlib.crc32(text.encode())
    told = value - 2**32 if value >= 2**31 else value
    decode = BITGET.decoder("books")
    (whole,) = decode(message("books", "snapshot", [
        {"asks": asks, "bids": bids, "checksum": 0, "seq": 1, "ts": str(NOW)}]))  # fmt: skip
    change = {"asks": [["110.2", "0"], ["110.20", "8.00"]], "bids": [["109.90", "0"]], "seq": 3, "ts": str(NOW + 200)}
    for checksum, mismatch, state in ((told, False, BookState.SYNCED), (told ^ 1, True, BookState.DIRTY)):
        sync = open_book(BITGET, "books")
        assert sync.on_message(whole, 1).state is BookState.SYNCED
        (update,) = decode(message("books", "update", [{**change, "checksum": checksum}]))
        assert isinstance(update, BookUpdate)
        step = sync.on_message(update, 2)
        assert (step.verdict, step.mismatch is not None, step.state) == (V.UNVERIFIABLE, mismatch, state)


def test_a_gap_dirties_the_book_until_the_next_whole_one():
    sync = open_book(BITGET, "books")
    messages = (book(10, 0, "snapshot"), book(11, 10), book(13, 12), book(14, 13), book(20, 0, "snapshot"))
    S = BookState
    assert [(sync.on_message(one, 1).verdict, sync.state) for one in messages] == [
        (V.APPLY, S.SYNCED), (V.APPLY, S.SYNCED), (V.GAP, S.DIRTY), (V.APPLY, S.DIRTY), (V.RESET, S.SYNCED),
    ]  # fmt: skip
