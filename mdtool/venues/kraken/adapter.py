"""Kraken spot: the second websocket API, and the first as an era of form.

Rule: which API a message is of, its first byte says: v1 sends arrays, v2 objects. Both give the book's checksum and no
sequence; v1 not with the whole book. A book stream is called "book-1000" by its depth in either.

Sources: docs.kraken.com "Spot Websockets (v1) Book Checksum", "Spot Websockets (v2) Book Checksum", "Book (Level 2)".
Doubt: whether one v2 message may carry several symbols; every sample has one, and it is routed by the first.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import partial

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.venues.checksum import Checksum, joined_digits
from mdtool.venues.decoding import other
from mdtool.venues.kraken.symbols import KrakenSymbols, instruments
from mdtool.venues.kraken.wire import DECODERS
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import IdRule, Rule, TimeRule
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, listed, number_of, said
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    BookTraits,
    Connection,
    Decoder,
    Heartbeat,
    Place,
    Refused,
    Request,
    Wanted,
)

DEPTHS = (10, 25, 100, 500, 1000)
CHECKSUM = Checksum(10, joined_digits)
OLD = "v1:"  # in front of a stream asked for by the first API: "v1:book-1000"
# No limit on subscriptions is published, only about 150 connects in 10 minutes; public clients stay below these.
LIMITS = ConnectionLimits(subscriptions=600, args=100, frame_bytes=16_000, send_interval=0.25)

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_STREAM = re.compile(r"(book-(?:10|25|100|500|1000)|trade|ticker|spread|ohlc(?:-\d{1,5})?|instrument)", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9]{0,15}(-\d{1,5})?", re.ASCII)
_CHANNEL = re.compile(rb'\{\s*"channel"\s*:\s*"([a-z0-9]{1,16})"')
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\x00-\x20]{1,96})"')
_TAIL = re.compile(rb'"([a-z0-9-]{1,24})"\s*,\s*"([^"\x00-\x20]{1,96})"\s*\]\s*$')
_ACK = re.compile(rb'\{\s*"method"\s*:\s*"subscribe"')
_DEPTH = re.compile(rb'"depth"\s*:\s*(\d{2,4})[,}\s]')
_ANSWER = re.compile(rb'"(?:method|event|error|errorMessage)"\s*:\s*"?([A-Za-z]*)')
_HEAD = 256  # bytes in which a message has named its channel and symbol, and bytes from the end where v1 has


class _Router:
    """One connection's routing: v2's messages do not say the depth their subscription's answer did."""

    def __init__(self) -> None:
        self._depths: dict[bytes, bytes] = {}  # symbol -> depth

    def route(self, payload: bytes) -> Hashable | None:
        """(stream name, symbol), the name without a depth that is not known; True of an answer, False of a sign of
        life."""
        if payload[:1] == b"[":
            tail = _TAIL.search(payload[-_HEAD:])
            return (tail[1], tail[2]) if tail else None
        head = payload[:_HEAD]
        channel = _CHANNEL.match(head)
        if channel is None:
            if _ACK.match(head):
                self._learn(payload)
            answer = _ANSWER.search(head) if head[:1] == b"{" else None
            return None if answer is None else answer[1] not in (b"heartbeat", b"pong", b"ping")
        name = channel[1]
        if name == b"heartbeat":
            return False
        if name in (b"status", b"instrument"):
            return (name,)
        symbol = _SYMBOL.search(head) or _SYMBOL.search(payload[-_HEAD:])
        if symbol is None:
            return None
        if name == b"book":
            depth = self._depths.get(symbol[1])
            return (b"book-" + depth if depth else name, symbol[1])
        return name, symbol[1]

    def _learn(self, payload: bytes) -> None:
        depth, symbol = _DEPTH.search(payload[:1024]), _SYMBOL.search(payload[:1024])
        if depth and symbol and int(depth[1]) in DEPTHS and len(self._depths) < 10_000:
            self._depths[symbol[1]] = depth[1]


