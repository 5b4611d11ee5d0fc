"""Kraken's messages, of both APIs: what is on the wire, and what it says.

Rule: a decoder returns messages or raises WireError, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Other, Quote, Trade
from mdtool.units import count
from mdtool.venues.decoding import EMPTY, MISSING, Id, number_text, price_text, side_of, strict, told
from mdtool.venues.numbers import iso_ns, seconds_ns
from mdtool.venues.venue import Decoder

_TIMES = re.compile(rb'"(\d{10}\.\d{1,9})"\s*(?:,\s*"r"\s*)?\]')  # the last of a level, but for the mark of a republish
# Not the checksum: it is all that proves this venue's books.
SPARE = ("timestamp",)
V1_ROW = (0, 1)
V2_ROW = ("price", "qty")
_WORDS = {"b": "buy", "s": "sell"}  # of v1

Crc = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class _OldBook(msgspec.Struct, gc=False, rename={"whole_asks": "as", "whole_bids": "bs", "asks": "a", "bids": "b"}):
    whole_asks: msgspec.Raw = MISSING
    whole_bids: msgspec.Raw = MISSING
    asks: msgspec.Raw = MISSING
    bids: msgspec.Raw = MISSING
    c: str | None = None


class _Book(msgspec.Struct, gc=False):
    bids: msgspec.Raw = EMPTY
    asks: msgspec.Raw = EMPTY
    checksum: Crc | None = None
    timestamp: str = ""


class _BookMessage(msgspec.Struct, gc=False):
    type: str
    data: list[_Book]


class _Trade(msgspec.Struct, gc=False):
    side: str
    price: msgspec.Raw
    qty: msgspec.Raw
    trade_id: Id
    timestamp: str = ""


class _TradeMessage(msgspec.Struct, gc=False):
    data: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    bid: msgspec.Raw
    bid_qty: msgspec.Raw
    ask: msgspec.Raw
    ask_qty: msgspec.Raw
    timestamp: str = ""


class _TickerMessage(msgspec.Struct, gc=False):
    data: list[_Ticker]


_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_OLD_BOOK = msgspec.json.Decoder(_OldBook)
_OLD_TRADES = msgspec.json.Decoder(list[list[msgspec.Raw]])
_TEXT = msgspec.json.Decoder(str)
_BOOK = msgspec.json.Decoder(_BookMessage)
_TRADES = msgspec.json.Decoder(_TradeMessage)
_TICKERS = msgspec.json.Decoder(_TickerMessage)


def _latest(*ladders: msgspec.Raw) -> int:
    """The newest time of any level: a message of v1 has none of its own."""
    times = [time for raw in ladders for time in _TIMES.findall(bytes(raw))]
    return told(seconds_ns, max(times).decode()) if times else NO_TIME


def _given(ladders: Iterable[msgspec.Raw]) -> msgspec.Raw:
    """The one that is there."""
    return next((ladder for ladder in ladders if len(ladder)), EMPTY)


def _old_book(payload: bytes) -> Sequence[Message]:
    """[channel, {..}, (a second {..} where both sides change,) name, pair]."""
    parts = _PARTS.decode(payload)
    if len(parts) not in (4, 5):
        raise WireError(f"{count(len(parts), 'part')}, expected 4 or 5")
    books = [_OLD_BOOK.decode(part) for part in parts[1:-2]]
    last = books[-1]
    if any(len(book.whole_asks) or len(book.whole_bids) for book in books):
        bids, asks = _given(book.whole_bids for book in books), _given(book.whole_asks for book in books)
        return (BookUpdate(_latest(bids, asks), UNKNOWN, UNKNOWN, UNKNOWN, bids, asks, True, True, None, V1_ROW),)
    bids, asks = _given(book.bids for book in books), _given(book.asks for book in books)
    if bids is EMPTY and asks is EMPTY:
        raise WireError("neither bids nor asks")
    said = last.c
    if said is not None and not (said.isascii() and said.isdigit() and len(said) <= 10):
        raise WireError(f"checksum {said[:20]!r}")
    checksum = None if said is None else int(said)
    return (
        BookUpdate(
            _latest(bids, asks),
            UNKNOWN,
            UNKNOWN,
            UNKNOWN,
            bids or EMPTY,
            asks or EMPTY,
            False,
            False,
            checksum,
            V1_ROW,
        ),
    )


def _book(payload: bytes) -> Sequence[Message]:
    if payload[:1] == b"[":
        return _old_book(payload)
    message = _BOOK.decode(payload)
    if message.type not in ("snapshot", "update"):
        raise WireError(f"type {message.type[:20]!r}, expected snapshot or update")
    whole = message.type == "snapshot"
    return [
        BookUpdate(
            told(iso_ns, book.timestamp),
            UNKNOWN, UNKNOWN, UNKNOWN, book.bids, book.asks, whole, whole, book.checksum, V2_ROW,
        )
        for book in message.data
    ]  # fmt: skip


def _old_time(raw: msgspec.Raw) -> int:
    """Of seconds as text."""
    return told(seconds_ns, bytes(raw).decode("ascii", "replace").strip('"'))


def _old_trade(row: list[msgspec.Raw]) -> Trade:
    """[price, volume, time, side, ...]"""
    price, volume, side = (_TEXT.decode(row[at]) for at in (0, 1, 3))
    return Trade(_old_time(row[2]), UNKNOWN, price, volume, side_of(_WORDS.get(side, side)))


def _trades(payload: bytes) -> Sequence[Message]:
    if payload[:1] == b"[":
        return [_old_trade(row) for row in _OLD_TRADES.decode(_PARTS.decode(payload)[1])]
    return [
        Trade(
            told(iso_ns, trade.timestamp),
            trade.trade_id,
            price_text(trade.price),
            number_text(trade.qty),
            side_of(trade.side),
        )
        for trade in _TRADES.decode(payload).data
    ]


def _tickers(payload: bytes) -> Sequence[Message]:
    if payload[:1] == b"[":  # day statistics; v1's best quotes come as "spread"
        return (Other("ticker"),)
    return [
        Quote(
            told(iso_ns, quote.timestamp),
            UNKNOWN,
            price_text(quote.bid),
            number_text(quote.bid_qty),
            price_text(quote.ask),
            number_text(quote.ask_qty),
        )
        for quote in _TICKERS.decode(payload).data
    ]


def _spread(payload: bytes) -> Sequence[Message]:
    row = _PARTS.decode(_PARTS.decode(payload)[1])
    bid, ask, bid_size, ask_size = (_TEXT.decode(row[at]) for at in (0, 1, 3, 4))
    return (Quote(_old_time(row[2]), UNKNOWN, bid, bid_size, ask, ask_size),)


DECODERS: dict[str, Callable[[str], Decoder]] = {
    "book": lambda stream: strict(stream, _book, SPARE),
    "trade": lambda stream: strict(stream, _trades, SPARE),
    "ticker": lambda stream: strict(stream, _tickers, SPARE),
    "spread": lambda stream: strict(stream, _spread, SPARE),
}
