"""What the parsers of other tools' files yield, and how they refuse a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mdtool.model import Kind

UNTIMED = 0  # of an item that has no receive time of its own: it takes the one before it, else the next one's
_EARLIEST = 10**17  # 1973 in ns: what a smaller number is a time of, no tool that is imported has recorded
_LATEST = 2**63
# An epoch number's unit by its magnitude, as on the command line: below the first, how many decimals nanoseconds add.
_UNITS = ((10**11, 9), (10**14, 6), (10**17, 3), (_LATEST, 0))


class Item(NamedTuple):
    """One line of a file: a record to be."""

    recv_ns: int
    kind: Kind
    payload: bytes
    url: str | None = None  # of an OPEN, a SENT or a RESPONSE
    damaged: bool = False  # the line as it stands, which is none of the format


class LineError(ValueError):
    """A line that is not of the format. The text says what was expected of it."""


# A line without its newline -> its item, None where the line carries nothing. Raises LineError.
LineParser = Callable[[bytes], Item | None]


def epoch_ns(whole: bytes, fraction: bytes = b"") -> int:
    """Decimal digits of an epoch time in s, ms, us or ns as nanoseconds: exact, never through a float. Raises
    LineError where they are none, or no receive time."""
    if len(whole) > 19 or not whole.isdigit():
        raise LineError("epoch s, ms, us or ns")
    number = int(whole)
    decimals = next((decimals for below, decimals in _UNITS if number < below), 0)
    if fraction:
        if len(fraction) > decimals or not fraction.isdigit():
            raise LineError("an epoch time with no more decimals than nanoseconds have")
        return plausible(number * 10**decimals + int(fraction.ljust(decimals, b"0")))
    return plausible(number * 10**decimals)


def plausible(ns: int) -> int:
    """`ns` as it is. Raises LineError where it is no receive time in nanoseconds."""
    if not _EARLIEST <= ns < _LATEST:
        raise LineError("a receive time between 1973 and 2262")
    return ns
