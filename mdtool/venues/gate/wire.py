"""Gate's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes. Spot sends numbers as text and rows as
[price, size]; futures send sizes bare, signed where they are a trade's, and rows as {"p": price, "s": size}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Funding, Liquidation, Message, Other, Quote, Shape, Side, Trade
from mdtool.venues.decoding import (
    EMPTY,
    MAX_MS,
    MISSING,
    Id,
    Ms,
    number_text,
    price_text,
    side_of,
    signed_text,
    strict,
    told,
)
from mdtool.venues.numbers import seconds_ns
from mdtool.venues.venue import Decoder

SPARE = ("t", "time", "time_ms")
ROWS: Shape = (0, 1)
OBJECTS: Shape = ("p", "s")
_OBJECT = re.compile(rb"\[\s*\{")
_MILLIS = re.compile(r"(\d{1,13})(?:\.(\d{1,6}))?", re.ASCII)


class _Update(msgspec.Struct, gc=False):
    u: Id
    U: Id = 0
    t: Ms = 0
    b: msgspec.Raw = EMPTY
    a: msgspec.Raw = EMPTY
    full: bool = False


class _Book(msgspec.Struct, gc=False):
    id: Id
    asks: msgspec.Raw
    bids: msgspec.Raw
    current: msgspec.Raw = MISSING  # seconds; milliseconds at spot


class _Trade(msgspec.Struct, gc=False):
    id: Id
    price: str
    amount: str = ""  # spot
    size: msgspec.Raw = MISSING  # futures: negative sold
    side: str = ""  # spot: the taker's
    create_time: msgspec.Raw = MISSING
    create_time_ms: msgspec.Raw = MISSING


class _Quote(msgspec.Struct, gc=False):
    u: Id
    b: str
    B: msgspec.Raw
    a: str
    A: msgspec.Raw
    t: Ms = 0


class _Ticker(msgspec.Struct, gc=False):
    mark_price: str = ""
    index_price: str = ""
    funding_rate: str = ""


class _Liquidation(msgspec.Struct, gc=False):
    price: msgspec.Raw
    size: msgspec.Raw
    time_ms: Ms = 0
    time: Id = 0


def _update(wire: _Update) -> Message:
    if wire.full:
        return BookUpdate(wire.t * 1_000_000, wire.u, wire.u, UNKNOWN, wire.b, wire.a, True, True, None, _shape(wire))
    if not 0 < wire.U <= wire.u:
        raise WireError(f"U {wire.U} and u {wire.u}")
    return BookUpdate(wire.t * 1_000_000, wire.U, wire.u, wire.U - 1, wire.b, wire.a, shape=_shape(wire))


def _shape(wire: _Update) -> Shape:
    """Both sides are of one; an empty one is of any."""
    return OBJECTS if _OBJECT.match(wire.b) or _OBJECT.match(wire.a) else ROWS


def _book(payload: bytes) -> Sequence[Message]:
    wire = _BOOK.decode(payload)
    shape = OBJECTS if _OBJECT.match(wire.bids) or _OBJECT.match(wire.asks) else ROWS
    return (BookUpdate(_moment(wire.current), wire.id, wire.id, UNKNOWN, wire.bids, wire.asks, True, shape=shape),)


def _moment(raw: msgspec.Raw) -> int:
    """Seconds with a fraction, or whole milliseconds, as ns; NO_TIME where it is neither."""
    text = bytes(raw).decode("ascii", "replace").strip('"')
    return told(seconds_ns if "." in text or len(text) <= 10 else _millis, text)


def _millis(text: str) -> int:
    """Milliseconds, with a fraction perhaps, as ns."""
    found = _MILLIS.fullmatch(text)
    if found is None or int(found[1]) > MAX_MS:
        raise WireError(f"time {text[:20]!r}, expected milliseconds")
    return int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0"))


def _trade(wire: _Trade) -> Message:
    if bytes(wire.create_time_ms):
        time = told(_millis, bytes(wire.create_time_ms).decode("ascii", "replace").strip('"'))
    else:
        time = _moment(wire.create_time)
    if not bytes(wire.size):
        return Trade(time, wire.id, wire.price, wire.amount, side_of(wire.side))
    negative, size = signed_text(wire.size)
    return Trade(time, wire.id, wire.price, size, Side.ASK if negative else Side.BID)


def _quote(wire: _Quote) -> Message:
    bid, ask = wire.b or "0", wire.a or "0"  # an empty side is an empty text
    return Quote(wire.t * 1_000_000, wire.u, bid, _size(wire.B), ask, _size(wire.A))


def _size(raw: msgspec.Raw) -> str:
    return number_text(raw) if bytes(raw) != b'""' else "0"


def _ticker(wire: _Ticker) -> Message:
    if not (wire.mark_price or wire.index_price or wire.funding_rate):
        return Other("tickers")  # spot's: prices without sizes
    return Funding(NO_TIME, wire.mark_price, wire.index_price, wire.funding_rate)


def _liquidation(wire: _Liquidation) -> Message:
    negative, size = signed_text(wire.size)
    time = wire.time_ms * 1_000_000 or wire.time * 10**9
    if time >= 2**63:
        time = NO_TIME
    return Liquidation(time, price_text(wire.price), size, Side.ASK if negative else Side.BID)


_BOOK = msgspec.json.Decoder(_Book)
_KINDS: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Message]]] = {
    "order_book_update": (_Update, _update),
    "obu": (_Update, _update),
    "trades": (_Trade, _trade),
    "book_ticker": (_Quote, _quote),
    "tickers": (_Ticker, _ticker),
    "public_liquidates": (_Liquidation, _liquidation),
}


def decoder(kind: str, stream: str) -> Decoder | None:
    """The decoder of a channel's updates; None of a channel that is not known here."""
    if kind == "snapshot":
        return strict(stream, _book, SPARE)
    if kind not in _KINDS:
        return None
    wire, convert = _KINDS[kind]
    envelope = msgspec.defstruct(f"_Envelope{wire.__name__}", [("result", wire | list[wire])], gc=False)  # type: ignore[valid-type]
    whole: Callable[[bytes], Any] = msgspec.json.Decoder(envelope).decode

    def decode(payload: bytes) -> Sequence[Message]:
        found = whole(payload).result
        return [convert(one) for one in found] if isinstance(found, list) else (convert(found),)

    return strict(stream, decode, SPARE)
