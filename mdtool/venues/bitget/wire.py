"""Bitget's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes; every integer it lets through fits an int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Quote, Trade
from mdtool.venues.decoding import EMPTY, MAX_MS, MISSING, number_text, other, side_of, strict, told, whole_number
from mdtool.venues.venue import Decoder

BOOKS = frozenset({"books", "books5", "books15"})
ROW = (0, 1)  # price, size
SPARE = ("ts", "checksum")

Id = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
Crc = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Level = tuple[str, str]


class _Book(msgspec.Struct, gc=False):
    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY
    ts: str = ""
    checksum: Crc = 0
    seq: Id = UNKNOWN
    pseq: msgspec.Raw = MISSING


class _Books(msgspec.Struct, gc=False):
    action: str
    data: list[_Book]


class _Best(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: str = ""
    seq: Id = UNKNOWN


class _Bests(msgspec.Struct, gc=False):
    data: list[_Best]


class _Trade(msgspec.Struct, gc=False):
    tradeId: str
    price: str
    size: str
    side: str
    ts: str = ""


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    bidPr: str
    bidSz: str
    askPr: str
    askSz: str
    ts: str = ""


class _Tickers(msgspec.Struct, gc=False):
    data: list[_Ticker]


def _ns(text: str) -> int:
    """Of a time in ms as text."""
    ms = told(whole_number, text)
    return ms * 1_000_000 if ms <= MAX_MS else NO_TIME


def _books(message: _Books) -> Sequence[Message]:
    if message.action not in ("snapshot", "update"):
        raise WireError(f"action {message.action[:20]!r}, expected snapshot or update")
    whole = message.action == "snapshot"
    found = []
    for book in message.data:
        prev = UNKNOWN if whole or not book.pseq else whole_number(number_text(book.pseq))  # a whole book's is 0
        checksum = book.checksum or None  # a whole book's is 0, as is that of one update in four billion
        found.append(
            BookUpdate(_ns(book.ts), book.seq, book.seq, prev, book.bids, book.asks, whole, whole, checksum, ROW)
        )
    return found


def _bests(message: _Bests) -> Sequence[Message]:
    found = []
    for best in message.data:
        bid, ask = (side[0] if side else ("0", "0") for side in (best.bids, best.asks))
        found.append(Quote(_ns(best.ts), best.seq, *bid, *ask))
    return found


def _trades(message: _Trades) -> Sequence[Message]:
    """Oldest first, in whichever order the venue lists them: an id is a clock, its bits above 22 are milliseconds."""
    found = [
        Trade(_ns(trade.ts), whole_number(trade.tradeId), trade.price, trade.size, side_of(trade.side))
        for trade in message.data
    ]
    found.sort(key=lambda trade: trade.trade_id)
    return found


def _tickers(message: _Tickers) -> Sequence[Message]:
    # An empty side is an empty text.
    return [
        Quote(_ns(wire.ts), UNKNOWN, wire.bidPr or "0", wire.bidSz or "0", wire.askPr or "0", wire.askSz or "0")
        for wire in message.data
    ]


_FORMS: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Sequence[Message]]]] = {
    **dict.fromkeys(BOOKS, (_Books, _books)),
    "books1": (_Bests, _bests),
    "trade": (_Trades, _trades),
    "ticker": (_Tickers, _tickers),
}


def decoder(channel: str) -> Decoder:
    """The decoder of a channel; of one not known here, to Other(channel)."""
    if channel not in _FORMS:
        return other(channel)
    form, say = _FORMS[channel]
    whole: Callable[[bytes], Any] = msgspec.json.Decoder(form).decode
    return strict(channel, lambda payload: say(whole(payload)), SPARE)
