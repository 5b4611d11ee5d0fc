"""Bitfinex: books by price (P0 to P4) and by order (R0), numbered over the whole connection.

Rule: a frame says its channel's number, and only the connection's own announcement says what that is: routing keeps
state. Sequences (conf flag 65536) count the frames of a connection, heartbeats too, so a loss shows over all its feeds
and not in one; a book's own proof is its checksum (flag 131072), which comes as a frame of its own.

Sources: docs.bitfinex.com "WS general", "Books", "Raw Books", "WebSocket Checksum"; www.bitfinex.com "API conf flags".
Doubt: heartbeats of a channel are seen before its announcement; they are kept with what has no place.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.venues.bitfinex.symbols import BitfinexSymbols, instruments
from mdtool.venues.bitfinex.wire import decoder, number
from mdtool.venues.checksum import Checksum, interleaved_amounts
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import ConnectionRule, RisingRule, Rule
from mdtool.venues.subscribing import said
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    BookTraits,
    Connection,
    Decoder,
    Place,
    Reconnect,
    Refused,
    Request,
    Wanted,
)

FLAGS = 65536 | 131072  # SEQ_ALL, OB_CHECKSUM
CHECKSUM = Checksum(25, interleaved_amounts)
LENGTH = 250  # levels a side (or orders) asked for, the most there is
LIMITS = ConnectionLimits(subscriptions=25, args=1, frame_bytes=4_096, send_interval=0.1)
MAX_CHANNELS = 1_000  # remembered of a connection; a hostile peer must not grow the table without end
DUPLICATE = 10301  # code of an error: the channel is subscribed already

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_ENDING = Place(None, "session", Reconnect("the venue restarts or comes out of maintenance"))
_STREAM = re.compile(r"book-(P[0-4]|R0)(-F1)?|trades|ticker|status|candles", re.ASCII)
_CHANNEL = re.compile(rb"\[\s*(\d{1,12})\s*,")
_EVENT = re.compile(rb'\{\s*"event"\s*:\s*"([a-z]{1,20})"')
_ENDS = re.compile(rb'"code"\s*:\s*(20051|20061)\b')  # stop or restart; maintenance is over, subscribe anew


class _Subscribed(msgspec.Struct, gc=False):
    channel: str
    chanId: int
    symbol: str = ""
    key: str = ""
    prec: str = "P0"
    freq: str = "F0"


class _Unsubscribed(msgspec.Struct, gc=False):
    chanId: int


_SUBSCRIBED = msgspec.json.Decoder(_Subscribed)
_UNSUBSCRIBED = msgspec.json.Decoder(_Unsubscribed)


def _stream_of(told: Mapping[str, object]) -> str:
    """The stream that a request for a channel, or the answer to one, speaks of."""
    channel, freq = str(told.get("channel")), told.get("freq", "F0")
    if channel != "book":
        return channel
    return f"book-{told.get('prec', 'P0')}" + ("" if freq == "F0" else f"-{freq}")


class _Router:
    """What the channels of one connection carry."""

    def __init__(self) -> None:
        self._channels: dict[bytes, tuple[str, str]] = {}  # number -> stream, native symbol

    def route(self, payload: bytes) -> Hashable | None:
        """(stream, native symbol) of a channel's frame; True of an event, False of one that ends the connection."""
        channel = _CHANNEL.match(payload[:32])
        if channel is not None:
            return self._channels.get(channel[1])
        event = _EVENT.match(payload[:64])
        if event is None:
            return None
        if event[1] in (b"subscribed", b"unsubscribed"):
            self._learn(payload[:2048], event[1] == b"subscribed")
        return not (event[1] == b"info" and _ENDS.search(payload[:512]))

    def _learn(self, payload: bytes, opened: bool) -> None:
        try:
            if not opened:
                self._channels.pop(b"%d" % _UNSUBSCRIBED.decode(payload).chanId, None)
                return
            said = _SUBSCRIBED.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        stream = said.channel
        if stream == "book":
            stream += f"-{said.prec}" + ("" if said.freq == "F0" else f"-{said.freq}")
        if len(self._channels) < MAX_CHANNELS:
            self._channels[b"%d" % said.chanId] = (stream, said.symbol or said.key.partition(":")[2])


