"""Gate's lists of instruments: `currency_pairs` of spot, `contracts` of perpetuals."""

from __future__ import annotations

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable


class _Row(msgspec.Struct, gc=False):
    id: str = ""  # of spot
    name: str = ""  # of a contract


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Raises WireError."""
    names = (row.id or row.name for row in reader(venue, list[_Row])(body))
    return table(((name, *name.split("_")) for name in names if name.count("_") == 1), "_")  # type: ignore[misc]
