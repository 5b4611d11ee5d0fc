"""What the parsers of other tools' files yield, and how they refuse a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mdtool.model import Kind

UNTIMED = 0  # of an item that has no receive time of its own: it takes the next one's
_EARLIEST = 10**17  # 1973 in ns; a smaller number is a time in some other unit, not a capture from before then
_LATEST = 2**63


class Item(NamedTuple):
    """One line of a file: a record to be."""

    recv_ns: int
    kind: Kind
    payload: bytes
    url: str | None = None  # of an OPEN, a SENT or a RESPONSE


class LineError(ValueError):
    """A line that is not of the format. The text says what was expected of it."""


# A line without its newline -> its item, None where the line carries nothing. Raises LineError.
LineParser = Callable[[bytes], Item | None]


def plausible(ns: int) -> int:
    """`ns` as it is. Raises LineError where it is no receive time in nanoseconds."""
    if not _EARLIEST <= ns < _LATEST:
        raise LineError("a receive time between 1973 and 2262")
    return ns
