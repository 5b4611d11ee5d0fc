"""Levels as venues print them: plain decimals with the digits of a scale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mdtool.exchange.source import Level, RestingOrder
from mdtool.model import Scale, format_decimal


def ladder(levels: Sequence[Level], scale: Scale) -> str:
    """What stands between the brackets: `["1.50","2"],["1.49","7"]`."""
    price_exp, size_exp = scale
    return ",".join(
        f'["{format_decimal(price, price_exp)}","{format_decimal(size, size_exp)}"]' for price, size in levels
    )


def objects(levels: Sequence[Level], scale: Scale) -> str:
    """The same as objects with a bare size: `{"s":2,"p":"1.50"}`."""
    price_exp, size_exp = scale
    return ",".join(
        f'{{"s":{format_decimal(size, size_exp)},"p":"{format_decimal(price, price_exp)}"}}' for price, size in levels
    )


def orders(resting: Sequence[RestingOrder], scale: Scale) -> str:
    """One row an order, its id behind: `["1.50","2","da863862"]`."""
    price_exp, size_exp = scale
    return ",".join(
        f'["{format_decimal(price, price_exp)}","{format_decimal(size, size_exp)}","{order_id}"]'
        for order_id, price, size in resting
    )


def iso(ns: int) -> str:
    """A time with microseconds: "2016-03-12T05:08:36.805448Z"."""
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
