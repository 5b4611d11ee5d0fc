"""Makes mdtool/venues/listed.txt of fixtures/instruments.tsv.gz: run it when the list is renewed.

Source of the list: public recordings of the venues' own instrument lists (cryptofeed's sample data, 2021 to 2026),
names only: venue, year, kind, the venue's spelling, base, quote. A test makes the table again and compares.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LIST = ROOT / "fixtures" / "instruments.tsv.gz"
TABLE = ROOT / "mdtool" / "venues" / "listed.txt"
HEAD = """\
# What venues have listed, from public recordings of their instrument lists (2021 to 2026): names only.
# venue, quote, then the bases it is quoted against; NAME=BASE where the venue's name for the pair is no rule's.
# Made by tests/venues/make_listed.py: do not edit.
"""
NO_PAIRS = ("deribit",)  # its instruments name their base and quote themselves, and options are many


class Instrument(NamedTuple):
    venue: str
    year: str
    kind: str
    native: str
    base: str
    quote: str


def instruments() -> list[Instrument]:
    """Every row of the list."""
    with gzip.open(LIST, "rt", encoding="utf-8") as file:
        next(file)
        return [Instrument(*line.rstrip("\n").split("\t")) for line in file]


def table() -> str:
    """The table's text."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in instruments():
        if row.venue in NO_PAIRS or row.kind in ("option", "future"):  # of pairs that are listed beside them
            continue
        base, quote = row.base.upper(), row.quote.upper()
        word = base
        if row.venue == "kucoin" and row.native != f"{base}-{quote}":
            word = f"{row.native}={base}"
        found.setdefault((row.venue, quote), set()).add(word)
    lines = (" ".join([venue, quote, *sorted(words)]) for (venue, quote), words in sorted(found.items()))
    return HEAD + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
