"""Times, durations, sizes and speeds as people write them.

Rule: integers only. A time is int64 nanoseconds since the epoch, UTC, and no digit that was given is lost:
text that would need rounding is refused. Whatever the text, the only exception is UsageError.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from operator import index

from mdtool.errors import UsageError

_LIMIT = 2**63  # times and durations are int64
_MAX_TEXT = 80  # longer than any form below; also keeps int() away from hostile megabytes
# Days are counted here: datetime would lose everything below a microsecond.
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 10**9
_DAY = 86_400 * _SECOND

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
    r"(?: ?([Zz])|([+-])(\d{2}):?(\d{2})?)?)?",
    re.ASCII,
)
_EPOCH = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)
_RELATIVE = re.compile(r"(now|first|last)?(?:([+-])(.+))?", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|µs|μs|ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d+)(?:\.(\d+))? ?([a-z]*)", re.ASCII | re.IGNORECASE)
_SPEED = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})x?", re.ASCII)

# An epoch number's unit by its magnitude: seconds until the year 5138, milliseconds until 5138, and so on.
_EPOCH_UNITS = ((10**11, 9), (10**14, 6), (10**17, 3), (_LIMIT, 0))

_DURATIONS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
    "d": _DAY,
    "w": 7 * _DAY,
}
_SIZES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}

_TIME_FORMS = "2024-08-08T23:54:15.25Z, 2024-08-08, epoch s, ms, us or ns, -15m, now, first+10s or last-1m"
_DURATION_FORMS = "a number and a unit (ns, us, ms, s, m, h, d, w), as in 90s, 7d, 1h30m or 250ms"
_SIZE_FORMS = "bytes, as in 4096, 64MiB, 1.5GiB or 100GB"


def parse_time(text: str, *, now_ns: int, first_ns: int | None = None, last_ns: int | None = None) -> int:
    """Nanoseconds since the epoch, UTC. `first` and `last` stand for the bounds of what is looked at.

    ISO 8601 without an offset is UTC. An epoch number's unit follows from its magnitude. `-15m` counts from
    now; `now`, `first` and `last` may carry an offset. Raises UsageError.
    """
    given = text.strip() if len(text) <= _MAX_TEXT else text
    if not given or len(given) > _MAX_TEXT:
        raise _no("time", text, _TIME_FORMS)
    if match := _ISO.fullmatch(given):
        return _bounded(_iso(match, text), "time", text)
    if match := _EPOCH.fullmatch(given):
        return _bounded(_epoch(match, text), "time", text)
    if match := _RELATIVE.fullmatch(given):
        anchor, sign, offset = match.groups()
        anchors = {None: now_ns, "now": now_ns, "first": first_ns, "last": last_ns}
        base = anchors[anchor]
        if base is None:
            raise UsageError(f"time {_shown(text)}: no record that {anchor!r} could mean; give an absolute time")
        if offset is None:
            return base
        distance = _duration(offset, "time", text, _TIME_FORMS)
        return _bounded(base + distance if sign == "+" else base - distance, "time", text)
    raise _no("time", text, _TIME_FORMS)


def time_ns(when: int | datetime | str, *, now_ns: int, first_ns: int | None = None, last_ns: int | None = None) -> int:
    """A time as Python code gives it: nanoseconds since the epoch as they are, a datetime that says its zone, or text
    as `parse_time` reads it. Raises UsageError."""
    if isinstance(when, str):
        return parse_time(when, now_ns=now_ns, first_ns=first_ns, last_ns=last_ns)
    if isinstance(when, datetime):
        if when.utcoffset() is None:
            raise UsageError(f"time {when!r} does not say its zone; expected one that does, as in {_zoned(when)}")
        below = int(getattr(when, "nanosecond", 0))  # pandas' own has three digits more
        return _bounded((when - _EPOCH_TIME) // _MICROSECOND * 1000 + below, "time", str(when))
    try:
        return _bounded(index(when), "time", str(when))
    except TypeError:
        raise UsageError(
            f"no time: {when!r} ({type(when).__name__}); expected int ns since the epoch, a datetime with its zone, or "
            f"text: {_TIME_FORMS}"
        ) from None


def _zoned(when: datetime) -> str:
    return f"datetime({when.year}, {when.month}, {when.day}, tzinfo=UTC)"


def parse_duration(text: str) -> int:
    """Nanoseconds, not negative: "90s", "7d", "1h30m", "1.5ms". Raises UsageError."""
    return _duration(text.strip() if len(text) <= _MAX_TEXT else text, "duration", text, _DURATION_FORMS)


def parse_size(text: str) -> int:
    """Bytes: "4096", "64MiB" (powers of 1024), "100GB" (powers of 1000). Raises UsageError."""
    match = _SIZE.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    factor = _SIZES.get(match[3].lower()) if match else None
    if match is None or factor is None:
        raise _no("size", text, _SIZE_FORMS)
    whole = _scaled(match[1], match[2], factor)
    if whole is None:
        raise UsageError(f"size {_shown(text)} is no whole number of bytes")
    return _bounded(whole, "size", text)


def parse_speed(text: str) -> float | None:
    """How many times as fast as recorded: "1", "10x", "0.5"; None for "max", without waiting. Raises
    UsageError."""
    given = text.strip().lower()
    if given == "max":
        return None
    factor = float(match[1]) if (match := _SPEED.fullmatch(given)) else 0.0
    if not factor:
        raise _no("speed", text, "a factor above 0, as in 1, 10x or 0.5, or max")
    return factor


def format_time(ns: int) -> str:
    """ISO 8601, UTC, with as many digits of a second as are needed: 2024-08-08T23:54:15.088156767Z."""
    days, rest = divmod(ns, _DAY)
    day = date.fromordinal(_EPOCH_ORDINAL + days)
    seconds, fraction = divmod(rest, _SECOND)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{day.isoformat()}T{clock}{digits}Z"


def format_duration(ns: int) -> str:
    """Exact and short, as `parse_duration` reads it: 1h30m, 2.5s, 250ms, 12.3us; a minus where negative."""
    if ns < 0:
        return "-" + format_duration(-ns)
    if ns < _SECOND:
        for unit in ("ms", "us", "ns"):
            if ns >= _DURATIONS[unit]:
                return _with_fraction(ns, unit)
        return "0s"
    parts = []
    for unit in ("d", "h", "m"):
        count, ns = divmod(ns, _DURATIONS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if ns:
        # Below a second the smaller units would be read as well, but 1m0.5s is plainer than 1m500ms.
        parts.append(_with_fraction(ns, "s"))
    return "".join(parts)


def format_size(count: int) -> str:
    """For people: 4096 B is 4KiB, 23276504 is 22.2MiB. Exact where the number is whole in its unit."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZES[unit.lower()]
        if count >= factor:
            tenths = (count * 10 + factor // 2) // factor
            whole, tenth = divmod(tenths, 10)
            return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
    return f"{count}B"


def _iso(match: re.Match[str], text: str) -> int:
    year, month, day, hour, minute, second, fraction, _, sign, east_hour, east_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise UsageError(f"time {_shown(text)}: {error}") from None
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    offset_h, offset_m = int(east_hour or 0), int(east_minute or 0)
    if h > 23 or m > 59 or s > 59 or offset_h > 23 or offset_m > 59:
        raise UsageError(f"time {_shown(text)}: expected hours to 23, minutes and seconds to 59")
    ns = _scaled("0", fraction, _SECOND)
    if ns is None:
        raise UsageError(f"time {_shown(text)}: more digits than nanoseconds hold")
    east = (offset_h * 60 + offset_m) * (-1 if sign == "-" else 1)
    return days * _DAY + ((h * 60 + m - east) * 60 + s) * _SECOND + ns


def _epoch(match: re.Match[str], text: str) -> int:
    digits, fraction = match.groups()
    number = int(digits)
    if fraction is None and len(digits) == 8 and digits[:2] in ("19", "20"):
        try:
            meant = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            pass
        else:
            raise UsageError(f"time {_shown(text)} could be a date or epoch seconds; write {meant} or {digits}.0")
    for below, exponent in _EPOCH_UNITS:
        if number < below:
            ns = _scaled(digits, fraction, 10**exponent)
            if ns is None:
                raise UsageError(f"time {_shown(text)}: more digits than nanoseconds hold")
            return ns
    return number


def _duration(given: str, what: str, text: str, forms: str) -> int:
    if not given or len(given) > _MAX_TEXT:
        raise _no(what, text, forms)
    total = at = 0
    while at < len(given):
        match = _DURATION_PART.match(given, at)
        if match is None:
            raise _no(what, text, forms)
        part = _scaled(match[1], match[2], _DURATIONS[match[3]])
        if part is None:
            raise UsageError(f"{what} {_shown(text)}: more digits than nanoseconds hold")
        total += part
        at = match.end()
    return _bounded(total, what, text)


def _scaled(digits: str, fraction: str | None, factor: int) -> int | None:
    """`digits.fraction` times `factor`, None where that is no whole number."""
    fraction = (fraction or "").rstrip("0")
    whole, rest = divmod(int(digits + fraction) * factor, 10 ** len(fraction))
    return None if rest else whole


def _with_fraction(ns: int, unit: str) -> str:
    factor = _DURATIONS[unit]
    whole, rest = divmod(ns, factor)
    digits = len(str(factor)) - 1
    return f"{whole}" + (f".{rest:0{digits}}".rstrip("0") if rest else "") + unit


def count(number: int, noun: str, many: str = "") -> str:
    """A number and what is counted, in the form that goes with it. `many` where the plural is no plain one.

    >>> count(1, "record"), count(1200, "loss"), count(0, "entry"), count(2, "record is", "records are")
    ('1 record', '1,200 losses', '0 entries', '2 records are')
    >>> count(2, "epoch"), count(2, "branch")
    ('2 epochs', '2 branches')
    """
    return f"{number:,} {noun if number == 1 else many or _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith("epoch"):  # said as with a k
        return f"{noun}s"
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in ("a", "e", "o", "u"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def _bounded(value: int, what: str, text: str) -> int:
    if not -_LIMIT <= value < _LIMIT:
        kept = f"{format_time(-_LIMIT)[:4]} to {format_time(_LIMIT - 1)[:4]}" if what == "time" else "below 2^63"
        raise UsageError(f"{what} {_shown(text)} is out of range; expected {kept}")
    return value


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _MAX_TEXT else repr(text[: _MAX_TEXT - 20]) + "..."


def _no(what: str, text: str, forms: str) -> UsageError:
    return UsageError(f"no {what}: {_shown(text)}; expected {forms}")
