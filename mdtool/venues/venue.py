"""What a venue adapter is. Sans-IO: bytes and names in, values out; no socket, no clock, no await.

An adapter answers six questions: what to connect to and send (`plan`), what became of that (`asks`, `answer`), where a
frame belongs (`router`, `place`), what it says (`decoder`), what its sequence promises (`rule`), and how to ask for a
whole book (`snapshot_request`).
`Adapter` answers what most venues answer alike.

A format that changed by date is a table of eras. Which one a message is of, the message itself says where it can (its
form, or the venue's time in it), so that a record decodes alike wherever it stands.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, Self, TypeVar, cast
from urllib.parse import quote

from mdtool.errors import WireError
from mdtool.model import OTHER_STREAM, Message
from mdtool.venues.checksum import Checksum
from mdtool.venues.listed import SymbolTable
from mdtool.venues.sequence import ConnectionRule, Rule
from mdtool.venues.spelling import Symbols

Decoder = Callable[[bytes], Sequence[Message]]  # raises errors.WireError; never anything else


T = TypeVar("T")


class Era(NamedTuple, Generic[T]):
    """What held until a time."""

    until_ns: int | None  # exclusive, by the venue's clock; None: to this day
    value: T


def at(eras: Sequence[Era[T]], ns: int) -> T:
    """The value of the era a time lies in; the last era's beyond all."""
    return next((era.value for era in eras if era.until_ns is None or ns < era.until_ns), eras[-1].value)


class Heartbeat(NamedTuple):
    """A text frame the client has to send now and then."""

    interval: float  # seconds
    frame: str


class Reply(NamedTuple):
    """What a frame of the venue asks for: send this text frame."""

    frame: str


class Reconnect(NamedTuple):
    """What a frame of the venue asks for: this connection is about to end; open another at once."""

    why: str


class Wanted(NamedTuple):
    """One subscription that a request asks for."""

    symbol: str | None  # canonical; None: of no one symbol
    stream: str  # in the words of `Venue.plan`
    topic: str  # what an answer calls it, where it names any
    recorded: str = ""  # the stream its messages are placed in, where that has another name

    @property
    def placed(self) -> str:
        """The stream its messages are recorded in."""
        return self.recorded or self.stream


@dataclass(frozen=True, slots=True)
class Request:
    """A frame of a plan that asks for subscriptions."""

    wanted: tuple[Wanted, ...]
    number: str | None = None  # what its answer repeats of it


class Acknowledged(NamedTuple):
    """The venue says that it sends from now on what a request asked for."""

    topics: tuple[str, ...] | None = None  # None: all of it
    number: str | None = None  # of the request; None: the answer does not say
    rest: str | None = None  # why the request's other topics are refused; None: of those it says nothing


class Refused(NamedTuple):
    """The venue says that it does not send what a request asked for."""

    reason: str
    topics: tuple[str, ...] | None = None  # None: the request as a whole, whatever else was right in it
    number: str | None = None


Answer = Acknowledged | Refused


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A REST request."""

    method: str
    path: str  # joined to the REST base URL, query included


class Endpoint(NamedTuple):
    """Where the answer to a bootstrap request says to connect."""

    url: str  # whole
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """One websocket connection of a plan."""

    path: str  # joined to the websocket base URL, e.g. "/public/stream"
    send: tuple[str, ...]  # text frames to send once open, in this order
    symbols: tuple[str, ...]  # canonical symbols it carries
    send_interval: float = 0.25  # seconds between two frames sent: the venue's limit on inbound messages
    heartbeat: Heartbeat | None = None
    bootstrap: HttpRequest | None = None  # asked before each connect; `Venue.endpoint` reads its answer
    greeted: bool = False  # nothing is sent before the venue's first frame has come


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs, and what it asks of the client."""

    symbol: str | None  # canonical; None: the venue's session feed
    stream: str  # the stream's name inside the feed
    action: Reply | Reconnect | None = None


@dataclass(frozen=True, slots=True)
class BookTraits:
    """How a stream's book is kept, beyond its sequence."""

    # The subscribed depth where levels that fall out of it are not deleted by a message. The deepest of a feed's
    # streams is its book (None is deepest).
    depth: int | None = None
    checksum: Checksum | None = None
    by_order: bool = False  # its messages are OrderUpdates
    depths: tuple[int, ...] = ()  # where the stream does not say which: a whole book of as many levels tells


