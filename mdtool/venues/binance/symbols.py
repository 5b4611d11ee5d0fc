"""Binance's list of instruments: `exchangeInfo` of each market."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    symbol: str
    baseAsset: str
    quoteAsset: str
    pair: str = ""  # of a contract


class _Answer(msgspec.Struct, gc=False):
    symbols: list[_Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    rows = reader(venue, _Answer)(body).symbols
    return table((row.pair or row.symbol, row.baseAsset, row.quoteAsset) for row in rows)
