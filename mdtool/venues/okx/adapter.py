"""OKX, all its markets: spot, perpetuals (BTC_USDT_PERP), futures (BTC_USD_220527) and options.

Rule: updates are chained by prevSeqId and seqId; records from before OKX sent those are proven by their checksum.

Sources: www.okx.com/docs-v5 "WS / Order book channel", its note on sequence ids and its changelog. Doubts: `books`
messages carry one element of data in every sample, and are decoded whatever their number; that trade ids leave out none
is what captures show, the documentation only says that an aggregate's id is its last; instrument ids of another form
than BASE-QUOTE[-SWAP|-YYMMDD[-STRIKE-C|P]] are not read as symbols.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import Message, Update
from mdtool.venues.checksum import Checksum, interleaved
from mdtool.venues.okx.old import INSTRUMENT, OLD, TABLE, USUAL
from mdtool.venues.okx.symbols import instruments
from mdtool.venues.okx.wire import decoder
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, IdRule, LinkedRule, RisingRule, Rule, TimeRule, Verdict
from mdtool.venues.subscribing import inner, said
from mdtool.venues.symbols import SplitSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    BookTraits,
    Connection,
    Decoder,
    Heartbeat,
    Place,
    Reconnect,
    Refused,
    Request,
    Wanted,
)

BOOKS = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
CHECKSUM = Checksum(25, interleaved)
LIMITS = ConnectionLimits(
    subscriptions=480, args=100, frame_bytes=32_000, send_interval=0.4
)  # 64 KB a frame, 480 requests an hour
BEAT = Heartbeat(25.0, "ping")  # the venue cuts a connection that was silent for 30 s
LISTED = ("SPOT", "SWAP", "FUTURES")  # options are of their pairs
MAX_ARG = 240  # bytes of a subscription's argument; the longest real ones are below 100

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_ENDING = Place(None, "session", Reconnect("the venue says it will upgrade"))
_STREAM = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_USUAL = b'{"arg":{"channel":"'
_ARG = re.compile(rb'"arg"\s*:\s*(\{[^{}]{1,200}\})')
_REFUSED = re.compile(r"channel:([a-zA-Z0-9-]{1,40}),instId:([^ ,]{1,60})", re.ASCII)
_EVENT = re.compile(rb'\{\s*"event"\s*:')
_UPGRADE = re.compile(rb'"code"\s*:\s*"?64008"?[,}\s]')


class _Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str = ""


_ARGUMENT = msgspec.json.Decoder(_Arg)


class BookRule(LinkedRule):
    """The chain; of messages without ids, what their times tell."""

    _own = (*LinkedRule._own, "_times")

    def __init__(self) -> None:
        super().__init__(BookSteps(drops_equal=True, overlap=False))
        self._times = TimeRule()

    def judge(self, message: Message) -> Verdict:
        if isinstance(message, Update) and message.last_seq < 0:
            return self._times.judge(message)
        return super().judge(message)


class Okx(Adapter):
    """OKX's public channels. Immutable."""

    name = "okx"
    title = "OKX"
    ws_url = "wss://ws.okx.com:8443"
    rest_url = "https://www.okx.com"
    default_symbols: tuple[str, ...] = (
        "BTC_USDT",
        "ETH_USDT",
        "SOL_USDT",
        "BTC_USDT_PERP",
        "ETH_USDT_PERP",
        "SOL_USDT_PERP",
    )
    default_streams: tuple[str, ...] = ("books", "trades", "bbo-tbt")
    trade_streams: tuple[str, ...] = ("trades", "trades-all")

    def __init__(self) -> None:
        self._symbols = SplitSymbols(self.name, "-", suffixes={"SWAP": "PERP"})

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return tuple(f"/api/v5/public/instruments?instType={kind}" for kind in LISTED)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(f"{self.name}: {stream!r} is no channel; expected the form of 'books' or 'trades'")
        canonical = self._feeds(symbols)
        wanted = [(symbol, [self._arg(stream, symbol) for stream in dict.fromkeys(streams)]) for symbol in canonical]
        return connections(
            wanted, lambda args, _: _frame("subscribe", args), LIMITS, path="/ws/v5/public", heartbeat=BEAT
        )

    def _arg(self, stream: str, symbol: str) -> str:
        return f'{{"channel":"{stream}","instId":"{self.native(symbol)}"}}'

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("op") != "subscribe":
            return None
        args = [inner(arg) for arg in told.get("args", ())]
        return Request(tuple(Wanted(self.named(arg["instId"]), arg["channel"], _topic(arg)) for arg in args))

    def answer(self, payload: bytes) -> Answer | None:
        """Each argument has its own; a refusal names it in words."""
        told = said(payload)
        if told.get("event") == "subscribe":
            return Acknowledged((_topic(inner(told.get("arg"))),))
        if told.get("event") != "error":
            return None
        why = str(told.get("msg", told.get("code", "")))
        named = _REFUSED.search(why)
        return Refused(why, (f"{named[1]}:{named[2]}",) if named else None)

    def route(self, payload: bytes) -> Hashable | None:
        """The subscription's argument (bytes); True of an answer, False of a pong, () of a notice of an upgrade."""
        if payload.startswith(_USUAL):
            end = payload.find(b"}", 19, MAX_ARG)
            return payload[7 : end + 1] if end > 0 else None
        if payload == b"pong":
            return False
        if payload.startswith(USUAL):
            found = INSTRUMENT.search(payload[:512]) or INSTRUMENT.search(payload[-512:])
            return (payload[10 : payload.find(b'"', 10, 64)], found[1]) if found else None
        head = payload[:512]
        if _EVENT.match(head):
            return () if _UPGRADE.search(head) else True
        found = _ARG.search(head) or _ARG.search(payload[-512:])
        return found[1] if found else None

    _marks = ((True, _SESSION), (False, _PING), ((), _ENDING))

    def _placed(self, key: Hashable) -> Place:
        if isinstance(key, tuple):
            return self._placed_of_old(*key)
        if not isinstance(key, bytes):
            return _OTHER
        try:
            arg = _ARGUMENT.decode(key)
            if not _STREAM.fullmatch(arg.channel):
                return _OTHER
            return Place(self.named(arg.instId) if arg.instId else None, arg.channel)
        except (msgspec.MsgspecError, UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def _placed_of_old(self, table: object = b"", native: object = b"", *_: object) -> Place:
        if not isinstance(table, bytes) or not isinstance(native, bytes):
            return _OTHER
        try:
            found = TABLE.fullmatch(table.decode("ascii"))
            return Place(self.named(native.decode("ascii")), OLD.mark + found[1]) if found else _OTHER
        except (UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        if OLD.has(stream):
            return OLD.decoder(stream)
        return decoder("books" if stream in BOOKS else stream, stream)

    def rule(self, stream: str) -> Rule | None:
        if OLD.has(stream):
            return OLD.rule(stream)
        if stream in BOOKS:
            return BookRule()
        if stream in self.trade_streams:
            return IdRule()
        return RisingRule() if stream == "bbo-tbt" else None

    def is_book(self, stream: str) -> bool:
        return stream in BOOKS or OLD.book(stream) is not None

    def traits(self, stream: str) -> BookTraits:
        return OLD.book(stream) or BookTraits(checksum=CHECKSUM)

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [self._arg(stream, symbol)]
        return _frame("unsubscribe", args), _frame("subscribe", args)


def _topic(arg: Mapping[str, object]) -> str:
    return f"{arg.get('channel')}:{arg.get('instId')}"


def _frame(op: str, args: Sequence[str]) -> str:
    return f'{{"op":"{op}","args":[{",".join(args)}]}}'
