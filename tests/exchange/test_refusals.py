"""A subscription to what is not there: no acknowledgement followed by silence, but no, in each venue's own words."""

from __future__ import annotations

import json

import pytest

from mdtool.exchange.catalog import PROTOCOLS, protocol_for
from mdtool.exchange.protocol import Refusal
from mdtool.exchange.source import Instrument
from mdtool.model import Scale
from mdtool.venues import catalog

SYMBOL = {"binance-coinm": "BTC_USD_PERP", "bybit-inverse": "BTC_USD", "deribit": "BTC_USD_PERP",
          "hyperliquid": "BTC_USD", "sim": "ALPHA_USDT"}  # fmt: skip
STREAMS = {
    "binance": ("depth@100ms", "trade"),
    "binance-coinm": ("depth@100ms", "trade"),
    "binance-usdm": ("depth@0ms", "trade"),
    "bitfinex": ("book-P0", "trades"),
    "bitget": ("books",),
    "bitstamp": ("diff_order_book",),
    "bybit": ("orderbook.50",),
    "bybit-inverse": ("orderbook.50",),
    "bybit-linear": ("orderbook.50",),
    "coinbase": ("level2", "matches"),
    "coinbase-advanced": ("level2", "market_trades"),
    "deribit": ("book.100ms",),
    "gate": ("order_book_update",),
    "gate-futures": ("order_book_update",),
    "hyperliquid": ("l2Book",),
    "kraken": ("book-1000", "trade"),
    "kucoin": ("level2",),
    "okx": ("books",),
    "sim": ("depth@100ms",),
}
CONN = "00000000-0000-0000-0000-000000000000"


class Stub:
    """A source of one instrument that publishes some streams, whose first messages may be told."""

    recorded = True

    def __init__(self, venue, first=b"{}"):
        symbol = SYMBOL.get(venue, "BTC_USDT")
        self.instruments = (Instrument(symbol, catalog.get(venue).native(symbol), Scale(-2, -3)),)
        self.published = STREAMS[venue]
        self._first = first

    def streams(self, symbol):
        return self.published

    def lists(self):
        return {}

    def first(self, symbol, stream):
        return self._first if stream in self.published else None

    def now_ms(self):
        return 5_000


def asked(venue, path, request, first=b"{}"):
    """What a client is told, as objects, and the whole reaction."""
    protocol = protocol_for(venue)
    protocol.attach(Stub(venue, first), "ws://127.0.0.1:1")
    session = protocol.open(path, {"token": "emulated"})
    session.opened()
    reaction = session.on_text(json.dumps(request), 0)
    return [json.loads(reply) for reply in reaction.replies], reaction


BINANCE_NO = {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 7}
BITGET_NO = "instType:SPOT,channel:{},instId:{},precision:null doesn't exist"
OKX_NO = (
    "Wrong URL or channel:{},instId:{} doesn't exist. Please use the correct URL, channel and parameters referring to "
    "API document."
)


def bitget_arg(channel, native="BTCUSDT"):
    return {"instType": "SPOT", "channel": channel, "instId": native}


def binance(venue, native):
    """Another depth than the one recorded, another symbol; one bad name costs the whole request."""
    good, other = f"{native}@{STREAMS[venue][0]}", f"{native}@depth20"
    request = {"method": "SUBSCRIBE", "params": [good, other, "nosuch@trade"], "id": 7}
    return (venue, "/ws", request, [BINANCE_NO], [(other, True), ("nosuch@trade", False)])


def bybit(venue, market, native):
    topics = [f"orderbook.50.{native}", f"publicTrade.{native}"]
    no = {"success": False, "ret_msg": f"error:handler not found,topic:{topics[1]}", "conn_id": CONN, "req_id": "",
          "op": "subscribe"}  # fmt: skip
    return (venue, f"/v5/public/{market}", {"op": "subscribe", "args": topics}, [no], [(topics[1], True)])


def gate(venue, path, prefix):
    def answer(channel, message):
        return {"time": 5, "time_ms": 5_000, "channel": channel, "event": "subscribe",
                "error": {"code": 2, "message": message}, "result": None}  # fmt: skip

    book, trades = f"{prefix}.order_book_update", f"{prefix}.trades"
    return [
        (venue, path, {"channel": book, "event": "subscribe", "payload": ["NO_SUCH", "100ms"]},
         [answer(book, "unknown currency pair NO_SUCH")], [("order_book_update:NO_SUCH", False)]),
        (venue, path, {"channel": trades, "event": "subscribe", "payload": ["BTC_USDT"]},
         [answer(trades, f"unknown channel {trades}")], [("trades:BTC_USDT", True)]),
    ]  # fmt: skip


