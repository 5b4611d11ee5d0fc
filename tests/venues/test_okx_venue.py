"""OKX: symbols of every kind, frames, routing, messages of both eras, and the chain with its two exceptions."""

from __future__ import annotations

import json

import msgspec
import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Funding, Liquidation, Other, Quote, Side, Status, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Place, Reconnect

OKX = get("okx")
# www.okx.com/docs-v5, "WS / Order book channel", its ids and times changed
BOOK = (
    '{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":[["8476.98","415","0","13"]],'
    '"bids":[["8476.97","256","0","12"]],"ts":"{ts}","checksum":{checksum},"prevSeqId":{prev},"seqId":{seq}}}]}}'
)
TODAY = 1_790_000_000_000  # after the checksums' end
BEFORE = 1_700_000_000_000


def book(seq, prev, action="update", ts=TODAY, checksum=0):
    payload = BOOK.format(action=action, ts=ts, checksum=checksum, prev=prev, seq=seq).encode()
    (message,) = OKX.decoder("books")(payload)
    return message


@pytest.mark.parametrize(
    ("canonical", "native"),
    [
        ("BTC_USDT", "BTC-USDT"),
        ("BTC_USDT_PERP", "BTC-USDT-SWAP"),
        ("UNI_USD_PERP", "UNI-USD-SWAP"),
        ("BTC_USD_220527", "BTC-USD-220527"),
        ("BTC_USD_240628_60000_C", "BTC-USD-240628-60000-C"),
        ("SWAP_USDT", "SWAP-USDT"),  # an asset of that name is no perpetual
    ],
)
def test_symbols(canonical, native):
    assert OKX.native(canonical) == native
    for spelling in (canonical, native, native.lower(), canonical.lower()):
        assert OKX.canonical(spelling) == canonical
        assert OKX.native(spelling) == native


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "", "BTC-", "BTC-USDT-WEEK", "BTC-USD-240628-60000", "BTC-USDT-SWAP-1", "é-USDT"]
)
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        OKX.canonical(symbol)


def test_frames():
    (connection,) = OKX.plan(["BTC_USDT", "ETH-USDT-SWAP"], ["books", "trades"])
    assert (connection.path, connection.heartbeat) == ("/ws/v5/public", (25.0, "ping"))
    assert [json.loads(frame) for frame in connection.send] == [
        {
            "op": "subscribe",
            "args": [
                {"channel": channel, "instId": native}
                for native in ("BTC-USDT", "ETH-USDT-SWAP")
                for channel in ("books", "trades")
            ],
        }
    ]
    assert [json.loads(frame)["op"] for frame in OKX.resubscribe("BTC_USDT", "books")] == ["unsubscribe", "subscribe"]
    with pytest.raises(UsageError):
        OKX.plan(["BTC_USDT"], ['books","x'])


def test_a_large_plan_keeps_the_limits_and_loses_nothing():
    symbols = [f"A{i}_USDT" for i in range(1_000)]
    plan = OKX.plan(symbols, ["books", "trades", "bbo-tbt"])
    asked = [arg for connection in plan for frame in connection.send for arg in json.loads(frame)["args"]]
    assert len(asked) == len({json.dumps(arg) for arg in asked}) == 3_000
    assert all(sum(len(json.loads(frame)["args"]) for frame in c.send) <= 480 for c in plan)
    assert [symbol for connection in plan for symbol in connection.symbols] == symbols


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[]}', Place("BTC_USDT", "books")),
        (b'{"arg": {"instId":"BTC-USDT", "channel":"books"},"data":[]}', Place("BTC_USDT", "books")),
        (b'{"data":[],"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"}}', Place("BTC_USDT_PERP", "trades")),
        (b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[]}', Place(None, "liquidation-orders")),
        (b"pong", Place(None, "ping")),
        (b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}', Place(None, "session")),
        (b'{"event":"error","code":"60012","msg":"Invalid request"}', Place(None, "session")),
        (
            b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade."}',
            Place(None, "session", Reconnect("the venue says it will upgrade")),
        ),
        (b'{"arg":{"channel":"books","instId":"no symbol"},"data":[]}', Place(None, "other")),
        (b'{"arg":{"channel":7},"data":[]}', Place(None, "other")),
    ],
)
def test_routing(payload, place):
    assert OKX.place(OKX.route(payload)) == place


def test_a_checksum_counts_until_its_era_ends():
    assert book(5, 4, ts=BEFORE, checksum=-5).checksum == -5
    assert book(5, 4, ts=BEFORE, checksum=0).checksum is None  # one in four billion books has this one
    assert book(5, 4, checksum=0).checksum is None
    assert book(5, 4, ts=1_782_172_799_999, checksum=7).checksum == 7
    assert book(5, 4, ts=1_782_172_800_000, checksum=7).checksum is None


