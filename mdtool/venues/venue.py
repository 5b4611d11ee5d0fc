"""What a venue adapter is. Sans-IO: bytes and names in, values out; no socket, no clock, no await.

An adapter answers five questions: what to connect to and send (`plan`), where a frame belongs (`route`, `place`),
what it says (`decoder`), what its sequence promises (`rule`), and how to ask for a whole book (`snapshot_request`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mdtool.model import Message
from mdtool.venues.sequence import Rule

Decoder = Callable[[bytes], Sequence[Message]]  # raises errors.WireError; never anything else


@dataclass(frozen=True, slots=True)
class Connection:
    """One websocket connection of a plan."""

    path: str  # joined to the websocket base URL, e.g. "/public/stream"
    send: tuple[str, ...]  # text frames to send once open, in this order
    symbols: tuple[str, ...]  # canonical symbols it carries
    send_interval: float = 0.25  # seconds between two frames sent: the venue's limit on inbound messages


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs."""

    symbol: str | None  # canonical; None: the venue's session feed
    stream: str  # the stream's name inside the feed


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A REST request."""

    method: str
    path: str  # joined to the REST base URL, query included


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

    def native(self, symbol: str) -> str:
        """The venue's spelling of a canonical symbol ("ETH_USDT" -> "ETHUSDT"). Raises UnknownSymbol."""
        ...

    def canonical(self, symbol: str) -> str:
        """The canonical form of either spelling ("ETHUSDT", "ethusdt" or "ETH_USDT" -> "ETH_USDT").
        Raises UnknownSymbol."""
        ...

    def plan(self, symbols: Sequence[str], streams: Sequence[str]) -> tuple[Connection, ...]:
        """The connections that carry these canonical symbols, within the venue's limits. `streams` in the venue's own
        words without the symbol, e.g. "depth@100ms"."""
        ...

    def route(self, payload: bytes) -> Hashable | None:
        """A cheap key of where a frame belongs, without decoding it: equal keys, equal place. None: the session feed,
        stream "other". Never raises, whatever the bytes."""
        ...

    def place(self, key: Hashable) -> Place:
        """The place behind a key of `route`. Called once a key. Never raises."""
        ...

    def decoder(self, stream: str) -> Decoder:
        """The decoder of a stream's DATA payloads (and of "snapshot", a RESPONSE). A stream it does not know decodes
        to (Other(stream),)."""
        ...

    def rule(self, stream: str) -> Rule | None:
        """A fresh sequence rule for one feed's stream; None where the stream promises nothing."""
        ...

    def is_book(self, stream: str) -> bool:
        """Whether the stream's messages build the book (BookUpdate)."""
        ...

    def snapshot_request(self, symbol: str) -> HttpRequest | None:
        """The REST request for the whole book of a canonical symbol; None where snapshots come on the stream."""
        ...

    def snapshot_weight(self, symbol: str) -> float:
        """Seconds to leave after a snapshot request so that the venue's REST limit holds."""
        ...
