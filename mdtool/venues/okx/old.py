"""OKEx's third API, of 2019 to 2021, before the venue was called OKX.

    {"table":"spot/depth_l2_tbt","action":"partial","data":[{"instrument_id":"BTC-USDT","asks":[["38930","3.8","0","12"],
     ...],"bids":[...],"timestamp":"2021-06-03T12:39:11.253Z","checksum":1860980846}]}       then "action":"update"
    {"table":"spot/trade","data":[{"side","trade_id","price","size" or "qty","instrument_id","timestamp"}]}

Rule: no sequence; the checksum over the best 25 levels a side is the proof, the same as of the fifth API.
Whether trade ids leave any out is not documented: they tell trades apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from mdtool.errors import WireError
from mdtool.model import UNKNOWN, BookUpdate, Message, Trade
from mdtool.venues.checksum import Checksum, interleaved
from mdtool.venues.decoding import EMPTY, side_of, told, whole_number
from mdtool.venues.eras import OldProtocol, OldStream
from mdtool.venues.numbers import iso_ns
from mdtool.venues.sequence import RecentRule, TimeRule
from mdtool.venues.venue import BookTraits

USUAL = b'{"table":"'
TABLE = re.compile(r"(?:spot|futures|swap|option|index)/([a-z0-9_]{1,30})", re.ASCII)
INSTRUMENT = re.compile(rb'"instrument_id"\s*:\s*"([A-Za-z0-9_-]{1,60})"')
ROW = (0, 1)  # price, size, "0" (once liquidated orders), number of orders

Crc = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Book(msgspec.Struct, gc=False):
    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY
    timestamp: str = ""
    checksum: Crc | None = None


class _Books(msgspec.Struct, gc=False):
    action: str
    data: list[_Book]


class _Trade(msgspec.Struct, gc=False):
    side: str
    trade_id: str
    price: str
    size: str = ""
    qty: str = ""  # of futures and options
    timestamp: str = ""


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


_BOOKS = msgspec.json.Decoder(_Books)
_TRADES = msgspec.json.Decoder(_Trades)


def _books(payload: bytes) -> Sequence[Message]:
    message = _BOOKS.decode(payload)
    if message.action not in ("partial", "update"):
        raise WireError(f"action {message.action[:20]!r}, expected partial or update")
    whole = message.action == "partial"
    return [
        BookUpdate(
            told(iso_ns, book.timestamp), UNKNOWN, UNKNOWN, UNKNOWN, book.bids, book.asks, whole, whole, book.checksum,
            ROW,
        )
        for book in message.data
    ]  # fmt: skip


def _trades(payload: bytes) -> Sequence[Message]:
    return [
        Trade(
            told(iso_ns, trade.timestamp), whole_number(trade.trade_id), trade.price, trade.size or trade.qty,
            side_of(trade.side),
        )
        for trade in _TRADES.decode(payload).data
    ]  # fmt: skip


_TRAITS = BookTraits(checksum=Checksum(25, interleaved))
OLD = OldProtocol(
    "v3:",
    "OKEx v3",
    {
        "depth_l2_tbt": OldStream(_books, TimeRule, _TRAITS),
        "depth": OldStream(_books, TimeRule, _TRAITS),
        "trade": OldStream(_trades, RecentRule),
    },
    ("timestamp", "checksum"),
)
