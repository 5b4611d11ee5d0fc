"""Deribit's symbols: BTC-PERPETUAL is BTC_USD_PERP, ETH-9APR21-1950-C ETH_USD_210409_1950_C, XRP_USDC-27JUN25-0d55-P
XRP_USDC_250627_0.55_P, BTC_USDC (spot) itself: an instrument that names no quote is in USD."""

from __future__ import annotations

import re
from datetime import date

from mdtool.venues.spelling import Symbols, capitals

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_PAIR = r"([A-Z0-9]{2,12})(?:_([A-Z0-9]{2,12}))?"
_SPOT = re.compile(r"([A-Z0-9]{2,12})[_/]([A-Z0-9]{2,12})", re.ASCII)
_PERPETUAL = re.compile(rf"{_PAIR}-PERPETUAL", re.ASCII)
_DATED = re.compile(rf"{_PAIR}-(\d{{1,2}})([A-Z]{{3}})(\d\d)(?:-(\d{{1,9}}(?:D\d{{1,9}})?)-([CP]))?", re.ASCII)
_CANONICAL = re.compile(
    r"([A-Z0-9]{2,12})_([A-Z0-9]{2,12})_(?:(PERP)|(\d\d)(\d\d)(\d\d)(?:_(\d{1,9}(?:\.\d{1,9})?)_([CP]))?)", re.ASCII
)


class DeribitSymbols(Symbols):
    """Perpetuals, futures, options and spot. Combos go by the venue's own name."""

    form = "BTC_USD_PERP, BTC_USD_251226, BTC_USD_251226_100000_C or BTC_USDC"

    def read(self, text: str) -> str | None:
        given = capitals(text)
        if found := _PERPETUAL.fullmatch(given):
            return f"{found[1]}_{found[2] or 'USD'}_PERP"
        if found := _DATED.fullmatch(given):
            base, quote, day, month, year, strike, kind = found.groups()
            if month in _MONTHS and (delivery := _date(int(year), _MONTHS.index(month) + 1, int(day))):
                option = f"_{strike.replace('D', '.')}_{kind}" if strike else ""
                return f"{base}_{quote or 'USD'}_{delivery:%y%m%d}{option}"
        elif found := _CANONICAL.fullmatch(given):
            if found[3] or _date(int(found[4]), int(found[5]), int(found[6])):
                return given
        elif _SPOT.fullmatch(given):
            return given.replace("/", "_")
        return None

    def write(self, symbol: str) -> str | None:
        found = _CANONICAL.fullmatch(symbol)
        if found is None:
            return symbol if _SPOT.fullmatch(symbol) else None
        base, quote, perpetual, year, month, day, strike, kind = found.groups()
        pair = base if quote == "USD" else f"{base}_{quote}"
        if perpetual:
            return f"{pair}-PERPETUAL"
        if not 1 <= int(month) <= 12:
            return None
        option = f"-{strike.replace('.', 'd')}-{kind}" if strike else ""
        return f"{pair}-{int(day)}{_MONTHS[int(month) - 1]}{year}{option}"


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(2000 + year, month, day)
    except ValueError:
        return None
