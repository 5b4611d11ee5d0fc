"""Bybit's v5 messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes; every integer it lets through fits an int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from mdtool.errors import WireError
from mdtool.model import (
    NO_TIME,
    UNKNOWN,
    BookUpdate,
    Funding,
    Liquidation,
    Message,
    Other,
    Quote,
    Side,
    Status,
    Trade,
)
from mdtool.venues.decoding import EMPTY, MAX_MS, Id, Ms, opposite, other, strict
from mdtool.venues.venue import Decoder

_63_BITS = 2**63 - 1
SPARE = ("ts", "T", "updatedTime", "nextFundingTime", "seq")
RESTARTED = 1  # u of the first message after the service was

# Fields stand in the order of the wire: the decoder finds the next one where it expects it.


class _Book(msgspec.Struct, gc=False):
    u: Id
    b: msgspec.Raw = EMPTY
    a: msgspec.Raw = EMPTY
    seq: Id | None = None


class _BookMessage(msgspec.Struct, gc=False, kw_only=True):
    type: str
    ts: Ms = 0
    data: _Book


class _Full(msgspec.Struct, gc=False):
    b: msgspec.Raw
    a: msgspec.Raw
    u: Id
    ts: Ms = 0
    seq: Id | None = None


class _FullAnswer(msgspec.Struct, gc=False):
    result: _Full


class _Trade(msgspec.Struct, gc=False, kw_only=True):
    T: Ms = 0
    S: str
    v: str
    p: str
    i: str


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    markPrice: str = ""
    indexPrice: str = ""
    nextFundingTime: str = ""
    fundingRate: str = ""
    bid1Price: str = ""
    bid1Size: str = ""
    ask1Price: str = ""
    ask1Size: str = ""


class _Tickers(msgspec.Struct, gc=False):
    data: _Ticker
    ts: Ms = 0


class _Forced(msgspec.Struct, gc=False, kw_only=True):
    T: Ms = 0
    S: str
    v: str
    p: str


class _AllForced(msgspec.Struct, gc=False):
    data: list[_Forced]


class _OldForced(msgspec.Struct, gc=False, kw_only=True):
    updatedTime: Ms = 0
    side: str
    size: str
    price: str


class _OldLiquidation(msgspec.Struct, gc=False):
    data: _OldForced


class _State(msgspec.Struct, gc=False):
    state: str


class _States(msgspec.Struct, gc=False):
    data: list[_State]
    ts: Ms = 0


_BOOK = msgspec.json.Decoder(_BookMessage)
_FULL = msgspec.json.Decoder(_FullAnswer)
_TRADES = msgspec.json.Decoder(_Trades)
_TICKERS = msgspec.json.Decoder(_Tickers)
_ALL_FORCED = msgspec.json.Decoder(_AllForced)
_OLD_FORCED = msgspec.json.Decoder(_OldLiquidation)
_STATES = msgspec.json.Decoder(_States)


def _ns(text: str) -> int:
    """Of a time in ms as text; an instrument that pays no funding has "" or "0"."""
    if not (text.isascii() and text.isdigit() and len(text) <= 13) or (ms := int(text)) > MAX_MS:
        return NO_TIME
    return ms * 1_000_000


def _side(word: str) -> Side:
    if word == "Buy":
        return Side.BID
    if word == "Sell":
        return Side.ASK
    raise WireError(f"side {word[:20]!r}, expected Buy or Sell")


def _closing(word: str) -> Side:
    """The side a liquidated position trades on: the venue names the position's, and a long one is sold."""
    return opposite(_side(word))


def _book(payload: bytes) -> Sequence[Message]:
    """u 1 is a whole book, whatever its type says: the service was restarted, and this is all there is."""
    message = _BOOK.decode(payload)
    return (_of(message, whole=_is_whole(message) or message.data.u == RESTARTED),)


def _changes(payload: bytes) -> Sequence[Message]:
    """orderbook.full: there u 1 comes with a change."""
    message = _BOOK.decode(payload)
    return (_of(message, whole=_is_whole(message)),)


