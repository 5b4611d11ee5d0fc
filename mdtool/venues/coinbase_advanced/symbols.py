"""Coinbase Advanced Trade's list of instruments: the public `products`."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    product_id: str
    base_currency_id: str = ""  # not there of a future
    quote_currency_id: str = ""


class _Answer(msgspec.Struct, gc=False):
    products: list[_Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    rows = reader(venue, _Answer)(body).products
    return table(((row.product_id, row.base_currency_id, row.quote_currency_id) for row in rows), "-")
