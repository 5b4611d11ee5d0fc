"""Gate: symbols, frames, routing, both markets' messages, and the two kinds of book."""

from __future__ import annotations

import json

import msgspec
import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Funding, Liquidation, Other, Quote, Side, Trade
from mdtool.venues.catalog import get
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import HttpRequest, Place

SPOT, FUTURES = get("gate"), get("gate-futures")
markets = pytest.mark.parametrize("gate", [SPOT, FUTURES], ids=lambda venue: venue.name)
RAW = msgspec.Raw
MS = 1_684_930_165_247


def said(channel, result, prefix="spot"):
    """An update as captures of 2023 have it."""
    head = f'"time":1684930165,"time_ms":{MS},"channel":"{prefix}.{channel}"'
    return f'{{{head},"event":"update","result":{result}}}'.encode()


def update(first, last, bids="[]"):
    body = f'{{"t":{MS},"e":"depthUpdate","E":1,"s":"BTC_USDT","U":{first},"u":{last},"b":{bids},"a":[]}}'
    (message,) = SPOT.decoder("order_book_update")(said("order_book_update", body))
    return message


def answer(number, bids="[]"):
    (message,) = SPOT.decoder("snapshot")(f'{{"id":{number},"asks":[],"bids":{bids}}}'.encode())
    return message


@markets
@pytest.mark.parametrize(
    ("canonical", "native"), [("BTC_USDT", "BTC_USDT"), ("QTUM3S_USDT", "QTUM3S_USDT"), ("1INCH_ETH", "1INCH_ETH")]
)
def test_symbols(gate, canonical, native):
    assert gate.native(canonical) == native
    for spelling in (canonical, native.lower(), native.replace("_", "-"), native.replace("_", "/")):
        assert gate.canonical(spelling) == canonical
        assert gate.native(spelling) == native


@pytest.mark.parametrize("symbol", ["BTCUSDT", "", "BTC_", "BTC_USDT_X", "é_USDT"])
def test_what_is_no_symbol(symbol):
    with pytest.raises(UnknownSymbol):
        SPOT.canonical(symbol)


@pytest.mark.parametrize(("gate", "path", "prefix"), [(SPOT, "/ws/v4/", "spot"), (FUTURES, "/v4/ws/usdt", "futures")])
def test_frames(gate, path, prefix):
    streams = ("order_book_update", "trades", "candlesticks-5m", "obu-50", "order_book_update-20ms")
    (connection,) = gate.plan(["BTC_USDT", "eth_usdt"], streams)
    assert (connection.path, connection.symbols) == (path, ("BTC_USDT", "ETH_USDT"))
    assert json.loads(connection.heartbeat.frame)["channel"] == f"{prefix}.ping"
    asked = [json.loads(frame) for frame in connection.send]
    assert {frame["event"] for frame in asked} == {"subscribe"} and {frame["time"] for frame in asked} == {0}
    assert [(frame["channel"], frame["payload"]) for frame in asked] == [
        (f"{prefix}.order_book_update", ["BTC_USDT", "100ms"]),
        (f"{prefix}.order_book_update", ["ETH_USDT", "100ms"]),
        (f"{prefix}.trades", ["BTC_USDT", "ETH_USDT"]),
        (f"{prefix}.candlesticks", ["5m", "BTC_USDT"]),
        (f"{prefix}.candlesticks", ["5m", "ETH_USDT"]),
        (f"{prefix}.obu", ["ob.BTC_USDT.50", "ob.ETH_USDT.50"]),
        (f"{prefix}.order_book_update", ["BTC_USDT", "20ms"]),
        (f"{prefix}.order_book_update", ["ETH_USDT", "20ms"]),
    ]
    again = [json.loads(frame) for frame in gate.resubscribe("BTC_USDT", "obu-400")]
    assert [(frame["event"], frame["payload"]) for frame in again] == [
        ("unsubscribe", ["ob.BTC_USDT.400"]),
        ("subscribe", ["ob.BTC_USDT.400"]),
    ]
    with pytest.raises(UsageError):
        gate.plan(["BTC_USDT"], ['trades","x'])


@markets
def test_a_large_plan_loses_nothing(gate):
    symbols = [f"A{number}_USDT" for number in range(350)]
    plan = gate.plan(symbols, ("order_book_update", "trades"))
    asked = [json.loads(frame) for c in plan for frame in c.send]
    assert [frame["payload"][0] for frame in asked if "order_book" in frame["channel"]] == symbols
    assert [symbol for frame in asked if "trades" in frame["channel"] for symbol in frame["payload"]] == symbols
    assert [len(c.symbols) for c in plan] == [100, 100, 100, 50]