class Bitfinex(Adapter):
    """Bitfinex's public channels. Immutable."""

    name = "bitfinex"
    title = "Bitfinex"
    ws_url = "wss://api-pub.bitfinex.com"
    rest_url = "https://api-pub.bitfinex.com"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "BTC_USDT", "ETH_USDT", "SOL_USD", "XRP_USD")
    default_streams: tuple[str, ...] = ("book-P0", "trades", "ticker")
    trade_streams: tuple[str, ...] = ("trades",)

    def __init__(self) -> None:
        self._symbols = BitfinexSymbols(self.name)

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/v2/conf/pub:list:pair:exchange,pub:map:currency:sym",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called."""
        for stream in streams:
            if not _STREAM.fullmatch(stream) or stream == "candles":
                raise UsageError(
                    f"{self.name}: {stream!r} is no channel; expected 'book-P0' (to P4, or R0), 'trades' or 'status'"
                )
        canonical = self._feeds(symbols)
        wanted = [(symbol, [self._frame(stream, symbol) for stream in dict.fromkeys(streams)]) for symbol in canonical]
        conf = f'{{"event":"conf","flags":{FLAGS}}}'
        return connections(wanted, lambda args, _: args[0], LIMITS, path="/ws/2", first=(conf,))

    def _frame(self, stream: str, symbol: str) -> str:
        native = self.native(symbol)
        channel, _, form = stream.partition("-")
        if channel == "book":
            prec, _, freq = form.partition("-")
            return (
                f'{{"event":"subscribe","channel":"book","symbol":"{native}","prec":"{prec}","freq":"{freq or "F0"}",'
                f'"len":"{LENGTH}"}}'
            )
        if channel == "status":
            return f'{{"event":"subscribe","channel":"status","key":"deriv:{native}"}}'
        return f'{{"event":"subscribe","channel":"{channel}","symbol":"{native}"}}'

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("event") != "subscribe":
            return None
        stream = _stream_of(told)
        native = str(told.get("symbol") or str(told.get("key")).partition(":")[2])
        return Request((Wanted(self.named(native), stream, f"{stream}:{native}"),))

    def answer(self, payload: bytes) -> Answer | None:
        """Either says again what was asked for."""
        told = said(payload)
        native = told.get("symbol") or str(told.get("key", "")).partition(":")[2]
        topics = (f"{_stream_of(told)}:{native}",) if native else None
        if told.get("event") == "subscribed" or (told.get("event") == "error" and told.get("code") == DUPLICATE):
            return Acknowledged(topics)
        if told.get("event") != "error":
            return None
        return Refused(str(told.get("msg", told.get("code", ""))), topics)

    def router(self) -> _Router:
        return _Router()

    _marks = ((True, _SESSION), (False, _ENDING))

    def _placed(self, key: Hashable) -> Place:
        if not (isinstance(key, tuple) and len(key) == 2):
            return _OTHER
        stream, native = key
        if not isinstance(stream, str) or not isinstance(native, str) or not _STREAM.fullmatch(stream):
            return _OTHER
        if stream == "status" and not native.startswith("t"):  # "liq:global": of all symbols at once
            return Place(None, "liquidations")
        try:
            return Place(self.named(native), stream)
        except UnknownSymbol:
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        return decoder(stream)

    def rule(self, stream: str) -> Rule | None:
        return RisingRule() if self.is_book(stream) or stream == "trades" else None

    def connection_rule(self) -> ConnectionRule | None:
        return ConnectionRule(number)

    def is_book(self, stream: str) -> bool:
        return stream.startswith("book-")

    def traits(self, stream: str) -> BookTraits:
        if stream.startswith("book-R0"):
            return BookTraits(by_order=True)
        return BookTraits(checksum=CHECKSUM)
