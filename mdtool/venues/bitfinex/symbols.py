"""Bitfinex's symbols: tBTCUSD of two assets of three letters, tDOGE:USD of longer ones, tBTCF0:USTF0 of a perpetual."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable
from mdtool.venues.spelling import Symbols, capitals

# Assets whose code here is not the one the world knows them by.
ALIASES = {"UST": "USDT", "UDC": "USDC", "DSH": "DASH", "IOT": "IOTA", "QTM": "QTUM", "MNA": "MANA", "ALG": "ALGO"}
CODES = {ours: theirs for theirs, ours in ALIASES.items()}
PERPETUAL = "F0"  # behind base and quote

_FORM = re.compile(r"[A-Z0-9][A-Z0-9.]{1,29}_[A-Z0-9][A-Z0-9.]{1,29}(_PERP)?", re.ASCII)
_JOINED = re.compile(r"[a-z0-9]{6}", re.ASCII)


class BitfinexSymbols(Symbols):
    """Trading pairs; funding currencies (fUSD) have no book of a pair."""

    form = "BTC_USD or tBTCUSD"

    def read(self, text: str) -> str | None:
        marked = text[:1] == "t" and (text[1:2].isupper() or text[1:2].isdigit() or _JOINED.fullmatch(text[1:]))
        given = capitals(text[1:] if marked else text)
        parts = re.split("[:_/-]", given)
        listed = self.table.pairs.get(given)
        if listed is not None:
            return listed
        if len(parts) == 1 and len(given) == 6:
            parts = [given[:3], given[3:]]
        if len(parts) == 2 and all(part.endswith(PERPETUAL) and len(part) > 3 for part in parts):
            parts = [*(part.removesuffix(PERPETUAL) for part in parts), "PERP"]
        found = "_".join(ALIASES.get(part, part) for part in parts)
        return found if _FORM.fullmatch(found) else None

    def write(self, symbol: str) -> str | None:
        if not _FORM.fullmatch(symbol):
            return None
        base, quote, *perpetual = (CODES.get(part, part) for part in symbol.split("_"))
        if perpetual:
            return f"t{base}{PERPETUAL}:{quote}{PERPETUAL}"
        listed = self.table.natives.get(symbol)
        if listed is not None:
            return f"t{listed}"
        return f"t{base}{quote}" if len(base) == len(quote) == 3 else f"t{base}:{quote}"


class _Answer(msgspec.Struct, array_like=True, gc=False):
    pairs: list[str]
    names: list[tuple[str, str]]


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Of the answer to `conf`: the pairs, and what the world calls the assets ("USDt" is USDT). Raises WireError."""
    said = reader(venue, _Answer)(body)
    known = {**ALIASES, **{capitals(code): capitals(name) for code, name in said.names}}
    return table(_named(said.pairs, known), ":")


def _named(pairs: Iterable[str], known: dict[str, str]) -> Iterable[tuple[str, str, str]]:
    for pair in pairs:
        parts = pair.split(":") if ":" in pair else [pair[:3], pair[3:]]
        if len(parts) == 2 and not (parts[0].endswith(PERPETUAL) and parts[1].endswith(PERPETUAL)):
            base, quote = (known.get(part, part) for part in map(capitals, parts))
            yield pair, base, quote
