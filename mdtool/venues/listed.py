"""What venues list, as far as names go: the table that ships (listed.txt), and the one a venue's own list makes.

Rule: in one table no two of a venue's names have one symbol, and no two symbols one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("listed.txt")


class Pair(NamedTuple):
    """One listed pair; a contract's is the one it is of."""

    base: str  # as the world knows it, in capitals
    quote: str
    native: str | None = None  # the venue's name, in capitals, without what stands behind a contract's pair; None: as
    # the venue's spelling has it


class SymbolTable:
    """A venue's pairs. Immutable."""

    __slots__ = ("_rows", "bases", "listed", "natives", "pairs", "quotes")

    def __init__(self, rows: Iterable[Pair] = ()) -> None:
        """Of two rows that share a name or a symbol the first counts."""
        self.pairs: dict[str, str] = {}  # the venue's name -> symbol, of the rows that have one
        self.natives: dict[str, str] = {}  # and back
        listed: dict[str, None] = {}
        kept = []
        for row in rows:
            symbol = f"{row.base}_{row.quote}"
            if symbol in listed or row.native in self.pairs:
                continue
            kept.append(row)
            listed[symbol] = None
            if row.native is not None:
                self.pairs[row.native] = symbol
                self.natives[symbol] = row.native
        self._rows = tuple(kept)
        self.listed = frozenset(listed)
        self.bases = frozenset(row.base for row in kept)
        self.quotes = frozenset(row.quote for row in kept)

    def over(self, older: SymbolTable) -> SymbolTable:
        """Both tables' pairs; where they differ this one's count."""
        return SymbolTable((*self._rows, *older._rows))


@cache
def _lines() -> list[list[str]]:
    """`venue QUOTE PAIR ...`, a pair being its base or, where the venue's name is no rule's, NAME=BASE."""
    text = FILE.read_text(encoding="utf-8")
    return [line.split(" ") for line in text.splitlines() if line and not line.startswith("#")]


@cache
def listed(venue: str) -> SymbolTable:
    """What the venue listed when the table was made; of a venue that is not in it, nothing."""
    return SymbolTable(_pairs(venue))


def _pairs(venue: str) -> Iterator[Pair]:
    for owner, quote, *words in _lines():
        if owner == venue:
            for word in words:
                native, named, base = word.rpartition("=")
                yield Pair(base, quote, native if named else None)


class Assets(NamedTuple):
    bases: frozenset[str]
    quotes: tuple[str, ...]  # longest first


@cache
def assets() -> Assets:
    """What is traded at any venue, for what one venue's list does not know."""
    bases = {word.rpartition("=")[2] for _, _, *words in _lines() for word in words}
    quotes = {quote for _, quote, *_ in _lines()}
    return Assets(frozenset(bases), tuple(sorted(quotes, key=lambda quote: (-len(quote), quote))))
