"""Coinbase Advanced Trade: the book by level, trades and tickers, without a key.

Rule: every frame is numbered on its connection (`sequence_num`, from 0, one more each, over all channels), so a loss
shows over all feeds of the connection and not in one. That the numbers are the connection's own is what the capture at
hand shows, where five channels of two products share one row of them. A book's first message is the whole of it.

The channel that is asked for as "level2" comes as "l2_data"; it is recorded as "level2".

Sources: docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket "Overview", "Channels", "Rate limits" (8
messages a second of an address without a key, and one of these limits for connections; one channel a frame; within 5 s
of connecting; `heartbeats` keeps the connection of a quiet product open). Doubts: how a product that is not there is
refused is not documented, only that an answer of `"type":"error"` comes, and "authentication failure" to a channel it
does not have; how many products a connection may have; a product quoted in USDC is said to be sent as the one in USD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import Message, Trade
from mdtool.venues.coinbase_advanced.symbols import instruments
from mdtool.venues.coinbase_advanced.wire import DECODERS, number
from mdtool.venues.decoding import other
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import ConnectionRule, IdRule, RisingRule, Rule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, listed, said
from mdtool.venues.symbols import SplitSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    Place,
    Refused,
    Request,
    Wanted,
)

LEVEL2 = "level2"
HEARTBEATS = "heartbeats"
CHANNELS = (LEVEL2, "market_trades", "ticker", "ticker_batch", "candles", "status", HEARTBEATS)
# A loss is one of all products of its connection, and their whole books are long: few share one.
LIMITS = ConnectionLimits(subscriptions=25, args=25, frame_bytes=4_096, send_interval=0.15)

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_STREAM = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
_CHANNEL = re.compile(rb'\{\s*"channel"\s*:\s*"([a-z0-9_]{1,32})"')
_PRODUCT = re.compile(rb'"product_id"\s*:\s*"([^"\x00-\x20]{1,96})"')
_NAMED = b'"product_id"'
_ERROR = re.compile(rb'"type"\s*:\s*"error"')
_ALL = frozenset({b"heartbeats", b"status"})  # of no product
_WORDS = {"candles": "candle", HEARTBEATS: "heartbeat"}  # of what is recorded and not decoded
_STREAMS = {"l2_data": LEVEL2}


class TradesRule(IdRule):
    """Trade ids of a product, each one more than the last. What is sent at the start of a subscription are the trades
    before it: they say where the ids stand, and are of this recording only where they were missed."""

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, Trade) or message.count:
            return super().judge(message)
        if self.last is None or message.trade_id <= self.last:
            if self.last is None:
                self.last = self._begin = message.trade_id
            return Verdict.KEEPALIVE
        return self._advance(message.trade_id - 1, message.trade_id)


class CoinbaseAdvanced(Adapter):
    """Coinbase Advanced Trade's public channels. Immutable."""

    name = "coinbase-advanced"
    title = "Coinbase Advanced Trade"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    rest_url = "https://api.coinbase.com"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "SOL_USD", "XRP_USD", "DOGE_USD", "BTC_USDT", "ETH_USDT")
    default_streams: tuple[str, ...] = (LEVEL2, "market_trades", "ticker", HEARTBEATS)
    trade_streams: tuple[str, ...] = ("market_trades",)

    def __init__(self) -> None:
        self._symbols = SplitSymbols(self.name, "-")

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/api/v3/brokerage/market/products",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel is called. Heartbeats are of the connection."""
        for stream in streams:
            if stream not in CHANNELS:
                raise UsageError(f"{self.name}: {stream!r} is no channel; there are {', '.join(CHANNELS)}")
        chosen = [stream for stream in dict.fromkeys(streams) if stream != HEARTBEATS]
        first = (_frame("subscribe", HEARTBEATS, ()),) if HEARTBEATS in streams else ()
        feeds = self._feeds(symbols)
        made = []
        for start in range(0, len(feeds), LIMITS.subscriptions):
            some = feeds[start : start + LIMITS.subscriptions]
            wanted = [(symbol, [f'"{self.native(symbol)}"']) for symbol in some]
            frames = list(first)
            for stream in chosen:
                (asked,) = connections(
                    wanted,
                    lambda args, _, stream=stream: _frame("subscribe", stream, args),  # type: ignore[misc]
                    LIMITS,
                    path="",
                )
                frames += asked.send
            if frames:
                made.append(Connection("", tuple(frames), some, LIMITS.send_interval))
        return tuple(made)

    def asks(self, frame: str) -> Request | None:
        """Of products. That of the connection's heartbeats is not among them: its answer may not list it."""
        told = said(frame)
        channel = str(told.get("channel"))
        if told.get("type") != "subscribe" or "product_ids" not in told:
            return None
        natives = listed(told["product_ids"])
        return Request(tuple(Wanted(self.named(native), channel, f"{channel}:{native}") for native in natives))

    def answer(self, payload: bytes) -> Answer | None:
        """An acknowledgement lists all that is subscribed on the connection. One product that is not there costs the
        whole request."""
        told = said(payload)
        if told.get("type") == "error":
            return Refused(str(told.get("message", "")))
        if told.get("channel") != "subscriptions":
            return None
        events = told.get("events")
        return Acknowledged(
            tuple(
                f"{channel}:{native}"
                for event in (events if isinstance(events, list) else ())
                for channel, natives in inner(inner(event).get("subscriptions")).items()
                for native in listed(natives)
            )
        )

    def route(self, payload: bytes) -> Hashable | None:
        """(channel, product), (channel,) of what has none or several; True of an answer."""
        found = _CHANNEL.match(payload)
        if found is None:
            return True if _ERROR.search(payload[:256]) else None
        channel = found[1]
        if channel == b"subscriptions":
            return True
        if channel in _ALL:
            return (channel,)
        product = _PRODUCT.search(payload)
        if product is None:
            return (channel,)
        if payload.find(_NAMED, product.end()) < 0:
            return channel, product[1]
        others = {match[1] for match in _PRODUCT.finditer(payload, product.end())}
        return (channel, product[1]) if others <= {product[1]} else (channel,)

    def place(self, key: Hashable) -> Place:
        if key is True:
            return _SESSION
        try:
            if not isinstance(key, tuple):
                return _OTHER
            channel = key[0].decode("ascii")
            stream = _STREAMS.get(channel, channel)
            if not _STREAM.fullmatch(stream):
                return _OTHER
            return Place(self.named(wire_text(key[1])) if len(key) > 1 else None, stream)
        except (UnicodeDecodeError, UnknownSymbol, AttributeError, IndexError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        make = DECODERS.get(stream)
        return make(stream) if make else other(_WORDS.get(stream, stream))

    def rule(self, stream: str) -> Rule | None:
        rules: dict[str, Callable[[], Rule]] = {
            LEVEL2: RisingRule,
            "market_trades": TradesRule,
            "ticker": RisingRule,
        }
        make = rules.get(stream)
        return make() if make else None

    def connection_rule(self) -> ConnectionRule | None:
        return ConnectionRule(number)

    def is_book(self, stream: str) -> bool:
        return stream == LEVEL2

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [f'"{self.native(symbol)}"']
        return _frame("unsubscribe", stream, args), _frame("subscribe", stream, args)


def _frame(kind: str, channel: str, products: Sequence[str]) -> str:
    named = f'"product_ids":[{",".join(products)}],' if products else ""
    return f'{{"type":"{kind}",{named}"channel":"{channel}"}}'
