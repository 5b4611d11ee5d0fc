"""Times as they stand in tables and on screens: UTC, to the millisecond, always as wide."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(ns: int | None) -> str:
    """2024-08-08 23:54:15.088, or a dash where there is none."""
    if ns is None:
        return "-"
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03}"


def clock(ns: int) -> str:
    """The time of day alone."""
    return moment(ns)[11:]


def stretch(first_ns: int | None, last_ns: int | None) -> str:
    """From when to when, to the second; the day once where it is the same."""
    if first_ns is None or last_ns is None:
        return "-"
    first, last = moment(first_ns)[:19], moment(last_ns)[:19]
    return f"{first} to {last[11:] if first[:10] == last[:10] else last}"
