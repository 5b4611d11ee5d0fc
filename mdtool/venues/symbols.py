"""Symbols: how most venues write a pair, in one word or with something between, and the patterns people type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property

from mdtool.errors import FeedNotFound, UnknownSymbol
from mdtool.venues.listed import assets
from mdtool.venues.spelling import OWN, Spelling, Symbols, begins_well, capitals, small, squeezed

_WORDS = re.compile("[-_/:]")
_CONTRACT = re.compile(r"(.+)[-_/](\d{6}|PERP)", re.ASCII)  # a delivery contract's date, a perpetual beside spot
_ASSET = r"(?!\.)[^\s_/:=@+-]{1,30}"


class JoinedSymbols(Symbols):
    """A venue that writes base and quote in one word ("ETHUSDT").

    Where one ends a list says, if it has the pair; else it is the longest known quote behind a base that is known too,
    else the longest known quote. `quotes`: those that no list has yet. `closed`: there are no others. `lower`: the
    venue writes small letters. `mark`: what the venue has between a pair and what stands behind it. `any_script`: it
    lists names beyond ASCII.
    """

    form = "BTC_USDT or BTCUSDT"

    def __init__(
        self,
        venue: str,
        quotes: Iterable[str] = (),
        *,
        closed: bool = False,
        lower: bool = False,
        mark: str = "_",
        any_script: bool = False,
        lists_of: str | None = None,
    ) -> None:
        super().__init__(venue, lists_of)
        self._more = frozenset(quotes)
        self._closed = closed
        self._lower = lower
        self._mark = mark
        self._any_script = any_script

    @cached_property
    def _joined(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The listed pairs by the word they are written in, and the quotes, longest first."""
        pairs = {symbol.replace("_", ""): symbol for symbol in sorted(self.table.listed)}
        quotes = sorted(self._more | self.table.quotes, key=lambda quote: (-len(quote), quote))
        return {**pairs, **self.table.pairs}, tuple(quotes)

    def cased(self, name: str) -> str:
        return small(name) if self._lower else capitals(name)

    def feed_name(self, name: str) -> str:
        return capitals(name)

    def read(self, text: str) -> str | None:
        given = capitals(text)
        contract = _CONTRACT.fullmatch(given)
        pair, behind = (contract[1], f"_{contract[2]}") if contract else (given, "")
        pairs, _ = self._joined
        words = _WORDS.split(pair)
        joined = "".join(words)
        found = pairs.get(pair)
        if found is None and len(words) == 2 and "_".join(words) in self.table.natives:
            found = "_".join(words)
        if found is None:
            found = pairs.get(joined) or self._split(joined)
            if found is None or len(words) > 2 or (len(words) == 2 and "_".join(words) != found):
                return None
        return found + behind

    def _split(self, joined: str) -> str | None:
        plain = all(character.isalnum() or character == "." for character in joined if character.isascii())
        if not plain or not (self._any_script or joined.isascii()):
            return None
        found = [quote for quote in self._joined[1] if joined.endswith(quote) and len(joined) > len(quote)]
        bases = [joined[: -len(quote)] for quote in found]
        for known in (self.table.bases, assets().bases):
            for base, quote in zip(bases, found, strict=True):
                if base in known:
                    return self._unless_taken(base, quote, joined)
        if found:
            return self._unless_taken(bases[0], found[0], joined)
        for quote in () if self._closed else assets().quotes:  # of other venues
            if joined.endswith(quote) and joined[: -len(quote)] in assets().bases:
                return self._unless_taken(joined[: -len(quote)], quote, joined)
        return None

    def _unless_taken(self, base: str, quote: str, joined: str) -> str | None:
        symbol = f"{base}_{quote}"
        return symbol if self.table.natives.get(symbol, joined) == joined and begins_well(base) else None

    def write(self, symbol: str) -> str | None:
        contract = _CONTRACT.fullmatch(symbol)
        pair, behind = (contract[1], f"{self._mark}{contract[2]}") if contract else (symbol, "")
        native = self.table.natives.get(pair)
        if native is None:
            words = pair.split("_")
            if len(words) > 2 or not all(words):
                return None
            native = "".join(words)
        return self.cased(native + behind)


