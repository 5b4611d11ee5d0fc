"""Coinbase Exchange's messages: what is on the wire, and what it says.

Rule: a decoder returns messages or raises WireError, whatever the bytes. `side` of a match is the maker's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import (
    NO_TIME,
    UNKNOWN,
    Action,
    BookUpdate,
    Message,
    Order,
    OrderUpdate,
    Other,
    Quote,
    Side,
    Status,
    Trade,
)
from mdtool.venues.decoding import EMPTY, MISSING, Id, ladder, opposite, side_of, strict, told
from mdtool.venues.numbers import iso_ns
from mdtool.venues.venue import Decoder

LEVEL2 = "level2"
# A step of an order says what of these it needs; the others are anything.
SPARE = ("time", "side", "order_id", "price", "remaining_size", "new_size", "new_price", "maker_order_id", "size")


class _Level2(msgspec.Struct, gc=False):
    type: str
    changes: msgspec.Raw = EMPTY
    bids: msgspec.Raw = MISSING
    asks: msgspec.Raw = MISSING
    time: str = ""


class _Match(msgspec.Struct, gc=False):
    type: str
    trade_id: Id
    side: str
    size: str
    price: str
    time: str = ""


class _Ticker(msgspec.Struct, gc=False):
    sequence: Id
    best_bid: str = ""
    best_ask: str = ""
    best_bid_size: str = ""  # not there before 2022
    best_ask_size: str = ""
    time: str = ""


class _Order(msgspec.Struct, gc=False):
    type: str
    sequence: Id = 0
    time: str | None = None
    side: str = ""
    order_id: str = ""
    price: str | None = None  # null or missing of a market order
    remaining_size: str | None = None
    new_size: str | None = None
    new_price: str | None = None
    maker_order_id: str = ""
    size: str | None = None
    trade_id: Id = 0


class _Book(msgspec.Struct, gc=False):
    sequence: Id
    bids: list[list[msgspec.Raw]]
    asks: list[list[msgspec.Raw]]
    time: str = ""


class _Product(msgspec.Struct, gc=False):
    id: str
    status: str


class _Status(msgspec.Struct, gc=False):
    products: list[_Product]


# A row as the venue writes it: what stands around the two numbers has a known length.
_BUYS = re.compile(rb'\["buy",("[0-9.]+","[0-9.]+")\]')
_SELLS = re.compile(rb'\["sell",("[0-9.]+","[0-9.]+")\]')
_BUY_FRAME, _SELL_FRAME = len('["buy",]'), len('["sell",]')
_CHANGES = msgspec.json.Decoder(list[tuple[str, str, str]])
_LEVEL2 = msgspec.json.Decoder(_Level2)
_MATCH = msgspec.json.Decoder(_Match)
_TICKER = msgspec.json.Decoder(_Ticker)
_ORDER = msgspec.json.Decoder(_Order)
_BOOK = msgspec.json.Decoder(_Book)
_STATUS = msgspec.json.Decoder(_Status)
_TEXT = msgspec.json.Decoder(str)


def _time(text: str | None) -> int:
    return told(iso_ns, text or "")


def _level2(payload: bytes) -> Sequence[Message]:
    wire = _LEVEL2.decode(payload)
    time = _time(wire.time)
    if wire.type == "snapshot":
        if not (bytes(wire.bids) and bytes(wire.asks)):
            raise WireError("a snapshot without bids or asks")
        return (BookUpdate(time, UNKNOWN, UNKNOWN, UNKNOWN, wire.bids, wire.asks, True, True),)
    if wire.type != "l2update":
        raise WireError(f"type {wire.type[:20]!r}, expected snapshot or l2update")
    return (BookUpdate(time, UNKNOWN, UNKNOWN, UNKNOWN, *_sides(bytes(wire.changes))),)


def _sides(changes: bytes) -> tuple[bytes, bytes]:
    """Rows of [side, price, size] as the ladders of both sides."""
    bids, asks = _BUYS.findall(changes), _SELLS.findall(changes)
    count = len(bids) + len(asks)
    taken = sum(map(len, bids)) + _BUY_FRAME * len(bids) + sum(map(len, asks)) + _SELL_FRAME * len(asks)
    if count and taken + count + 1 == len(changes):  # nothing else is there than brackets around and commas between
        return _ladder(bids), _ladder(asks)
    rows = _CHANGES.decode(changes)
    sides = [side_of(side) for side, _, _ in rows]
    bid, ask = (
        ladder((price, size) for is_of, (_, price, size) in zip(sides, rows, strict=True) if is_of is side)
        for side in Side
    )
    return bid, ask


def _ladder(rows: list[bytes]) -> bytes:
    return b"[[%b]]" % b"],[".join(rows) if rows else b"[]"


def _matches(payload: bytes) -> Sequence[Message]:
    wire = _MATCH.decode(payload)
    count = 0 if wire.type == "last_match" else 1
    time = _time(wire.time)
    return (Trade(time, wire.trade_id, wire.price, wire.size, opposite(side_of(wire.side)), count),)


def _ticker(payload: bytes) -> Sequence[Message]:
    wire = _TICKER.decode(payload)
    bid, ask = wire.best_bid or "0", wire.best_ask or "0"
    sizes = wire.best_bid_size or "0", wire.best_ask_size or "0"
    return (Quote(_time(wire.time), wire.sequence, bid, sizes[0], ask, sizes[1]),)


def _full(payload: bytes) -> Sequence[Message]:
    wire = _ORDER.decode(payload)
    kind = wire.type
    if kind == "activate":  # a stop order, of a key's own; it has no number
        return (Other(kind),)
    seq = wire.sequence
    if not seq:
        raise WireError(f"{kind[:20]!r} without its sequence")
    if kind == "open":
        if wire.time == "":  # as a recorder wrote it, and no time that the venue left out
            return (_part(wire),)
        orders: tuple[Order, ...] = (_order(wire, Action.ADD, wire.price, wire.remaining_size),)
    elif kind == "done":
        orders = (_order(wire, Action.DELETE, wire.price or "", ""),)
    elif kind == "change":  # null where funds of a market order changed; those do not rest
        orders = ()
        if wire.new_size is not None:
            orders = (_order(wire, Action.MODIFY, wire.new_price or wire.price or "", wire.new_size),)
    elif kind == "match":
        side = side_of(wire.side)
        if not wire.maker_order_id or wire.price is None or wire.size is None:
            raise WireError("a match without maker_order_id, price or size")
        order = Order(Action.EXECUTE, wire.maker_order_id, side, wire.price, wire.size)
        time = _time(wire.time)
        return (
            OrderUpdate(time, seq, seq, seq - 1, (order,)),
            Trade(time, wire.trade_id, wire.price, wire.size, opposite(side)),
        )
    elif kind == "received":
        orders = ()
    else:
        raise WireError(f"type {kind[:20]!r}, expected received, open, done, change or match")
    return (OrderUpdate(_time(wire.time), seq, seq, seq - 1, orders),)


def _order(wire: _Order, action: Action, price: str | None, size: str | None) -> Order:
    if not wire.order_id or price is None or size is None:
        raise WireError(f"{wire.type[:20]!r} without order_id, price or size")
    return Order(action, wire.order_id, side_of(wire.side), price, size)


def _part(wire: _Order) -> OrderUpdate:
    """One order of a whole book that a recorder wrote as one message an order, "open" with an empty time, each with
    the sequence of the whole book: the book follows itself."""
    order = _order(wire, Action.ADD, wire.price, wire.remaining_size)
    return OrderUpdate(NO_TIME, wire.sequence, wire.sequence, wire.sequence, (order,), True, True)


def _book(payload: bytes) -> Sequence[Message]:
    """The REST answer of level 3: rows of [price, size, order id]."""
    wire = _BOOK.decode(payload)
    orders = []
    for side, rows in ((Side.BID, wire.bids), (Side.ASK, wire.asks)):
        for row in rows:
            if len(row) != 3:
                raise WireError(f"a row of {len(row)}, expected price, size and order id")
            price, size, order_id = map(_TEXT.decode, row)
            orders.append(Order(Action.ADD, order_id, side, price, size))
    return (OrderUpdate(_time(wire.time), wire.sequence, wire.sequence, UNKNOWN, tuple(orders), True),)


def _status(payload: bytes) -> Sequence[Message]:
    return [
        Status(NO_TIME, f"{product.id}: {product.status}", product.status == "online")
        for product in _STATUS.decode(payload).products
    ]


DECODERS: dict[str, Callable[[str], Decoder]] = {
    LEVEL2: lambda stream: strict(stream, _level2, SPARE),
    "matches": lambda stream: strict(stream, _matches, SPARE),
    "ticker": lambda stream: strict(stream, _ticker, SPARE),
    "full": lambda stream: strict(stream, _full, SPARE),
    "status": lambda stream: strict(stream, _status, SPARE),
    "snapshot": lambda stream: strict(stream, _book, SPARE),
}
