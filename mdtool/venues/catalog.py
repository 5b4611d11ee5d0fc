"""The one table of venues."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module

from mdtool.errors import UnknownVenue
from mdtool.venues.binance.adapter import COINM, SIM, SPOT, USDM, Binance
from mdtool.venues.bitfinex.adapter import Bitfinex
from mdtool.venues.bitget.adapter import Bitget
from mdtool.venues.bitstamp.adapter import Bitstamp
from mdtool.venues.bybit.adapter import INVERSE, LINEAR, Bybit
from mdtool.venues.bybit.adapter import SPOT as BYBIT_SPOT
from mdtool.venues.coinbase.adapter import Coinbase
from mdtool.venues.coinbase_advanced.adapter import CoinbaseAdvanced
from mdtool.venues.deribit.adapter import Deribit
from mdtool.venues.gate.adapter import FUTURES, Gate
from mdtool.venues.gate.adapter import SPOT as GATE_SPOT
from mdtool.venues.hyperliquid.adapter import Hyperliquid
from mdtool.venues.kraken.adapter import Kraken
from mdtool.venues.kucoin.adapter import Kucoin
from mdtool.venues.okx.adapter import Okx
from mdtool.venues.venue import Venue

_ALL: tuple[Venue, ...] = (
    Binance(SPOT),
    Binance(USDM),
    Binance(COINM),
    Binance(SIM),
    Bitfinex(),
    Bitget(),
    Bitstamp(),
    Bybit(BYBIT_SPOT),
    Bybit(LINEAR),
    Bybit(INVERSE),
    Coinbase(),
    CoinbaseAdvanced(),
    Deribit(),
    Gate(GATE_SPOT),
    Gate(FUTURES),
    Hyperliquid(),
    Kraken(),
    Kucoin(),
    Okx(),
)
VENUES: dict[str, Venue] = {venue.name: venue for venue in _ALL}


def get(name: str) -> Venue:
    """The venue of that name. Raises UnknownVenue with the names there are."""
    venue = VENUES.get(name.lower())
    if venue is not None:
        return venue
    near = get_close_matches(name.lower(), VENUES, n=1)
    hint = f"did you mean {near[0]}? There are" if near else "there are"
    raise UnknownVenue(f"unknown venue {name!r}; {hint}: {', '.join(names())}")


def names() -> tuple[str, ...]:
    """Every venue's name, sorted."""
    return tuple(sorted(VENUES))


def name_of(venue: Venue) -> str:
    """How another process makes the venue with `called`. Raises LookupError where it cannot."""
    kind = type(venue)
    if type(VENUES.get(venue.name)) is kind:  # or one that knows other symbols: all else of it is the same
        return venue.name
    if getattr(sys.modules[kind.__module__], kind.__name__, None) is not kind:
        raise LookupError(f"{kind.__qualname__} is no name of {kind.__module__}")
    return f"{kind.__module__}:{kind.__name__}"


def called(name: str) -> Venue:
    """The venue that `name_of` gave this name. Raises UnknownVenue."""
    module, colon, kind = name.partition(":")
    if not colon:
        return get(name)
    try:
        venue: Venue = getattr(import_module(module), kind)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UnknownVenue(f"no venue {name!r} can be made here: {error}") from None
    return venue
