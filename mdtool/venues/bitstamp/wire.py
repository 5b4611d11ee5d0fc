"""Bitstamp's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes. Of a number that comes bare and as text
("amount", "amount_str") the text is taken: its digits are the venue's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, Action, BookUpdate, Message, Order, OrderUpdate, Side, Trade
from mdtool.venues.decoding import EMPTY, MISSING, Id, number_text, price_text, strict, told, whole_number
from mdtool.venues.venue import Decoder

SPARE = ("microtimestamp",)
MAX_US = 9_223_372_036_854_775  # the last microsecond whose nanoseconds fit an int64
_ACTIONS = {"order_created": Action.ADD, "order_changed": Action.MODIFY, "order_deleted": Action.DELETE}


class _Diff(msgspec.Struct, gc=False, kw_only=True):
    microtimestamp: str = ""
    bids: msgspec.Raw = EMPTY
    asks: msgspec.Raw = EMPTY


class _Trade(msgspec.Struct, gc=False, kw_only=True):
    id: Id
    type: int
    microtimestamp: str = ""
    amount: msgspec.Raw = MISSING
    price: msgspec.Raw = MISSING
    amount_str: str = ""
    price_str: str = ""


class _Order(msgspec.Struct, gc=False, kw_only=True):
    id: Id
    order_type: int
    microtimestamp: str = ""
    amount: msgspec.Raw = MISSING
    price: msgspec.Raw = MISSING
    amount_str: str = ""
    price_str: str = ""


class _OrderEvent(msgspec.Struct, gc=False):
    event: str
    data: _Order


class _DiffEvent(msgspec.Struct, gc=False):
    data: _Diff


class _TradeEvent(msgspec.Struct, gc=False):
    data: _Trade


class _Book(msgspec.Struct, gc=False, kw_only=True):
    microtimestamp: str = ""
    bids: msgspec.Raw
    asks: msgspec.Raw


class _DetailEvent(msgspec.Struct, gc=False):
    data: _Book


_DETAILS = msgspec.json.Decoder(_DetailEvent)
_DIFFS = msgspec.json.Decoder(_DiffEvent)
_TRADES = msgspec.json.Decoder(_TradeEvent)
_ORDERS = msgspec.json.Decoder(_OrderEvent)
_BOOK = msgspec.json.Decoder(_Book)
_FIRST_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_ORDER_ROWS = msgspec.json.Decoder(list[tuple[str, str, str]])


def _ns(text: str) -> int:
    """Of microseconds as text."""
    micros = told(whole_number, text)
    return micros * 1000 if micros <= MAX_US else NO_TIME


def _side(number: int) -> Side:
    """Of type and order_type: 0 buys, 1 sells."""
    if number not in (0, 1):
        raise WireError(f"type {number}, expected 0 or 1")
    return Side.ASK if number else Side.BID


def _diff(payload: bytes) -> Sequence[Message]:
    wire = _DIFFS.decode(payload).data
    return (BookUpdate(_ns(wire.microtimestamp), UNKNOWN, UNKNOWN, UNKNOWN, wire.bids, wire.asks),)


def _whole(payload: bytes) -> Sequence[Message]:
    """`order_book`: each message is the whole of it."""
    wire = _DIFFS.decode(payload).data
    return (BookUpdate(_ns(wire.microtimestamp), UNKNOWN, UNKNOWN, UNKNOWN, wire.bids, wire.asks, True, True),)


def _trade(payload: bytes) -> Sequence[Message]:
    wire = _TRADES.decode(payload).data
    price, size = wire.price_str or price_text(wire.price), wire.amount_str or number_text(wire.amount)
    return (Trade(_ns(wire.microtimestamp), wire.id, price, size, _side(wire.type)),)


def _order(payload: bytes) -> Sequence[Message]:
    """`amount` is what is left of the order."""
    message = _ORDERS.decode(payload)
    wire = message.data
    action = _ACTIONS.get(message.event)
    if action is None:
        raise WireError(f"event {message.event[:20]!r}, expected {', '.join(_ACTIONS)}")
    price, size = wire.price_str or price_text(wire.price), wire.amount_str or number_text(wire.amount)
    order = Order(action, wire.id, _side(wire.order_type), price, size)
    return (OrderUpdate(_ns(wire.microtimestamp), UNKNOWN, UNKNOWN, UNKNOWN, (order,)),)


def _book(payload: bytes) -> Sequence[Message]:
    """The REST answer: rows of [price, size], or of [price, size, order id]."""
    wire = _BOOK.decode(payload)
    time = _ns(wire.microtimestamp)
    if not (_by_order(wire.bids) or _by_order(wire.asks)):
        return (BookUpdate(time, UNKNOWN, UNKNOWN, UNKNOWN, wire.bids, wire.asks, True),)
    return (OrderUpdate(time, UNKNOWN, UNKNOWN, UNKNOWN, _resting(wire), True),)


def _detail(payload: bytes) -> Sequence[Message]:
    """`detail_order_book`: each message is the best 100 levels of each side, order by order."""
    wire = _DETAILS.decode(payload).data
    return (OrderUpdate(_ns(wire.microtimestamp), UNKNOWN, UNKNOWN, UNKNOWN, _resting(wire), True, True),)


def _resting(wire: _Book) -> tuple[Order, ...]:
    """Rows of [price, size, order id]."""
    return tuple(
        Order(Action.ADD, whole_number(order_id), side, price, size)
        for side, rows in ((Side.BID, wire.bids), (Side.ASK, wire.asks))
        for price, size, order_id in _ORDER_ROWS.decode(rows)
    )


def _by_order(rows: msgspec.Raw) -> bool:
    """Whether the first row has a third number."""
    end = bytes(rows).find(b"]")
    return bytes(rows)[:end].count(b",") == 2


DECODERS: dict[str, Callable[[str], Decoder]] = {
    "diff_order_book": lambda stream: strict(stream, _diff, SPARE),
    "order_book": lambda stream: strict(stream, _whole, SPARE),
    "detail_order_book": lambda stream: strict(stream, _detail, SPARE),
    "live_trades": lambda stream: strict(stream, _trade, SPARE),
    "live_orders": lambda stream: strict(stream, _order, SPARE),
    "snapshot": lambda stream: strict(stream, _book, SPARE),
}
