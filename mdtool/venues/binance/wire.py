"""Binance's messages: what is on the wire, and what it says. Ladders stay wire text (msgspec.Raw).

Rule: a decoder returns messages or raises WireError, whatever the bytes; every integer it lets through fits an int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Funding, Liquidation, Message, Other, Quote, Side, Status, Trade
from mdtool.units import count
from mdtool.venues.decoding import decode_spared
from mdtool.venues.venue import Decoder

MAX_MS = 9_223_372_036_854  # the last millisecond whose nanoseconds fit an int64; a larger time is in microseconds
_HEAD = 60  # characters of a message shown in an error
_SPARE = frozenset({"E", "T", "f", "l"})  # the times, and what an aggregate spans

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS * 1000)]


# Fields stand in the order of the wire: the decoder finds the next one where it expects it.


class _Depth(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    T: Time = 0  # USD-M only, as pu
    U: Id
    u: Id
    pu: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)] = UNKNOWN
    b: msgspec.Raw
    a: msgspec.Raw


class _Trade(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    T: Time = 0
    t: Id
    p: str
    q: str
    m: bool


class _AggTrade(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    a: Id
    p: str
    q: str
    f: Id | None = None
    l: Id | None = None  # noqa: E741  the venue's name
    T: Time = 0
    m: bool


class _BookTicker(msgspec.Struct, gc=False, kw_only=True):
    u: Id
    b: str
    B: str
    a: str
    A: str
    T: Time = 0  # USD-M only, as E
    E: Time = 0


class _MarkPrice(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    p: str
    i: str = ""
    r: str = ""  # as T: of perpetuals; a delivery contract pays none
    T: Time = 0


class _Forced(msgspec.Struct, gc=False, kw_only=True):
    S: str
    q: str
    p: str


class _ForceOrder(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    o: _Forced


class _ContractInfo(msgspec.Struct, gc=False, kw_only=True):
    E: Time = 0
    cs: str


class _Snapshot(msgspec.Struct, gc=False, kw_only=True):
    lastUpdateId: Id
    E: Time = 0  # USD-M only, as T
    T: Time = 0
    bids: msgspec.Raw
    asks: msgspec.Raw


def _ns(time: int) -> int:
    """Of a time in ms, or in us where the connection asked for it (timeUnit=microsecond)."""
    return time * 1_000_000 if time <= MAX_MS else time * 1000


def _depth(wire: _Depth) -> BookUpdate:
    first = wire.U
    last = wire.u
    if first > last:
        raise WireError(f"depth update: U {first} after u {last}")
    prev = wire.pu
    time = wire.E or wire.T
    return BookUpdate(
        time * 1_000_000 if time <= MAX_MS else time * 1000,
        first,
        last,
        prev if prev >= 0 else first - 1,
        wire.b,
        wire.a,
    )


def _trade(wire: _Trade) -> Trade:
    # m: the buyer is the maker, so the aggressor sold.
    return Trade(_ns(wire.E or wire.T), wire.t, wire.p, wire.q, Side.ASK if wire.m else Side.BID)


def _agg_trade(wire: _AggTrade) -> Trade:
    spans = None if wire.f is None or wire.l is None or wire.l < wire.f else (wire.f, wire.l)
    return Trade(_ns(wire.E or wire.T), wire.a, wire.p, wire.q, Side.ASK if wire.m else Side.BID, executions=spans)


def _quote(wire: _BookTicker) -> Quote:
    time = wire.E or wire.T
    return Quote(_ns(time) if time else NO_TIME, wire.u, wire.b, wire.B, wire.a, wire.A)


def _mark_price(wire: _MarkPrice) -> Funding:
    return Funding(_ns(wire.E), wire.p, wire.i, wire.r, _ns(wire.T) if wire.r else NO_TIME)


def _force_order(wire: _ForceOrder) -> Liquidation:
    order = wire.o
    if order.S not in ("BUY", "SELL"):
        raise WireError(f"forceOrder: side {order.S[:20]!r}, expected BUY or SELL")
    return Liquidation(_ns(wire.E), order.p, order.q, Side.BID if order.S == "BUY" else Side.ASK)


def _contract_info(wire: _ContractInfo) -> Status:
    return Status(_ns(wire.E), wire.cs, wire.cs == "TRADING")


def _snapshot(wire: _Snapshot) -> BookUpdate:
    last = wire.lastUpdateId
    return BookUpdate(_ns(wire.E or wire.T), last, last, UNKNOWN, wire.bids, wire.asks, True)


_WIRE: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Message]]] = {
    "depth": (_Depth, _depth),
    "trade": (_Trade, _trade),
    "aggTrade": (_AggTrade, _agg_trade),
    "bookTicker": (_BookTicker, _quote),
    "markPrice": (_MarkPrice, _mark_price),
    "forceOrder": (_ForceOrder, _force_order),
    "contractInfo": (_ContractInfo, _contract_info),
    "snapshot": (_Snapshot, _snapshot),
}


def decoder(head: str, stream: str) -> Decoder:
    """The decoder of a stream whose messages are of the kind `head`; of one not known here, to Other(stream)."""
    if head not in _WIRE:
        other = (Other(stream),)
        return lambda payload: other
    wire, convert = _WIRE[head]
    wrapper = msgspec.defstruct(f"_Combined{wire.__name__}", [("data", wire)], gc=False)
    combined: Callable[[bytes], Any] = msgspec.json.Decoder(wrapper).decode
    bare = msgspec.json.Decoder(wire).decode

    def decode(payload: bytes) -> tuple[Message]:
        try:
            if payload.startswith(b'{"stream"'):
                return (convert(combined(payload).data),)
            return (convert(bare(payload)),)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            return (convert(second_try(payload, error)),)

    def second_try(payload: bytes, error: Exception) -> Any:
        """The other form: keys may come in any order, and {"data":...,"stream":...} is a combined message too; and
        without a time that is none."""
        wrapped = payload.startswith(b'{"stream"')
        try:
            if isinstance(error, msgspec.ValidationError) and not wrapped:
                try:
                    return combined(payload).data
                except msgspec.ValidationError as other:
                    if "$.data" in str(other):
                        wrapped, error = True, other
            found = decode_spared(payload, error, _SPARE, combined if wrapped else bare)
            return found.data if wrapped else found
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as last:
            shown = payload[:_HEAD].decode("utf-8", "replace")
            raise WireError(f"{stream}: {last}; in {count(len(payload), 'byte')} {shown!r}") from last
        finally:
            del error  # it would hold this frame, which holds it

    return decode
