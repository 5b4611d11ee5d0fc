"""Bitstamp's list of instruments: `trading-pairs-info`, which names a pair as "BTC/USD"."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    name: str
    url_symbol: str


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    rows = reader(venue, list[_Row])(body)
    pairs = ((row.url_symbol, *row.name.split("/")) for row in rows if row.name.count("/") == 1)
    return table(((name, base, quote) for name, base, quote in pairs))
