"""The synthetic exchange with two streams a connection, so that one symbol less cuts a plan anew."""

from __future__ import annotations

from dataclasses import replace

from mdtool.venues.binance.adapter import SIM, Binance


class Narrow(Binance):
    """Made without arguments, as the sidecar makes it."""

    def __init__(self):
        super().__init__(replace(SIM, streams_per_connection=2))
