"""What stands behind a server: the seam between what an exchange says and how it is asked.

A *source* knows instruments, publishes messages and can state the whole book. It knows no socket, no subscription and
no client. An *outlet* takes what is published; it knows no market. Both live in one event loop: `publish` is a plain
call, so the order of calls is the order of messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mdtool.model import Scale

Level = tuple[int, int]  # price mantissa, size mantissa
RestingOrder = tuple[int | str, int, int]  # the venue's id of it, price mantissa, size mantissa


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol a source offers. `scale` holds the digits its wire prints; tick and step are mantissas of it."""

    symbol: str  # canonical, "ALPHA_USDT"
    native: str  # the venue's spelling, "ALPHAUSDT"
    scale: Scale
    tick: int = 1
    step: int = 1

    @property
    def base(self) -> str:
        return self.symbol.partition("_")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("_")[2].partition("_")[0]  # behind it a contract's date, or PERP


@dataclass(frozen=True, slots=True)
class BookView:
    """The whole book at one update id, best levels first, for the protocol to print in its own form."""

    last_id: int
    venue_ns: int  # the venue's time of last_id
    scale: Scale  # digits to print
    bids: Sequence[Level]
    asks: Sequence[Level]


@dataclass(frozen=True, slots=True)
class OrdersView:
    """The whole book by order at one update id, best price first, and at one price the oldest first."""

    last_id: int
    venue_ns: int
    scale: Scale
    bids: Sequence[RestingOrder]
    asks: Sequence[RestingOrder]


class Outlet(Protocol):
    """Where a source publishes."""

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        """One message of a canonical symbol's stream, to whoever listens. Never blocks, never raises."""
        ...

    def lose(self, symbol: str, stream: str, payload: bytes) -> None:
        """One message that gets lost on its way: it has had its number on each listener's connection, where those are
        numbered."""
        ...

    def corrupt(self, symbol: str, stream: str, payload: bytes, spoil: Callable[[bytes], bytes]) -> None:
        """One message that reaches each listener otherwise than it was sent: as `spoil` leaves its frame."""
        ...

    def listeners(self, symbol: str, stream: str) -> int:
        """How many clients would get a message published now."""
        ...

    async def drain(self) -> None:
        """Returns when every client has room again. Only a source that is faster than time waits for it."""
        ...

    def cut(self, code: int | None) -> None:
        """Ends every connection: with a close frame of that code, or without a word (None)."""
        ...


class Passing:
    """An outlet in front of another, which passes on what is published and whatever else is done to it; who inherits it
    changes some of that."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        self._outlet.publish(symbol, stream, payload)

    def lose(self, symbol: str, stream: str, payload: bytes) -> None:
        self._outlet.lose(symbol, stream, payload)

    def corrupt(self, symbol: str, stream: str, payload: bytes, spoil: Callable[[bytes], bytes]) -> None:
        self._outlet.corrupt(symbol, stream, payload, spoil)

    def listeners(self, symbol: str, stream: str) -> int:
        return self._outlet.listeners(symbol, stream)

    async def drain(self) -> None:
        await self._outlet.drain()

    def cut(self, code: int | None) -> None:
        self._outlet.cut(code)


class Source(Protocol):
    """What an exchange says."""

    recorded: bool  # whether its messages were sent before, with the numbers their connection had then

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    async def run(self, outlet: Outlet) -> None:
        """Publishes until there is nothing more to say. Returning means the exchange closes; one that has merely
        fallen silent does not return. Cancelled when the server stops."""
        ...

    def listened(self) -> None:
        """A client has subscribed to a stream. Called on every subscription, after it took effect."""
        ...

    def depth(self, symbol: str, limit: int) -> BookView | bytes | None:
        """The book of a canonical symbol, at most `limit` levels a side; bytes are a recorded answer's body. None: the
        source has no book to give (yet)."""
        ...

    def orders(self, symbol: str) -> OrdersView | bytes | None:
        """The same by order, all of it. None where the source has no orders to tell."""
        ...

    def first(self, symbol: str, stream: str) -> bytes | None:
        """The first message a recording holds of a canonical symbol's stream; None where there is none, or nothing is
        recorded. For what a venue announces before it sends, a channel's number above all."""
        ...

    def whole(self, symbol: str, stream: str) -> bytes | None:
        """The whole book as a message of the stream, for a client that subscribes now: what all others have. None
        where the venue sends none."""
        ...

    def lists(self) -> Mapping[str, bytes]:
        """The venue's lists of instruments that a recording holds, by the path and query they were asked for with."""
        ...

    def streams(self, symbol: str) -> Sequence[str]:
        """The streams of a symbol that are known to be published."""
        ...

    def now_ms(self) -> int:
        """The exchange's own time, ms since the epoch."""
        ...
