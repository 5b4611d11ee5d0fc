"""Binance's adapter: plans, routing of anything, decoding of every message kind, and what it refuses."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.model import UNKNOWN, BookUpdate, Funding, Liquidation, Other, Quote, Side, Status, Trade
from mdtool.venues import catalog
from mdtool.venues.binance import adapter as binance
from mdtool.venues.sequence import ContiguousRule, IdRule, RisingRule, Verdict
from mdtool.venues.venue import HttpRequest, Place, Reconnect

SPOT, USDM, COINM, SIM = (catalog.get(name) for name in ("binance", "binance-usdm", "binance-coinm", "sim"))

DEPTH = (
    b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255308,"s":"ETHUSDT",'
    b'"U":35346513499,"u":35346513505,"b":[["2683.80000000","3.02920000"]],"a":[]}}'
)
USDM_DEPTH = (
    b'{"stream":"ethusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256303,"T":1723161256302,"s":"ETHUSDT",'
    b'"U":5123107832349,"u":5123107837896,"pu":5123107832175,"b":[["200.00","10.229"]],"a":[["1","0"]]}}'
)
TRADE = (
    b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1723161255612,"s":"ETHUSDT","t":1520538925,"p":"2683.80000000",'
    b'"q":"0.00200000","T":1723161255611,"m":true,"M":true}}'
)
AGG_TRADE = (
    b'{"stream":"nknusdt@aggTrade","data":{"e":"aggTrade","E":1633998516262,"s":"NKNUSDT","a":35081519,"p":"0.35210000",'
    b'"q":"57.00000000","f":1,"l":2,"T":1633998516262,"m":false,"M":true}}'
)
SPOT_QUOTE = b'{"stream":"ethusdt@bookTicker","data":{"u":35346513501,"s":"ETHUSDT","b":"1","B":"2","a":"3","A":"4"}}'
USDM_QUOTE = (
    b'{"stream":"ethusdt@bookTicker","data":{"e":"bookTicker","u":5,"s":"ETHUSDT","b":"1","B":"2","a":"3","A":"4",'
    b'"T":1723161256310,"E":1723161256311}}'
)
# COIN-M's, in the form of its documentation: no capture of it is at hand.
COINM_DEPTH = (
    b'{"stream":"btcusd_250926@depth@100ms","data":{"e":"depthUpdate","E":1591270260907,"T":1591270260891,'
    b'"s":"BTCUSD_250926","ps":"BTCUSD","U":17285681,"u":17285702,"pu":17285675,"b":[["9517.6","10"]],"a":[]}}'
)
COINM_QUOTE = (
    b'{"stream":"btcusd_250926@bookTicker","data":{"e":"bookTicker","u":17242169,"s":"BTCUSD_250926","ps":"BTCUSD",'
    b'"b":"9548.1","B":"52","a":"9548.5","A":"11","T":1591268628155,"E":1591268628166}}'
)
COINM_MARK = (
    b'{"stream":"btcusd_perp@markPrice@1s","data":{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_PERP",'
    b'"p":"10934.62","P":"10962.17","i":"10933.62","r":"-0.00010000","T":1596096000000}}'
)
COINM_DATED_MARK = (
    b'{"stream":"btcusd_250926@markPrice","data":{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_250926",'
    b'"p":"10934.62","P":"10962.17","r":"","T":0}}'
)
FORCED = (
    b'{"stream":"btcusd_250926@forceOrder","data":{"e":"forceOrder","E":1591154240950,"o":{"s":"BTCUSD_250926",'
    b'"ps":"BTCUSD","S":"SELL","o":"LIMIT","f":"IOC","q":"1","p":"9425.5","ap":"9496.5","X":"FILLED","l":"1","z":"1",'
    b'"T":1591154240949}}}'
)
COINM_MESSAGES = [
    (COINM, "depth@100ms", COINM_DEPTH, "BTC_USD_250926",
     BookUpdate(1591270260907000000, 17285681, 17285702, 17285675,
                msgspec.Raw(b'[["9517.6","10"]]'), msgspec.Raw(b"[]"))),
    (COINM, "bookTicker", COINM_QUOTE, "BTC_USD_250926",
     Quote(1591268628166000000, 17242169, "9548.1", "52", "9548.5", "11")),
    (COINM, "markPrice@1s", COINM_MARK, "BTC_USD_PERP",
     Funding(1596095725000000000, "10934.62", "10933.62", "-0.00010000", 1596096000000000000)),
    (COINM, "markPrice", COINM_DATED_MARK, "BTC_USD_250926", Funding(1596095725000000000, "10934.62")),
    (COINM, "forceOrder", FORCED, "BTC_USD_250926", Liquidation(1591154240950000000, "9425.5", "1", Side.ASK)),
]  # fmt: skip
MESSAGES = [
    (SPOT, "depth@100ms", DEPTH,
     BookUpdate(1723161255308000000, 35346513499, 35346513505, 35346513498,
                msgspec.Raw(b'[["2683.80000000","3.02920000"]]'), msgspec.Raw(b"[]"))),
    (USDM, "depth@0ms", USDM_DEPTH,
     BookUpdate(1723161256303000000, 5123107832349, 5123107837896, 5123107832175,
                msgspec.Raw(b'[["200.00","10.229"]]'), msgspec.Raw(b'[["1","0"]]'))),
    (SPOT, "trade", TRADE, Trade(1723161255612000000, 1520538925, "2683.80000000", "0.00200000", Side.ASK)),
    (SPOT, "aggTrade", AGG_TRADE, Trade(1633998516262000000, 35081519, "0.35210000", "57.00000000", Side.BID,
                                     executions=(1, 2))),
    (SPOT, "bookTicker", SPOT_QUOTE, Quote(0, 35346513501, "1", "2", "3", "4")),
    (USDM, "bookTicker", USDM_QUOTE, Quote(1723161256311000000, 5, "1", "2", "3", "4")),
]  # fmt: skip
SNAPSHOT = b'{"lastUpdateId":7,"E":1723161256567,"T":1723161256561,"bids":[["1","2"]],"asks":[]}'


@pytest.mark.parametrize(("venue", "stream", "payload", "message"), MESSAGES)
def test_every_kind_of_message_combined_bare_and_turned_round(venue, stream, payload, message):
    decode = venue.decoder(stream)
    outer = json.loads(payload)
    bare = payload[payload.index(b'"data":') + 7 : -1]
    turned = b'{"data":' + bare + b',"stream":"' + outer["stream"].encode() + b'"}'
    spaced = json.dumps(outer, indent=1).encode()
    assert list(decode(payload)) == [message]
    assert list(decode(bare)) == [message]
    assert list(decode(turned)) == [message]
    (other,) = decode(spaced)
    if isinstance(message, BookUpdate):
        assert [json.loads(bytes(side)) for side in (other.bids, other.asks)] == [
            json.loads(bytes(side)) for side in (message.bids, message.asks)
        ]
    else:
        assert other == message
    assert venue.place(venue.route(payload)) == Place(venue.canonical(outer["data"]["s"]), stream)
    assert venue.place(venue.route(bare)) == Place(venue.canonical(outer["data"]["s"]), stream)


@pytest.mark.parametrize(("venue", "stream", "payload", "symbol", "message"), COINM_MESSAGES)
def test_coin_margined_contracts(venue, stream, payload, symbol, message):
    bare = payload[payload.index(b'"data":') + 7 : -1]
    assert list(venue.decoder(stream)(payload)) == list(venue.decoder(stream)(bare)) == [message]
    assert venue.place(venue.route(payload)) == Place(symbol, stream)
    named = "markPrice" if "markPrice" in stream else stream  # a bare message does not say at which pace
    assert venue.place(venue.route(bare)) == Place(symbol, named)


def test_a_contracts_status_and_a_forced_order_of_no_side():
    info = (
        b'{"stream":"!contractInfo","data":{"e":"contractInfo","E":1669647330445,"s":"IOTAUSDT","ps":"IOTAUSDT",'
        b'"ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"%s"}}'
    )
    assert USDM.place(USDM.route(info)) == Place(None, "contractInfo")
    decode = USDM.decoder("contractInfo")
    assert list(decode(info % b"TRADING")) == [Status(1669647330445000000, "TRADING", True)]
    assert list(decode(info % b"SETTLING")) == [Status(1669647330445000000, "SETTLING", False)]
    with pytest.raises(WireError, match="side 'HOLD', expected BUY or SELL"):
        COINM.decoder("forceOrder")(FORCED.replace(b"SELL", b"HOLD"))


def test_plan_of_coinm_takes_contracts_only():
    contract, of_all = COINM.plan(["btcusd_perp", "BTC_USD_250926"], ["depth@100ms", "!contractInfo"])
    assert (contract.path, contract.symbols) == ("/stream", ("BTC_USD_PERP", "BTC_USD_250926"))
    assert json.loads(contract.send[0])["params"] == ["btcusd_perp@depth@100ms", "btcusd_250926@depth@100ms"]
    assert (of_all.symbols, json.loads(of_all.send[0])["params"]) == ((), ["!contractInfo"])
    with pytest.raises(UnknownSymbol, match="BTC_USD is a pair; expected a contract of it, as BTC_USD_PERP"):
        COINM.plan(["BTCUSD"], ["depth@100ms"])
    many = [f"C{number}_USD_PERP" for number in range(150)]
    assert [len(connection.symbols) for connection in COINM.plan(many, COINM.default_streams)] == [66, 66, 18]
    assert COINM.snapshot_request("BTC_USD_PERP").path == "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000"
    assert COINM.snapshot_weight("BTC_USD_PERP") == 0.5


def test_coinm_snapshot_that_falls_between_two_updates_is_no_gap():
    """The venue's steps 4 to 6: drop u < lastUpdateId; the first has U <= lastUpdateId <= u, or follows it (pu)."""
    decode = COINM.decoder("depth@100ms")

    def depth(first, last, prev):
        text = COINM_DEPTH.replace(b"17285681", b"%d" % first).replace(b"17285702", b"%d" % last)
        return decode(text.replace(b"17285675", b"%d" % prev))[0]

    (book,) = COINM.decoder("snapshot")(SNAPSHOT.replace(b'"lastUpdateId":7', b'"lastUpdateId":100'))
    rule = COINM.rule("depth@100ms")
    bridges = {
        (90, 99, 80): Verdict.STALE,
        (90, 100, 80): Verdict.APPLY,
        (95, 110, 90): Verdict.APPLY,
        (105, 110, 100): Verdict.APPLY,  # the ids between are other instruments': pu says that nothing is missing
        (110, 120, 105): Verdict.GAP,
    }
    assert {ids: rule.bridge(book, depth(*ids)) for ids in bridges} == bridges
    chain = [depth(105, 110, 100), depth(115, 120, 110), depth(130, 140, 125), depth(121, 125, 120)]
    assert [rule.judge(update) for update in chain] == [
        Verdict.APPLY, Verdict.APPLY, Verdict.GAP, Verdict.OUT_OF_ORDER,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("native", "canonical"),
    [("BTCUSD_PERP", "BTC_USD_PERP"), ("btcusd_250926", "BTC_USD_250926"), ("1000PEPEUSD_PERP", "1000PEPE_USD_PERP")],
)
def test_coinm_symbols_both_ways(native, canonical):
    assert COINM.canonical(native) == COINM.canonical(canonical) == canonical
    assert COINM.native(canonical) == COINM.native(native) == native.upper()


