"""Hyperliquid's symbols: perpetuals are margined in USDC and quoted in USD, so that "BTC" is BTC_USD, "kPEPE"
KPEPE_USD, and "xyz:TSLA", on a builder's exchange, XYZ.TSLA_USD. Spot is numbered by the venue: "@107" is SPOT_107,
whatever it is quoted in, and "PURR/USDC" PURR_USDC."""

from __future__ import annotations

import re

from mdtool.venues.spelling import Symbols, capitals

_PERP = re.compile(r"k?[A-Z0-9]{1,20}", re.ASCII)
_BUILT = re.compile(r"([A-Z0-9]{1,10}):([A-Z0-9]{1,20})", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,5}", re.ASCII)
_NAMED_SPOT = {"PURR_USDC": "PURR/USDC"}  # the one pair the venue calls by its name
_THOUSANDS = ("PEPE", "SHIB", "BONK", "FLOKI", "LUNC", "DOGS", "NEIRO")  # coins traded by the thousand: kPEPE
_BY_THOUSAND = re.compile(r"k[A-Z0-9]+([_/-].*)?", re.ASCII)  # one that is not among those keeps its small k


class HyperliquidSymbols(Symbols):
    """The venue's case matters: builders' names are small, and coins by the thousand have a small k."""

    form = "BTC_USD of a perpetual, SPOT_107 of a spot pair"

    def folded(self, native: str) -> str:
        return native

    def read(self, text: str) -> str | None:
        given = capitals(text)
        if given.startswith("@"):
            given = f"SPOT_{given[1:] or '@'}"
        pair = given.replace("/", "_").replace("-", "_")
        if pair in _NAMED_SPOT:
            return pair
        base, _, quote = pair.partition("_")
        if base == "SPOT" and _NUMBER.fullmatch(quote):
            return pair
        if _BY_THOUSAND.fullmatch(text) and base[1:] not in _THOUSANDS:
            base = "k" + base[1:]
        built = _BUILT.fullmatch(base.replace(".", ":", 1))
        if quote in ("", "USD") and (built or _PERP.fullmatch(base)):
            return f"{built[1]}.{built[2]}_USD" if built else f"{base}_USD"
        return None

    def write(self, symbol: str) -> str | None:
        if symbol in _NAMED_SPOT:
            return _NAMED_SPOT[symbol]
        base, _, quote = symbol.partition("_")
        if base == "SPOT" and _NUMBER.fullmatch(quote):
            return f"@{quote}"
        if quote != "USD":
            return None
        dex, dot, coin = base.rpartition(".")
        if dot:
            return f"{dex.lower()}:{coin}"
        return "k" + coin[1:] if coin[0] == "K" and coin[1:] in _THOUSANDS else coin