class Kraken(Adapter):
    """Kraken's spot market. Immutable."""

    _symbols: KrakenSymbols

    name = "kraken"
    title = "Kraken spot"
    ws_url = "wss://ws.kraken.com"
    rest_url = "https://api.kraken.com"
    default_symbols: tuple[str, ...] = ("BTC_USD", "ETH_USD", "SOL_USD", "XRP_USD", "BTC_EUR", "ETH_EUR")
    default_streams: tuple[str, ...] = ("book-1000", "trade", "ticker")
    trade_streams: tuple[str, ...] = ("trade",)

    def __init__(self) -> None:
        self._symbols = KrakenSymbols(self.name)

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/0/public/AssetPairs",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Streams with "v1:" in front go over the first API. Raises UnknownSymbol, UsageError."""
        symbols = self._feeds(symbols)
        for stream in streams:
            if not _STREAM.fullmatch(stream.removeprefix(OLD)):
                depths = ", ".join(map(str, DEPTHS))
                raise UsageError(
                    f"{self.name}: {stream!r} is no stream; expected 'book-' and one of {depths}, 'trade' or 'ticker'"
                )
        plan: list[Connection] = []
        for old in (False, True):
            chosen = [name.removeprefix(OLD) for name in streams if name.startswith(OLD) is old]
            if not chosen:
                continue
            spell = self._symbols.old if old else self.native
            frame = _old_frame if old else _frame
            # A frame subscribes many symbols to one stream: the frames of each stream, one plan per run of symbols.
            room = max(1, LIMITS.subscriptions // len(chosen))
            for start in range(0, len(symbols), room):
                run = symbols[start : start + room]
                sent: list[str] = []
                wanted = [(symbol, [f'"{spell(symbol)}"']) for symbol in run]
                for stream in chosen:
                    (made,) = connections(wanted, partial(frame, stream, len(sent)), LIMITS, path="")
                    sent += made.send
                beat = Heartbeat(30.0, '{"event":"ping"}' if old else '{"method":"ping"}')
                plan.append(Connection("" if old else "/v2", tuple(sent), run, LIMITS.send_interval, beat))
        return tuple(plan)

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        old = told.get("event") == "subscribe"
        if not old and told.get("method") != "subscribe":
            return None
        form = inner(told.get("subscription" if old else "params"))
        recorded = str(form.get("name" if old else "channel"))
        depth, interval = form.get("depth"), form.get("interval")
        stream = f"{recorded}-{depth or interval}" if depth or interval else recorded
        if depth:
            recorded = stream  # of candles no message says how long they are
        return Request(
            tuple(
                Wanted(self.named(native), OLD + stream if old else stream, native, recorded)
                for native in listed(told.get("pair") if old else form.get("symbol"))
            ),
            number_of(told.get("reqid" if old else "req_id")),
        )

    def answer(self, payload: bytes) -> Answer | None:
        """Each symbol of a request has its own."""
        told = said(payload)
        if told.get("event") == "subscriptionStatus":
            topics, number = (str(told.get("pair")),), number_of(told.get("reqid"))
            if told.get("status") == "error":
                return Refused(str(told.get("errorMessage", "")), topics, number)
            return Acknowledged(topics, number) if told.get("status") == "subscribed" else None
        if told.get("method") != "subscribe":
            return None
        number = number_of(told.get("req_id"))
        if told.get("success") is True:
            return Acknowledged((str(inner(told.get("result")).get("symbol")),), number)
        why = str(told.get("error", ""))
        named = told.get("symbol") or why.rpartition(" ")[2]
        return Refused(why, (str(named),) if "/" in str(named) else None, number)

    def router(self) -> _Router:
        return _Router()

    _marks = ((True, _SESSION), (False, _PING))

    def _placed(self, key: Hashable) -> Place:
        try:
            if not isinstance(key, tuple):
                return _OTHER
            stream = key[0].decode("ascii")
            if not _NAME.fullmatch(stream):
                return _OTHER
            return Place(self.named(wire_text(key[1])) if len(key) > 1 else None, stream)
        except (UnicodeDecodeError, UnknownSymbol, AttributeError, IndexError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        """Of both APIs' messages."""
        stream = stream.removeprefix(OLD)
        make = DECODERS.get(stream.partition("-")[0])
        return make(stream) if make else other(stream)

    def rule(self, stream: str) -> Rule | None:
        if self.is_book(stream):
            return TimeRule()
        return IdRule() if stream.removeprefix(OLD) == "trade" else None  # v1's trades have no ids

    def is_book(self, stream: str) -> bool:
        return stream.removeprefix(OLD).partition("-")[0] == "book"

    def traits(self, stream: str) -> BookTraits:
        depth = stream.partition("-")[2]
        if depth.isdigit():
            return BookTraits(int(depth), CHECKSUM)
        return BookTraits(None, CHECKSUM, depths=DEPTHS)  # the subscription's answer was not seen

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        if stream.startswith(OLD):
            args = [f'"{self._symbols.old(symbol)}"']
            stream = stream.removeprefix(OLD)
            return _old_frame(stream, 0, args, 0, "unsubscribe"), _old_frame(stream, 0, args, 0)
        args = [f'"{self.native(symbol)}"']
        return _frame(stream, 0, args, 0, "unsubscribe"), _frame(stream, 0, args, 0)


def _frame(stream: str, before: int, symbols: Sequence[str], number: int, method: str = "subscribe") -> str:
    """A request behind so many others: an answer does not always name what it is of, but always its number."""
    name, _, word = stream.partition("-")
    more = {"book": f',"depth":{word}', "ohlc": f',"interval":{word or 1}', "trade": ',"snapshot":false'}.get(name, "")
    if name == "ticker":
        more = ',"event_trigger":"bbo"'
    params = f'{{"channel":"{name}","symbol":[{",".join(symbols)}]{more}}}'
    return f'{{"method":"{method}","params":{params},"req_id":{before + number}}}'


def _old_frame(stream: str, before: int, pairs: Sequence[str], number: int, event: str = "subscribe") -> str:
    name, _, word = stream.partition("-")
    more = {"book": f',"depth":{word}', "ohlc": f',"interval":{word or 1}'}.get(name, "")
    subscription = f'{{"name":"{name}"{more}}}'
    return f'{{"event":"{event}","reqid":{before + number},"pair":[{",".join(pairs)}],"subscription":{subscription}}}'
