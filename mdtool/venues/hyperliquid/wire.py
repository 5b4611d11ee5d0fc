"""Hyperliquid's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes; every integer it lets through fits an int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Funding, Message, Quote, Side, Trade
from mdtool.venues.decoding import Id, Ms, other, price_text, strict
from mdtool.venues.venue import Decoder

SPARE = ("time",)
LEVEL = ("px", "sz")
_ABSENT = msgspec.Raw()
_NONE = (b"", b"null")


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _Book(msgspec.Struct, gc=False, kw_only=True):
    time: Ms = 0
    levels: tuple[msgspec.Raw, msgspec.Raw]


class _Trade(msgspec.Struct, gc=False):
    px: str
    side: str
    sz: str
    tid: Id
    time: Ms = 0


class _Best(msgspec.Struct, gc=False, kw_only=True):
    time: Ms = 0
    bbo: tuple[_Level | None, _Level | None]


class _Context(msgspec.Struct, gc=False):
    markPx: msgspec.Raw = _ABSENT
    oraclePx: msgspec.Raw = _ABSENT
    funding: msgspec.Raw = _ABSENT


class _Asset(msgspec.Struct, gc=False):
    ctx: _Context


class _BookMessage(msgspec.Struct, gc=False):
    data: _Book


class _TradesMessage(msgspec.Struct, gc=False):
    data: list[_Trade]


class _BestMessage(msgspec.Struct, gc=False):
    data: _Best


class _AssetMessage(msgspec.Struct, gc=False):
    data: _Asset


_BOOK = msgspec.json.Decoder(_BookMessage)
_TRADES = msgspec.json.Decoder(_TradesMessage)
_BEST = msgspec.json.Decoder(_BestMessage)
_ASSET = msgspec.json.Decoder(_AssetMessage)
_NOTHING = _Level("0", "0")


def _book(payload: bytes) -> Sequence[Message]:
    book = _BOOK.decode(payload).data
    bids, asks = book.levels
    return (
        BookUpdate(book.time * 1_000_000, UNKNOWN, UNKNOWN, UNKNOWN, bids, asks, True, True, None, LEVEL),
    )  # fmt: skip


def _side(word: str) -> Side:
    """Of the aggressor: B bought, A sold."""
    if word == "B":
        return Side.BID
    if word == "A":
        return Side.ASK
    raise WireError(f"side {word[:20]!r}, expected B or A")


def _trades(payload: bytes) -> Sequence[Message]:
    return [
        Trade(trade.time * 1_000_000, trade.tid, trade.px, trade.sz, _side(trade.side))
        for trade in _TRADES.decode(payload).data
    ]


def _best(payload: bytes) -> Sequence[Message]:
    best = _BEST.decode(payload).data
    bid, ask = (level or _NOTHING for level in best.bbo)
    return (Quote(best.time * 1_000_000, UNKNOWN, bid.px, bid.sz, ask.px, ask.sz),)


def _price(raw: msgspec.Raw) -> str:
    return "" if bytes(raw) in _NONE else price_text(raw)


def _context(payload: bytes) -> Sequence[Message]:
    """Mark, oracle and the funding rate of the hour; the message has no time."""
    context = _ASSET.decode(payload).data.ctx
    return (Funding(NO_TIME, _price(context.markPx), _price(context.oraclePx), _price(context.funding)),)


_DECODERS: dict[str, Callable[[bytes], Sequence[Message]]] = {
    "l2Book": _book,
    "trades": _trades,
    "bbo": _best,
    "activeAssetCtx": _context,
}


def decoder(stream: str) -> Decoder:
    """The decoder of a subscription; of one not known here, to Other(stream)."""
    decode = _DECODERS.get(stream)
    return other(stream) if decode is None else strict(stream, decode, SPARE)
