"""Spelling: what a venue calls an instrument, what its feed is called, and the name of what no rule reads.

Rule: the two are inverse, and by construction: `named` takes a reading only where `native` gives the venue's name
back, and keeps the venue's own name where it does not. So no two instruments of a venue share a feed, and none is
without one.
"""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from difflib import get_close_matches
from functools import cached_property
from typing import Protocol, Self
from unicodedata import category

from mdtool.errors import UnknownSymbol
from mdtool.venues.listed import SymbolTable, listed

MAX_NAME = 63  # bytes, as the registry has room for
OWN = "="  # in front of a venue's name that is to be taken as it is; it stays there where a reading would differ
_PUNCTUATION = frozenset("_.:+-@=/")
_SCRIPTS = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "So"))  # no signs, no spaces
_CAPITALS = {small: small - 32 for small in range(ord("a"), ord("z") + 1)}
_SMALL = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
_SEPARATORS = str.maketrans("", "", "_-/:")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})", re.ASCII)


def capitals(text: str) -> str:
    """In capitals as far as ASCII goes: other scripts are a venue's own spelling, letter by letter."""
    return text.translate(_CAPITALS)


def small(text: str) -> str:
    return text.translate(_SMALL)


def squeezed(symbol: str) -> str:
    """What all spellings of one pair have in common."""
    return capitals(symbol).translate(_SEPARATORS)


def well_formed(name: str) -> bool:
    """Whether a venue could call anything so: letters, digits and pictures of any script, and what stands between."""
    if not name or len(name) > MAX_NAME or (not name.isascii() and len(name.encode("utf-8", "replace")) > MAX_NAME):
        return False
    for character in name:
        if character.isascii():
            if not (character.isalnum() or character in _PUNCTUATION):
                return False
        elif category(character) not in _SCRIPTS:
            return False
    return any(character.isalnum() or not character.isascii() for character in name)


def begins_well(name: str) -> bool:
    """Whether it begins as an asset does, and not with what stands between two."""
    return name[0].isalnum() or not name[0].isascii()


def wire_text(name: bytes) -> str:
    """A name as it stands in JSON: UTF-8, or with escapes. Raises UnicodeDecodeError."""
    text = name.decode("utf-8")
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text).encode("utf-16", "surrogatepass").decode("utf-16")


class Spelling(Protocol):
    """How a venue writes its symbols: a `Symbols`, or the venue itself."""

    def canonical(self, symbol: str) -> str:
        """Of any spelling a person may use, in any case. Raises UnknownSymbol, with what is near."""
        ...

    def named(self, native: str) -> str:
        """What the feed of an instrument is called that the venue calls `native`: canonical, or the venue's own name
        where no rule reads it. Raises UnknownSymbol only for what nothing can be called."""
        ...

    def native(self, symbol: str) -> str:
        """The venue's own spelling of any other, and of a feed's name. Raises UnknownSymbol."""
        ...

    def spellings(self, symbol: str) -> tuple[str, ...]:
        """Every way the venue itself writes a feed's symbol."""
        ...


class Symbols(ABC):
    """A venue's spelling. Immutable.

    What differs between venues is `read`, from any spelling to canonical, and `write`, from canonical to the venue's.
    """

    form = "BTC_USDT"  # what a symbol looks like, for who typed another thing

    def __init__(self, venue: str, lists_of: str | None = None) -> None:
        self.venue = venue
        self._lists_of = lists_of or venue  # the venue whose list it is

    @cached_property
    def table(self) -> SymbolTable:
        """What the venue is known to list."""
        return listed(self._lists_of)

    @property
    def own(self) -> frozenset[str]:
        """The pairs it lists itself, where it is known to; none that it has from another venue's list."""
        return self.table.listed if self._lists_of == self.venue else frozenset()

    def knowing(self, table: SymbolTable) -> Self:
        """The spelling with a list of the venue's own, which overrules what was known."""
        made = copy.copy(self)
        for name in ("table", "_joined"):  # cached
            made.__dict__.pop(name, None)
        made.__dict__["table"] = table.over(self.table)
        return made

    @abstractmethod
    def read(self, text: str) -> str | None:
        """The canonical form of any spelling, in any case; None of what cannot be read."""

    @abstractmethod
    def write(self, symbol: str) -> str | None:
        """The venue's spelling of what looks like a canonical symbol; None of what does not."""

    def folded(self, native: str) -> str:
        """A venue's name without what the venue makes no difference of: as a rule its case."""
        return capitals(native)

    def cased(self, name: str) -> str:
        """A name in the case the venue writes; as it is where it may write either."""
        return name

    def feed_name(self, name: str) -> str:
        """What a feed is called by the venue's own name, in letters as large as those of others."""
        return name

    def canonical(self, symbol: str) -> str:
        """Of any spelling a person may use, in any case. Raises UnknownSymbol, with what is near."""
        if well_formed(symbol):
            if symbol[0] == OWN:
                return self.named(symbol[1:])
            found = self._read(symbol)
            if found is not None:
                return found
        raise UnknownSymbol(self._unknown(symbol))

    def named(self, native: str) -> str:
        """What the feed of the venue's `native` is called: canonical, or the venue's own name where no rule reads it.
        Raises UnknownSymbol only for what nothing can be called."""
        if well_formed(native):
            found = self._read(native)
            if found is not None and self._is(found, native):
                return found
            own = self.feed_name(native)
            if not begins_well(own) or not self._is(own, native):
                own = OWN + self.cased(native)
            if well_formed(own) and "/" not in own:
                return own
        raise UnknownSymbol(self._unknown(native))

    def feed(self, symbol: str) -> str:
        """What a feed is called: of any spelling, and of such a name itself. Raises UnknownSymbol."""
        try:
            return self.canonical(symbol)
        except UnknownSymbol:
            if self.named(self.native(symbol)) == symbol:
                return symbol
            raise

    def native(self, symbol: str) -> str:
        """The venue's own spelling of any other, and of a feed's name. Raises UnknownSymbol."""
        if not well_formed(symbol) or symbol[0] == "_":
            raise UnknownSymbol(self._unknown(symbol))
        if symbol[0] == OWN:
            return symbol[1:]
        found = self._read(symbol)
        if found is None and "/" in symbol:
            raise UnknownSymbol(self._unknown(symbol))
        written = self.write(symbol if found is None else found)
        return self.cased(symbol) if written is None else written

    def _read(self, text: str) -> str | None:
        found = self.read(text)
        return found if found is not None and well_formed(found) else None

    def _is(self, symbol: str, native: str) -> bool:
        return self.folded(self.native(symbol)) == self.folded(native)

    def spellings(self, symbol: str) -> tuple[str, ...]:
        """Every way the venue itself writes a feed's symbol."""
        return (self.native(symbol),)

    def near(self, text: str) -> list[str]:
        """Symbols the venue lists whose names are like this one, the likest first."""
        known = {squeezed(symbol): symbol for symbol in self.table.listed}
        return [known[found] for found in get_close_matches(squeezed(text), known, n=3)]

    def _unknown(self, symbol: str) -> str:
        shown = symbol if len(symbol) <= 40 else symbol[:37] + "..."
        said = f"{self.venue}: {shown!r} is no symbol; expected the form {self.form}"
        if well_formed(symbol) and symbol[0] not in "_=" and (near := self.near(symbol)):
            said += f"; near it: {', '.join(near)}"
        return said
