"""Binance: spot, USD-M and COIN-M futures; and the synthetic exchange, which speaks the spot protocol."""