class Router(Protocol):
    """The routing of one connection. One that keeps state learns from the frames it is shown, in their order."""

    def route(self, payload: bytes) -> Hashable | None:
        """A cheap key of where a frame belongs, without decoding it: equal keys, equal place, on every connection.
        None: the session feed, stream "other". Never raises, whatever the bytes."""
        ...


class Venue(Protocol):
    """One venue. Instances are immutable and shared."""

    name: str  # CLI name, "binance-usdm"
    title: str  # for people, "Binance USD-M futures"
    ws_url: str  # default websocket base, no trailing slash
    rest_url: str  # default REST base, no trailing slash
    default_symbols: tuple[str, ...]  # recorded when none is named
    default_streams: tuple[str, ...]  # subscribed when none is named
    trade_streams: tuple[str, ...]  # those of default_streams that carry trades
    reconnect_after: float  # seconds after which the venue cuts a connection anyway (0: never)
    snapshot_every: float  # seconds between two whole books of a feed whose numbers show no loss (0: never)

    def canonical(self, symbol: str) -> str:
        """The canonical form of any spelling a person may use ("ETHUSDT", "ethusdt", "eth-usdt" or "ETH_USDT" ->
        "ETH_USDT"; "=NAME": the venue's own name as it is). Raises UnknownSymbol, with what is near."""
        ...

    def named(self, native: str) -> str:
        """What the feed of an instrument is called that the venue calls `native`: canonical, or the venue's own name
        where no rule reads it, so that no two of them share a feed. Raises UnknownSymbol only for what nothing can be
        called."""
        ...

    def native(self, symbol: str) -> str:
        """The venue's spelling of a feed's symbol ("ETH_USDT" -> "ETHUSDT"), and of any other spelling of it. Raises
        UnknownSymbol."""
        ...

    def spellings(self, symbol: str) -> tuple[str, ...]:
        """Every way the venue itself writes a feed's symbol."""
        ...

    def instrument_requests(self) -> tuple[HttpRequest, ...]:
        """The REST requests whose answers together list what the venue trades; () where it needs or has none."""
        ...

    def next_instruments(self, request: HttpRequest, body: bytes) -> HttpRequest | None:
        """The request for the page behind an answer to one of those; None where it was the last. Never raises, and
        never reads more of it than it takes."""
        ...

    def instruments(self, body: bytes) -> SymbolTable:
        """What one of those answers lists, as far as it can be named. Raises WireError for what is no such list."""
        ...

    def knowing(self, table: SymbolTable) -> Self:
        """The venue with a list of its own, which overrules what is known of its symbols."""
        ...

    def listed(self) -> tuple[str, ...]:
        """The symbols it is known to list and those it records where none is named, sorted: what patterns are held
        against. There may be others."""
        ...

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """The connections that carry these canonical symbols, within the venue's limits. `streams` in the venue's own
        words without the symbol, e.g. "depth@100ms"."""
        ...

    def asks(self, frame: str) -> Request | None:
        """What a frame of its own asks to be sent; None of one that subscribes to nothing."""
        ...

    def answer(self, payload: bytes) -> Answer | None:
        """What a frame of the session's stream says of a request to subscribe; None where that is nothing. An answer
        that names neither topics nor a number is to the oldest request that has none yet."""
        ...

    def router(self) -> Router:
        """The routing of a fresh connection."""
        ...

    def place(self, key: Hashable) -> Place:
        """The place behind a key of a router. Called once a key, or each time where it has an action. Never raises."""
        ...

    def decoder(self, stream: str) -> Decoder:
        """The decoder of a stream's DATA payloads (and of "snapshot", a RESPONSE). A stream it does not know decodes
        to (Other(stream),)."""
        ...

    def rule(self, stream: str) -> Rule | None:
        """A fresh sequence rule for one feed's stream; None where the stream promises nothing."""
        ...

    def is_book(self, stream: str) -> bool:
        """Whether the stream's messages build the book (BookUpdate or OrderUpdate)."""
        ...

    def traits(self, stream: str) -> BookTraits:
        """How a book stream's book is kept."""
        ...

    def connection_rule(self) -> ConnectionRule | None:
        """A fresh rule over all frames of one connection; None where the venue does not number them across streams."""
        ...

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        """The text frames that make the venue send the whole book again on the connection that carries it; () where
        only a new connection does. For venues without `snapshot_request`."""
        ...

    def endpoint(self, connection: Connection, body: bytes) -> Endpoint:
        """What the answer to the connection's bootstrap request says. Raises WireError."""
        ...

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        """The REST request for the whole book of a canonical symbol, as one of its book streams needs it (None: as the
        default one does); None where whole books come on the stream."""
        ...

    def snapshot_weight(self, symbol: str) -> float:
        """Seconds to leave after a snapshot request so that the venue's REST limit holds."""
        ...


