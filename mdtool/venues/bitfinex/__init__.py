"""Bitfinex."""