class SplitSymbols(Symbols):
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
        super().__init__(venue)
        self._separator = separator
        self._assets = dict(aliases or {})
        self._suffixes = dict(suffixes or {})
        self._forms = re.compile(rf"{_ASSET}_{_ASSET}(_(PERP|\d{{6}}(_[0-9.]{{1,12}}_[CP])?))?", re.ASCII)

    def read(self, text: str) -> str | None:
        given = capitals(text)
        words = _WORDS.split(given)
        theirs, ours = self._separator.join(words[:2]), "_".join(words[:2])
        pairs, natives = self.table.pairs, self.table.natives
        if theirs in pairs and (self._separator in given or ours not in natives):
            pair = pairs[theirs]
        elif ours in natives:
            pair = ours
        else:
            pair = "_".join(self._assets.get(word, word) for word in words[:2])
            if pair in natives or not (pair.isascii() or pair in self.table.listed):  # another's; a script it has not
                return None
        found = "_".join([pair, *(self._suffixes.get(word, word) for word in words[2:])])
        return found if self._forms.fullmatch(found) else None

    def write(self, symbol: str) -> str | None:
        return self._written(symbol, {ours: theirs for theirs, ours in self._assets.items()})

    def _written(self, symbol: str, assets: Mapping[str, str]) -> str | None:
        if not self._forms.fullmatch(symbol):
            return None
        words = symbol.split("_")
        suffixes = {ours: theirs for theirs, ours in self._suffixes.items()}
        native = self.table.natives.get("_".join(words[:2]))
        pair = [assets.get(word, word) for word in words[:2]] if native is None else [native]
        return self._separator.join([*pair, *(suffixes.get(word, word) for word in words[2:])])


def match(
    patterns: str | Sequence[str], names: Sequence[str], venues: Mapping[str, Spelling] | None = None
) -> list[str]:
    """Those of `names` ("venue/SYMBOL") that the patterns mean, in the order of `names`, each once.

    A pattern is `venue/SYMBOL`, or a bare symbol, which means that symbol at every venue; either part may be a glob. A
    symbol is canonical or in the venue's spelling (that of `venues`), in any case, and may hold a "/" itself. A feed
    like `_session` is only meant by a pattern whose symbol begins with "_". Raises FeedNotFound for a pattern that
    means none of them, with the nearest there are.
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        meant = _meant(pattern, names, venues or {})
        if not meant:
            raise FeedNotFound(_not_found(pattern, names))
        found |= meant
    return [name for name in names if name in found]


def parted(pattern: str, venues: Iterable[str]) -> tuple[str, str]:
    """A pattern's venue, empty where it names none, and its symbol, which may hold a "/" itself."""
    venue, slash, symbol = pattern.partition("/")
    named = slash and (venue.lower() in venues or _is_glob(venue))
    return (venue.lower(), symbol) if named else ("", pattern)


def _meant(pattern: str, names: Sequence[str], venues: Mapping[str, Spelling]) -> set[str]:
    venue, slash, symbol = pattern.partition("/")
    for wanted_venue, wanted in [(venue, symbol), ("*", pattern)] if slash else [("*", pattern)]:
        readings: dict[str, str | None] = {}
        meant = set()
        for name in names:
            its_venue, _, its_symbol = name.partition("/")
            if not fnmatchcase(its_venue, wanted_venue.lower()):
                continue
            if its_venue not in readings:
                readings[its_venue] = _reading(venues.get(its_venue), wanted)
            if _matches(wanted, readings[its_venue], its_symbol, venues.get(its_venue)):
                meant.add(name)
        if meant:
            return meant
    return set()


def _reading(venue: Spelling | None, wanted: str) -> str | None:
    if venue is None or _is_glob(wanted):
        return None
    try:
        return venue.canonical(wanted)
    except UnknownSymbol:
        return None


def _is_glob(wanted: str) -> bool:
    return any(character in wanted for character in "*?[")


def _matches(wanted: str, reading: str | None, symbol: str, venue: Spelling | None) -> bool:
    hidden = symbol.startswith("_")
    if wanted.startswith("_") != hidden:
        return False
    if not _is_glob(wanted):
        if hidden or wanted.startswith(OWN):
            return capitals(symbol) in (capitals(wanted), capitals(reading or ""))
        return symbol == reading or squeezed(symbol) == squeezed(wanted)
    wanted = capitals(wanted)
    spellings = () if hidden or venue is None else venue.spellings(symbol)
    if any(fnmatchcase(capitals(text), wanted) for text in (symbol, *spellings)):
        return True
    return not hidden and "_" not in wanted and fnmatchcase(squeezed(symbol), wanted)


def _not_found(pattern: str, names: Sequence[str]) -> str:
    wanted = capitals(pattern.rpartition("/")[2])
    symbols = {name.partition("/")[2]: name for name in reversed(names)}
    near = [symbols[symbol] for symbol in get_close_matches(wanted, list(symbols), n=3)]
    shown = ", ".join(near or list(names)[:5]) + ("" if near or len(names) <= 5 else ", ...")
    return f"{pattern}: no such feed; {'near it' if near else 'there are'}: {shown or 'none'}"
