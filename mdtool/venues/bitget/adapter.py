"""Bitget spot, by the second version of its public websocket.

Rule: an update of the book that names the one before it (pseq) is chained to it; of one that names none only the order
is known, and its checksum proves the book.

Sources: www.bitget.com/api-doc "Websocket API" (common/websocket-intro), spot "Depth Channel", "Trading Channel",
"Market Channel"; since autumn 2026 under www.bitget.com/docs/classic. No capture of this venue was at hand: all here
rests on those pages and on single messages that public clients keep as test data.

The book has had two forms, and a message shows by itself which it is of. Until some day between 2025-11 and 2026-08 an
update has `checksum` and `seq`; after it `seq` and `pseq`, and no checksum. That a checksum is over 25 levels a side in
the wire's digits was computed for one real update (A2ZUSDT, 2025-11-19); that pseq is the seq of the message before is
what clients report, of futures by the hundred thousand, of spot by single messages; spot's newest page was not at hand.

Doubts. Levels that fall out of the depth (400 by the pages, 500 in captures of futures): no page says that they are
deleted, and they are kept here until they are; the checksum is over fewer. An update with pseq 0: by the unified
account's page a restart of the numbers, taken for a gap, as nothing says what book it is to be put on. "seq is
incrementing except during symbol maintenance": one that goes back while the venue's time goes on is a gap here, so the
book is asked for anew. Trades: ids rise and leave out most numbers, so that a loss is not seen; a subscription begins
with recent ones (snapshot), newest first as clients say, and they are told apart by id. Silence is allowed for 30 s by
older pages, for two minutes by newer ones.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message
from mdtool.venues.bitget.symbols import QUOTES, instruments
from mdtool.venues.bitget.wire import BOOKS, decoder
from mdtool.venues.checksum import Checksum, interleaved
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, LinkedRule, RecentRule, RisingRule, Rule, Verdict
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
    Place,
    Refused,
    Request,
    Wanted,
)

CHECKSUM = Checksum(25, interleaved)
# Of 1,000 channels a connection the venue advises to use fewer than 50; a request's channels take at most 4,096 bytes;
# 10 messages a second, pings among them.
LIMITS = ConnectionLimits(subscriptions=48, args=48, frame_bytes=4_000, send_interval=0.2)
BEAT = Heartbeat(25.0, "ping")
MARKET = "SPOT"
MAX_ARG = 160  # bytes of a subscription's argument; the longest real ones are below 80

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_CHANNEL = re.compile(r"[a-z]{1,20}[A-Za-z0-9]{0,12}", re.ASCII)
_ARG = re.compile(rb'"arg"\s*:\s*(\{[^{}]{1,150}\})')
_EVENT = re.compile(rb'\{\s*"event"\s*:')


class _Arg(msgspec.Struct, gc=False):
    instType: str
    channel: str
    instId: str


_ARGUMENT = msgspec.json.Decoder(_Arg)


class BookRule(LinkedRule):
    """The chain; of updates that name none before them, that seq rises: what is missing between two, only their
    checksum tells."""

    def __init__(self) -> None:
        super().__init__(BookSteps(drops_equal=True, overlap=False))

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, BookUpdate) or message.snapshot or message.prev_seq != UNKNOWN:
            return super().judge(message)
        before, ns = self.last, self._ns
        if message.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        if before is not None and message.last_seq <= before and not NO_TIME < ns < message.venue_ns:
            return Verdict.STALE if message.last_seq == before else Verdict.OUT_OF_ORDER
        self.last, self._ns = message.last_seq, message.venue_ns
        return Verdict.GAP if before is not None and message.last_seq <= before else Verdict.UNVERIFIABLE


class TopRule(RisingRule):
    """Whole tops of the book, each replacing the one before. One may come again unchanged, under a later time."""

    def __init__(self) -> None:
        super().__init__()
        self._ns = NO_TIME

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, BookUpdate) or message.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        is_later = message.venue_ns > self._ns
        if self.last is not None and message.last_seq <= self.last and not is_later:
            return Verdict.STALE if message.last_seq == self.last else Verdict.OUT_OF_ORDER
        verdict = Verdict.KEEPALIVE if message.last_seq == self.last else Verdict.APPLY
        self.last, self._ns = message.last_seq, message.venue_ns
        return verdict

    def reset(self) -> None:
        super().reset()
        self._ns = NO_TIME


class Bitget(Adapter):
    """Bitget's public channels of spot. Immutable."""

    name = "bitget"
    title = "Bitget spot"
    ws_url = "wss://ws.bitget.com"
    rest_url = "https://api.bitget.com"
    default_symbols: tuple[str, ...] = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "DOGE_USDT", "PENGU_USDT")
    default_streams: tuple[str, ...] = ("books", "trade", "books1")
    reconnect_after = 86_400.0

    def __init__(self) -> None:
        self._symbols = JoinedSymbols(self.name, QUOTES, any_script=True)

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/api/v2/spot/public/symbols",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called."""
        for stream in streams:
            if not _CHANNEL.fullmatch(stream):
                raise UsageError(f"{self.name}: {stream!r} is no channel; expected the form of 'books' or 'trade'")
        channels = dict.fromkeys(streams)
        wanted = [(symbol, [self._arg(channel, symbol) for channel in channels]) for symbol in self._feeds(symbols)]
        return connections(
            wanted, lambda args, _: _frame("subscribe", args), LIMITS, path="/v2/ws/public", heartbeat=BEAT
        )

    def _arg(self, stream: str, symbol: str) -> str:
        return f'{{"instType":"{MARKET}","channel":"{stream}","instId":"{self.native(symbol)}"}}'

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("op") != "subscribe":
            return None
        args = [inner(arg) for arg in told.get("args", ())]
        return Request(tuple(Wanted(self.named(arg["instId"]), arg["channel"], _topic(arg)) for arg in args))

    def answer(self, payload: bytes) -> Answer | None:
        """Each argument has its own, which says it again."""
        told = said(payload)
        arg = inner(told.get("arg"))
        if told.get("event") == "subscribe":
            return Acknowledged((_topic(arg),))
        if told.get("event") != "error" or told.get("op", "subscribe") != "subscribe":
            return None
        return Refused(str(told.get("msg", told.get("code", ""))), (_topic(arg),) if arg else None)

    def route(self, payload: bytes) -> Hashable | None:
        """The subscription's argument (bytes); True of an answer, False of a pong."""
        begin = payload.find(b'"arg":{', 0, 40) + 6
        if begin > 5 and payload.startswith(b'{"action":'):
            end = payload.find(b"}", begin, begin + MAX_ARG)
            return payload[begin : end + 1] if end > 0 else None
        if payload == b"pong":
            return False
        head = payload[:512]
        if _EVENT.match(head):
            return True
        found = _ARG.search(head) or _ARG.search(payload[-512:])
        return found[1] if found else None

    _marks = ((True, _SESSION), (False, _PING))

    def _placed(self, key: Hashable) -> Place:
        if not isinstance(key, bytes):
            return _OTHER
        try:
            arg = _ARGUMENT.decode(key)
            if arg.instType != MARKET or not _CHANNEL.fullmatch(arg.channel):
                return _OTHER
            return Place(self.named(arg.instId), arg.channel)
        except (msgspec.MsgspecError, UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        return decoder(stream)

    def rule(self, stream: str) -> Rule | None:
        if stream == "books":
            return BookRule()
        if stream in BOOKS:
            return TopRule()
        if stream == "trade":
            return RecentRule()
        return RisingRule() if stream == "books1" else None

    def is_book(self, stream: str) -> bool:
        return stream in BOOKS

    def traits(self, stream: str) -> BookTraits:
        return BookTraits(checksum=CHECKSUM if stream == "books" else None)

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [self._arg(stream, symbol)]
        return _frame("unsubscribe", args), _frame("subscribe", args)


def _topic(arg: Mapping[str, object]) -> str:
    return f"{arg.get('channel')}:{arg.get('instId')}"


def _frame(op: str, args: Sequence[str]) -> str:
    return f'{{"op":"{op}","args":[{",".join(args)}]}}'
