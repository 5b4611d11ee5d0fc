"""Coinbase Advanced Trade's messages: what is on the wire, and what it says.

Rule: a decoder returns messages or raises WireError, whatever the bytes. Every frame has the number of its connection
(`sequence_num`), which orders a book's updates and proves nothing of one product alone. A time that is none, or a
number that is null, costs no level: no rule needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Quote, Side, Status, Trade
from mdtool.venues.decoding import Id, ladder, opposite, side_of, strict, told
from mdtool.venues.numbers import iso_ns
from mdtool.venues.venue import Decoder

_NUMBER = re.compile(rb'"sequence_num"\s*:\s*(\d{1,18})\s*[,}]')
_HEAD = 256  # bytes in which a frame has named its channel, time and number
# Keys whose values may be odd without a level, a trade or a quote being lost.
SPARE = (
    "timestamp", "sequence_num", "time", "type", "best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity",
)  # fmt: skip
_SIDES = {"bid": Side.BID, "offer": Side.ASK}


class _Level(msgspec.Struct, gc=False):
    side: str
    price_level: str
    new_quantity: str


class _BookEvent(msgspec.Struct, gc=False):
    type: str
    updates: list[_Level]


class _Trade(msgspec.Struct, gc=False):
    trade_id: str
    price: str
    size: str
    side: str  # the maker's
    time: str | None = None


class _TradesEvent(msgspec.Struct, gc=False, kw_only=True):
    type: str = ""
    trades: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    best_bid: str | None = None  # ticker_batch has none
    best_ask: str | None = None
    best_bid_quantity: str | None = None
    best_ask_quantity: str | None = None


class _TickerEvent(msgspec.Struct, gc=False):
    tickers: list[_Ticker]


class _Product(msgspec.Struct, gc=False):
    id: str
    status: str


class _StatusEvent(msgspec.Struct, gc=False):
    products: list[_Product]


class _Frame(msgspec.Struct, gc=False):
    timestamp: str | None = None
    sequence_num: Id | None = None


class _Books(_Frame, gc=False):
    events: list[_BookEvent] = []


class _Trades(_Frame, gc=False):
    events: list[_TradesEvent] = []


class _Tickers(_Frame, gc=False):
    events: list[_TickerEvent] = []


class _States(_Frame, gc=False):
    events: list[_StatusEvent] = []


_BOOKS = msgspec.json.Decoder(_Books)
_TRADES = msgspec.json.Decoder(_Trades)
_TICKERS = msgspec.json.Decoder(_Tickers)
_STATES = msgspec.json.Decoder(_States)


def number(payload: bytes) -> int | None:
    """The frame's number on its connection; None where it carries none."""
    found = _NUMBER.search(payload[:_HEAD]) or _NUMBER.search(payload[-_HEAD:])
    return int(found[1]) if found else None


def _time(text: str | None) -> int:
    return told(iso_ns, text) if text else NO_TIME  # "0001-01-01T00:00:00Z" is how the venue writes that it knows none


def _seq(frame: _Frame) -> int:
    return UNKNOWN if frame.sequence_num is None else frame.sequence_num


def _book(payload: bytes) -> Sequence[Message]:
    """One update a frame, as all its events have one number. Sizes are absolute, 0 removes; the last one counts."""
    wire = _BOOKS.decode(payload)
    kinds = {event.type for event in wire.events}
    if kinds not in ({"snapshot"}, {"update"}) or (kinds == {"snapshot"} and len(wire.events) > 1):
        raise WireError(f"events {sorted(kinds)}, expected one snapshot, or updates")
    sides: dict[Side, list[tuple[str, str]]] = {Side.BID: [], Side.ASK: []}
    for event in wire.events:
        for level in event.updates:
            side = _SIDES.get(level.side)
            if side is None:
                raise WireError(f"side {level.side[:20]!r}, expected bid or offer")
            sides[side].append((level.price_level, level.new_quantity))
    whole = kinds == {"snapshot"}
    bids, asks = (ladder(sides[side]) for side in (Side.BID, Side.ASK))
    return (BookUpdate(_time(wire.timestamp), UNKNOWN, _seq(wire), UNKNOWN, bids, asks, whole, whole),)


def _trades(payload: bytes) -> Sequence[Message]:
    """Oldest first; on the wire the newest is first. Those of a snapshot were made before it was asked for."""
    found = []
    for event in _TRADES.decode(payload).events:
        count = 0 if event.type == "snapshot" else 1
        for trade in reversed(event.trades):
            side = opposite(side_of(trade.side.lower()))
            found.append(Trade(_time(trade.time), _id(trade.trade_id), trade.price, trade.size, side, count))
    return found


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise WireError(f"trade_id {text[:40]!r} is no number")
    return int(text)


def _tickers(payload: bytes) -> Sequence[Message]:
    """The best of both sides; of a ticker that says none, nothing."""
    wire = _TICKERS.decode(payload)
    time, seq = _time(wire.timestamp), _seq(wire)
    return [
        Quote(time, seq, said.best_bid or "0", said.best_bid_quantity or "0", said.best_ask or "0",
              said.best_ask_quantity or "0")
        for event in wire.events
        for said in event.tickers
        if said.best_bid or said.best_ask
    ]  # fmt: skip


def _states(payload: bytes) -> Sequence[Message]:
    wire = _STATES.decode(payload)
    return [
        Status(_time(wire.timestamp), f"{product.id}: {product.status}", product.status == "online")
        for event in wire.events
        for product in event.products
    ]


DECODERS: dict[str, Callable[[str], Decoder]] = {
    "level2": lambda stream: strict(stream, _book, SPARE),
    "market_trades": lambda stream: strict(stream, _trades, SPARE),
    "ticker": lambda stream: strict(stream, _tickers, SPARE),
    "ticker_batch": lambda stream: strict(stream, _tickers, SPARE),
    "status": lambda stream: strict(stream, _states, SPARE),
}