def test_a_whole_book_and_times_in_microseconds():
    (book,) = USDM.decoder("snapshot")(SNAPSHOT)
    assert (book.venue_ns, book.first_seq, book.last_seq, book.prev_seq) == (1723161256567000000, 7, 7, UNKNOWN)
    assert (bytes(book.bids), bytes(book.asks), book.snapshot) == (b'[["1","2"]]', b"[]", True)
    (spot,) = SPOT.decoder("snapshot")(b'{"lastUpdateId":7,"bids":[],"asks":[]}')
    assert (spot.venue_ns, spot.snapshot) == (0, True)
    (trade,) = SPOT.decoder("trade")(TRADE.replace(b"1723161255612", b"1723161255612345"))
    assert trade.venue_ns == 1723161255612345000
    (trade,) = SPOT.decoder("trade")(TRADE.replace(b'"E":1723161255612,', b""))
    assert trade.venue_ns == 1723161255611000000


def test_a_stream_not_known_is_counted_and_not_decoded():
    for stream in ("kline_1m", "depth20@100ms", "depth5", "miniTicker", "ping"):
        assert list(SPOT.decoder(stream)(b"\xff anything")) == [Other(stream)]
        assert SPOT.rule(stream) is None and not SPOT.is_book(stream)


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("depth@100ms", b""),
        ("depth@100ms", b"\xff\xfe"),
        ("depth@100ms", b"null"),
        ("depth@100ms", b'{"stream":"ethusdt@depth@100ms","data":{}}'),
        ("depth@100ms", b'{"stream":"ethusdt@depth@100ms"}'),
        ("depth@100ms", DEPTH[:-1]),
        ("depth@100ms", DEPTH.replace(b"35346513499", b"-5")),
        ("depth@100ms", DEPTH.replace(b"35346513505", b"99999999999999999999999")),
        ("depth@100ms", DEPTH.replace(b"35346513505", b"9223372036854775808")),
        ("depth@100ms", DEPTH.replace(b"35346513505", b"1.5")),
        ("depth@100ms", DEPTH.replace(b"35346513505", b"35346513498")),  # u before U
        ("depth@100ms", b'{"stream":"x","data":' + b"[" * 100_000),
        ("depth@100ms", b"[" * 1_000_000),
        ("trade", TRADE.replace(b'"2683.80000000"', b"2683.8")),
        ("trade", TRADE.replace(b"true", b'"true"')),
        ("trade", TRADE.replace(b"2683", b"\xc3\x28")),
        ("bookTicker", SPOT_QUOTE.replace(b'"A":"4"', b'"A":null')),
        ("snapshot", b'{"code":-1121,"msg":"Invalid symbol."}'),
    ],
)
def test_what_is_not_as_documented_is_one_wire_error(stream, payload):
    with pytest.raises(WireError) as caught:
        SPOT.decoder(stream)(payload)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*MESSAGES, *((*case[:3], case[4]) for case in COINM_MESSAGES)]), st.data())
