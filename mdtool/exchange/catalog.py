"""The one table of protocols: which venues the emulator speaks for."""

from __future__ import annotations

from collections.abc import Callable

from mdtool.errors import UnknownVenue
from mdtool.exchange.binance import DIALECTS, BinanceProtocol
from mdtool.exchange.bitfinex import BitfinexProtocol
from mdtool.exchange.bitget import BitgetProtocol
from mdtool.exchange.bitstamp import BitstampProtocol
from mdtool.exchange.bybit import BybitProtocol
from mdtool.exchange.coinbase import CoinbaseProtocol
from mdtool.exchange.coinbase_advanced import CoinbaseAdvancedProtocol
from mdtool.exchange.deribit import DeribitProtocol
from mdtool.exchange.gate import FUTURES, SPOT, GateProtocol
from mdtool.exchange.hyperliquid import HyperliquidProtocol
from mdtool.exchange.kraken import KrakenProtocol
from mdtool.exchange.kucoin import KucoinProtocol
from mdtool.exchange.okx import OkxProtocol
from mdtool.exchange.protocol import WireProtocol

PROTOCOLS: dict[str, Callable[[], WireProtocol]] = {
    **{name: lambda dialect=dialect: BinanceProtocol(dialect) for name, dialect in DIALECTS.items()},  # type: ignore[misc]
    "bitfinex": BitfinexProtocol,
    "bitget": BitgetProtocol,
    "bitstamp": BitstampProtocol,
    "bybit": lambda: BybitProtocol("bybit", "spot"),
    "bybit-inverse": lambda: BybitProtocol("bybit-inverse", "inverse"),
    "bybit-linear": lambda: BybitProtocol("bybit-linear", "linear"),
    "coinbase": CoinbaseProtocol,
    "coinbase-advanced": CoinbaseAdvancedProtocol,
    "deribit": DeribitProtocol,
    "gate": lambda: GateProtocol(SPOT),
    "gate-futures": lambda: GateProtocol(FUTURES),
    "hyperliquid": HyperliquidProtocol,
    "kraken": KrakenProtocol,
    "kucoin": KucoinProtocol,
    "okx": OkxProtocol,
}


def protocol_for(venue: str) -> WireProtocol:
    """A fresh protocol a venue is served with. UnknownVenue if the emulator does not speak it."""
    make = PROTOCOLS.get(venue)
    if make is None:
        raise UnknownVenue(f"cannot serve {venue!r}: the emulator speaks for {', '.join(sorted(PROTOCOLS))}")
    return make()
