"""Symbols: canonical BASE_QUOTE, the venues' own spellings, and the patterns people type.

Rule: `canonical` of a native spelling and `native` of a canonical one are inverse; what cannot be read so is
UnknownSymbol.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mdtool.errors import FeedNotFound, UnknownSymbol

VALID = re.compile(r"[A-Z0-9][A-Z0-9_.-]{0,62}", re.ASCII)
_DATED = re.compile(r"(.+)_(\d{6}|PERP)", re.ASCII)  # a delivery contract's date, COIN-M's perpetual
_SEPARATORS = str.maketrans("", "", "_-/")


class JoinedSymbols:
    """A venue that writes base and quote in one word ("ETHUSDT"): the quote is the longest known asset at its end."""

    def __init__(self, venue: str, quotes: Iterable[str]) -> None:
        self._venue = venue
        self._quotes = tuple(sorted(set(quotes), key=lambda quote: (-len(quote), quote)))

    def canonical(self, symbol: str) -> str:
        """Of either spelling, in any case. Raises UnknownSymbol."""
        given = symbol.upper()
        if not VALID.fullmatch(given.replace("/", "_")):
            shown = symbol if len(symbol) <= 40 else symbol[:37] + "..."
            raise UnknownSymbol(f"{self._venue}: {shown!r} is no symbol; expected the form BTC_USDT or BTCUSDT")
        dated = _DATED.fullmatch(given)
        pair, suffix = (dated[1], f"_{dated[2]}") if dated else (given, "")
        joined = pair.translate(_SEPARATORS)
        for quote in self._quotes:
            if joined.endswith(quote) and len(joined) > len(quote):
                found = f"{joined[: -len(quote)]}_{quote}"
                if joined != pair and pair.replace("-", "_").replace("/", "_") != found:
                    break
                return found + suffix
        raise UnknownSymbol(
            f"{self._venue}: {symbol!r} does not end in a quote asset known here; expected BASE_QUOTE with one of "
            f"{', '.join(sorted(self._quotes))}"
        )

    def native(self, symbol: str) -> str:
        """The venue's own spelling of either one. Raises UnknownSymbol."""
        canonical = self.canonical(symbol)
        dated = _DATED.fullmatch(canonical)
        pair, suffix = (dated[1], f"_{dated[2]}") if dated else (canonical, "")
        return pair.replace("_", "") + suffix


class SplitSymbols:
    """A venue that writes a separator between base and quote ("ETH-USDT", "ETH/USD"), and suffixes behind them.

    `aliases`: the venue's own codes for assets, to ours ("XBT": "BTC"). Canonical symbols are BASE_QUOTE for the
    venue's main kind of contract, and with one of these behind where a venue has several: `_PERP`, a date `_YYMMDD`,
    or `_YYMMDD_STRIKE_C` (P) for an option. `suffixes`: the venue's word for a perpetual to ours ("SWAP": "PERP").
    """

    def __init__(
        self,
        venue: str,
        separator: str,
        aliases: Mapping[str, str] | None = None,
        suffixes: Mapping[str, str] | None = None,
    ) -> None:
        self._venue = venue
        self._separator = separator
        self._assets = dict(aliases or {})
        self._suffixes = dict(suffixes or {})
        self._forms = re.compile(r"[A-Z0-9.]{1,30}_[A-Z0-9.]{1,30}(_(PERP|\d{6}(_[0-9.]{1,12}_[CP])?))?", re.ASCII)

    def canonical(self, symbol: str) -> str:
        """Of either spelling, in any case. Raises UnknownSymbol."""
        parts = symbol.upper().replace(self._separator, "_").replace("-", "_").replace("/", "_").split("_")
        found = "_".join(_translated(parts, self._assets, self._suffixes))
        if not self._forms.fullmatch(found):
            shown = symbol if len(symbol) <= 40 else symbol[:37] + "..."
            raise UnknownSymbol(f"{self._venue}: {shown!r} is no symbol; expected the form BTC_USDT")
        return found

    def native(self, symbol: str) -> str:
        """The venue's own spelling of either one. Raises UnknownSymbol."""
        parts = self.canonical(symbol).split("_")
        turned = ({ours: theirs for theirs, ours in table.items()} for table in (self._assets, self._suffixes))
        return self._separator.join(_translated(parts, *turned))


def _translated(parts: list[str], assets: Mapping[str, str], suffixes: Mapping[str, str]) -> list[str]:
    """Base and quote are assets, what stands behind them is not."""
    return [(assets if place < 2 else suffixes).get(part, part) for place, part in enumerate(parts)]


def _squeezed(symbol: str) -> str:
    return symbol.upper().translate(_SEPARATORS)


def matches(pattern: str, venue: str, symbol: str) -> bool:
    """Whether a pattern means this feed.

    `venue/SYMBOL`, or a bare symbol, which means that symbol at every venue; either part may be a glob. A symbol is
    canonical or in the venue's spelling, in any case. A feed like `_session` is only meant by a pattern whose symbol
    begins with "_".
    """
    wanted_venue, slash, wanted = pattern.rpartition("/")
    if slash and not fnmatchcase(venue.lower(), wanted_venue.lower()):
        return False
    hidden = symbol.startswith("_")
    if wanted.startswith("_") != hidden:
        return False
    wanted, symbol = wanted.upper(), symbol.upper()
    if not any(character in wanted for character in "*?["):
        return symbol == wanted if hidden else _squeezed(symbol) == _squeezed(wanted)
    if fnmatchcase(symbol, wanted):
        return True
    return not hidden and "_" not in wanted and fnmatchcase(_squeezed(symbol), wanted)


def match(patterns: str | Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of `names` ("venue/SYMBOL") that the patterns mean, in the order of `names`, each once.

    Raises FeedNotFound for a pattern that means none of them, with the nearest there are.
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        meant = {name for name in names if matches(pattern, *name.split("/", 1))}
        if not meant:
            wanted = pattern.rpartition("/")[2].upper()
            symbols = {name.split("/", 1)[1]: name for name in reversed(names)}
            near = [symbols[symbol] for symbol in get_close_matches(wanted, list(symbols), n=3)]
            shown = ", ".join(near or list(names)[:5]) + ("" if near or len(names) <= 5 else ", ...")
            raise FeedNotFound(f"{pattern}: no such feed; {'near it' if near else 'there are'}: {shown or 'none'}")
        found |= meant
    return [name for name in names if name in found]