def test_damage_is_a_message_or_a_wire_error_and_always_routed(case, data):
    venue, stream, payload, _ = case
    text = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        venue.decoder(stream)(bytes(text))
    except WireError:
        pass
    place = venue.place(venue.route(bytes(text)))
    assert place.symbol is None or venue.named(venue.native(place.symbol)) == place.symbol


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda end: b'{"stream":"' + end)))
def test_any_bytes_have_a_place(payload):
    key = USDM.route(payload)
    hash(key)
    assert isinstance(USDM.place(key), Place)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (b'{"result":null,"id":1}', Place(None, "session")),
        (b'{"id":1,"result":null}', Place(None, "session")),
        (b'{"error":{"code":2,"msg":"x"},"id":1}', Place(None, "session")),
        (
            b'{"e":"serverShutdown","E":1770123456789}',
            Place(None, "session", Reconnect("the venue says it will shut down")),
        ),
        (SNAPSHOT, Place(None, "other")),
        (b"", Place(None, "other")),
        (b"ping", Place(None, "other")),
        (b'{"stream":"!ticker@arr","data":[]}', Place(None, "ticker@arr")),
        (b'{"stream":"ethusdt","data":{}}', Place(None, "other")),
        (b'{"stream":"ethusdt@","data":{}}', Place(None, "other")),
        (b'{"stream":"","data":{}}', Place(None, "other")),
        (b'{"stream":"../../etc@trade","data":{}}', Place(None, "other")),
        (b'{"stream":"ethusdt@../x","data":{}}', Place(None, "other")),
        (b'{"stream":"\xff\xfe@trade","data":{}}', Place(None, "other")),
        (b'{"stream":"foobar@trade","data":{}}', Place("FOOBAR", "trade")),
        (b'{"stream":"' + b"a" * 100_000 + b'@trade","data":{}}', Place(None, "other")),
        (b'{"stream":"btcusdt_250926@depth@0ms","data":{}}', Place("BTC_USDT_250926", "depth@0ms")),
        (b'{"stream":"ethusdt@kline_1m","data":{}}', Place("ETH_USDT", "kline_1m")),
    ],
)
def test_places(payload, place):
    assert USDM.place(USDM.route(payload)) == place


