"""KuCoin's list of instruments: `symbols`. What an asset is called now stands in `name`; an instrument keeps the symbol
it was listed by (BCHSV-USDT, whose name is BSV-USDT)."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    symbol: str
    name: str


class _Answer(msgspec.Struct, gc=False):
    data: list[_Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    rows = reader(venue, _Answer)(body).data
    pairs = ((row.symbol, *row.name.split("-")) for row in rows if row.name.count("-") == 1)
    return table(((name, base, quote) for name, base, quote in pairs), "-")
