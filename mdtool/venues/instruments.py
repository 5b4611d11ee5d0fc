"""A venue's own list of instruments, from the answer to a REST request into a table of names.

Rule: the list is foreign text. It is bounded before it is read, a row whose names could not be names is left out, and
no two rows share a name; what is no list at all is a WireError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

import msgspec

from mdtool.errors import WireError
from mdtool.units import count
from mdtool.venues.listed import Pair, SymbolTable
from mdtool.venues.spelling import capitals, well_formed

MAX_BYTES = 64 << 20  # the longest real answer is Binance spot's, with about 15 MB
MAX_ROWS = 20_000  # the longest real list has about 3,500
MAX_ASSET = 30
_BETWEEN = frozenset("_-/:=@+")

T = TypeVar("T")


def reader(venue: str, kind: type[T]) -> Callable[[bytes], T]:
    """A decoder of an answer that fails with WireError only."""
    decoder = msgspec.json.Decoder(kind)

    def read(body: bytes) -> T:
        if len(body) > MAX_BYTES:
            raise WireError(f"{venue}: {count(len(body), 'byte')}, expected a list of at most {MAX_BYTES:,}")
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise WireError(f"{venue}: no list of instruments: {error}") from error

    return read


def table(rows: Iterable[tuple[str, str, str]], between: str = "") -> SymbolTable:
    """Of (the venue's name for the pair, base, quote) each. `between`: what its rule has between base and quote; a name
    that differs from that is one of its own."""
    return SymbolTable(_pairs(islice(rows, MAX_ROWS), between))


def _pairs(rows: Iterable[tuple[str, str, str]], between: str) -> Iterable[Pair]:
    for name, base, quote in rows:
        name, base, quote = capitals(name), capitals(base), capitals(quote)
        named = well_formed(name) and _BETWEEN.intersection(name) <= {between} and name.count(between or "_") <= 1
        if named and _is_asset(base) and _is_asset(quote) and well_formed(f"{base}_{quote}"):
            yield Pair(base, quote, None if name == f"{base}{between}{quote}" else name)


def _is_asset(text: str) -> bool:
    return len(text) <= MAX_ASSET and well_formed(text) and text[0] != "." and not _BETWEEN.intersection(text)
