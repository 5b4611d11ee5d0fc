"""Binance: spot, USD-M and COIN-M futures, and the synthetic exchange, which speaks the spot protocol.

Rule: one class, and a row of `Spec` per market; what differs between markets is data.

Sources: developers.binance.com, "WebSocket Streams", "How to manage a local order book correctly" (spot and USD-M), and
the captures the tests read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.model import UNKNOWN, Message, Trade
from mdtool.venues.binance.symbols import instruments
from mdtool.venues.binance.wire import decoder
from mdtool.venues.sequence import BookSteps, ContiguousRule, IdRule, RisingRule, Rule, Verdict
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, listed, number_of, said
from mdtool.venues.symbols import JoinedSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    HttpRequest,
    Place,
    Reconnect,
    Refused,
    Request,
    Wanted,
)

STREAMS_PER_FRAME = 100  # a SUBSCRIBE of about 3 KB; the venue publishes no limit and drops frames far larger
MAX_KEY = 128  # bytes of a stream name; the longest real ones are below 50
_STREAM = re.compile(r"[A-Za-z][A-Za-z0-9_]*(@[A-Za-z0-9_:+-]+)*", re.ASCII)
_OF_ALL = re.compile(r"![A-Za-z][A-Za-z0-9_]*(@[A-Za-z0-9_:+-]+)*", re.ASCII)  # of all symbols at once: !contractInfo
_MARK_PRICE = re.compile(r"markPrice(@1s)?", re.ASCII)
_DIFF_DEPTH = re.compile(r"depth(@\d+ms)?", re.ASCII)  # depth5, depth20@100ms ... are partial books without a chain

_SESSION = Place(None, "session")
_ENDING = Place(None, "session", Reconnect("the venue says it will shut down"))
_OTHER = Place(None, "other")
_WRAPPED = b'{"stream":"'
_ANSWERS = (b'{"result"', b'{"id"', b'{"error"', b'{"code"')
_SHUTDOWN = b'{"e":"serverShutdown"'  # minutes before maintenance cuts the connection
_BARE_EVENT = re.compile(rb'"e"\s*:\s*"([A-Za-z_]{1,32})"')
_BARE_SYMBOL = re.compile(rb'"s"\s*:\s*"([^"\x00-\x20]{1,96})"')
_BARE_QUOTE = re.compile(rb'\{\s*"u"\s*:\s*\d+\s*,\s*"s"\s*:')  # spot's bookTicker names no event
_BARE_HEAD = 256  # bytes in which a bare message has named its event and symbol

# fmt: off
# Quote assets that the table of listed pairs is too old for.
SPOT_QUOTES = (
    "FDUSD", "USD1", "USDE", "XUSD", "BFUSD", "RLUSD", "U", "SOL", "AEUR", "EURI", "ARS", "JPY", "MXN", "COP", "CZK",
    "IDR",
)
USDM_QUOTES = ("USDC", "FDUSD", "USD1", "USDE", "U", "BTC", "ETH")
LIQUID = (
    "BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "BNB_USDT", "DOGE_USDT", "ADA_USDT", "AVAX_USDT", "LINK_USDT",
    "PENGU_USDT",
)
# fmt: on


class AggregateRule(IdRule):
    """aggTrade: both the ids of the aggregates and those of the executions in them follow each other, or the venue
    leaves executions out, which are counted and prove nothing."""

    def __init__(self, *, leaves_out: bool) -> None:
        super().__init__()
        self._leaves_out = leaves_out

    def reset(self) -> None:
        super().reset()
        self.skipped = 0
        self.jump = None
        self._execution = UNKNOWN  # the last

    def judge(self, message: Message) -> Verdict:
        verdict = super().judge(message)
        self.jump = None
        if not isinstance(message, Trade) or message.executions is None:
            return verdict
        (first, last), before = message.executions, self._execution
        if verdict in (Verdict.APPLY, Verdict.GAP):
            self._execution = last
        if verdict is not Verdict.APPLY or before == UNKNOWN or first <= before + 1:
            return verdict
        if not self._leaves_out:
            self.jump = before, first
            return Verdict.GAP
        self.skipped += first - before - 1
        return verdict


@dataclass(frozen=True, slots=True)
class Spec:
    """One market."""

    name: str
    title: str
    ws_url: str
    rest_url: str
    default_symbols: tuple[str, ...]
    default_streams: tuple[str, ...]
    quotes: tuple[str, ...]
    paths: tuple[
        tuple[str, frozenset[str]], ...
    ]  # websocket path and the stream heads it carries; the last takes the rest
    send_interval: float  # seconds
    steps: BookSteps
    depth_path: str
    depth_limit: int
    depth_weight: int  # of that limit
    weight_per_minute: int
    reconnect_after: float = 24 * 3600.0
    trade_streams: tuple[str, ...] = ("trade",)
    streams_per_connection: int = 1024
    lists_of: str | None = None  # the venue whose listed pairs it knows, where that is another
    pairs: bool = True  # whether a pair is traded itself, not only contracts of it
    leaves_out: bool = False  # whether executions by the insurance fund and by deleveraging are in no aggregate


SPOT = Spec(
    name="binance",
    title="Binance spot",
    ws_url="wss://stream.binance.com:9443",
    rest_url="https://api.binance.com",
    default_symbols=LIQUID,
    default_streams=("depth@100ms", "trade", "bookTicker"),
    quotes=SPOT_QUOTES,
    paths=(("/stream", frozenset()),),
    send_interval=0.25,  # 5 messages a second, of which pongs take a share
    steps=BookSteps(drops_equal=True, overlap=True),
    depth_path="/api/v3/depth",
    depth_limit=5000,
    depth_weight=250,
    weight_per_minute=6000,
)

# Era: since 2026-04-23 streams are routed by path, and a socket on the wrong one accepts a subscription and stays
# silent. Before, "/stream" carried all. `trade` is not in the venue's notice; public clients find it on /public.
# depth@0ms is not in the documentation either (100, 250, 500 ms are); public recorders use it and captures hold it.
USDM = Spec(
    name="binance-usdm",
    title="Binance USD-M futures",
    ws_url="wss://fstream.binance.com",
    rest_url="https://fapi.binance.com",
    default_symbols=LIQUID,
    default_streams=("depth@0ms", "trade", "bookTicker"),
    quotes=USDM_QUOTES,
    paths=(("/public/stream", frozenset({"depth", "bookTicker", "trade"})), ("/market/stream", frozenset())),
    send_interval=0.125,  # 10 messages a second
    steps=BookSteps(drops_equal=False, overlap=False),
    depth_path="/fapi/v1/depth",
    depth_limit=1000,
    depth_weight=20,
    weight_per_minute=2400,
    leaves_out=True,
)

# No capture of this market was at hand: its messages are USD-M's as documented, with the pair ("ps") beside the symbol.
# A snapshot is known to fall between two updates (pu == lastUpdateId), as at USD-M. Its limit on streams was 200 in the
# documentation for long and is kept; `trade` is not in it, so trades are taken as aggregates.
COINM = Spec(
    name="binance-coinm",
    title="Binance COIN-M futures",
    ws_url="wss://dstream.binance.com",
    rest_url="https://dapi.binance.com",
    default_symbols=("BTC_USD_PERP", "ETH_USD_PERP", "SOL_USD_PERP", "XRP_USD_PERP", "BNB_USD_PERP"),
    default_streams=("depth@100ms", "aggTrade", "bookTicker"),
    quotes=("USD",),
    paths=(("/stream", frozenset()),),
    send_interval=0.125,  # 10 messages a second
    steps=BookSteps(drops_equal=False, overlap=False),
    depth_path="/dapi/v1/depth",
    depth_limit=1000,
    depth_weight=20,
    weight_per_minute=2400,
    trade_streams=("aggTrade",),
    streams_per_connection=200,
    pairs=False,
    leaves_out=True,
)

SIM = Spec(
    name="sim",
    title="Synthetic exchange",
    ws_url="ws://127.0.0.1:7801",
    rest_url="http://127.0.0.1:7801",
    default_symbols=("ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT", "DELTA_USDT"),
    default_streams=SPOT.default_streams,
    quotes=SPOT.quotes,
    paths=SPOT.paths,
    send_interval=SPOT.send_interval,
    steps=SPOT.steps,
    depth_path=SPOT.depth_path,
    depth_limit=SPOT.depth_limit,
    depth_weight=1,  # ours: it has no limit to keep
    weight_per_minute=6000,
    reconnect_after=0.0,
    lists_of=SPOT.name,
)


class Binance(Adapter):
    """A market of Binance. Immutable."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.name = spec.name
        self.title = spec.title
        self.ws_url = spec.ws_url
        self.rest_url = spec.rest_url
        self.default_symbols = spec.default_symbols
        self.default_streams = spec.default_streams
        self.trade_streams = spec.trade_streams
        self.reconnect_after = spec.reconnect_after
        self._symbols = JoinedSymbols(
            spec.name, spec.quotes, closed=not spec.pairs, any_script=True, lists_of=spec.lists_of
        )
        self._depth = next(stream for stream in spec.default_streams if _DIFF_DEPTH.fullmatch(stream))

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return (self.spec.depth_path.replace("depth", "exchangeInfo"),)

    def listed(self) -> tuple[str, ...]:
        if self.spec.pairs:
            return super().listed()
        perpetuals = (f"{pair}_PERP" for pair in self._symbols.own)  # a pair alone is no contract here
        return tuple(sorted({*self.default_symbols, *perpetuals}))

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for a stream no stream can be called."""
        symbols = self._feeds(symbols)
        for symbol in symbols:
            if not self.spec.pairs and symbol.count("_") < 2:
                raise UnknownSymbol(f"{self.name}: {symbol} is a pair; expected a contract of it, as {symbol}_PERP")
        by_path: dict[str, list[str]] = {}
        of_all: dict[str, list[str]] = {}
        for stream in dict.fromkeys(streams):
            if _STREAM.fullmatch(stream):
                by_path.setdefault(self._path(stream), []).append(stream)
            elif _OF_ALL.fullmatch(stream):
                of_all.setdefault(self._path(stream), []).append(stream)
            else:
                raise UsageError(
                    f"{self.name}: {stream!r} is no stream; expected the form of {self._depth!r} or 'trade'"
                )
        connections = []
        for path, carried in by_path.items():
            room = max(1, self.spec.streams_per_connection // len(carried))
            for start in range(0, len(symbols), room):
                names = [
                    f"{self.native(symbol).lower()}@{stream}"
                    for symbol in symbols[start : start + room]
                    for stream in carried
                ]
                connections.append(self._connection(path, symbols[start : start + room], names))
        connections += [self._connection(path, (), names) for path, names in of_all.items()]
        return tuple(connections)

    def _path(self, stream: str) -> str:
        head = re.split("[@_0-9]", stream, maxsplit=1)[0]
        for path, heads in self.spec.paths:
            if head in heads:
                return path
        return self.spec.paths[-1][0]

    def _connection(self, path: str, symbols: tuple[str, ...], names: list[str]) -> Connection:
        frames: list[str] = []
        for start in range(0, len(names), STREAMS_PER_FRAME):
            params = ",".join(f'"{name}"' for name in names[start : start + STREAMS_PER_FRAME])
            frames.append(f'{{"method":"SUBSCRIBE","params":[{params}],"id":{len(frames) + 1}}}')
        return Connection(path, tuple(frames), symbols, self.spec.send_interval)

    def asks(self, frame: str) -> Request | None:
        told = said(frame)
        if told.get("method") != "SUBSCRIBE":
            return None
        return Request(tuple(map(self._wanted, listed(told.get("params")))), number_of(told.get("id")))

    def _wanted(self, name: str) -> Wanted:
        native, at, stream = name.partition("@")
        if native.startswith("!"):
            return Wanted(None, name, name, native[1:] + at + stream)
        return Wanted(self.named(native), stream, name)

    def answer(self, payload: bytes) -> Answer | None:
        """A refusal is printed bare in the documentation, and came in an object "error" as well. It costs the whole
        request. Doubt: a name of the right form that no market has is acknowledged, and silent."""
        told = said(payload)
        number = number_of(told.get("id"))
        error = inner(told.get("error")) or told
        if "code" in error:
            return Refused(str(error.get("msg", error["code"])), number=number)
        return Acknowledged(number=number) if "result" in told and number is not None else None

    def route(self, payload: bytes) -> Hashable | None:
        """The stream name of a combined message (bytes); (event, symbol) of a bare one; True of an answer,
        False of a notice that the connection is to end."""
        if payload.startswith(_WRAPPED):
            end = payload.find(b'"', 11, 12 + MAX_KEY)
            return payload[11:end] if end > 11 else None
        if payload.startswith(_ANSWERS):
            return True
        if payload.startswith(_SHUTDOWN):
            return False
        head = payload[:_BARE_HEAD]
        symbol = _BARE_SYMBOL.search(head)
        if symbol is None:
            return None
        event = _BARE_EVENT.search(head)
        if event is not None:
            return event[1], symbol[1]
        return (b"bookTicker", symbol[1]) if _BARE_QUOTE.match(head) else None

    _marks = ((True, _SESSION), (False, _ENDING))

    def _placed(self, key: Hashable) -> Place:
        try:
            if isinstance(key, bytes):
                native, at, stream = wire_text(key).partition("@")
                if native.startswith("!"):  # of all symbols at once
                    return Place(None, native[1:] + at + stream) if _STREAM.fullmatch(native[1:]) else _OTHER
            elif isinstance(key, tuple):
                event, native = (wire_text(part) for part in key)
                # A bare message does not say at which pace it was asked for.
                stream = {"depthUpdate": self._depth, "markPriceUpdate": "markPrice"}.get(event, event)
            else:
                return _OTHER
            if len(stream) > MAX_KEY or not _STREAM.fullmatch(stream):
                return _OTHER
            return Place(self.named(native), stream)
        except (UnicodeDecodeError, UnknownSymbol, ValueError, AttributeError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        """Of combined and of bare messages."""
        return decoder(self._head(stream), stream)

    def _head(self, stream: str) -> str:
        if _DIFF_DEPTH.fullmatch(stream):
            return "depth"
        return "markPrice" if _MARK_PRICE.fullmatch(stream) else stream

    def rule(self, stream: str) -> Rule | None:
        rules: dict[str, Callable[[], Rule]] = {
            "depth": lambda: ContiguousRule(self.spec.steps),
            "trade": IdRule,
            "aggTrade": lambda: AggregateRule(leaves_out=self.spec.leaves_out),
            "bookTicker": RisingRule,
        }
        make = rules.get(self._head(stream))
        return make() if make else None

    def is_book(self, stream: str) -> bool:
        return _DIFF_DEPTH.fullmatch(stream) is not None

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest:
        spec = self.spec
        return HttpRequest("GET", f"{spec.depth_path}?symbol={self._in_url(symbol)}&limit={spec.depth_limit}")

    def snapshot_weight(self, symbol: str) -> float:
        return 60.0 * self.spec.depth_weight / self.spec.weight_per_minute