@pytest.mark.parametrize("key", [None, True, False, 5, (), (b"a",), (b"a", b"b", b"c"), ("a", "b"), b"", b"@", "text"])
def test_no_key_raises(key):
    assert USDM.place(key).symbol is None


def test_plan_of_spot():
    (connection,) = SPOT.plan(["ETH_USDT", "btcusdt", "ETHUSDT"], SPOT.default_streams)
    assert connection.path == "/stream"
    assert connection.symbols == ("ETH_USDT", "BTC_USDT")
    assert connection.send == (
        '{"method":"SUBSCRIBE","params":["ethusdt@depth@100ms","ethusdt@trade","ethusdt@bookTicker",'
        '"btcusdt@depth@100ms","btcusdt@trade","btcusdt@bookTicker"],"id":1}',
    )
    assert 1 / connection.send_interval < 5


def test_plan_of_usdm_goes_by_path():
    public, market = USDM.plan(
        ["ETH_USDT"], ["depth@0ms", "aggTrade", "trade", "markPrice@1s", "bookTicker", "kline_1m"]
    )
    assert (public.path, market.path) == ("/public/stream", "/market/stream")
    assert json.loads(public.send[0])["params"] == ["ethusdt@depth@0ms", "ethusdt@trade", "ethusdt@bookTicker"]
    assert json.loads(market.send[0])["params"] == ["ethusdt@aggTrade", "ethusdt@markPrice@1s", "ethusdt@kline_1m"]
    assert 1 / public.send_interval < 10


