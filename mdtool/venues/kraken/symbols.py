"""Kraken's symbols: the second API writes BTC/USD, the first XBT/USD; both are BTC_USD."""

from __future__ import annotations

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
