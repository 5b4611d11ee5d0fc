"""KuCoin's spot market.

Rule: where to connect, and how often to say "ping", the venue tells in answer to a request before each connect; nothing
is sent before its welcome. Book updates are numbered [sequenceStart, sequenceEnd] and continue a REST answer.

The whole book needs a key (`/api/v3/market/orderbook/level2`), its best 100 levels do not: those are asked for, and
deeper ones are known once they change. Streams are called by the last word of a topic: "level2", "match", "ticker",
"candles_1min", "level2Depth50".

Sources: www.kucoin.com/docs "Apply connect token", "Level2 - Market Data", its local order book steps. Doubts: a topic
takes 100 symbols, a connection 400 topics in the documentation and fewer in clients' reports ("509: exceed max
subscription count limitation"), so plans stay at 100 symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from functools import partial

import msgspec

from mdtool.errors import UnknownSymbol, UsageError, WireError
from mdtool.venues.decoding import other
from mdtool.venues.kucoin.symbols import instruments
from mdtool.venues.kucoin.wire import DECODERS
from mdtool.venues.planning import ConnectionLimits, connections
from mdtool.venues.sequence import BookSteps, ContiguousRule, RisingRule, Rule
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import number_of, said
from mdtool.venues.symbols import SplitSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    Endpoint,
    Heartbeat,
    HttpRequest,
    Place,
    Refused,
    Request,
    Wanted,
)

BULLET = HttpRequest("POST", "/api/v1/bullet-public")
PING = '{"id":"1","type":"ping"}'
MAX_INTERVAL = 60.0  # seconds between pings, whatever the answer says
LIMITS = ConnectionLimits(subscriptions=100, args=100, frame_bytes=4_000, send_interval=0.11)  # 100 messages in 10 s
SPOT_TOPICS = frozenset({"level1", "level2Depth5", "level2Depth50"})  # under /spotMarket/, all others under /market/

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_STREAM = re.compile(r"[a-z][A-Za-z0-9]{0,30}(_[0-9a-z]{2,10})?", re.ASCII)
_TOPIC = re.compile(rb'"topic"\s*:\s*"(/(?:spotMarket|market)/[A-Za-z0-9]{1,32}:[^"\x00-\x20]{1,96})"')
_TYPE = re.compile(rb'"type"\s*:\s*"(welcome|ack|pong|error)"')
_TAIL = 256  # bytes at either end in which a message names its topic and type


class _Server(msgspec.Struct, gc=False):
    endpoint: str
    pingInterval: int


class _Bullet(msgspec.Struct, gc=False):
    token: str
    instanceServers: list[_Server]


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: _Bullet


_ANSWER = msgspec.json.Decoder(_Answer)


class Kucoin(Adapter):
    """KuCoin's public topics. Immutable."""

    name = "kucoin"
    title = "KuCoin spot"
    ws_url = "wss://ws-api-spot.kucoin.com"
    rest_url = "https://api.kucoin.com"
    default_symbols: tuple[str, ...] = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "KCS_USDT", "DOGE_USDT")
    default_streams: tuple[str, ...] = ("level2", "match", "ticker")
    trade_streams: tuple[str, ...] = ("match",)

    def __init__(self) -> None:
        self._symbols = SplitSymbols(self.name, "-")

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return ("/api/v2/symbols",)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no topic can be called."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(
                    f"{self.name}: {stream!r} is no topic; expected the form of 'level2' or 'candles_1min'"
                )
        canonical = self._feeds(symbols)
        plan: list[Connection] = []
        for start in range(0, len(canonical), LIMITS.subscriptions):
            some = canonical[start : start + LIMITS.subscriptions]
            frames: list[str] = []
            for stream in dict.fromkeys(streams):
                (made,) = connections(
                    [(symbol, [f"{self.native(symbol)}{_behind(stream)}"]) for symbol in some],
                    partial(_numbered, stream, len(frames)),
                    LIMITS,
                    path="",
                )
                frames += made.send
            plan.append(Connection("", tuple(frames), some, LIMITS.send_interval, bootstrap=BULLET, greeted=True))
        return tuple(plan)

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("type") != "subscribe":
            return None
        head, _, tail = str(told.get("topic")).partition(":")
        places = [self.place(f"{head}:{word}".encode()) for word in tail.split(",")]
        return Request(
            tuple(Wanted(place.symbol, place.stream, f"{place.symbol}") for place in places), number_of(told.get("id"))
        )

    def answer(self, payload: bytes) -> Answer | None:
        """One symbol that is not there costs the whole request."""
        told = said(payload)
        number = number_of(told.get("id"))
        if told.get("type") == "error":
            return Refused(str(told.get("data", told.get("code", ""))), number=number)
        return Acknowledged(number=number) if told.get("type") == "ack" else None

    def endpoint(self, connection: Connection, body: bytes) -> Endpoint:
        try:
            said = _ANSWER.decode(body)
            server = said.data.instanceServers[0]
        except (msgspec.MsgspecError, RecursionError, ValueError, IndexError) as error:
            raise WireError(f"{self.name}: the answer to {BULLET.path} names no server: {error}") from error
        if not server.endpoint.startswith(("wss://", "ws://")) or server.pingInterval <= 0:
            raise WireError(f"{self.name}: the answer to {BULLET.path} names {server.endpoint[:80]!r} as server")
        # Sooner than asked for, so that a slow line does not make one late.
        beat = Heartbeat(min(server.pingInterval / 1000 * 0.9, MAX_INTERVAL), PING)
        return Endpoint(f"{server.endpoint}?token={said.data.token}", beat)

    def route(self, payload: bytes) -> Hashable | None:
        """The topic (bytes); True of an answer, False of a pong."""
        tail = payload[-_TAIL:]
        topic = _TOPIC.search(tail) or _TOPIC.search(payload[:_TAIL])
        if topic is not None:
            return topic[1]
        kind = _TYPE.search(tail) or _TYPE.search(payload[:_TAIL])
        return kind[1] != b"pong" if kind else None

    _marks = ((True, _SESSION), (False, _PING))

    def _placed(self, key: Hashable) -> Place:
        try:
            if not isinstance(key, bytes):
                return _OTHER
            name, _, native = wire_text(key).rpartition("/")[2].partition(":")
            native, _, behind = native.partition("_")
            stream = f"{name}_{behind}" if behind else name
            return Place(self.named(native), stream) if _STREAM.fullmatch(stream) else _OTHER
        except (UnicodeDecodeError, UnknownSymbol):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        make = DECODERS.get(stream)
        return make(stream) if make else other(stream)

    def rule(self, stream: str) -> Rule | None:
        # Steps: keep what comes; fetch the book; drop sequenceEnd <= sequence; the first kept has sequenceStart <=
        # sequence + 1 and sequenceEnd > sequence; the same holds between any two.
        rules: dict[str, Callable[[], Rule]] = {
            "level2": lambda: ContiguousRule(BookSteps(drops_equal=True, overlap=True)),
            "match": RisingRule,
            "ticker": RisingRule,
        }
        make = rules.get(stream)
        return make() if make else None

    def is_book(self, stream: str) -> bool:
        return stream == "level2"

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        args = [f"{self.native(symbol)}{_behind(stream)}"]
        return _frame("unsubscribe", stream, args, 1), _frame("subscribe", stream, args, 2)

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest:
        return HttpRequest("GET", f"/api/v1/market/orderbook/level2_100?symbol={self._in_url(symbol)}")

    def snapshot_weight(self, symbol: str) -> float:
        return 0.1  # weight 4 of 2000 in 30 s


def _behind(stream: str) -> str:
    """What a topic has behind the symbol: "candles_1min" -> "_1min"."""
    _, line, form = stream.partition("_")
    return line + form


def _numbered(stream: str, before: int, natives: Sequence[str], number: int) -> str:
    """A request behind those of other streams: an answer names it by its number alone."""
    return _frame("subscribe", stream, natives, before + number)


def _frame(kind: str, stream: str, natives: Sequence[str], number: int) -> str:
    name = stream.partition("_")[0]
    topic = f"/{'spotMarket' if name in SPOT_TOPICS else 'market'}/{name}:{','.join(natives)}"
    return f'{{"id":"{number}","type":"{kind}","topic":"{topic}","privateChannel":false,"response":true}}'
