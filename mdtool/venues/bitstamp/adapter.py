"""Bitstamp: the book by level (`diff_order_book`) and by order (`live_orders`).

Rule: nothing is numbered. A message tells its time in microseconds, which only rises; that one is missing cannot be
seen, so a whole book is fetched every now and then, and what is not younger than it is dropped.

By order proves no more than by level, and so is not what is recorded by default: `live_orders` has no numbers either;
an order whose creation was lost shows only if it is told of again, one whose end was lost never does. Public reports
say besides that what it tells is at times not so (a cancel for an execution; phil8192/ob-analytics, issue 28).
Each message of `order_book` and `detail_order_book` is a whole book, 100 levels deep.

Sources: www.bitstamp.net/websocket/v2, www.bitstamp.net/api "Order book". Doubts: that the times of `live_orders` only
rise is not said (those of diff_order_book do in captures); limits on channels are not published; a market order may
show as order_created with a price no order has, and is deleted at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.venues.bitstamp.symbols import instruments
from mdtool.venues.bitstamp.wire import DECODERS
from mdtool.venues.decoding import other
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import RisingRule, Rule, TimeRule
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, said
from mdtool.venues.symbols import JoinedSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    BookTraits,
    Connection,
    Decoder,
    Heartbeat,
    HttpRequest,
    Place,
    Reconnect,
    Refused,
    Request,
    Wanted,
)

LIVE_ORDERS = "live_orders"
WHOLE = ("order_book", "detail_order_book")  # each message is all of it, 100 levels
BY_ORDER = (LIVE_ORDERS, "detail_order_book")
BOOKS = ("diff_order_book", LIVE_ORDERS, *WHOLE)
STREAMS = (*BOOKS, "live_trades", "funding_rate")
LIMITS = ConnectionLimits(subscriptions=200, args=1, frame_bytes=1_000, send_interval=0.05)
BEAT = Heartbeat(30.0, '{"event":"bts:heartbeat"}')
# Quote assets that no public list at hand has.
QUOTES = ("DAI", "GUSD", "EURC", "EURCV", "PYUSD", "RLUSD")

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_ENDING = Place(None, "session", Reconnect("the venue asks for it"))
_CHANNEL = re.compile(rb'"channel"\s*:\s*"([a-z_]{4,24}_[^"\x00-\x20]{1,64})"')
_EVENT = re.compile(rb'"event"\s*:\s*"(bts:)?([a-z_]{1,40})"')
_USUAL = re.compile(rb'\},"channel":"([a-z_]{4,24}_[^"\x00-\x20]{1,64})","event":"[a-z_]{1,40}"\}$')
_TAIL = 200  # bytes at either end in which a message names its channel and event


class Bitstamp(Adapter):
    """Bitstamp's public channels. Immutable."""

    name = "bitstamp"
    title = "Bitstamp"
    ws_url = "wss://ws.bitstamp.net"
    rest_url = "https://www.bitstamp.net"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "XRP_USD", "SOL_USD", "BTC_EUR", "ETH_EUR")
    default_streams: tuple[str, ...] = ("diff_order_book", "live_trades")
    trade_streams: tuple[str, ...] = ("live_trades",)
    reconnect_after = 90 * 24 * 3600.0
    snapshot_every = 600.0  # REST allows 8000 requests in 10 minutes, so a market's book costs little

    def __init__(self) -> None:
        self._symbols = JoinedSymbols(self.name, QUOTES, lower=True, mark="-")

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/api/v2/trading-pairs-info/",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, UsageError."""
        for stream in streams:
            if stream not in STREAMS:
                raise UsageError(f"{self.name}: {stream!r} is no channel; there are {', '.join(STREAMS)}")
        canonical = self._feeds(symbols)
        chosen = tuple(dict.fromkeys(streams))
        wanted = [(symbol, [f"{stream}_{self.native(symbol)}" for stream in chosen]) for symbol in canonical]
        return connections(wanted, lambda args, _: _frame("subscribe", args[0]), LIMITS, path="/", heartbeat=BEAT)

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("event") != "bts:subscribe":
            return None
        channel = str(inner(told.get("data")).get("channel"))
        stream, _, native = channel.rpartition("_")
        return Request((Wanted(self.named(native), stream, channel),))

    def answer(self, payload: bytes) -> Answer | None:
        """A refusal names no channel: it is to the oldest request."""
        told = said(payload)
        if told.get("event") == "bts:subscription_succeeded":
            return Acknowledged((str(told.get("channel")),))
        if told.get("event") != "bts:error":
            return None
        data, channel = inner(told.get("data")), told.get("channel")
        return Refused(str(data.get("message", data.get("code", ""))), (str(channel),) if channel else None)

    def route(self, payload: bytes) -> Hashable | None:
        """The channel (bytes); True of an answer, False of a heartbeat's, () of the request to reconnect."""
        usual = _USUAL.search(payload, max(0, len(payload) - _TAIL))
        if usual is not None:
            return usual[1]
        head, tail = payload[:_TAIL], payload[-_TAIL:]
        event = _EVENT.match(payload, 1) or _EVENT.search(tail) or _EVENT.search(head)
        if event is not None and event[1]:
            if event[2] == b"request_reconnect":
                return ()
            return event[2] != b"heartbeat"
        channel = _CHANNEL.search(tail) or _CHANNEL.search(head)
        return channel[1] if channel else None

    _marks = ((True, _SESSION), (False, _PING), ((), _ENDING))

    def _placed(self, key: Hashable) -> Place:
        try:
            if not isinstance(key, bytes):
                return _OTHER
            channel = wire_text(key)
            stream = next((stream for stream in STREAMS if channel.startswith(f"{stream}_")), None)
            return _OTHER if stream is None else Place(self.named(channel[len(stream) + 1 :]), stream)
        except (UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        make = DECODERS.get(stream)
        return make(stream) if make else other(stream)

    def rule(self, stream: str) -> Rule | None:
        rules: dict[str, Callable[[], Rule]] = dict.fromkeys(BOOKS, TimeRule)
        make = rules.get(stream, RisingRule if stream == "live_trades" else None)
        return make() if make else None

    def is_book(self, stream: str) -> bool:
        return stream in BOOKS

    def traits(self, stream: str) -> BookTraits:
        return BookTraits(by_order=stream in BY_ORDER)

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        channel = f"{stream}_{self.native(symbol)}"
        return _frame("unsubscribe", channel), _frame("subscribe", channel)

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        """group=1: by level; 2: by order."""
        if stream in WHOLE:
            return None
        group = 2 if stream == LIVE_ORDERS else 1
        return HttpRequest("GET", f"/api/v2/order_book/{self._in_url(symbol)}/?group={group}")

    def snapshot_weight(self, symbol: str) -> float:
        return 0.1


def _frame(what: str, channel: str) -> str:
    return f'{{"event":"bts:{what}","data":{{"channel":"{channel}"}}}}'