def test_the_chain_its_keepalive_its_legal_reset_and_its_gap():
    rule = OKX.rule("books")
    judged = [
        rule.judge(message)
        for message in (
            book(10, -1, "snapshot"),
            book(15, 10),
            book(15, 15),  # 60 s without a change
            book(17, 15),
            book(3, 17),  # maintenance: the ids begin again
            book(5, 3),
            book(5, 3),
            book(9, 7),
            book(7, 5),  # late
            book(12, -1, "snapshot"),
            book(13, 12),
        )
    ]
    V = Verdict
    assert judged == [
        V.APPLY, V.APPLY, V.KEEPALIVE, V.APPLY, V.RESET, V.APPLY, V.STALE, V.GAP, V.OUT_OF_ORDER, V.RESET, V.APPLY,
    ]  # fmt: skip


def test_a_gap_dirties_the_book_until_the_next_whole_one():
    sync = open_book(OKX, "books")
    states = [
        (sync.on_message(message, 1).verdict, sync.state)
        for message in (book(10, -1, "snapshot"), book(11, 10), book(13, 12), book(14, 13), book(20, -1, "snapshot"))
    ]
    V, S = Verdict, BookState
    assert states == [
        (V.APPLY, S.SYNCED), (V.APPLY, S.SYNCED), (V.GAP, S.DIRTY), (V.APPLY, S.DIRTY), (V.RESET, S.SYNCED),
    ]  # fmt: skip


def test_messages():
    assert book(5, 4) == BookUpdate(
        TODAY * 10**6,
        5,
        5,
        4,
        msgspec.Raw(b'[["8476.97","256","0","12"]]'),
        msgspec.Raw(b'[["8476.98","415","0","13"]]'),
        shape=(0, 1),
    )
    decoded = {
        "trades": (
            b'{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897","count":"3"}',
            Trade(1630048897897000000, 130639474, "42219.9", "0.12060306", Side.BID, 3),
        ),
        "tickers": (
            b'{"instId":"BTC-USDT","askPx":"2","askSz":"3","bidPx":"1","bidSz":"","ts":"1630048897897"}',
            Quote(1630048897897000000, UNKNOWN, "1", "0", "2", "3"),
        ),
        "bbo-tbt": (
            b'{"asks":[["111.06","55154","0","2"]],"bids":[],"ts":"1670324386802","seqId":363996337}',
            Quote(1670324386802000000, 363996337, "0", "0", "111.06", "55154"),
        ),
        "funding-rate": (
            b'{"fundingRate":"-0.0000791","fundingTime":"1622851200000","instId":"BTC-USD-SWAP","ts":"1622822400000"}',
            Funding(1622822400000000000, rate="-0.0000791", next_ns=1622851200000000000),
        ),
        "mark-price": (b'{"markPx":"42310.6","ts":"1630049139746"}', Funding(1630049139746000000, "42310.6")),
        "liquidation-orders": (
            b'{"details":[{"bkPx":"0.007831","side":"sell","sz":"13","ts":"1692266434010"}],"instId":"IOST-USDT-SWAP"}',
            Liquidation(1692266434010000000, "0.007831", "13", Side.ASK),
        ),
        "status": (b'{"state":"ongoing","ts":"1672823400000"}', Status(1672823400000000000, "ongoing", False)),
    }
    for stream, (data, message) in decoded.items():
        assert list(OKX.decoder(stream)(b'{"arg":{},"data":[' + data + b"]}")) == [message], stream
    assert list(OKX.decoder("candle1m")(b"anything")) == [Other("candle1m")]


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("books", b""), ("books", b'{"data":[]}'), ("books", b'{"action":"what","data":[]}'),
        ("books", BOOK.format(action="update", ts=1, checksum=0, prev=1, seq=2**63).encode()),
        ("trades", b'{"data":[{"tradeId":"x","px":"1","sz":"1","side":"buy","ts":"1"}]}'),
        ("trades", b'{"data":[{"tradeId":"1","px":"1","sz":"1","side":"up","ts":"1"}]}'),
        ("trades", b'{"data":[{"tradeId":"5","px":"1","sz":"1","side":"buy","ts":"1","count":"0"}]}'),
        ("bbo-tbt", b'{"data":[{"asks":[["1"]],"bids":[],"ts":"1"}]}'), ("books", b"[" * 100_000),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(stream, payload):
    with pytest.raises(WireError):
        OKX.decoder(stream)(payload)
