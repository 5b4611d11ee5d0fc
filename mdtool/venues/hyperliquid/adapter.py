"""Hyperliquid: perpetuals, those of builders' own exchanges, and spot pairs.

Rule: every l2Book message is the whole visible book, 20 levels a side; nothing numbers them, so a lost one cannot be
seen, only that a time does not fall.

Sources: hyperliquid.gitbook.io "Websocket", "Subscriptions", "Timeouts and heartbeats", "Rate limits and user limits".
Doubts: connections are limited to 10 in one edition of "Rate limits" and to 100 in an older one; the numbers of a
context are numbers in the documentation and text on the wire, and are read either way; liquidations are told only to
the users concerned, and a status of instruments is not sent at all. Trades carry a hash as their id, which tells them
apart and says nothing of their order; on subscribing the venue sends the latest ones again.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import BookUpdate, Message
from mdtool.venues.hyperliquid.symbols import HyperliquidSymbols
from mdtool.venues.hyperliquid.wire import decoder
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import RecentRule, Rule, TimeRule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, said
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    Heartbeat,
    Place,
    Refused,
    Request,
    Wanted,
)

BEAT = Heartbeat(50.0, '{"method":"ping"}')  # the venue cuts a connection to which it sent nothing for 60 s
SUBSCRIPTIONS = 1_000  # an address may have, over all of its connections
# One subscription a frame; 2,000 frames a minute from an address, whose connections (up to 4 here) share them.
LIMITS = ConnectionLimits(subscriptions=250, args=1, frame_bytes=4_096, send_interval=0.15)

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_STREAM = re.compile(r"l2Book|trades|bbo|activeAssetCtx|candle\.\d{1,2}[mhdwM]", re.ASCII)
_CHANNEL = re.compile(rb'\{\s*"channel"\s*:\s*"([A-Za-z0-9]{1,32})"')
_COIN = re.compile(rb'"coin"\s*:\s*"([^"\x00-\x20]{1,96})"')
_CANDLE = re.compile(rb'"s"\s*:\s*"([^"\x00-\x20]{1,96})"\s*,\s*"i"\s*:\s*"(\d{1,2}[mhdwM])"')
_HELLO = b"Websocket connection established."  # plain text, before anything else
_ALREADY = "Already subscribed"
_CONTEXTS = {"activeAssetCtx", "activeSpotAssetCtx"}  # one subscription, named by the kind of coin in the answer
_HEAD = 512  # bytes in which a message has named its coin; l2Book's begins with it


class BookRule(TimeRule):
    """Whole books by their time. The one sent on subscribing comes once more with the first push where no block was
    between: that repeat is a sign of life, any later one a duplicate."""

    _begins = False  # each message is the whole book: it begins nothing

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, BookUpdate):
            return Verdict.UNVERIFIABLE
        self._judged += 1
        verdict = super().judge(message)
        return Verdict.KEEPALIVE if verdict is Verdict.STALE and self._judged == 2 else verdict

    def reset(self) -> None:
        super().reset()
        self._judged = 0


class Hyperliquid(Adapter):
    """Hyperliquid's public subscriptions. Immutable."""

    name = "hyperliquid"
    title = "Hyperliquid"
    ws_url = "wss://api.hyperliquid.xyz"
    rest_url = "https://api.hyperliquid.xyz"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "SOL_USD", "HYPE_USD", "XRP_USD")
    default_streams: tuple[str, ...] = ("l2Book", "trades", "bbo")
    trade_streams: tuple[str, ...] = ("trades",)

    def __init__(self) -> None:
        self._symbols = HyperliquidSymbols(self.name)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what is no subscription, or for more than an address may have."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(
                    f"{self.name}: {stream!r} is no subscription; expected l2Book, trades, bbo, activeAssetCtx or the "
                    f"form of candle.1m"
                )
        wanted = [
            (symbol, [self._subscription(stream, symbol) for stream in dict.fromkeys(streams)])
            for symbol in self._feeds(symbols)
        ]
        count = sum(len(args) for _, args in wanted)
        if count > SUBSCRIPTIONS:
            raise UsageError(
                f"{self.name}: {count} subscriptions, and the venue takes {SUBSCRIPTIONS} of an address; name fewer "
                f"symbols or streams"
            )
        return connections(wanted, lambda args, _: _frame("subscribe", args[0]), LIMITS, path="/ws", heartbeat=BEAT)

    def _subscription(self, stream: str, symbol: str) -> str:
        kind, _, interval = stream.partition(".")
        more = f',"interval":"{interval}"' if interval else ""
        return f'{{"type":"{kind}","coin":"{self.native(symbol)}"{more}}}'

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("method") != "subscribe":
            return None
        wanted = inner(told.get("subscription"))
        stream = ".".join(str(wanted[key]) for key in ("type", "interval") if key in wanted)
        return Request((Wanted(self.named(wanted["coin"]), stream, _topic(wanted)),))

    def answer(self, payload: bytes) -> Answer | None:
        """A refusal says the subscription again, behind words for why."""
        told = said(payload)
        data = told.get("data")
        if told.get("channel") == "subscriptionResponse":
            answered = inner(data)
            return (
                Acknowledged((_topic(inner(answered.get("subscription"))),))
                if (answered.get("method") == "subscribe")
                else None
            )
        if told.get("channel") != "error" or not isinstance(data, str):
            return None
        named = inner(said(data[data.find("{") :]))
        topics = (_topic(named),) if "coin" in named else None
        return Acknowledged(topics) if topics and data.startswith(_ALREADY) else Refused(data, topics)

    def route(self, payload: bytes) -> Hashable | None:
        """(channel, coin) or (channel, coin, interval), all bytes; the channel alone where it has no coin."""
        found = _CHANNEL.match(payload)
        if found is None:
            return b"" if payload.startswith(_HELLO) else None
        channel = found[1]
        if channel in (b"subscriptionResponse", b"error", b"pong"):
            return channel
        head = payload[:_HEAD]
        if channel == b"candle":
            candle = _CANDLE.search(head)
            return (channel, candle[1], candle[2]) if candle else channel
        coin = _COIN.search(head) or _COIN.search(payload)
        return (channel, coin[1]) if coin else channel

    def place(self, key: Hashable) -> Place:
        if key in (b"", b"subscriptionResponse", b"error"):
            return _SESSION
        if key == b"pong":
            return _PING
        try:
            if isinstance(key, bytes):  # of all coins at once: "allMids"
                return Place(None, key.decode("ascii"))
            if not isinstance(key, tuple) or len(key) not in (2, 3):
                return _OTHER
            channel, coin, *interval = (wire_text(part) for part in key)
            stream = ".".join(["activeAssetCtx" if channel in _CONTEXTS else channel, *interval])
            return Place(self.named(coin), stream)
        except (UnicodeDecodeError, UnknownSymbol, AttributeError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        return decoder(stream)

    def rule(self, stream: str) -> Rule | None:
        if stream == "l2Book":
            return BookRule()
        if stream == "trades":
            return RecentRule()
        return TimeRule() if stream == "bbo" else None

    def is_book(self, stream: str) -> bool:
        return stream == "l2Book"

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        subscription = self._subscription(stream, symbol)
        return _frame("unsubscribe", subscription), _frame("subscribe", subscription)


def _topic(subscription: Mapping[str, object]) -> str:
    return ":".join(str(subscription[key]) for key in ("type", "coin", "interval") if key in subscription)


def _frame(method: str, subscription: str) -> str:
    return f'{{"method":"{method}","subscription":{subscription}}}'
