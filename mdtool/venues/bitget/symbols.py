"""Bitget's list of instruments: `symbols` of spot. Pairs are written in one word, some in other scripts than Latin."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable

# No public list of its pairs was at hand: quote assets that some are known to end in.
QUOTES = ("USDT", "USDC", "USDE", "USD1", "BGB", "BTC", "ETH", "EUR", "GBP", "BRL", "TRY", "PLN", "UAH")


class _Row(msgspec.Struct, gc=False):
    symbol: str
    baseCoin: str
    quoteCoin: str


class _Answer(msgspec.Struct, gc=False):
    data: list[_Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    return table((row.symbol, row.baseCoin, row.quoteCoin) for row in reader(venue, _Answer)(body).data)
