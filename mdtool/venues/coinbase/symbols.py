"""Coinbase's list of instruments: `products`."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    id: str
    base_currency: str
    quote_currency: str


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    rows = reader(venue, list[_Row])(body)
    return table(((row.id, row.base_currency, row.quote_currency) for row in rows), "-")
