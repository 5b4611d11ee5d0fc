"""Which keys a file of settings may have, and how the value of each is read.

Rule: every key that is not known here and every value of the wrong kind is a finding, and one finding hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from mdtool.config.lines import Path as Key
from mdtool.errors import UsageError
from mdtool.units import parse_duration, parse_size

LIVE = ("disk", "shm")
SYNC = ("none", "1s", "chunk")
OFF = ("off", "none")
MOST_SHARDS = 64
MOST_CPUS = 1023
LONGEST_SHOWN = 60  # characters of a value

# A reader takes the value found and returns the setting, or raises ValueError with what was expected.
Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Each:
    """A list of tables, [[so]], each of them with these keys."""

    table: Table
    required: tuple[str, ...]


# Key in the file -> (name of the setting, its reader or the table below it).
Table = Mapping[str, "tuple[str, Reader | Table | Each]"]


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError('a path as text, as in "/data/md"')
    return value


def _color(value: Any) -> bool | None:
    choices = {"auto": None, "always": True, "never": False}
    if not isinstance(value, str) or value not in choices:
        raise ValueError('"auto", "always" or "never"')
    return choices[value]


def _measured(parse: Callable[[str], int], what: str, *, smallest: int) -> Reader:
    def read(value: Any) -> int:
        try:
            found = parse(value) if isinstance(value, str) else value
        except UsageError:
            found = None
        if not isinstance(found, int) or isinstance(found, bool) or found < smallest:
            raise ValueError(what)
        return found

    return read


def _or_off(reader: Reader, nothing: Any) -> Reader:
    def read(value: Any) -> Any:
        try:
            return nothing if isinstance(value, str) and value.lower() in OFF else reader(value)
        except ValueError as error:
            raise ValueError(f'{error}, or "off"') from None

    return read


def _duration(value: Any) -> int:
    try:
        if isinstance(value, str):
            return parse_duration(value)
    except UsageError:
        pass
    raise ValueError('a duration as text, as in "30d" or "12h"')


def _one_of(choices: tuple[str, ...]) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(" or ".join(f'"{choice}"' for choice in choices))
        return value

    return read


def _whole(smallest: int, most: int) -> Reader:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= most:
            raise ValueError(f"a whole number from {smallest} to {most}")
        return value

    return read


def _words(example: str) -> Reader:
    def read(value: Any) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise ValueError(f"a list of texts, as in {example}")
        return tuple(texts)

    return read


def _text(example: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f'text, as in "{example}"')
        return value

    return read


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _streams(value: Any) -> Mapping[str, tuple[str, ...]]:
    expected = 'a table of lists of streams by venue, as in VENUE = ["trade"]'
    if not isinstance(value, dict):
        raise ValueError(expected)
    for names in value.values():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(expected)
    return MappingProxyType({venue: tuple(names) for venue, names in value.items()})


def _cpus(value: Any) -> tuple[int, ...]:
    expected = 'numbers of CPUs, as in [2, 3] or "4-7"'
    if isinstance(value, str):
        try:
            return cpu_numbers(value)
        except ValueError:
            raise ValueError(expected) from None
    numbers = value if isinstance(value, list) else [value]
    plain = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not numbers or not plain or not all(0 <= number <= MOST_CPUS for number in numbers):
        raise ValueError(expected)
    return tuple(dict.fromkeys(numbers))


def cpu_numbers(text: str) -> tuple[int, ...]:
    """Those in a list such as `2,3` or `4-7`, each once. Raises ValueError."""
    cpus: dict[int, None] = {}
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) > MOST_CPUS:
            raise ValueError(text)
        cpus.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    if not cpus:
        raise ValueError(text)
    return tuple(cpus)


_size = _measured(parse_size, 'a size above 0, as in "64MiB"', smallest=1)

_RECORD: Table = {
    "chunk_size": ("chunk_bytes", _size),
    "live": ("live", _one_of(LIVE)),
    "sync": ("sync", _one_of(SYNC)),
    "ca": ("ca", _path),
    "deflate": ("deflate", _truth),
    "streams": ("streams", _streams),
}
_RECORDING: Table = {
    "venue": ("venue", _text("sim")),
    "symbols": ("symbols", _words('["BTC_USDT", "*_EUR"]')),
    "exclude": ("exclude", _words('["*UP_USDT"]')),
    "streams": ("streams", _words('["trade"]')),
    "url": ("url", _text("wss://127.0.0.1:7801")),
    "rest": ("rest", _text("https://127.0.0.1:7801")),
    "live": ("live", _one_of(LIVE)),
    "sync": ("sync", _one_of(SYNC)),
    "chunk_size": ("chunk_bytes", _size),
    "shards": ("shards", _whole(1, MOST_SHARDS)),
    "cpu": ("cpus", _cpus),
    "instruments": ("instruments", _truth),
    "live_window": ("live_window_ns", _or_off(_duration, 0)),
    "retain": ("retain_ns", _or_off(_duration, 0)),
    "max_bytes": ("max_bytes", _or_off(_measured(parse_size, 'a size, as in "100GiB"', smallest=0), 0)),
    "keep_last": ("keep_last", _or_off(_whole(0, 2**32 - 1), 0)),
    "archive": ("archive", _or_off(_text("s3://bucket/md"), "")),
}
TOP: Table = {
    "store": ("store", _path),
    "color": ("color", _color),
    "record": ("record", _RECORD),
    "recording": ("recordings", Each(_RECORDING, required=("venue",))),
}

Found = Callable[[Key, str], None]  # is told what is wrong, and with which key


def check(found: Mapping[str, Any], table: Table, wrong: Found, above: Key = ()) -> dict[str, Any]:
    """The settings in a table of the file, by name; without those that are wrong."""
    values: dict[str, Any] = {}
    prefix = "".join(f"{part}." for part in above if isinstance(part, str))
    for key, value in found.items():
        name, path = prefix + key, (*above, key)
        if key not in table:
            near = get_close_matches(key, table, n=1)
            known = ", ".join(prefix + key for key in table)
            expected = f"did you mean {prefix}{near[0]}? See man mdtool-config" if near else f"expected one of {known}"
            wrong(path, f"unknown key {name!r}; {expected}")
            continue
        setting, reader = table[key]
        try:
            if isinstance(reader, Each):
                values[setting] = _each(value, reader, wrong, path)
            elif isinstance(reader, Mapping):
                if not isinstance(value, dict):
                    raise ValueError(f"a table [{name}]")
                values[setting] = check(value, reader, wrong, path)
            else:
                values[setting] = reader(value)
        except ValueError as error:
            wrong(path, f"{name} is {shown(value)}, expected {error}")
    return values


def _each(value: Any, each: Each, wrong: Found, path: Key) -> list[dict[str, Any]]:
    name = str(path[-1])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"tables, each headed [[{name}]]")
    found = []
    for number, one in enumerate(value):
        values = check(one, each.table, wrong, (*path, number))
        for key in each.required:
            if key not in one:
                wrong((*path, number), f"[[{name}]] has no {key}; add one, as in {key} = {_EXAMPLES[key]}")
        found.append(values)
    return found


_EXAMPLES = {"venue": '"sim"'}


def shown(value: Any) -> str:
    """A value in a line."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
