"""KuCoin's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes. A row of a change is [price, size, sequence]:
size 0 removes the level, price 0 changes nothing and only tells the sequence.

A match has no number of its own that could be counted (its tradeId is text, in older records not even digits): its
`sequence`, which only rises within a symbol, stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Quote, Shape, Trade
from mdtool.venues.decoding import EMPTY, MAX_MS, Id, side_of, strict, told, whole_number
from mdtool.venues.venue import Decoder

SPARE = ("time", "timestamp")
ROW: Shape = (0, 1)
_NO_PRICE = re.compile(rb'\[\s*"0(?:\.0*)?"')  # a row that only tells the sequence


class _Changes(msgspec.Struct, gc=False):
    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY


class _Update(msgspec.Struct, gc=False):
    sequenceStart: Id
    sequenceEnd: Id
    changes: _Changes
    time: Id = 0  # ms; not there in older records


class _Match(msgspec.Struct, gc=False):
    sequence: str
    side: str  # the taker's
    size: str
    price: str
    time: str = ""  # ns


class _Ticker(msgspec.Struct, gc=False):
    sequence: str
    bestAsk: str | None = None
    bestAskSize: str | None = None
    bestBid: str | None = None
    bestBidSize: str | None = None
    time: Id = 0  # ms


class _Best(msgspec.Struct, gc=False):
    asks: list[str]
    bids: list[str]
    timestamp: Id = 0


class _Depth(msgspec.Struct, gc=False):
    asks: msgspec.Raw
    bids: msgspec.Raw
    timestamp: Id = 0


class _Book(msgspec.Struct, gc=False):
    sequence: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    time: Id = 0


class _UpdateFrame(msgspec.Struct, gc=False):
    data: _Update


class _MatchFrame(msgspec.Struct, gc=False):
    data: _Match


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _BestFrame(msgspec.Struct, gc=False):
    data: _Best


class _DepthFrame(msgspec.Struct, gc=False):
    data: _Depth


class _BookFrame(msgspec.Struct, gc=False):
    data: _Book


_UPDATE = msgspec.json.Decoder(_UpdateFrame)
_MATCH = msgspec.json.Decoder(_MatchFrame)
_TICKER = msgspec.json.Decoder(_TickerFrame)
_BEST = msgspec.json.Decoder(_BestFrame)
_DEPTH = msgspec.json.Decoder(_DepthFrame)
_BOOK = msgspec.json.Decoder(_BookFrame)
_CHANGE_ROWS = msgspec.json.Decoder(list[tuple[str, msgspec.Raw, msgspec.Raw]])


def _ns(ms: int) -> int:
    return ms * 1_000_000 if ms <= MAX_MS else NO_TIME


def _priced(rows: msgspec.Raw) -> msgspec.Raw | bytes:
    """The rows that change a level."""
    if not _NO_PRICE.search(rows):
        return rows
    return msgspec.json.encode([row for row in _CHANGE_ROWS.decode(rows) if row[0].strip("0") not in ("", ".")])


def _update(payload: bytes) -> Sequence[Message]:
    wire = _UPDATE.decode(payload).data
    first, last = wire.sequenceStart, wire.sequenceEnd
    if not 0 < first <= last:
        raise WireError(f"sequenceStart {first} and sequenceEnd {last}")
    bids, asks = _priced(wire.changes.bids), _priced(wire.changes.asks)
    return (BookUpdate(_ns(wire.time), first, last, first - 1, bids, asks, shape=ROW),)


def _match(payload: bytes) -> Sequence[Message]:
    wire = _MATCH.decode(payload).data
    time = told(whole_number, wire.time)
    return (Trade(time, whole_number(wire.sequence), wire.price, wire.size, side_of(wire.side)),)


def _ticker(payload: bytes) -> Sequence[Message]:
    wire = _TICKER.decode(payload).data
    bid, ask = (wire.bestBid or "0", wire.bestBidSize or "0"), (wire.bestAsk or "0", wire.bestAskSize or "0")
    return (Quote(_ns(wire.time), whole_number(wire.sequence), *bid, *ask),)


def _best(payload: bytes) -> Sequence[Message]:
    """`level1`: one row a side, none where the side is empty."""
    wire = _BEST.decode(payload).data
    sides = []
    for row in (wire.bids, wire.asks):
        if len(row) not in (0, 2):
            raise WireError(f"a side of {len(row)}, expected price and size")
        sides += row or ["0", "0"]
    return (Quote(_ns(wire.timestamp), UNKNOWN, *sides),)


def _depth(payload: bytes) -> Sequence[Message]:
    """`level2Depth5`, `level2Depth50`: each message the whole of it."""
    wire = _DEPTH.decode(payload).data
    return (BookUpdate(_ns(wire.timestamp), UNKNOWN, UNKNOWN, UNKNOWN, wire.bids, wire.asks, True, True),)


def _book(payload: bytes) -> Sequence[Message]:
    wire = _BOOK.decode(payload).data
    sequence = whole_number(wire.sequence)
    time = _ns(wire.time)
    return (BookUpdate(time, sequence, sequence, UNKNOWN, wire.bids, wire.asks, True),)


DECODERS: dict[str, Callable[[str], Decoder]] = {
    "level2": lambda stream: strict(stream, _update, SPARE),
    "match": lambda stream: strict(stream, _match, SPARE),
    "ticker": lambda stream: strict(stream, _ticker, SPARE),
    "level1": lambda stream: strict(stream, _best, SPARE),
    "level2Depth5": lambda stream: strict(stream, _depth, SPARE),
    "level2Depth50": lambda stream: strict(stream, _depth, SPARE),
    "snapshot": lambda stream: strict(stream, _book, SPARE),
}
