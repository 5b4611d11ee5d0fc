"""The words everything shares: record kinds, decoded messages, the event dtype, decimal scales.

A *record* is one message exactly as received. A *message* is a record decoded by its venue, its ladders still wire
text. An *event* is one flat 64-byte row of a message: a level change, a trade, a side of a quote.
Prices and sizes are integer mantissas with a decimal exponent: value = mantissa * 10**exponent. No float, ever. They
are int64 while that holds them, and Python's integers where it does not.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

RATE_EXP = -18  # of a funding rate: not the feed's scale, as a rate is neither a price nor a size
UNKNOWN = -1  # a sequence number the venue does not give
NO_TIME = 0  # a venue time the message does not carry
SESSION_SYMBOL = "_session"  # the feed of what belongs to no symbol; of a second recorder beside the first `_session-2`
SESSION_STREAM = "session"  # of a feed: OPEN, CLOSE, SENT, NOTE and END records
OTHER_STREAM = "other"  # of the session feed: frames that no adapter knows a place for
LISTED_STREAM = "listed"  # of the session feed: REST requests for what the venue lists, and the answers
SNAPSHOT_STREAM = "snapshot"  # of a feed: REST requests for whole books, and the answers


def session_symbol(number: int) -> str:
    """The session feed of a venue's recorder, counted from 1: each has one of its own, as a feed has one writer."""
    return SESSION_SYMBOL if number == 1 else f"{SESSION_SYMBOL}-{number}"


def is_session(symbol: str) -> bool:
    """Whether a feed is one of what belongs to no symbol."""
    head, _, number = symbol.partition("-")
    return head == SESSION_SYMBOL and (symbol == head or number.isdigit())


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


class Verdict(IntEnum):
    """What the venue's sequence rule says of one update."""

    APPLY = 1  # follows the last one
    STALE = 2  # already contained in what came before: drop
    GAP = 3  # something between is missing
    RESET = 4  # the venue legally restarted its numbers: continue from here
    KEEPALIVE = 5  # no change, only a sign of life
    OUT_OF_ORDER = 6  # older than the last one and not a repeat of it
    UNVERIFIABLE = 7  # the venue gives nothing to check


class Side(IntEnum):
    """Of the book, or of a trade's aggressor: BID bought, ASK sold."""

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
    MARK = 11  # `price` is the mark price
    FUNDING = 12  # `size` is the rate at 10**RATE_EXP, signed; `seq` the time it is next paid, ns, UNKNOWN if not said
    LIQUIDATION = 13  # a forced order: `side` is the side it trades on
    STATUS = 14  # `size` is 1 where the instrument trades, 0 where it does not


class EventFlag(IntFlag):
    LAST = 1  # the last event of its message


_FIELDS = {
    "recv_ns": "<i8",  # the recorder's clock
    "venue_ns": "<i8",  # the venue's clock, NO_TIME where not given
    "seq": "<i8",  # update id or trade id, UNKNOWN where not given
    "prev_seq": "<i8",  # the update id this one follows, UNKNOWN where not given
    "price": "<i8",  # mantissa
    "size": "<i8",  # mantissa
    "order_id": "<u8",  # L3 only
    "feed": "<u4",  # feed id within its store
    "kind": "u1",  # EventKind
    "side": "u1",  # Side, 0 where it has none
    "flags": "<u2",  # EventFlag
}
EVENT = np.dtype(list(_FIELDS.items()), align=True)
assert EVENT.itemsize == 64
# The same in memory alone, with mantissas that are Python's integers: of any size.
WIDE_EVENT = np.dtype(list({**_FIELDS, "price": "O", "size": "O"}.items()), align=True)


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


def order_number(order_id: int | str) -> int:
    """The u64 an order id has in EVENT: the number itself where it is one that fits (decimal text too), else the first
    eight bytes, little-endian, of the BLAKE2b digest of its text. Of a billion ids in a feed two share such a digest
    with a probability of 3 %: exact ids are in the messages."""
    text = str(order_id)
    if text.isascii() and text.isdigit() and len(text) <= 20 and (number := int(text)) < 2**64:
        return number
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


