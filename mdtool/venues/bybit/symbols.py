"""Bybit's symbols: of spot in one word, of linear and inverse contracts by rules of their own."""

from __future__ import annotations

import re
from calendar import FRIDAY, monthrange, weekday
from datetime import date

import msgspec

from mdtool.venues.instruments import reader, table
from mdtool.venues.listed import SymbolTable
from mdtool.venues.spelling import capitals
from mdtool.venues.symbols import JoinedSymbols

# Spot's quote assets that no public list at hand has.
SPOT_QUOTES = ("USDR", "USDQ", "DAI", "MNT", "BRZ", "EURC")

_DATED = re.compile(r"(.+)_(\d\d)(\d\d)(\d\d)", re.ASCII)
_DAY = re.compile(r"(.+)-(\d{1,2})([A-Z]{3})(\d\d)", re.ASCII)
_QUARTER = re.compile(r"(.+USD)([FGHJKMNQUVXZ])(\d\d)", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LETTERS = "FGHJKMNQUVXZ"  # a delivery month's, of futures everywhere


class LinearSymbols(JoinedSymbols):
    """BTCUSDT and BTCPERP (quoted in USDC) are perpetuals, BTC_USDT and BTC_USDC; BTCUSDT-26DEC25 and BTC-26DEC25 are
    futures, BTC_USDT_251226 and BTC_USDC_251226."""

    form = "BTC_USDT, BTCUSDT or BTC_USDT_251226"

    def __init__(self, venue: str) -> None:
        super().__init__(venue, ("USDT", "USDC"), closed=True)

    def read(self, text: str) -> str | None:
        given = capitals(text)
        if day := _DAY.fullmatch(given):
            base, number, month, year = day.groups()
            delivery = _date(int(year), _MONTHS.index(month) + 1, int(number)) if month in _MONTHS else None
            pair = base if base.endswith("USDT") and len(base) > 4 else base + "USDC"
            found = super().read(pair)
            return None if delivery is None or found is None else f"{found}_{delivery:%y%m%d}"
        if given.endswith("PERP") and len(given) > 4 and "_" not in given:
            given = given[:-4] + "USDC"
        found = super().read(given)
        if found is None or found.endswith("_PERP"):
            return None
        dated = _DATED.fullmatch(found)
        return found if dated is None or _date(int(dated[2]), int(dated[3]), int(dated[4])) else None

    def write(self, symbol: str) -> str | None:
        dated = _DATED.fullmatch(symbol)
        base, _, quote = (dated[1] if dated else symbol).partition("_")
        if quote not in ("USDT", "USDC"):
            return None
        if dated is None:
            return base + ("USDT" if quote == "USDT" else "PERP")
        if not 1 <= int(dated[3]) <= 12:
            return None
        day = f"{int(dated[4])}{_MONTHS[int(dated[3]) - 1]}{dated[2]}"
        return f"{base}USDT-{day}" if quote == "USDT" else f"{base}-{day}"


class InverseSymbols(JoinedSymbols):
    """BTCUSD is the perpetual, BTC_USD; BTCUSDZ25 a future: month letter and year, delivered on the month's last
    Friday, so BTC_USD_251226."""

    form = "BTC_USD, BTCUSD or BTC_USD_251226"

    def __init__(self, venue: str) -> None:
        super().__init__(venue, ("USD",), closed=True)

    def read(self, text: str) -> str | None:
        given = capitals(text)
        if quarter := _QUARTER.fullmatch(given):
            found = super().read(quarter[1])
            delivery = _last_friday(int(quarter[3]), _LETTERS.index(quarter[2]) + 1)
            return None if found is None else f"{found}_{delivery:%y%m%d}"
        found = super().read(given)
        if found is None or found.endswith("_PERP"):
            return None
        if dated := _DATED.fullmatch(found):
            year, month, day = (int(part) for part in dated.groups()[1:])
            delivered = _date(year, month, day)
            return found if delivered is not None and delivered == _last_friday(year, month) else None
        return found

    def write(self, symbol: str) -> str | None:
        dated = _DATED.fullmatch(symbol)
        if dated is None:
            return super().write(symbol)
        pair = super().write(dated[1])
        return f"{pair}{_LETTERS[int(dated[3]) - 1]}{dated[2]}" if pair and 1 <= int(dated[3]) <= 12 else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(2000 + year, month, day)
    except ValueError:
        return None


def _last_friday(year: int, month: int) -> date:
    days = monthrange(2000 + year, month)[1]
    return date(2000 + year, month, days - (weekday(2000 + year, month, days) - FRIDAY) % 7)


class _Row(msgspec.Struct, gc=False):
    baseCoin: str
    quoteCoin: str


class _List(msgspec.Struct, gc=False):
    rows: list[_Row] = msgspec.field(name="list")


class _Answer(msgspec.Struct, gc=False):
    result: _List


def instruments(venue: str, body: bytes) -> SymbolTable:
    """Of the answer to `instruments-info`, whose rows name what they are of; how that is written is a rule. Raises
    WireError."""
    rows = reader(venue, _Answer)(body).result.rows
    return table((row.baseCoin + row.quoteCoin, row.baseCoin, row.quoteCoin) for row in rows)