class Adapter:
    """What most venues answer alike. A stateless adapter is its own router."""

    _symbols: Symbols

    _read_list: Callable[[str, bytes], SymbolTable] | None = None  # the venue's name and an answer, to what it lists
    # Keys that stand for a place of their own: True of an answer, False of a sign of life, () of the end of a
    # connection that is announced. What they share with a key of another type is no more than a look.
    _marks: tuple[tuple[Hashable, Place], ...] = ()

    name: str
    default_symbols: tuple[str, ...]
    default_streams: tuple[str, ...]
    trade_streams: tuple[str, ...] = ("trade",)
    reconnect_after: float = 0.0
    snapshot_every: float = 0.0

    def __repr__(self) -> str:
        return f"<venue {self.name}>"

    def canonical(self, symbol: str) -> str:
        return self._symbols.canonical(symbol)

    def named(self, native: str) -> str:
        return self._symbols.named(native)

    def native(self, symbol: str) -> str:
        return self._symbols.native(symbol)

    def spellings(self, symbol: str) -> tuple[str, ...]:
        return self._symbols.spellings(symbol)

    def listed(self) -> tuple[str, ...]:
        return tuple(sorted({*self.default_symbols, *self._symbols.own}))

    def place(self, key: Hashable) -> Place:
        for mark, place in self._marks:
            if type(key) is type(mark) and key == mark:
                return place
        return self._placed(key)

    def _placed(self, key: Hashable) -> Place:
        """The place behind a key that is no mark. Never raises."""
        return Place(None, OTHER_STREAM)

    def instrument_requests(self) -> tuple[HttpRequest, ...]:
        return tuple(HttpRequest("GET", path) for path in self._list_paths())

    def next_instruments(self, request: HttpRequest, body: bytes) -> HttpRequest | None:
        return None

    def instruments(self, body: bytes) -> SymbolTable:
        if self._read_list is None:
            raise WireError(f"{self.name}: no list of instruments is asked for")
        return self._read_list(self.name, body)

    def _list_paths(self) -> tuple[str, ...]:
        """Where the venue's REST lists its instruments."""
        return ()

    def knowing(self, table: SymbolTable) -> Self:
        made = copy.copy(self)
        made._symbols = self._symbols.knowing(table)
        return made

    def _in_url(self, symbol: str) -> str:
        """The venue's spelling as a part of a URL."""
        return quote(self.native(symbol), safe="")

    def _feeds(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """The feeds' symbols of what a plan is made for, each once. Raises UnknownSymbol."""
        return tuple(dict.fromkeys(self._symbols.feed(symbol) for symbol in symbols))

    def asks(self, frame: str) -> Request | None:
        return None

    def answer(self, payload: bytes) -> Answer | None:
        return None

    def router(self) -> Router:
        return cast(Router, self)

    def traits(self, stream: str) -> BookTraits:
        return _PLAIN

    def connection_rule(self) -> ConnectionRule | None:
        return None

    def snapshot_request(self, symbol: str, stream: str | None = None) -> HttpRequest | None:
        return None

    def snapshot_weight(self, symbol: str) -> float:
        return 1.0

    def resubscribe(self, symbol: str, stream: str) -> tuple[str, ...]:
        return ()

    def endpoint(self, connection: Connection, body: bytes) -> Endpoint:
        raise WireError(f"{self.name}: no connection of it is bootstrapped")


_PLAIN = BookTraits()


def reach(venue: Venue, stream: str) -> float:
    """How many levels a side a book stream tells of."""
    depth = venue.traits(stream).depth
    return math.inf if depth is None else depth


def book_stream(venue: Venue, streams: Iterable[str]) -> str | None:
    """Which of a feed's streams is its book: the deepest, the first of those alike; None where none builds one."""
    return max((name for name in streams if venue.is_book(name)), key=lambda name: reach(venue, name), default=None)
