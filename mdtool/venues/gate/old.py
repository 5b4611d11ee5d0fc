"""Gate's third API, of spot, until 2021.

    {"method":"depth.update","params":[true,{"asks":[["7450","3.5"]],"bids":[]},"BTC_USDT"],"id":null}
    {"method":"trades.update","params":["BTC_USDT",[{"id":7172173,"time":1523339279.761838,"price":"398.59",
     "amount":"0.027","type":"buy"}]],"id":null}

Rule: the first parameter of a book says whether it is whole; otherwise its levels are absolute, 0 removes. It carries
no number and no time, so that a loss cannot be seen. Of several trades in a message the ids say which came first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, Trade
from mdtool.venues.decoding import EMPTY, side_of, told
from mdtool.venues.eras import OldProtocol, OldStream
from mdtool.venues.numbers import seconds_ns
from mdtool.venues.sequence import RecentRule, TimeRule
from mdtool.venues.venue import BookTraits

METHOD = re.compile(rb'"method"\s*:\s*"([a-z]{1,12})\.update"')
FIRST = re.compile(rb'"params"\s*:\s*\[\s*"([^"\x00-\x20]{1,60})"')
LAST = re.compile(rb',\s*"([^"\x00-\x20]{1,60})"\s*\]\s*(?:,\s*"(?:id|method)"\s*:\s*[^,]{1,24})*\}\s*$')


class _Levels(msgspec.Struct, gc=False):
    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY


class _Book(msgspec.Struct, gc=False):
    params: tuple[bool, _Levels, str]


class _Trade(msgspec.Struct, gc=False):
    id: int
    price: str
    amount: str
    type: str
    time: msgspec.Raw = msgspec.Raw(b"0")


class _Trades(msgspec.Struct, gc=False):
    params: tuple[str, list[_Trade]]


_BOOK = msgspec.json.Decoder(_Book)
_TRADES = msgspec.json.Decoder(_Trades)


def _book(payload: bytes) -> Sequence[Message]:
    whole, levels, _ = _BOOK.decode(payload).params
    return (BookUpdate(NO_TIME, UNKNOWN, UNKNOWN, UNKNOWN, levels.bids, levels.asks, whole, whole),)


def _trades(payload: bytes) -> Sequence[Message]:
    found = []
    for trade in sorted(_TRADES.decode(payload).params[1], key=lambda trade: trade.id):
        time = told(seconds_ns, bytes(trade.time).decode("ascii", "replace").strip('"'))
        number = trade.id if 0 <= trade.id < 2**63 else UNKNOWN
        found.append(Trade(time, number, trade.price, trade.amount, side_of(trade.type)))
    return found


OLD = OldProtocol(
    "v3:",
    "Gate v3",
    {"depth": OldStream(_book, TimeRule, BookTraits()), "trades": OldStream(_trades, RecentRule)},
    ("time",),
)