@pytest.mark.parametrize(
    ("gate", "payload", "place"),
    [
        (SPOT, said("order_book_update", '{"t":1,"s":"BTC_USDT","U":1}'), Place("BTC_USDT", "order_book_update")),
        (SPOT, said("trades", '{"id":5,"currency_pair":"NEO_BTC"}'), Place("NEO_BTC", "trades")),
        (SPOT, said("candlesticks", '{"t":"1","n":"1m_NEO_BTC"}'), Place("NEO_BTC", "candlesticks-1m")),
        (SPOT, said("obu", '{"t":1,"full":true,"s":"ob.BTC_USDT.400","u":1}'), Place("BTC_USDT", "obu-400")),
        (SPOT, said("of_tomorrow", '{"s":"BTC_USDT"}'), Place("BTC_USDT", "of_tomorrow")),
        (SPOT, said("trades", "{}"), Place(None, "other")),
        (SPOT, said("obu", '{"s":"BTC_USDT"}'), Place(None, "other")),
        (SPOT, said("trades", "{}").replace(b"update", b"subscribe"), Place(None, "session")),
        (SPOT, b'{"time":1,"channel":"spot.pong","event":"","error":null,"result":null}', Place(None, "ping")),
        (SPOT, b'{"id":null,"error":"x"}', Place(None, "other")),
        (
            FUTURES,  # the symbol stands behind the ladders, whose own "s" are no text
            said("order_book_update", '{"a":[' + '{"p":"1","s":2},' * 99 + '{}],"s":"RDNT_USDT"}', "futures"),
            Place("RDNT_USDT", "order_book_update"),
        ),
        (FUTURES, said("trades", '[{"size":-1,"contract":"BTC_USDT"}]', "futures"), Place("BTC_USDT", "trades")),
    ],
)  # fmt: skip
def test_routing(gate, payload, place):
    assert gate.place(gate.router().route(payload)) == place


def test_spot_messages():
    assert update(5, 7, '[["1.5","0"]]') == BookUpdate(
        MS * 10**6, 5, 7, 4, RAW(b'[["1.5","0"]]'), RAW(b"[]"), shape=(0, 1)
    )
    trade = (
        '{"id":816995970,"create_time":1619093546,"create_time_ms":"1619093546958.116","side":"buy",'
        '"currency_pair":"NEO_BTC","amount":"0.5000000000","price":"0.0018735000"}'
    )
    wanted = Trade(1619093546958116000, 816995970, "0.0018735000", "0.5000000000", Side.BID)
    assert list(SPOT.decoder("trades")(said("trades", trade))) == [wanted]
    quote = f'{{"t":{MS},"u":48733182,"s":"BTC_USDT","b":"19177.79","B":"0.0003341504","a":"","A":""}}'
    assert list(SPOT.decoder("book_ticker")(said("book_ticker", quote))) == [
        Quote(MS * 10**6, 48733182, "19177.79", "0.0003341504", "0", "0")
    ]
    assert list(SPOT.decoder("tickers")(said("tickers", '{"currency_pair":"A_B","last":"1"}'))) == [Other("tickers")]
    assert list(SPOT.decoder("candlesticks-1m")(b"anything")) == [Other("candlesticks-1m")]
    whole = (
        b'{"id":3,"current":1623898993123,"update":1623898993121,"asks":[["1.52","1.151"]],"bids":[["1.17","201.86"]]}'
    )
    assert list(SPOT.decoder("snapshot")(whole)) == [
        BookUpdate(
            1623898993123000000,
            3,
            3,
            UNKNOWN,
            RAW(b'[["1.17","201.86"]]'),
            RAW(b'[["1.52","1.151"]]'),
            snapshot=True,
            shape=(0, 1),
        )
    ]


def test_futures_messages():
    decode = FUTURES.decoder
    body = f'{{"U":5,"a":[{{"p":"0.3047","s":8393}}],"b":[],"s":"RDNT_USDT","t":{MS},"u":7}}'
    assert list(decode("order_book_update")(said("order_book_update", body, "futures"))) == [
        BookUpdate(MS * 10**6, 5, 7, 4, RAW(b"[]"), RAW(b'[{"p":"0.3047","s":8393}]'), shape=("p", "s"))
    ]
    trades = (
        '[{"size":-108,"id":27753479,"create_time":1,"create_time_ms":1545136464123,"price":"96.4","contract":"BTC_USDT"},'
        '{"size":"0.5","id":27753480,"create_time":1545136464,"price":"96.5","contract":"BTC_USDT"}]'
    )
    assert list(decode("trades")(said("trades", trades, "futures"))) == [
        Trade(1545136464123000000, 27753479, "96.4", "108", Side.ASK),
        Trade(1545136464000000000, 27753480, "96.5", "0.5", Side.BID),
    ]
    quote = f'{{"t":{MS},"u":203083200,"s":"RDNT_USDT","b":"0.2972","B":5383,"a":"0.2976","A":8456}}'
    assert list(decode("book_ticker")(said("book_ticker", quote, "futures"))) == [
        Quote(MS * 10**6, 203083200, "0.2972", "5383", "0.2976", "8456")
    ]
    ticker = '[{"contract":"BTC_USDT","mark_price":"118.35","funding_rate":"-0.000114","index_price":"118.36"}]'
    assert list(decode("tickers")(said("tickers", ticker, "futures"))) == [
        Funding(NO_TIME, "118.35", "118.36", "-0.000114")
    ]
    forced = '[{"price":215.1,"size":-124,"time":1541486601,"time_ms":1541486601123,"contract":"BTC_USDT"}]'
    assert list(decode("public_liquidates")(said("public_liquidates", forced, "futures"))) == [
        Liquidation(1541486601123000000, "215.1", "124", Side.ASK)
    ]
    whole = b'{"id":123456,"current":1623898993.123,"update":1623898993.121,"asks":[{"p":"1.52","s":100}],"bids":[]}'
    (book,) = decode("snapshot")(whole)
    assert (book.venue_ns, book.last_seq, book.snapshot, book.shape) == (1623898993123000000, 123456, True, ("p", "s"))


