"""Bybit's second API, of 2019 to 2023: derivatives, inverse and linear.

    {"topic":"orderBookL2_25.BTCUSD","type":"snapshot","data":[{"price","symbol","id","side","size"}, ...],
     "cross_seq":n,"timestamp_e6":us}                                   linear: "data":{"order_book":[...]}
    {"topic":...,"type":"delta","data":{"delete":[...],"update":[...],"insert":[...]},"cross_seq":n,"timestamp_e6":us}
    {"topic":"trade.BTCUSD","data":[{"trade_time_ms","symbol","side","size","price","trade_id"}, ...]}

orderBook_200.100ms is the same, deeper. Sizes are bare numbers, times and cross_seq bare or text. Rule: cross_seq only
rises; whether two messages may share one is not documented, so that an equal one is applied and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Side, Trade, Update
from mdtool.venues.decoding import (
    MAX_MS,
    MISSING,
    ladder,
    number_text,
    opposite,
    price_text,
    side_of,
    told,
    whole_number,
)
from mdtool.venues.eras import OldProtocol, OldStream
from mdtool.venues.sequence import RecentRule, RisingRule, Verdict
from mdtool.venues.venue import BookTraits

TOPIC = re.compile(
    r"orderBookL2_25|orderBook_200\.100ms|trade|instrument_info\.100ms|klineV2\.\w{1,3}|candle\.\w{1,3}",
    re.ASCII,
)
_63_BITS = 2**63 - 1


class _Row(msgspec.Struct, gc=False):
    price: msgspec.Raw
    side: str
    size: msgspec.Raw = MISSING  # of one that is deleted


class _Changes(msgspec.Struct, gc=False):
    delete: list[_Row] = []
    update: list[_Row] = []
    insert: list[_Row] = []
    order_book: list[_Row] | None = None  # the whole book, at linear contracts


class _Book(msgspec.Struct, gc=False):
    type: str
    data: list[_Row] | _Changes
    cross_seq: int | str = UNKNOWN
    timestamp_e6: int | str = 0


class _Trade(msgspec.Struct, gc=False):
    side: str
    size: msgspec.Raw
    price: msgspec.Raw
    trade_id: str
    trade_time_ms: int | str = 0


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


_BOOK = msgspec.json.Decoder(_Book)
_TRADES = msgspec.json.Decoder(_Trades)


def _number(value: int | str) -> int:
    return whole_number(str(value))


def _time(value: int | str, unit_ns: int) -> int:
    count = told(_number, str(value))
    return count * unit_ns if count * unit_ns <= MAX_MS * 1_000_000 else NO_TIME


def _side(word: str) -> Side:
    return side_of(word.lower())


def _book(payload: bytes) -> Sequence[Message]:
    message = _BOOK.decode(payload)
    data = message.data
    if message.type == "snapshot":
        rows = data if isinstance(data, list) else data.order_book
        if rows is None:
            raise WireError("a snapshot without levels")
        bids, asks = _sides(rows, gone=())
    elif message.type == "delta" and not isinstance(data, list):
        bids, asks = _sides([*data.update, *data.insert], gone=data.delete)
    else:
        raise WireError(f"type {message.type[:20]!r}, expected snapshot or delta")
    whole = message.type == "snapshot"
    seq = UNKNOWN if message.cross_seq == UNKNOWN else _number(message.cross_seq)
    return (BookUpdate(_time(message.timestamp_e6, 1_000), seq, seq, UNKNOWN, bids, asks, whole, whole),)


def _sides(rows: Iterable[_Row], gone: Iterable[_Row]) -> tuple[bytes, bytes]:
    """Bids and asks. What is deleted comes first: a price may be deleted on one side and inserted on the other."""
    sides: dict[Side, list[tuple[str, str]]] = {Side.BID: [], Side.ASK: []}
    for row in gone:
        sides[_side(row.side)].append((price_text(row.price), "0"))
    for row in rows:
        if not bytes(row.size):
            raise WireError("a level without its size")
        sides[_side(row.side)].append((price_text(row.price), number_text(row.size)))
    return ladder(sides[Side.BID]), ladder(sides[opposite(Side.BID)])


def _trades(payload: bytes) -> Sequence[Message]:
    return [
        Trade(
            _time(trade.trade_time_ms, 1_000_000), UUID(trade.trade_id).int & _63_BITS, price_text(trade.price),
            number_text(trade.size), _side(trade.side),
        )
        for trade in _TRADES.decode(payload).data
    ]  # fmt: skip


class CrossRule(RisingRule):
    """A cross_seq that comes again with other levels is another change of the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self._before: Message | None = None

    def judge(self, message: Message) -> Verdict:
        before, self._before = self._before, message
        verdict = super().judge(message)
        if verdict is Verdict.STALE and isinstance(message, Update) and message != before:
            return Verdict.UNVERIFIABLE
        return verdict


OLD = OldProtocol(
    "v2:",
    "Bybit v2",
    {
        "orderBookL2_25": OldStream(_book, CrossRule, BookTraits(depth=25)),
        "orderBook_200.100ms": OldStream(_book, CrossRule, BookTraits(depth=200)),
        "trade": OldStream(_trades, RecentRule),
    },
    ("timestamp_e6", "trade_time_ms"),
)
