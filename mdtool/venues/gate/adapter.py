"""Gate: spot, and the USDT-settled perpetuals.

Rule: one class, and a row of `Spec` per market; what differs between markets is data.

The venue numbers each book: `order_book_update` continues a REST answer by its id, `obu` begins with a whole book on
the stream. A stream is called by the channel's word without the market: "order_book_update", "obu-400",
"candlesticks-1m".

Sources: www.gate.com/docs/developers "Spot WebSocket v4", "Futures WebSocket v4", "Order book update". Doubts: requests
have to carry a time, which public channels are not known to look at, and 0 is sent; a message of several trades or
tickers has one contract in every sample, and is routed by the first; whether a positive size of a liquidation is a
short position bought back is taken from the sign of orders, where positive buys. Sizes of contracts are numbers of
contracts, not of coins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.venues.decoding import other
from mdtool.venues.gate.old import FIRST, LAST, METHOD, OLD
from mdtool.venues.gate.symbols import instruments
from mdtool.venues.gate.wire import decoder
from mdtool.venues.sequence import BookSteps, ContiguousRule, RisingRule, Rule
from mdtool.venues.spelling import wire_text
from mdtool.venues.subscribing import inner, listed, said
from mdtool.venues.symbols import SplitSymbols
from mdtool.venues.venue import (
    Acknowledged,
    Adapter,
    Answer,
    Connection,
    Decoder,
    Heartbeat,
    HttpRequest,
    Place,
    Refused,
    Request,
    Wanted,
)

UPDATES = "order_book_update"
USUAL_PACE = "100ms"  # of updates, where a stream names none
FULL_FIRST = "obu"  # order book, second version
# Neither subscriptions nor arguments are limited in the documentation, only connections (300 an IP); public clients
# stay below these.
SYMBOLS_PER_CONNECTION = 100
SYMBOLS_PER_FRAME = 50
SEND_INTERVAL = 0.05
BEAT = 15.0  # seconds

_SESSION = Place(None, "session")
_OTHER = Place(None, "other")
_PING = Place(None, "ping")
_STREAM = re.compile(r"[a-z][a-z0-9_]{0,30}(-[0-9a-z]{1,10})?", re.ASCII)
_CHANNEL = re.compile(rb'"channel"\s*:\s*"(?:spot|futures)\.([a-z0-9_]{1,32})"\s*,\s*"event"\s*:\s*"([a-z]{0,16})"')
_SYMBOL = re.compile(rb'"(?:s|currency_pair|contract|n)"\s*:\s*"([^"\x00-\x20]{1,96})"')
_HEAD = 256  # bytes in which a message has named its channel, and the symbol where ladders do not stand before it


@dataclass(frozen=True, slots=True)
class Spec:
    """One market."""

    name: str
    title: str
    ws_url: str
    path: str  # of the websocket
    rest_url: str
    prefix: str  # of its channels
    default_symbols: tuple[str, ...]
    default_streams: tuple[str, ...]
    book_path: str  # of the REST answer, up to the symbol
    list_path: str  # of its instruments


SPOT = Spec(
    name="gate",
    title="Gate spot",
    ws_url="wss://api.gateio.ws",
    path="/ws/v4/",
    rest_url="https://api.gateio.ws",
    prefix="spot",
    default_symbols=("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "DOGE_USDT", "GT_USDT"),
    default_streams=(UPDATES, "trades", "book_ticker"),
    book_path="/api/v4/spot/order_book?currency_pair=",
    list_path="/api/v4/spot/currency_pairs",
)
FUTURES = Spec(
    name="gate-futures",
    title="Gate USDT perpetuals",
    ws_url="wss://fx-ws.gateio.ws",
    path="/v4/ws/usdt",
    rest_url="https://api.gateio.ws",
    prefix="futures",
    default_symbols=("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "DOGE_USDT"),
    default_streams=(UPDATES, "trades", "book_ticker", "tickers", "public_liquidates"),
    book_path="/api/v4/futures/usdt/order_book?contract=",
    list_path="/api/v4/futures/usdt/contracts",
)
LEVELS = 100  # a side of the REST answer; deeper ones are known once they change


class Gate(Adapter):
    """A market of Gate. Immutable."""

    trade_streams: tuple[str, ...] = ("trades",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.name = spec.name
        self.title = spec.title
        self.ws_url = spec.ws_url
        self.rest_url = spec.rest_url
        self.default_symbols = spec.default_symbols
        self.default_streams = spec.default_streams
        self._symbols = SplitSymbols(spec.name, "_")

    _read_list = staticmethod(instruments)

    def _list_paths(self) -> tuple[str, ...]:
        return (self.spec.list_path,)

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """Raises UnknownSymbol, and UsageError for what no channel can be called."""
        for stream in streams:
            if not _STREAM.fullmatch(stream):
                raise UsageError(
                    f"{self.name}: {stream!r} is no channel; expected the form of {UPDATES!r}, 'obu-400' or 'trades'"
                )
        canonical = self._feeds(symbols)
        beat = Heartbeat(BEAT, f'{{"time":0,"channel":"{self.spec.prefix}.ping"}}')
        return tuple(
            Connection(self.spec.path, tuple(self._frames(some, streams)), some, SEND_INTERVAL, beat)
            for start in range(0, len(canonical), SYMBOLS_PER_CONNECTION)
            if (some := canonical[start : start + SYMBOLS_PER_CONNECTION])
        )

    def _frames(self, symbols: Sequence[str], streams: Sequence[str]) -> Iterator[str]:
        for stream in dict.fromkeys(streams):
            if stream.partition("-")[0] in (UPDATES, "candlesticks"):  # these take one symbol a request
                for symbol in symbols:
                    yield self._frame("subscribe", stream, [symbol])
                continue
            for start in range(0, len(symbols), SYMBOLS_PER_FRAME):
                yield self._frame("subscribe", stream, symbols[start : start + SYMBOLS_PER_FRAME])

    def _frame(self, event: str, stream: str, symbols: Sequence[str]) -> str:
        channel, _, form = stream.partition("-")
        natives = [self.native(symbol) for symbol in symbols]
        if channel == UPDATES:
            args = [natives[0], form or USUAL_PACE]
        elif channel == "candlesticks":
            args = [form or "1m", natives[0]]
        elif channel == FULL_FIRST:
            args = [f"ob.{native}.{form or '400'}" for native in natives]
        else:
            args = natives
        payload = ",".join(f'"{arg}"' for arg in args)
        return f'{{"time":0,"channel":"{self.spec.prefix}.{channel}","event":"{event}","payload":[{payload}]}}'

    def asks(self, frame: str) -> Request | None:
        """Requests are told apart by their channel: answers of one come in the order asked."""
        told = said(frame)
        if told.get("event") != "subscribe":
            return None
        word = str(told.get("channel"))
        channel, args = word.partition(".")[2], listed(told.get("payload"))
        if channel == UPDATES:
            named = [(args[0], channel if args[1] == USUAL_PACE else f"{channel}-{args[1]}")]
        elif channel == "candlesticks":
            named = [(args[1], f"{channel}-{args[0]}")]
        elif channel == FULL_FIRST:
            parts = [arg.split(".") for arg in args]
            named = [(native, f"{channel}-{form}") for _, native, form in parts]
        else:
            named = [(native, channel) for native in args]
        recorded = channel if channel == UPDATES else ""
        return Request(tuple(Wanted(self.named(native), stream, native, recorded) for native, stream in named), word)

    def answer(self, payload: bytes) -> Answer | None:
        """One symbol that is not there costs the whole request."""
        told = said(payload)
        if told.get("event") != "subscribe":
            return None
        error, channel = inner(told.get("error")), str(told.get("channel"))
        if error:
            return Refused(str(error.get("message", error.get("code", ""))), number=channel)
        return Acknowledged(number=channel)

    def route(self, payload: bytes) -> Hashable | None:
        """(channel, what names the symbol); True of an answer, False of a pong."""
        found = _CHANNEL.search(payload[:_HEAD])
        if found is None:
            return _key_of_old(payload)
        channel, event = found.groups()
        if channel == b"pong":
            return False
        if event not in (b"update", b"all"):
            return True
        symbol = _SYMBOL.search(payload, found.end(), found.end() + _HEAD) or _SYMBOL.search(payload, found.end())
        return (channel, symbol[1]) if symbol else None

    _marks = ((True, _SESSION), (False, _PING))

    def _placed(self, key: Hashable) -> Place:
        try:
            if not isinstance(key, tuple):
                return _OTHER
            if len(key) == 3 and key[0] == OLD.mark:
                return Place(self.named(wire_text(key[2])), OLD.mark + key[1].decode("ascii"))
            stream, word = (wire_text(part) for part in key)
            if stream == FULL_FIRST:  # "ob.BTC_USDT.400"
                word, _, depth = word.partition(".")[2].rpartition(".")
                stream += f"-{depth}"
            elif stream == "candlesticks":  # "1m_BTC_USDT"
                form, _, word = word.partition("_")
                stream += f"-{form}"
            return Place(self.named(word), stream) if _STREAM.fullmatch(stream) else _OTHER
        except (UnicodeDecodeError, UnknownSymbol, AttributeError, ValueError):
            return _OTHER

    def decoder(self, stream: str) -> Decoder:
        if OLD.has(stream):
            return OLD.decoder(stream)
        return decoder(stream.partition("-")[0], stream) or other(stream)

    def rule(self, stream: str) -> Rule | None:
        # Steps: keep what comes; the REST answer has id; drop u < id + 1; the first kept has U <= id + 1 <= u; then
        # U == previous u + 1, else begin again. `obu` begins with full: true; then the same.
        if OLD.has(stream):
            return OLD.rule(stream)
        rules: dict[str, Callable[[], Rule]] = {
            UPDATES: lambda: ContiguousRule(BookSteps(drops_equal=True, overlap=False)),
            FULL_FIRST: lambda: ContiguousRule(BookSteps(drops_equal=True, overlap=False)),
            "trades": RisingRule,  # ids are one row of numbers for all pairs
            "book_ticker": RisingRule,
        }
        make = rules.get(stream.partition("-")[0])
        return make() if make else None

    def is_book(self, stream: str) -> bool:
        return stream.partition("-")[0] in (UPDATES, FULL_FIRST) or OLD.book(stream) is not None

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        return self._frame("unsubscribe", stream, [symbol]), self._frame("subscribe", stream, [symbol])

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        if stream is not None and (stream.partition("-")[0] == FULL_FIRST or OLD.has(stream)):
            return None
        return HttpRequest("GET", f"{self.spec.book_path}{self._in_url(symbol)}&limit={LEVELS}&with_id=true")

    def snapshot_weight(self, symbol: str) -> float:
        return 0.1  # 200 requests in 10 s, to each endpoint


def _key_of_old(payload: bytes) -> Hashable | None:
    """(mark, method, symbol) of a message of the third API."""
    method = METHOD.search(payload[:_HEAD]) or METHOD.search(payload[-_HEAD:])
    if method is None:
        return None
    symbol = LAST.search(payload[-_HEAD:]) if method[1] == b"depth" else FIRST.search(payload[:_HEAD])
    return (OLD.mark, method[1], symbol[1]) if symbol else None
