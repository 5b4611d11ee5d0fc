"""The words everything shares: record kinds, decoded messages, the event dtype, decimal scales.

A *record* is one message exactly as received. A *message* is a record decoded by its venue, its ladders still wire
text. An *event* is one flat 64-byte row of a message: a level change, a trade, a side of a quote.
Prices and sizes are int64 mantissas with a decimal exponent: value = mantissa * 10**exponent. No float, ever.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import msgspec
import numpy as np

UNKNOWN = -1  # a sequence number the venue does not give
NO_TIME = 0  # a venue time the message does not carry
SESSION_SYMBOL = "_session"  # the feed of what belongs to no symbol


class Kind(IntEnum):
    """What a record is."""

    DATA = 1  # a frame received
    SENT = 2  # a frame sent
    OPEN = 3  # a connection opened; payload: JSON {"url", ...}
    CLOSE = 4  # a connection closed; payload: JSON {"code", "reason"}
    REQUEST = 5  # a REST request; payload: JSON {"method", "url"}
    RESPONSE = 6  # a REST answer's body, exact
    NOTE = 7  # what the recorder itself has to say; payload: JSON {"note", ...}
    END = 8  # a graceful stop of the feed's writer; payload: JSON {"reason"}


class Flag(IntFlag):
    """Bits of a record."""

    BINARY = 1  # the frame was binary, not text
    FAILED = 2  # a REST answer whose status was not 2xx
    IMPORTED = 4  # received by another tool, whose receive time this is


class Side(IntEnum):
    BID = 1
    ASK = 2


class EventKind(IntEnum):
    """What an event is."""

    LEVEL = 1  # a price level's size is now `size` (0 removes it)
    TRADE = 2  # `side` is the aggressor's: BID bought, ASK sold
    QUOTE = 3  # best bid or best ask, one event a side
    SNAPSHOT_BEGIN = 4  # what follows, up to SNAPSHOT_END, replaces the book
    SNAPSHOT_END = 5
    ORDER_ADD = 6
    ORDER_MODIFY = 7
    ORDER_DELETE = 8
    ORDER_EXECUTE = 9
    SEQUENCE = 10  # an update without levels: only the sequence advances


class EventFlag(IntFlag):
    LAST = 1  # the last event of its message


EVENT = np.dtype(
    [
        ("recv_ns", "<i8"),  # the recorder's clock
        ("venue_ns", "<i8"),  # the venue's clock, NO_TIME where not given
        ("seq", "<i8"),  # update id or trade id, UNKNOWN where not given
        ("prev_seq", "<i8"),  # the update id this one follows, UNKNOWN where not given
        ("price", "<i8"),  # mantissa
        ("size", "<i8"),  # mantissa
        ("order_id", "<u8"),  # L3 only
        ("feed", "<u4"),  # feed id within its store
        ("kind", "u1"),  # EventKind
        ("side", "u1"),  # Side, 0 where it has none
        ("flags", "<u2"),  # EventFlag
    ],
    align=True,
)
assert EVENT.itemsize == 64


class Scale(NamedTuple):
    """Decimal exponents of a feed: a price mantissa of 268162 at price_exp -2 is 2681.62."""

    price_exp: int
    size_exp: int

    def finest(self, other: Scale) -> Scale:
        """The scale that holds the digits of both."""
        return Scale(min(self.price_exp, other.price_exp), min(self.size_exp, other.size_exp))


def format_decimal(mantissa: int, exponent: int) -> str:
    """Exact plain decimal text of a mantissa: (268162, -2) -> '2681.62', (-5, 1) -> '-50'."""
    if exponent >= 0:
        return str(mantissa * 10**exponent)
    digits = str(abs(mantissa)).rjust(1 - exponent, "0")
    sign = "-" if mantissa < 0 else ""
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """A change of the book, or the whole of it. Ladders are wire text: `[["price","size"],...]`.

    `prev_seq` is the id this update claims to follow: the venue's own field where it has one, else first_seq - 1.
    Ids are UNKNOWN where the venue gives none.
    """

    venue_ns: int
    first_seq: int
    last_seq: int
    prev_seq: int
    bids: Any  # bytes-like (bytes or msgspec.Raw)
    asks: Any
    snapshot: bool = False


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One execution (or the venue's aggregate of several). `side` is the aggressor's."""

    venue_ns: int
    trade_id: int
    price: str
    size: str
    side: Side


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask."""

    venue_ns: int
    seq: int
    bid_price: str
    bid_size: str
    ask_price: str
    ask_size: str


class Other(msgspec.Struct, frozen=True, gc=False):
    """A message that is recorded and not decoded; `what` names it, for counting."""

    what: str


Message = BookUpdate | Trade | Quote | Other
