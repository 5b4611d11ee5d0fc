"""OKX's list of instruments: `instruments` of spot, of perpetuals and of futures; an id begins with its pair."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    instId: str


class _Answer(msgspec.Struct, gc=False):
    data: list[_Row]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    pairs = (row.instId.split("-")[:2] for row in reader(venue, _Answer)(body).data)
    return table((("-".join(pair), *pair) for pair in pairs if len(pair) == 2), "-")  # type: ignore[misc]
