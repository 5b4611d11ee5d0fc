"""Bybit's, Deribit's and Hyperliquid's sessions: what the venue answers to what a client asks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.protocol import Answer
from mdtool.exchange.source import Instrument
from mdtool.model import Scale
from mdtool.venues import catalog

SYMBOLS = {
    "bybit": "BTC_USDT",
    "bybit-linear": "BTC_USDC_251226",
    "bybit-inverse": "BTC_USD_251226",
    "deribit": "ETH_USD_210409_1950_C",
    "hyperliquid": "KPEPE_USD",
}
MORE = {"deribit": ("chart.trades.1", "book.raw"), "hyperliquid": ("candle.1m",)}  # besides what is recorded by default
PATHS = {
    "bybit": "/v5/public/spot",
    "bybit-linear": "/v5/public/linear",
    "bybit-inverse": "/v5/public/inverse",
    "deribit": "/ws/api/v2",
    "hyperliquid": "/ws",
}


class Stub:
    """A source of one instrument, and of a book where it is given one."""

    def __init__(self, venue, book=None):
        symbol = SYMBOLS[venue]
        self._venue = venue
        self.instruments = (Instrument(symbol, catalog.get(venue).native(symbol), Scale(-2, -3)),)
        self._book = book

    def depth(self, symbol, limit):
        return self._book

    def streams(self, symbol):
        return (*catalog.get(self._venue).default_streams, *MORE.get(self._venue, ()))

    def now_ms(self):
        return 5


def opened(venue, path=None, book=None):
    protocol = protocol_for(venue)
    protocol.attach(Stub(venue, book), "ws://127.0.0.1:1")
    return protocol, protocol.open(path or PATHS[venue], {})


def say(session, request):
    """The reaction, its replies as objects."""
    reaction = session.on_text(request if isinstance(request, str) else json.dumps(request), 0)
    return [json.loads(reply) for reply in reaction.replies], reaction


@pytest.mark.parametrize("venue", SYMBOLS)
def test_what_its_adapter_sends_is_accepted_and_answered_on_the_session(venue):
    adapter = catalog.get(venue)
    protocol, session = opened(venue)
    assert session.opened().replies == []
    (connection,) = adapter.plan([SYMBOLS[venue]], adapter.default_streams)
    assert connection.path == PATHS[venue]
    subscribed = []
    for frame in (*connection.send, *([connection.heartbeat.frame] if connection.heartbeat else [])):
        replies, reaction = say(session, frame)
        assert replies and reaction.close is None
        for reply in reaction.replies:
            assert adapter.place(adapter.route(reply)).stream in ("session", "ping"), reply
        subscribed += reaction.subscribed
    (instrument,) = protocol.source.instruments
    assert subscribed == [protocol.stream_name(instrument, stream) for stream in adapter.default_streams]
    book = adapter.default_streams[0]
    changes = [say(session, frame)[1] for frame in adapter.resubscribe(SYMBOLS[venue], book)]
    name = protocol.stream_name(instrument, book)
    assert [(change.unsubscribed, change.subscribed) for change in changes] == [([name], []), ([], [name])]


@pytest.mark.parametrize("venue", SYMBOLS)
def test_another_path_is_refused(venue):
    assert isinstance(opened(venue, "/else")[1], Answer)
    assert opened(venue)[0].rest("GET", "/nothing", {}, Stub(venue)).status == 404


@pytest.mark.parametrize("venue", SYMBOLS)
@given(st.one_of(
    st.text(max_size=80),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9),
                 lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                     st.sampled_from(["op", "args", "method", "params", "channels", "subscription", "type", "coin",
                                      "id", "interval", "req_id"]),
                     inner | st.sampled_from(["subscribe", "public/subscribe", "public/set_heartbeat", "ping"]),
                     max_size=4),
                 max_leaves=8).map(json.dumps),
))  # fmt: skip
def test_nothing_a_client_says_breaks_a_session(venue, text):
    _, session = opened(venue)
    reaction = session.on_text(text, 0)
    assert reaction.close or reaction.replies
    for reply in reaction.replies:
        assert isinstance(json.loads(reply), dict)


def test_bybit_answers_and_limits():
    _, session = opened("bybit")
    (pong,), _ = say(session, {"op": "ping", "req_id": "7"})
    assert (pong["success"], pong["ret_msg"], pong["op"], pong["req_id"]) == (True, "pong", "ping", "7")
    (answer,), reaction = say(session, {"op": "subscribe", "args": ["orderbook.50.NONSENSE"]})
    assert (answer["success"], answer["ret_msg"]) == (False, "error:handler not found,topic:orderbook.50.NONSENSE")
    assert reaction.subscribed == []
    (answer,), _ = say(session, {"op": "subscribe", "args": [f"kline.{n}.BTCUSDT" for n in range(11)]})
    assert (answer["success"], answer["ret_msg"]) == (False, "args size >10")
    for _ in range(2):
        (answer,), _ = say(session, {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]})
    assert answer["ret_msg"] == "error:already subscribed,topic:orderbook.50.BTCUSDT"
    assert say(session, {"op": "auth"})[0][0]["success"] is False
    assert say(session, "no json")[0][0]["ret_msg"] == "error:request format"
    _, futures = opened("bybit-linear")
    many = [f"kline.{n:06}.BTC-26DEC25" for n in range(1_000)]
    assert say(futures, {"op": "subscribe", "args": many})[0][0]["ret_msg"] == "args exceed 21000 characters"
    _, status = opened("bybit", "/v5/public/misc/status")
    assert say(status, {"op": "subscribe", "args": ["system.status"]})[1].subscribed == ["system.status"]
    assert say(status, {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]})[0][0]["success"] is False


def test_bybit_full_book():
    query = {"category": "spot", "symbol": "BTCUSDT"}
    path = "/v5/market/full_orderbook"
    protocol, _ = opened("bybit", book=b'{"retCode":0,"result":{}}')
    assert protocol.rest("GET", path, query, protocol.source) == Answer(200, b'{"retCode":0,"result":{}}')
    wrong = protocol.rest("GET", path, {**query, "category": "linear"}, protocol.source)
    assert json.loads(wrong.body)["retCode"] == 10001
    protocol, _ = opened("bybit")
    assert protocol.rest("GET", path, query, protocol.source).status == 503


def test_deribit_answers():
    _, session = opened("deribit")
    ask = {"jsonrpc": "2.0", "id": 4}
    (answer, request), _ = say(session, {**ask, "method": "public/set_heartbeat", "params": {"interval": 10}})
    assert (answer["id"], answer["result"]) == (4, "ok")
    assert request == {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}
    (answer,), _ = say(session, {**ask, "method": "public/set_heartbeat", "params": {"interval": 9}})
    assert answer["error"] == {"code": -32602, "message": "Invalid params"}
    assert "version" in say(session, {**ask, "method": "public/test", "params": {}})[0][0]["result"]
    channels = [
        "book.ETH-9APR21-1950-C.raw",
        "book.BTC-PERPETUAL.raw",
        "platform_state",
        "chart.trades.ETH-9APR21-1950-C.1",
    ]
    (answer,), reaction = say(session, {**ask, "method": "public/subscribe", "params": {"channels": channels}})
    known = [channels[0], channels[3]]
    assert [refusal.name for refusal in reaction.refused] == channels[1:3]
    assert answer["result"] == reaction.subscribed == known  # of what does not exist the venue says nothing
    assert say(session, {**ask, "method": "private/buy"})[0][0]["error"]["code"] == -32601
    assert say(session, "{")[0][0]["error"]["code"] == -32700
    too_many = {**ask, "method": "public/subscribe", "params": {"channels": ["platform_state"] * 501}}
    assert "too many channels" in say(session, too_many)[0][0]["error"]["message"]


def test_hyperliquid_answers():
    _, session = opened("hyperliquid")
    assert say(session, {"method": "ping"})[0] == [{"channel": "pong"}]
    wanted = {"type": "candle", "coin": "kPEPE", "interval": "1m"}
    (answer,), reaction = say(session, {"method": "subscribe", "subscription": wanted})
    assert answer == {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": wanted}}
    assert reaction.subscribed == ["candle.1m:kPEPE"]
    (answer,), reaction = say(session, {"method": "subscribe", "subscription": wanted})
    assert answer["channel"] == "error" and answer["data"].startswith("Already subscribed")
    assert reaction.subscribed == []
    assert say(session, {"method": "unsubscribe", "subscription": wanted})[1].unsubscribed == ["candle.1m:kPEPE"]
    assert say(session, {"method": "unsubscribe", "subscription": wanted})[0][0]["channel"] == "error"
    for wrong in ({"type": "l2Book", "coin": "KPEPE"}, {"type": "l2Book"}, "l2Book", None):
        assert say(session, {"method": "subscribe", "subscription": wrong})[0][0]["channel"] == "error"
