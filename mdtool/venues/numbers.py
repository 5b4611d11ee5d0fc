"""Numbers and times as venues write them, exactly. Whatever the text, the answer is right or WireError."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mdtool.errors import WireError

_NUMBER = re.compile(r"(-?)(\d{1,80})(?:\.(\d{1,80}))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_SECONDS = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
MAX_EXPONENT = 80  # of a number in exponent form; what a ladder holds (38 digits on each side of the point) it covers


def plain(text: str) -> tuple[bool, str]:
    """(negative, digits) of a JSON number, without sign or exponent: "-1.5e-7" -> (True, "0.00000015")."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise WireError(f"{text[:40]!r} is no number")
    sign, whole, fraction, exponent = match.groups()
    if exponent is None:
        return bool(sign), text[len(sign) :]
    shift = int(exponent)
    if abs(shift) > MAX_EXPONENT:
        raise WireError(f"{text[:40]!r} is beyond any price or size")
    digits = whole + (fraction or "")
    point = len(whole) + shift
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    whole = digits[:point].lstrip("0") or "0"
    return bool(sign), f"{whole}.{digits[point:]}" if digits[point:] else whole


def seconds_ns(text: str) -> int:
    """ "1618678133.365913" -> 1618678133365913000."""
    match = _SECONDS.fullmatch(text)
    if match is None or (found := int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))) >= 2**63:
        raise WireError(f"{text[:40]!r} is no time in seconds")
    return found


def iso_ns(text: str) -> int:
    """ "2021-04-17T16:48:53.651234Z" -> ns since the epoch; UTC where no zone is said."""
    match = _ISO.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = datetime.fromisoformat(match[1] + (match[3] or "Z"))
        seconds = (moment - _EPOCH) // _SECOND
    except (ValueError, OverflowError):
        raise WireError(f"{text[:40]!r} is no ISO 8601 time") from None
    found = seconds * 10**9 + int((match[2] or "").ljust(9, "0"))
    if not 0 <= found < 2**63:
        raise WireError(f"{text[:40]!r} is out of range")
    return found
