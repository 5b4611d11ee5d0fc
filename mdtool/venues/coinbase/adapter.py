"""Coinbase Exchange: the book by level (`level2_batch`, `level2`) and by order (`full`).

Rule: a product's `full` channel is numbered without a hole and its book is the REST answer of level 3 with what comes
after that answer's sequence. The book by level is not numbered at all; its trades are, one by one.

Messages of level2 and level2_batch are alike and do not say which it was: both are the stream "level2". A match belongs
to "full" where the product's full channel is subscribed, else to "matches".

Sources: docs.cdp.coinbase.com/exchange "WebSocket Channels", "WebSocket Best Practices". Doubt: whether a client that
subscribes both `full` and `matches` gets each match twice; such a plan is not made, as `full` has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence

import msgspec

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import Message, OrderUpdate, Trade
from mdtool.venues.coinbase.symbols import instruments
from mdtool.venues.coinbase.wire import DECODERS, LEVEL2
from mdtool.venues.decoding import other
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, ContiguousRule, IdRule, RisingRule, Rule, TimeRule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import listed, said
from mdtool.venues.symbols import SplitSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    BookTraits,
    Connection,
    Decoder,
    HttpRequest,
    Place,
    Refused,
    Request,
    Wanted,
)

FULL = "full"
BATCH = "level2_batch"  # as level2 every 50 ms, without a key
# A product may be subscribed ten times on a connection; how many products is not said. Whole books make these long.
LIMITS = ConnectionLimits(subscriptions=100, args=100, frame_bytes=16_000, send_interval=0.2)
MAX_PRODUCTS = 10_000  # remembered as subscribed to `full`

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_STREAM = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
_USUAL = re.compile(rb'\{"type":"l2update","product_id":"([^"\x00-\x20]{1,96})"')
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z0-9_]{1,32})"')
_PRODUCT = re.compile(rb'"product_id"\s*:\s*"([^"\x00-\x20]{1,96})"')
_HEAD = 600  # bytes in which a message has named its type and product
_ANSWERS = frozenset({b"subscriptions", b"error"})
_ORDERS = frozenset({b"received", b"open", b"done", b"change", b"activate"})
_STREAMS = {b"l2update": LEVEL2.encode(), b"snapshot": LEVEL2.encode(), b"last_match": b"matches"}


class _Channel(msgspec.Struct, gc=False):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, gc=False):
    channels: list[_Channel]


_SUBSCRIPTIONS = msgspec.json.Decoder(_Subscriptions)


class _Router:
    """One connection's routing: which products' matches are of the full channel."""

    def __init__(self) -> None:
        self._full: set[bytes] = set()

    def route(self, payload: bytes) -> Hashable | None:
        """(stream, product), (stream,) of one without a product; True of an answer."""
        usual = _USUAL.match(payload)
        if usual is not None:
            return b"level2", usual[1]
        head = payload[:_HEAD]
        found = _TYPE.search(head)
        if found is None:
            return None
        kind = found[1]
        if kind in _ANSWERS:
            if kind == b"subscriptions":
                self._learn(payload)
            return True
        product = _PRODUCT.search(head)
        if product is None:
            return (kind,)
        if kind in _ORDERS:
            if len(self._full) < MAX_PRODUCTS:
                self._full.add(product[1])
            return b"full", product[1]
        if kind == b"match":
            return (b"full" if product[1] in self._full else b"matches"), product[1]
        return _STREAMS.get(kind, kind), product[1]

    def _learn(self, payload: bytes) -> None:
        """An answer lists all that is subscribed now."""
        try:
            said = _SUBSCRIPTIONS.decode(payload)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return
        products = [product for channel in said.channels if channel.name == FULL for product in channel.product_ids]
        self._full = {product.encode("utf-8", "replace") for product in products[:MAX_PRODUCTS]}


class FullRule(ContiguousRule):
    """Sequence numbers of the full channel, each one more than the last: larger, messages were dropped; smaller, late.

    A whole book may come as many messages of one sequence number, each a part of it. A trade is judged with the
    update of the same message.
    """

    def __init__(self) -> None:
        super().__init__(BookSteps(drops_equal=True, overlap=False))

    def judge(self, message: Message) -> Verdict:
        if isinstance(message, Trade):
            return Verdict.APPLY
        if isinstance(message, OrderUpdate) and message.in_stream and message.last_seq == self.last:
            before, self._whole = self._whole, message
            return Verdict.STALE if message == before else Verdict.APPLY
        return super().judge(message)


class TradeRule(IdRule):
    """Trade ids, each one more than the last. What is sent at the start of a subscription is the last trade before it:
    it says where the ids stand, and is only a trade of this recording if it is one that was missed."""

    def judge(self, message: Message) -> Verdict:
        if isinstance(message, Trade) and message.count == 0:
            if self.last is None:
                self.last = self._begin = message.trade_id
            if self.last == message.trade_id:
                return Verdict.KEEPALIVE
            return self._advance(message.trade_id - 1, message.trade_id)
        return super().judge(message)


class Coinbase(Adapter):
    """Coinbase Exchange's public channels. Immutable."""

    name = "coinbase"
    title = "Coinbase Exchange"
    ws_url = "wss://ws-feed.exchange.coinbase.com"
    rest_url = "https://api.exchange.coinbase.com"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "SOL_USD", "XRP_USD", "DOGE_USD", "BTC_USDT", "ETH_USDT")
    default_streams: tuple[str, ...] = (BATCH, "matches", "ticker", "heartbeat")
    trade_streams: tuple[str, ...] = ("matches",)

    def __init__(self) -> None:
        self._symbols = SplitSymbols(self.name, "-")

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/products",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(f"{self.name}: {stream!r} is no channel; expected the form of {BATCH!r} or {FULL!r}")
        chosen = [stream for stream in dict.fromkeys(streams) if stream != "matches" or FULL not in streams]
        canonical = self._feeds(symbols)
        return connections(
            [(symbol, [f'"{self.native(symbol)}"']) for symbol in canonical],
            lambda args, _: _frame("subscribe", args, chosen),
            LIMITS,
            path="",
        )

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("type") != "subscribe":
            return None
        return Request(
            tuple(
                Wanted(self.named(native), channel, _topic(channel, native), _wire_name(channel))
                for native in listed(told.get("product_ids"))
                for channel in listed(told.get("channels"))
            )
        )

    def answer(self, payload: bytes) -> Answer | None:
        """An acknowledgement lists all that is subscribed on the connection. One product or channel that is not there
        costs the whole request."""
        told = said(payload)
        if told.get("type") == "error":
            return Refused(": ".join(str(told[key]) for key in ("message", "reason") if told.get(key)))
        if told.get("type") != "subscriptions":
            return None
        channels = told.get("channels")
        return Acknowledged(
            tuple(
                _topic(str(channel.get("name")), native)
                for channel in (channels if isinstance(channels, list) else ())
                if isinstance(channel, dict)
                for native in listed(channel.get("product_ids"))
            )
        )

    def router(self) -> _Router:
        return _Router()

    def place(self, key: Hashable) -> Place:
        if key is True:
            return _SESSION
        try:
            if not isinstance(key, tuple):
                return _OTHER
            stream = key[0].decode("ascii")
            if not _STREAM.fullmatch(stream):
                return _OTHER
            return Place(self.named(wire_text(key[1])) if len(key) > 1 else None, stream)
        except (UnicodeDecodeError, UnknownSymbol, AttributeError, IndexError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        make = DECODERS.get(_wire_name(stream))
        return make(stream) if make else other(stream)

    def rule(self, stream: str) -> Rule | None:
        rules: dict[str, Callable[[], Rule]] = {
            LEVEL2: TimeRule,
            FULL: FullRule,
            "matches": TradeRule,
            "ticker": RisingRule,
        }
        make = rules.get(_wire_name(stream))
        return make() if make else None

    def is_book(self, stream: str) -> bool:
        return _wire_name(stream) in (LEVEL2, FULL)

    def traits(self, stream: str) -> BookTraits:
        return BookTraits(by_order=stream == FULL)

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [f'"{self.native(symbol)}"']
        return _frame("unsubscribe", args, [stream]), _frame("subscribe", args, [stream])

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        """Of the book by order; by level it comes on the stream."""
        if stream is None or _wire_name(stream) == LEVEL2:
            return None
        return HttpRequest("GET", f"/products/{self._in_url(symbol)}/book?level=3")


def _topic(channel: str, native: str) -> str:
    """Both books by level answer to one name: level2_batch has been acknowledged as level2_50 too."""
    return f"{LEVEL2 if channel.startswith(LEVEL2) else channel}:{native}"


def _wire_name(stream: str) -> str:
    """What the messages of a channel are recorded as."""
    return LEVEL2 if stream == BATCH else stream


def _frame(kind: str, products: Sequence[str], channels: Sequence[str]) -> str:
    names = ",".join(f'"{channel}"' for channel in channels)
    return f'{{"type":"{kind}","product_ids":[{",".join(products)}],"channels":[{names}]}}'
