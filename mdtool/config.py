"""Settings: defaults, then the TOML file, then the environment, then options, as one frozen object.

Rule: a key that is not known here, or of the wrong type, stops the run: a setting silently ignored is a
recording made wrong. An environment variable that is set and empty counts as unset.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mdtool.errors import UsageError
from mdtool.units import parse_size

LIVE = ("disk", "shm")
SYNC = ("none", "1s", "chunk")


@dataclass(frozen=True, slots=True)
class RecordDefaults:
    """What `record` does where no option says otherwise: the file's [record]. None: not set there, and what a feed was
    given before stays; which is not the same as set to what would hold anyway."""

    chunk_bytes: int | None = None
    live: str | None = None  # where live chunks are: one of LIVE
    sync: str | None = None  # how much a power loss may take: one of SYNC
    ca: str | None = None  # absolute: a file of certificates to believe beside the system's
    deflate: bool | None = None  # have frames packed, where a venue offers that
    streams: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))  # by venue


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one run."""

    store: Path  # absolute
    color: bool | None = None  # None: where the output is a terminal
    record: RecordDefaults = RecordDefaults()
    file: Path | None = None  # the file that was read


def load(
    *,
    file: Path | str | None = None,
    store: Path | str | None = None,
    color: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> Config:
    """The settings of a run whose options are `file`, `store` and `color`. `env` is os.environ unless given.

    Without `file` it is $XDG_CONFIG_HOME/mdtool/config.toml, which need not exist. Raises UsageError.
    """
    env = os.environ if env is None else env
    path = _expand(file, env) if file is not None else _xdg(env, "XDG_CONFIG_HOME", ".config") / "config.toml"
    settings = _read(path, must_exist=file is not None)
    values = _check(path, settings or {}, _TOP, "")
    if store is None or not str(store):
        store = env.get("MDTOOL_STORE") or None
    if store is not None:
        where = Path.cwd() / _expand(store, env)
    elif "store" in values:
        where = path.parent.absolute() / _expand(values["store"], env)
    else:
        where = _xdg(env, "XDG_DATA_HOME", ".local/share")
    if color is None:
        color = False if env.get("NO_COLOR") else values.get("color")
    recording = values.get("record", {})
    if "ca" in recording:
        recording["ca"] = str(path.parent.absolute() / _expand(recording["ca"], env))
    record = RecordDefaults(**recording)
    return Config(store=where, color=color, record=record, file=path if settings is not None else None)


def store_path(env: Mapping[str, str] | None = None) -> Path:
    """The store the command line would use without options. Raises UsageError."""
    return load(env=env).store


def _home(env: Mapping[str, str]) -> Path:
    if home := env.get("HOME"):
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("no home directory to find the store in: set HOME, or give --store DIR") from None


def _xdg(env: Mapping[str, str], name: str, default: str) -> Path:
    # The XDG specification has relative values ignored.
    given = env.get(name) or ""
    return (Path(given) if given.startswith("/") else _home(env) / default) / "mdtool"


def _expand(path: Path | str, env: Mapping[str, str]) -> Path:
    text = str(path)
    if text == "~" or text.startswith("~/"):
        return _home(env) / text[2:]
    return Path(text)


def _read(path: Path, *, must_exist: bool) -> dict[str, Any] | None:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        if must_exist:
            raise UsageError(f"{path}: no such file, expected settings in TOML") from None
        return None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text, expected settings in TOML") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}, expected a readable file of settings") from None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: no valid TOML: {error}") from None


# A reader takes the value found and returns the setting, or raises ValueError with what was expected.
_Reader = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError('a path as text, as in "/data/md"')
    return value


def _color(value: Any) -> bool | None:
    choices = {"auto": None, "always": True, "never": False}
    if not isinstance(value, str) or value not in choices:
        raise ValueError('"auto", "always" or "never"')
    return choices[value]


def _size(value: Any) -> int:
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except UsageError:
        size = None
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise ValueError('a size above 0, as in "64MiB"')
    return size


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _one_of(choices: tuple[str, ...]) -> _Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(" or ".join(f'"{choice}"' for choice in choices))
        return value

    return read


def _streams(value: Any) -> Mapping[str, tuple[str, ...]]:
    expected = 'a table of lists of streams by venue, as in VENUE = ["trade"]'
    if not isinstance(value, dict):
        raise ValueError(expected)
    for names in value.values():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(expected)
    return MappingProxyType({venue: tuple(names) for venue, names in value.items()})


# Key in the file -> (name of the setting, its reader or the table below it).
_Table = Mapping[str, "tuple[str, _Reader | _Table]"]
_RECORD: _Table = {
    "chunk_size": ("chunk_bytes", _size),
    "live": ("live", _one_of(LIVE)),
    "sync": ("sync", _one_of(SYNC)),
    "ca": ("ca", _text),
    "deflate": ("deflate", _flag),
    "streams": ("streams", _streams),
}
_TOP: _Table = {"store": ("store", _text), "color": ("color", _color), "record": ("record", _RECORD)}


def _check(path: Path, found: Any, table: _Table, prefix: str) -> dict[str, Any]:
    values = {}
    for key, value in found.items():
        name = prefix + key
        if key not in table:
            known = ", ".join(prefix + key for key in table)
            raise UsageError(f"{path}: unknown key {name!r}; expected one of {known}")
        setting, reader = table[key]
        if isinstance(reader, Mapping):
            if not isinstance(value, dict):
                raise UsageError(f"{path}: {name} is {_shown(value)}, expected a table [{name}]")
            values[setting] = _check(path, value, reader, name + ".")
            continue
        try:
            values[setting] = reader(value)
        except ValueError as error:
            raise UsageError(f"{path}: {name} is {_shown(value)}, expected {error}") from None
    return values


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