def test_requests_for_whole_books():
    assert SPOT.snapshot_request("BTC_USDT") == HttpRequest(
        "GET", "/api/v4/spot/order_book?currency_pair=BTC_USDT&limit=100&with_id=true"
    )
    assert FUTURES.snapshot_request("BTC_USDT", "order_book_update") == HttpRequest(
        "GET", "/api/v4/futures/usdt/order_book?contract=BTC_USDT&limit=100&with_id=true"
    )
    assert SPOT.snapshot_request("BTC_USDT", "obu-400") is None


def test_the_steps_of_a_book():
    """drop u < id + 1; the first kept has U <= id + 1 <= u; then U == previous u + 1."""
    rule = SPOT.rule("order_book_update")
    V = Verdict
    spans = [(9, 10), (10, 11), (11, 12), (5, 20), (12, 13)]
    assert [rule.bridge(answer(10), update(*span)) for span in spans] == [V.STALE, V.APPLY, V.APPLY, V.APPLY, V.GAP]
    spans = [(1, 5), (6, 6), (7, 9), (7, 9), (11, 12), (10, 10), (12, 14)]
    assert [rule.judge(update(*span)) for span in spans] == [
        V.APPLY, V.APPLY, V.APPLY, V.STALE, V.GAP, V.OUT_OF_ORDER, V.GAP,
    ]  # fmt: skip


def test_an_answer_that_comes_too_early_is_asked_for_again():
    sync = open_book(SPOT, "order_book_update")
    assert sync.on_message(update(12, 13), 1).needs_snapshot
    step = sync.on_message(answer(10, '[["1","1"]]'), 1)
    assert (step.verdict, step.state, step.needs_snapshot) == (Verdict.GAP, BookState.PARTIAL, True)
    assert sync.on_message(answer(12, '[["1","1"]]'), 1).state is BookState.SYNCED
    assert sync.last_seq == 13


def test_a_book_that_begins_on_the_stream():
    decode, sync = FUTURES.decoder("obu-400"), open_book(FUTURES, "obu-400")

    def obu(body):
        (message,) = decode(said("obu", f'{{"t":{MS},"s":"ob.BTC_USDT.400",{body}}}', "futures"))
        return sync.on_message(message, 1).verdict

    V = Verdict
    assert obu('"full":true,"u":10,"b":[["1","2"]],"a":[["3","4"]]') is V.APPLY
    assert obu('"U":11,"u":12,"b":[["1","0"]]') is V.APPLY
    assert [sync.state, *sync.book.top(5)] == [BookState.SYNCED, [], [(3, 4)]]
    assert obu('"U":14,"u":15,"b":[]') is V.GAP
    assert obu('"full":true,"u":20,"b":[["1","2"]]') is V.RESET
    assert [sync.state, *sync.book.top(5)] == [BookState.SYNCED, [(1, 2)], []]


@pytest.mark.parametrize(
    ("gate", "stream", "payload"),
    [
        (SPOT, "order_book_update", b""), (SPOT, "order_book_update", said("x", '{"u":5}')),
        (SPOT, "order_book_update", said("x", '{"U":6,"u":5}')), (SPOT, "order_book_update", said("x", "7")),
        (SPOT, "order_book_update", said("x", '{"U":6,"u":9223372036854775808}')),
        (SPOT, "trades", said("x", '{"id":5,"price":"1","amount":"1","side":"up","create_time":1}')),
        (FUTURES, "trades", said("x", '[{"id":5,"price":"1","size":{}}]')),
        (FUTURES, "book_ticker", said("x", '{"u":5,"b":"1","B":-1,"a":"2","A":1}')),
        (FUTURES, "public_liquidates", said("x", '[{"price":1,"size":"1e999"}]')),
        (SPOT, "snapshot", b'{"asks":[],"bids":[]}'), (SPOT, "snapshot", b"[" * 100_000),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(gate, stream, payload):
    with pytest.raises(WireError, match=rf"^{stream}: "):
        gate.decoder(stream)(payload)