def test_a_large_plan_keeps_the_limits_and_loses_nothing():
    symbols = [f"S{number}_USDT" for number in range(1000)]
    connections = SPOT.plan(symbols, SPOT.default_streams)
    asked = []
    for connection in connections:
        frames = [json.loads(frame) for frame in connection.send]
        assert [frame["id"] for frame in frames] == list(range(1, len(frames) + 1))
        assert all(len(frame["params"]) <= binance.STREAMS_PER_FRAME for frame in frames)
        streams = [name for frame in frames for name in frame["params"]]
        assert len(streams) <= SPOT.spec.streams_per_connection
        assert {name.partition("@")[0] for name in streams} == {SPOT.native(s).lower() for s in connection.symbols}
        asked += streams
    assert sorted(asked) == sorted(f"s{n}usdt@{stream}" for n in range(1000) for stream in SPOT.default_streams)


def test_a_plan_of_nonsense():
    with pytest.raises(UnknownSymbol):
        SPOT.plan(["nope"], ["trade"])
    (forced,) = SPOT.plan(["=nope"], ["trade"])  # the venue's own name, as it is
    assert (forced.symbols, json.loads(forced.send[0])["params"]) == (("NOPE",), ["nope@trade"])
    for stream in ("", '"', "depth@", "tr ade", 'x","y'):
        with pytest.raises(UsageError, match="is no stream"):
            SPOT.plan(["ETH_USDT"], [stream])
    assert SPOT.plan([], ["trade"]) == () == SPOT.plan(["ETH_USDT"], [])


def test_snapshots_and_their_weight():
    assert SPOT.snapshot_request("ETH_USDT") == HttpRequest("GET", "/api/v3/depth?symbol=ETHUSDT&limit=5000")
    assert SIM.snapshot_request("ALPHA_USDT") == HttpRequest("GET", "/api/v3/depth?symbol=ALPHAUSDT&limit=5000")
    assert USDM.snapshot_request("ETH_USDT") == HttpRequest("GET", "/fapi/v1/depth?symbol=ETHUSDT&limit=1000")
    assert 60 / SPOT.snapshot_weight("ETH_USDT") * 250 <= 6000
    assert 60 / USDM.snapshot_weight("ETH_USDT") * 20 <= 2400


def test_rules_and_defaults():
    for venue in (SPOT, USDM, SIM):
        assert [type(venue.rule(stream)) for stream in venue.default_streams] == [ContiguousRule, IdRule, RisingRule]
        assert isinstance(venue.rule("aggTrade"), IdRule)
        assert venue.rule("trade") is not venue.rule("trade")
        assert [venue.is_book(stream) for stream in venue.default_streams] == [True, False, False]
        assert set(venue.trade_streams) <= set(venue.default_streams)
        assert all(venue.canonical(venue.native(symbol)) == symbol for symbol in venue.default_symbols)
    for stream in ("depth", "depth@100ms", "depth@1000ms"):
        assert SPOT.is_book(stream)
    assert {"BTC_USDT", "ETH_USDT", "SOL_USDT", "PENGU_USDT"} <= set(SPOT.default_symbols) & set(USDM.default_symbols)
    assert SIM.default_symbols == ("ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT", "DELTA_USDT")