def _is_whole(message: _BookMessage) -> bool:
    if message.type not in ("snapshot", "delta"):
        raise WireError(f"type {message.type[:20]!r}, expected snapshot or delta")
    return message.type == "snapshot"


def _of(message: _BookMessage, *, whole: bool) -> BookUpdate:
    book = message.data
    return BookUpdate(
        message.ts * 1_000_000, book.u, book.u, UNKNOWN if whole else book.u - 1, book.b, book.a, whole, whole,
        cross_seq=_cross(book.seq),
    )  # fmt: skip


def _cross(seq: int | None) -> int:
    return UNKNOWN if seq is None else seq


def _full(payload: bytes) -> Sequence[Message]:
    """The REST answer beside orderbook.full."""
    book = _FULL.decode(payload).result
    return (BookUpdate(book.ts * 1_000_000, book.u, book.u, UNKNOWN, book.b, book.a, True, cross_seq=_cross(book.seq)),)


def _best(payload: bytes) -> Sequence[Message]:
    """A whole book of one level each time, in one row of numbers: each but that of a restart follows the one before.
    A delta, which some clients have seen, names the sides that changed only."""
    (book,) = _book(payload)
    assert isinstance(book, BookUpdate)
    if not book.snapshot or book.last_seq == RESTARTED:
        return (book,)
    return (msgspec.structs.replace(book, prev_seq=book.last_seq - 1),)


def _trade_number(text: str) -> int:
    """Spot numbers its trades; elsewhere an id is a UUID, of which the last 63 bits tell two trades apart."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and (number := int(text)) <= _63_BITS:
        return number
    return UUID(text).int & _63_BITS


def _trades(payload: bytes) -> Sequence[Message]:
    return [
        Trade(trade.T * 1_000_000, _trade_number(trade.i), trade.p, trade.v, _side(trade.S))
        for trade in _TRADES.decode(payload).data
    ]


def _tickers(payload: bytes) -> Sequence[Message]:
    """Of a delta, what changed. Spot has nothing of this in it."""
    message = _TICKERS.decode(payload)
    ticker, time = message.data, message.ts * 1_000_000
    found: list[Message] = []
    if ticker.bid1Price and ticker.bid1Size and ticker.ask1Price and ticker.ask1Size:
        found.append(Quote(time, UNKNOWN, ticker.bid1Price, ticker.bid1Size, ticker.ask1Price, ticker.ask1Size))
    if ticker.markPrice or ticker.indexPrice or ticker.fundingRate or ticker.nextFundingTime:
        next_ns = _ns(ticker.nextFundingTime)
        found.append(Funding(time, ticker.markPrice, ticker.indexPrice, ticker.fundingRate, next_ns))
    return found or _STATISTICS


_STATISTICS = (Other("tickers"),)


def _all_liquidations(payload: bytes) -> Sequence[Message]:
    return [
        Liquidation(forced.T * 1_000_000, forced.p, forced.v, _closing(forced.S))
        for forced in _ALL_FORCED.decode(payload).data
    ]


def _liquidation(payload: bytes) -> Sequence[Message]:
    forced = _OLD_FORCED.decode(payload).data
    return (Liquidation(forced.updatedTime * 1_000_000, forced.price, forced.size, _closing(forced.side)),)


_TRADING = {"completed": True, "canceled": True, "ongoing": False}  # and "scheduled": it will be, but is not yet


def _states(payload: bytes) -> Sequence[Message]:
    message = _STATES.decode(payload)
    return [Status(message.ts * 1_000_000, each.state, _TRADING.get(each.state)) for each in message.data]


_DECODERS: dict[str, Callable[[bytes], Sequence[Message]]] = {
    "orderbook": _book,
    "orderbook.full": _changes,
    "orderbook.1": _best,
    "snapshot": _full,
    "publicTrade": _trades,
    "tickers": _tickers,
    "allLiquidation": _all_liquidations,
    "liquidation": _liquidation,
    "system.status": _states,
}


def decoder(kind: str, stream: str) -> Decoder:
    """The decoder of a topic; of one not known here, to Other(stream)."""
    decode = _DECODERS.get(kind)
    return other(stream) if decode is None else strict(stream, decode, SPARE)
