"""Bybit v5, its spot, linear and inverse markets: one class, and what differs as data.

Rule: of a book, u steps by one within its topic; a whole book on the stream replaces all before it, and one with u 1
says that the service was restarted. The cross sequence only rises.

Sources: bybit-exchange.github.io/docs/v5 "Orderbook", "Full Orderbook" (whose numbered procedure is the only place that
says u is consecutive), "Trade", "Ticker", "All Liquidation", "System Status", "Connect".
No capture of this venue is in the tests: they rest on the documentation, on messages in its form. Seen in captures: of
orderbook.1, u is one more each time or the same again. Unproven: that u steps by one in depths other than 1 and full;
that levels falling out of the depth are deleted (they are cut off here either way); whether spot's trade ids leave any
out (they are only told apart); whether orderbook.1 sends deltas.
orderbook.full came in 2026-07: changes only, beside a whole book by REST. No answer of that was at hand either.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import UNKNOWN, BookUpdate, Message, Update
from mdtool.venues.bybit.old import OLD, TOPIC
from mdtool.venues.bybit.symbols import SPOT_QUOTES, InverseSymbols, LinearSymbols, instruments
from mdtool.venues.bybit.wire import RESTARTED, decoder
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, ContiguousRule, RecentRule, RestartRule, Rule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import listed, number_of, said
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
    Refused,
    Request,
    Wanted,
)

BEAT = Heartbeat(20.0, '{"op":"ping"}')
MAX_TOPIC = 48  # characters; with quotes and comma, 400 of them stay below the 21,000 a connection may subscribe to
SUBSCRIPTIONS = 400
FULL = "orderbook.full"
BEST = "orderbook.1"
STATUS = "system.status"
STATUS_PATH = "/v5/public/misc/status"

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_STREAM = re.compile(r"[A-Za-z]{1,20}(\.[A-Za-z0-9]{1,12}){0,2}", re.ASCII)
_BOOK = re.compile(r"orderbook\.(\d{1,4})", re.ASCII)
_USUAL = b'{"topic":"'
_TOPIC = re.compile(rb'"topic"\s*:\s*"([^"\x00-\x20]{1,96})"')
_ANSWER = re.compile(rb'"(?:success|op|ret_msg|retMsg)"\s*:')
_CURSOR = re.compile(rb'"nextPageCursor"\s*:\s*"([^"\\\x00-\x20]{1,256})"')
_PONG = re.compile(rb'"(?:ret_msg|op)"\s*:\s*"pong"')

# fmt: off
LIQUID = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "DOGE_USDT", "PENGU_USDT")
# fmt: on


class BookRule(RestartRule):
    """The chain of u, and beside it the cross sequence: a change that is older by it is to be discarded."""

    def __init__(self) -> None:
        super().__init__(BookSteps(drops_equal=True, overlap=False))

    def reset(self) -> None:
        super().reset()
        self._cross = UNKNOWN

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, BookUpdate):
            return Verdict.UNVERIFIABLE
        before, cross = self.last, message.cross_seq
        follows = not message.snapshot and before is not None and message.last_seq > before
        if follows and UNKNOWN < cross < self._cross:
            return Verdict.OUT_OF_ORDER  # full orderbook, step 2: seq has decreased, discard the packet
        verdict = super().judge(message)
        if verdict in (Verdict.APPLY, Verdict.GAP, Verdict.RESET):
            self._cross = max(cross, self._cross)
        return verdict


class FullRule(BookRule):
    """orderbook.full: u 1 comes with a change, not with a whole book, so what is there is worth nothing any more."""

    def judge(self, message: Message) -> Verdict:
        verdict = super().judge(message)
        return Verdict.GAP if verdict is Verdict.RESET else verdict

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        if isinstance(snapshot, BookUpdate) and isinstance(update, BookUpdate):
            cross = snapshot.cross_seq
            # Step 4: one seq under two u, ask again. (Either may have begun u anew; seq tells that they are one state.)
            if UNKNOWN < cross == update.cross_seq and snapshot.last_seq != update.last_seq:
                return Verdict.GAP
        return super().bridge(snapshot, update)


class BestRule(ContiguousRule):
    """orderbook.1: each message is the whole best, and one u behind the one before; after three seconds without a
    change the same u comes again, under a later time."""

    def __init__(self) -> None:
        super().__init__(BookSteps(drops_equal=True, overlap=False))

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, BookUpdate):
            return Verdict.UNVERIFIABLE
        before = self.last
        if before is not None and message.last_seq == before and message.venue_ns > self._ns:
            self._ns = message.venue_ns
            return Verdict.KEEPALIVE
        if before is not None and message.last_seq == RESTARTED != before:
            self.reset()
        verdict = self._advance(message.last_seq - 1, message.last_seq, message.venue_ns)
        return Verdict.RESET if before is not None and self.last == RESTARTED != before else verdict


@dataclass(frozen=True, slots=True)
class Spec:
    """One market."""

    name: str
    title: str
    path: str
    default_symbols: tuple[str, ...]
    args: int  # topics a request may name


SPOT = Spec("bybit", "Bybit spot", "/v5/public/spot", LIQUID, 10)
LINEAR = Spec("bybit-linear", "Bybit linear perpetuals and futures", "/v5/public/linear", LIQUID, 100)
INVERSE = Spec(
    "bybit-inverse", "Bybit inverse perpetuals and futures", "/v5/public/inverse",
    ("BTC_USD", "ETH_USD", "SOL_USD", "XRP_USD"), 100,
)  # fmt: skip


class Bybit(Adapter):
    """A market of Bybit. Immutable."""

    ws_url = "wss://stream.bybit.com"
    rest_url = "https://api.bybit.com"
    default_streams: tuple[str, ...] = ("orderbook.50", "publicTrade", "orderbook.1")
    trade_streams: tuple[str, ...] = ("publicTrade",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.name = spec.name
        self.title = spec.title
        self.default_symbols = spec.default_symbols
        if spec is INVERSE:
            self._symbols = InverseSymbols(spec.name)
        else:
            self._symbols = LinearSymbols(spec.name) if spec is LINEAR else JoinedSymbols(spec.name, SPOT_QUOTES)

    @property
    def _category(self) -> str:
        return self.spec.path.rpartition("/")[2]

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return (f"/v5/market/instruments-info?category={self._category}&limit=1000",)

    def next_instruments(self, request: HttpRequest, body: bytes) -> HttpRequest | None:
        found = _CURSOR.search(body)  # it is written as it goes into a URL
        return (
            HttpRequest(request.method, f"{request.path}&cursor={quote(found[1], safe='%')}")
            if found is not None
            else None
        )

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no topic can be called. The system's status is a connection of
        its own, which carries no symbol."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(f"{self.name}: {stream!r} is no topic; expected the form of 'orderbook.50'")
        topics = [stream for stream in dict.fromkeys(streams) if stream != STATUS]
        wanted = []
        for symbol in self._feeds(symbols):
            args = [f"{stream}.{self.native(symbol)}" for stream in topics]
            if any(len(arg) > MAX_TOPIC for arg in args):
                raise UsageError(f"{self.name}: {max(args, key=len)!r} is longer than any topic")
            wanted.append((symbol, [f'"{arg}"' for arg in args]))
        limits = ConnectionLimits(SUBSCRIPTIONS, self.spec.args, 16_000, 0.25)
        made = connections(
            wanted if topics else [], lambda args, number: _frame("subscribe", args, number), limits,
            path=self.spec.path, heartbeat=BEAT,
        )  # fmt: skip
        if STATUS in streams:
            made += (Connection(STATUS_PATH, (_frame("subscribe", [f'"{STATUS}"']),), (), heartbeat=BEAT),)
        return made

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("op") != "subscribe":
            return None
        return Request(tuple(map(self._wanted, listed(told.get("args")))), number_of(told.get("req_id")))

    def _wanted(self, topic: str) -> Wanted:
        stream, _, native = topic.rpartition(".")
        return Wanted(None, STATUS, STATUS) if topic == STATUS else Wanted(self.named(native), stream, topic)

    def answer(self, payload: bytes) -> Answer | None:
        """One topic that is not there costs the whole request; of several the first is named."""
        told = said(payload)
        if told.get("op") != "subscribe":
            return None
        number, why = number_of(told.get("req_id")), str(told.get("ret_msg", ""))
        if told.get("success") is True or "already subscribed" in why:
            return Acknowledged(number=number)
        return Refused(why, number=number)

    def route(self, payload: bytes) -> Hashable | None:
        """The topic (bytes); True of an answer, False of a pong."""
        if payload.startswith(_USUAL):
            end = payload.find(b'"', 10, 10 + 96)
            return payload[10:end] if end > 10 else None
        head = payload[:512]
        found = _TOPIC.search(head) or _TOPIC.search(payload[-256:])
        if found is not None:
            return found[1]
        if _ANSWER.search(head):
            return _PONG.search(head) is None
        return None

    _marks = ((True, _SESSION), (False, _PING))

    def _placed(self, key: Hashable) -> Place:
        if not isinstance(key, bytes):
            return _OTHER
        try:
            topic = wire_text(key)
            if topic == STATUS:
                return Place(None, STATUS)
            stream, _, native = topic.rpartition(".")
            if TOPIC.fullmatch(stream):
                return Place(self.named(native), OLD.mark + stream)
            if not _STREAM.fullmatch(stream):
                return _OTHER
            return Place(self.named(native), stream)
        except (UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        if OLD.has(stream):
            return OLD.decoder(stream)
        return decoder("orderbook" if stream not in (FULL, BEST) and self.is_book(stream) else stream, stream)

    def rule(self, stream: str) -> Rule | None:
        if OLD.has(stream):
            return OLD.rule(stream)
        if stream == FULL:
            return FullRule()
        if stream == BEST:
            return BestRule()
        if self.is_book(stream):
            return BookRule()
        return RecentRule() if stream == "publicTrade" else None

    def is_book(self, stream: str) -> bool:
        return stream == FULL or _BOOK.fullmatch(stream) is not None or OLD.book(stream) is not None

    def traits(self, stream: str) -> BookTraits:
        if (old := OLD.book(stream)) is not None:
            return old
        depth = _BOOK.fullmatch(stream)
        return BookTraits(depth=int(depth[1]) if depth else None)

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        if stream != FULL:
            return None
        return HttpRequest("GET", f"/v5/market/full_orderbook?category={self._category}&symbol={self._in_url(symbol)}")

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [f'"{stream}.{self.native(symbol)}"']
        return _frame("unsubscribe", args), _frame("subscribe", args)


def _frame(op: str, args: Sequence[str], number: int = 1) -> str:
    return f'{{"req_id":"{number}","op":"{op}","args":[{",".join(args)}]}}'