# How a row of a wire ladder names its price and size: None for `["price","size"]` and nothing else; two indexes into a
# row of scalars, the others ignored; or two keys of an object. Numbers are strings or bare, except in None.
Shape = tuple[int, int] | tuple[str, str] | None


class Update(msgspec.Struct, frozen=True, gc=False):
    """A change of the book, or the whole of it (`snapshot`).

    `prev_seq` is the id this update claims to follow: the venue's own field where it has one, else first_seq - 1.
    Ids are UNKNOWN where the venue gives none. `in_stream`: the whole book came as a message of the stream itself and
    replaces all before it (where prev_seq is last_seq, it is one of several parts of that id); else (REST) it has to be
    bridged. `checksum` is of the book after it, as the venue says.
    """

    venue_ns: int
    first_seq: int
    last_seq: int
    prev_seq: int

    if TYPE_CHECKING:  # fields of both kinds; msgspec would put them before the kinds' own

        @property
        def snapshot(self) -> bool: ...
        @property
        def in_stream(self) -> bool: ...
        @property
        def checksum(self) -> int | None: ...


class BookUpdate(Update, frozen=True, gc=False):
    """An Update by price level (L2). Ladders are wire text, `[["price","size"],...]` or of another `shape`."""

    bids: Any  # bytes-like (bytes or msgspec.Raw)
    asks: Any
    snapshot: bool = False
    in_stream: bool = False
    checksum: int | None = None
    shape: Shape = None
    cross_seq: int = UNKNOWN  # a second number of the venue's beside the id, which rises and leaves some out


class Action(IntEnum):
    """What happens to an order."""

    ADD = 1  # it stands in the book now, with price and size
    MODIFY = 2  # its size (or price) is now this
    DELETE = 3  # it is gone
    EXECUTE = 4  # `size` of it was executed


class Order(NamedTuple):
    """One step of an order's life. `price` and `size` are decimal text, "" where the venue does not say."""

    action: Action
    order_id: int | str
    side: Side
    price: str
    size: str


class OrderUpdate(Update, frozen=True, gc=False):
    """An Update by order (L3): the steps in their order. A snapshot's are all ADD. None: only the sequence advances."""

    orders: tuple[Order, ...]
    snapshot: bool = False
    in_stream: bool = False
    checksum: int | None = None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One execution, or the venue's aggregate of `count` whose ids end at `trade_id`. `side` is the aggressor's."""

    venue_ns: int
    trade_id: int
    price: str
    size: str
    side: Side
    count: int = 1  # of ids; an aggregate that has an id of its own counts as one
    executions: tuple[int, int] | None = None  # the first and the last id in an aggregate that has an id of its own


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask."""

    venue_ns: int
    seq: int
    bid_price: str
    bid_size: str
    ask_price: str
    ask_size: str


class Funding(msgspec.Struct, frozen=True, gc=False):
    """What a perpetual is marked at and pays. Decimal text, "" where not said; the rate may be signed."""

    venue_ns: int
    mark_price: str = ""
    index_price: str = ""
    rate: str = ""
    next_ns: int = NO_TIME  # when the rate is paid


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A forced order, `side` the side it trades on: BID closes a short position."""

    venue_ns: int
    price: str
    size: str
    side: Side


class Status(msgspec.Struct, frozen=True, gc=False):
    """The instrument's or the venue's state in the venue's own word; `trading` what it means, None where not clear."""

    venue_ns: int
    status: str
    trading: bool | None = None


class Other(msgspec.Struct, frozen=True, gc=False):
    """A message that is recorded and not decoded; `what` names it, for counting."""

    what: str
    known: bool = True  # False: it is of a market, and nobody here knows what it says


Message = Update | Trade | Quote | Funding | Liquidation | Status | Other
