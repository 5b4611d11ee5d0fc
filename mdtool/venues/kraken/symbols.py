"""Kraken's symbols: the second API writes BTC/USD, the first XBT/USD; both are BTC_USD."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable
from mdtool.venues.symbols import SplitSymbols

ALIASES = {"XBT": "BTC", "XDG": "DOGE"}  # the first API's codes


class KrakenSymbols(SplitSymbols):
    """Spot pairs, written as the second API does."""

    def __init__(self, venue: str) -> None:
        super().__init__(venue, "/", ALIASES)

    def folded(self, native: str) -> str:
        """Both APIs' names of a pair are of one instrument."""
        found = self.read(native) if "/" in native else None
        return super().folded(native) if found is None else found.replace("_", "/")

    def write(self, symbol: str) -> str | None:
        return self._written(symbol, {})

    def old(self, symbol: str) -> str:
        """The first API's spelling. Raises UnknownSymbol."""
        return super().write(self.canonical(symbol)) or self.native(symbol)

    def spellings(self, symbol: str) -> tuple[str, ...]:
        return self.native(symbol), super().write(symbol) or symbol


class _Row(msgspec.Struct, gc=False):
    wsname: str = ""  # by the first API


class _Answer(msgspec.Struct, gc=False):
    result: dict[str, _Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Of the answer to `AssetPairs`. Raises WireError."""
    pairs = (row.wsname.split("/") for row in reader(venue, _Answer)(body).result.values())
    named = ([ALIASES.get(asset, asset) for asset in pair] for pair in pairs if len(pair) == 2)
    return table((("/".join(pair), pair[0], pair[1]) for pair in named), "/")
