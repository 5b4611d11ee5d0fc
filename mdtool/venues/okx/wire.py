"""OKX's messages: what is on the wire, and what it says. Ladders stay wire text.

Rule: a decoder returns messages or raises WireError, whatever the bytes; every integer it lets through fits an int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from mdtool.errors import WireError
from mdtool.model import (
    NO_TIME,
    UNKNOWN,
    BookUpdate,
    Funding,
    Liquidation,
    Message,
    Quote,
    Status,
    Trade,
)
from mdtool.venues.decoding import EMPTY, MAX_MS, other, side_of, strict, told, whole_number
from mdtool.venues.venue import Decoder, Era, at

SPARE = ("ts", "fundingTime", "checksum")
ROW = (0, 1)  # price, size, "0" (once liquidated orders), number of orders

# The checksum was announced to end on 2026-06-23; since then the field is 0.
HAS_CHECKSUM = (Era(1_782_172_800 * 10**9, True), Era(None, False))

Id = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
Crc = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Level = tuple[str, str, msgspec.Raw, msgspec.Raw]


class _Book(msgspec.Struct, gc=False):
    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY
    ts: str = "0"
    checksum: Crc | None = None
    prevSeqId: Id = UNKNOWN
    seqId: Id = UNKNOWN


class _Books(msgspec.Struct, gc=False):
    action: str
    data: list[_Book]


class _Trade(msgspec.Struct, gc=False):
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str = ""
    count: str = "1"  # executions in it, tradeId being the last one's


class _Ticker(msgspec.Struct, gc=False):
    askPx: str
    askSz: str
    bidPx: str
    bidSz: str
    ts: str = ""


class _Best(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: str = ""
    seqId: Id = UNKNOWN


class _FundingRate(msgspec.Struct, gc=False):
    fundingRate: str
    fundingTime: str = ""
    ts: str = ""


class _Mark(msgspec.Struct, gc=False):
    markPx: str
    ts: str = ""


class _Index(msgspec.Struct, gc=False):
    idxPx: str
    ts: str = ""


class _Forced(msgspec.Struct, gc=False):
    side: str
    sz: str
    bkPx: str
    ts: str = ""


class _Liquidation(msgspec.Struct, gc=False):
    details: list[_Forced]


class _State(msgspec.Struct, gc=False):
    state: str
    ts: str = "0"


class _Instrument(msgspec.Struct, gc=False):
    state: str


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
        time = _ns(book.ts)
        # 0 is none whatever the time, which may be none itself; of four billion books one has it.
        checksum = book.checksum or None if at(HAS_CHECKSUM, time) else None
        found.append(
            BookUpdate(time, book.seqId, book.seqId, book.prevSeqId, book.bids, book.asks, whole, whole, checksum, ROW)
        )
    return found


def _trade(trade: _Trade) -> Message:
    number, count = whole_number(trade.tradeId), whole_number(trade.count)
    if not 0 < count <= number + 1:
        raise WireError(f"count {count} of the trades up to {number}")
    return Trade(_ns(trade.ts), number, trade.px, trade.sz, side_of(trade.side), count)


def _ticker(quote: _Ticker) -> Message:
    # An empty side is an empty text.
    return Quote(_ns(quote.ts), UNKNOWN, quote.bidPx or "0", quote.bidSz or "0", quote.askPx or "0", quote.askSz or "0")


def _best(best: _Best) -> Message:
    bid, ask = (side[0][:2] if side else ("0", "0") for side in (best.bids, best.asks))
    return Quote(_ns(best.ts), best.seqId, bid[0], bid[1], ask[0], ask[1])


def _funding(wire: _FundingRate) -> Message:
    return Funding(_ns(wire.ts), rate=wire.fundingRate, next_ns=_ns(wire.fundingTime))


def _liquidations(wire: _Liquidation) -> list[Message]:
    return [Liquidation(_ns(forced.ts), forced.bkPx, forced.sz, side_of(forced.side)) for forced in wire.details]


# Of the venue: "scheduled", "ongoing", "pre_open", "completed", "canceled"; of an instrument: "live", "suspend", ...
_TRADING = {"live": True, "completed": True, "canceled": True, "suspend": False, "ongoing": False, "preopen": False}


def _state(wire: _State) -> Message:
    return Status(_ns(wire.ts), wire.state, _TRADING.get(wire.state))


_EACH: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Message | list[Message]]]] = {
    "trades": (_Trade, _trade),
    "trades-all": (_Trade, _trade),
    "tickers": (_Ticker, _ticker),
    "bbo-tbt": (_Best, _best),
    "funding-rate": (_FundingRate, _funding),
    "mark-price": (_Mark, lambda wire: Funding(_ns(wire.ts), mark_price=wire.markPx)),
    "index-tickers": (_Index, lambda wire: Funding(_ns(wire.ts), index_price=wire.idxPx)),
    "liquidation-orders": (_Liquidation, _liquidations),
    "status": (_State, _state),
    "instruments": (_Instrument, lambda wire: Status(NO_TIME, wire.state, _TRADING.get(wire.state))),
}


def decoder(kind: str, stream: str) -> Decoder:
    """The decoder of a channel; of one not known here, to Other(stream)."""
    if kind == "books":
        whole: Callable[[bytes], Any] = msgspec.json.Decoder(_Books).decode
        return strict(stream, lambda payload: _books(whole(payload)), SPARE)
    if kind not in _EACH:
        return other(stream)
    wire, convert = _EACH[kind]
    wrapper = msgspec.defstruct(f"_Data{wire.__name__}", [("data", list[wire])], gc=False)  # type: ignore[valid-type]
    each: Callable[[bytes], Any] = msgspec.json.Decoder(wrapper).decode

    def decode(payload: bytes) -> Sequence[Message]:
        found: list[Message] = []
        for item in each(payload).data:
            made = convert(item)
            if isinstance(made, list):
                found += made
            else:
                found.append(made)
        return found

    return strict(stream, decode, SPARE)
