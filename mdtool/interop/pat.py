"""`.pat`: lines `YYYY-MM-DD hh:mm:ss,mmm <json>`, as Python's logging stamps them; up to nanoseconds, with a `T` and a
point, as other loggers do.

The stamp names no zone: it is taken as UTC unless one is given. In a zone that sets its clock back, the hour that
comes twice is read as its first.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from mdtool.interop.item import Item, LineError, LineParser, plausible
from mdtool.model import Kind

EXPECTED = "YYYY-MM-DD hh:mm:ss,mmm <json>"
_LINE = re.compile(rb"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d):(\d\d)[,.](\d{3,9})Z? (.*)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def line_parser(zone: tzinfo | None = None) -> LineParser:
    """A parser of lines whose stamps are local to `zone`, UTC unless given."""
    zone = zone or UTC
    minute, minute_ns = b"", 0  # lines come in order: a minute's date is worked out once

    def parse_line(line: bytes) -> Item | None:
        nonlocal minute, minute_ns
        match = _LINE.fullmatch(line)
        if match is None:
            if not line:
                return None
            raise LineError(EXPECTED)
        day, clock, seconds, fraction, payload = match.groups()
        stamp = day + b" " + clock
        if stamp != minute:
            try:
                local = datetime.strptime(stamp.decode("ascii"), "%Y-%m-%d %H:%M").replace(tzinfo=zone)
                minute_ns = (local - _EPOCH) // _SECOND * 10**9
            except (ValueError, OverflowError):
                raise LineError(EXPECTED) from None
            minute = stamp
        if seconds > b"59":
            raise LineError(EXPECTED)
        return Item(plausible(minute_ns + int(seconds) * 10**9 + int(fraction.ljust(9, b"0"))), Kind.DATA, payload)

    return parse_line