CASES = [
    binance("binance", "btcusdt"),
    binance("binance-usdm", "btcusdt"),
    binance("binance-coinm", "btcusd_perp"),
    binance("sim", "alphausdt"),
    bybit("bybit", "spot", "BTCUSDT"),
    bybit("bybit-linear", "linear", "BTCUSDT"),
    bybit("bybit-inverse", "inverse", "BTCUSD"),
    *gate("gate", "/ws/v4/", "spot"),
    *gate("gate-futures", "/v4/ws/usdt", "futures"),
    ("coinbase-advanced", "/", {"type": "subscribe", "product_ids": ["BTC-USDT", "NO-SUCH"], "channel": "level2"},
     [{"type": "error", "message": "invalid product: NO-SUCH"}], [("level2:NO-SUCH", False)]),
    ("coinbase-advanced", "/", {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "full"},
     [{"type": "error", "message": "authentication failure"}], [("full:BTC-USDT", True)]),
    ("bitfinex", "/ws/2", {"event": "subscribe", "channel": "trades", "symbol": "tNOSUCH"},
     [{"channel": "trades", "symbol": "tNOSUCH", "event": "error", "msg": "symbol: invalid", "code": 10300}],
     [("trades:tNOSUCH", False)]),
    ("bitfinex", "/ws/2", {"event": "subscribe", "channel": "book", "symbol": "tBTCUST", "prec": "R0"},
     [{"channel": "book", "symbol": "tBTCUST", "prec": "R0", "event": "error", "msg": "prec: invalid", "code": 10300}],
     [("book-R0:tBTCUST", True)]),
    ("bitfinex", "/ws/2", {"event": "subscribe", "channel": "nonsense", "symbol": "tBTCUST"},
     [{"channel": "nonsense", "symbol": "tBTCUST", "event": "error", "msg": "channel: unknown", "code": 10302}],
     [("nonsense", True)]),
    ("bitget", "/v2/ws/public", {"op": "subscribe", "args": [bitget_arg("books"), bitget_arg("trade"),
                                                             bitget_arg("books", "NOSUCH"), bitget_arg("trades")]},
     [{"event": "subscribe", "arg": bitget_arg("books")},
      {"event": "error", "arg": bitget_arg("trade"), "code": 30001, "msg": BITGET_NO.format("trade", "BTCUSDT"),
       "op": "subscribe"},
      {"event": "error", "arg": bitget_arg("books", "NOSUCH"), "code": 30001,
       "msg": BITGET_NO.format("books", "NOSUCH"), "op": "subscribe"},
      {"event": "error", "arg": bitget_arg("trades"), "code": 30016, "msg": "Param error", "op": "subscribe"}],
     [("trade:BTCUSDT", True), ("books:NOSUCH", False), ("trades:BTCUSDT", True)]),
    ("bitstamp", "/", {"event": "bts:subscribe", "data": {"channel": "live_trades_btcusdt"}},
     [{"event": "bts:error", "channel": "", "data": {"code": 4009, "message": "Bad subscription string."}}],
     [("live_trades_btcusdt", True)]),
    ("coinbase", "/", {"type": "subscribe", "product_ids": ["BTC-USDT", "NO-SUCH"], "channels": ["matches"]},
     [{"type": "error", "message": "Failed to subscribe", "reason": "NO-SUCH is not a valid product"}],
     [("matches:NO-SUCH", False)]),
    ("coinbase", "/", {"type": "subscribe", "product_ids": ["BTC-USDT"], "channels": ["level2_batch", "full"]},
     [{"type": "error", "message": "Failed to subscribe", "reason": "full is not a valid channel"}],
     [("full:BTC-USDT", True)]),
    ("deribit", "/ws/api/v2", {"id": 3, "method": "public/subscribe",
                               "params": {"channels": ["book.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.raw", "x.y"]}},
     [{"jsonrpc": "2.0", "id": 3, "result": ["book.BTC-PERPETUAL.100ms"], "usIn": 0, "usOut": 0, "usDiff": 0,
       "testnet": False}],
     [("book.BTC-PERPETUAL.raw", True), ("x.y", False)]),
    ("hyperliquid", "/ws", {"method": "subscribe", "subscription": {"type": "trades", "coin": "BTC"}},
     [{"channel": "error", "data": 'Invalid subscription {"type":"trades","coin":"BTC"}'}], [("trades:BTC", True)]),
    ("kucoin", "/endpoint", {"id": 1, "type": "subscribe", "topic": "/market/match:BTC-USDT,NO-SUCH", "response": True},
     [{"id": "1", "type": "error", "code": 404, "data": "topic /market/match:BTC-USDT,NO-SUCH is not found"}],
     [("/market/match:BTC-USDT", True), ("/market/match:NO-SUCH", False)]),
    ("okx", "/ws/v5/public", {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"},
                                                          {"channel": "trades", "instId": "BTC-USDT"},
                                                          {"channel": "books", "instId": "NO-SUCH"}]},
     [{"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}, "connId": "00000000"},
      {"event": "error", "code": "60018", "msg": OKX_NO.format("trades", "BTC-USDT"), "connId": "00000000"},
      {"event": "error", "code": "60018", "msg": OKX_NO.format("books", "NO-SUCH"), "connId": "00000000"}],
     [("trades:BTC-USDT", True), ("books:NO-SUCH", False)]),
    ("kraken", "/v2", {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USDT"], "depth": 10}},
     [{"error": "Subscription depth not supported", "method": "subscribe", "success": False}],
     [("book-10:BTC/USDT", True)]),
    ("kraken", "/v2", {"method": "subscribe", "params": {"channel": "ticker", "symbol": ["BTC/USDT", "NO/SUCH"]}},
     [{"error": "Currency pair not supported BTC/USDT", "method": "subscribe", "success": False},
      {"error": "Currency pair not supported NO/SUCH", "method": "subscribe", "success": False}],
     [("ticker:BTC/USDT", True), ("ticker:NO/SUCH", False)]),
    ("kraken", "/", {"event": "subscribe", "pair": ["XBT/USDT"], "subscription": {"name": "book", "depth": 1000}},
     [{"event": "subscriptionStatus", "pair": "XBT/USDT", "subscription": {"name": "book", "depth": 1000},
       "errorMessage": "Currency pair not supported XBT/USDT", "status": "error"}],
     [("v1:book-1000:BTC/USDT", True)]),
]  # fmt: skip


def test_every_protocol_is_asked() -> None:
    assert {case[0] for case in CASES} == set(PROTOCOLS)


@pytest.mark.parametrize(("venue", "path", "request_", "replies", "refused"), CASES)
def test_what_is_not_there_is_refused_in_the_venues_words(venue, path, request_, replies, refused) -> None:
    told, reaction = asked(venue, path, request_)
    assert told == replies
    assert [(refusal.name, refusal.instrument is not None) for refusal in reaction.refused] == refused
    assert not {name for name, _ in refused} & set(reaction.subscribed)


def test_a_recording_of_krakens_first_api_is_not_served_on_the_second() -> None:
    wanted = {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USDT"], "depth": 1000}}
    told, reaction = asked("kraken", "/v2", wanted, first=b'[336,{"as":[]},"book-1000","XBT/USDT"]')
    assert told == [{"error": "Currency pair not supported BTC/USDT", "method": "subscribe", "success": False}]
    assert (reaction.subscribed, [refusal.name for refusal in reaction.refused]) == ([], ["book-1000:BTC/USDT"])
    protocol = protocol_for("kraken")
    protocol.attach(Stub("kraken", b"[336]"), "ws://127.0.0.1:1")
    assert protocol.instead(reaction.refused[0]) == ["v1:book-1000:BTC/USDT", "v1:trade:BTC/USDT"]
    assert protocol.instead(Refusal("book-1000:NO/SUCH", None)) == ["BTC/USDT"]
    old = {"event": "subscribe", "pair": ["XBT/USDT"], "subscription": {"name": "book", "depth": 1000}}
    told, reaction = asked("kraken", "/", old, first=b'[336,{"as":[]},"book-1000","XBT/USDT"]')
    assert (told[0]["status"], told[0]["channelID"], reaction.subscribed) == ("subscribed", 336, ["book-1000:BTC/USDT"])


def test_a_stream_that_another_instrument_has_was_asked_for_and_is_quiet() -> None:
    protocol = protocol_for("okx")
    source = Stub("okx")
    source.instruments = (*source.instruments, Instrument("ETH_USDT", "ETH-USDT", Scale(-2, -3)))
    source.streams = lambda symbol: ("books", "trades") if symbol == "BTC_USDT" else ("books",)
    protocol.attach(source, "ws://127.0.0.1:1")
    quiet = {"op": "subscribe", "args": [{"channel": "trades", "instId": "ETH-USDT"}]}
    assert protocol.open("/ws/v5/public", {}).on_text(json.dumps(quiet), 0).subscribed == ["trades:ETH-USDT"]
