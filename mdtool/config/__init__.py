"""Settings: defaults, then the TOML file, then the environment, then options, as one frozen object.

Rule: a key that is not known here, or of the wrong type, stops the run: a setting silently ignored is a
recording made wrong. An environment variable that is set and empty counts as unset.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdtool.config.lines import Lines
from mdtool.config.settings import BadConfig, Config, Finding, RecordDefaults, Recording
from mdtool.config.tables import TOP, check
from mdtool.errors import UsageError

__all__ = ["BadConfig", "Config", "Finding", "RecordDefaults", "Recording", "file_path", "load", "store_path"]

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


def load(
    *,
    file: Path | str | None = None,
    store: Path | str | None = None,
    color: bool | None = None,
    env: Mapping[str, str] | None = None,
) -> Config:
    """The settings of a run whose options are `file`, `store` and `color`. `env` is os.environ unless given.

    Without `file` it is $XDG_CONFIG_HOME/mdtool/config.toml, which need not exist. Raises BadConfig with all that is
    wrong with it, UsageError.
    """
    env = os.environ if env is None else env
    path = file_path(file, env)
    text = _read(path, must_exist=file is not None)
    lines = Lines(text or "")
    findings: list[Finding] = []
    values = check(
        _parsed(path, text or ""), TOP, lambda key, said: findings.append(Finding(path, lines.of(key), said))
    )
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
    record = values.get("record", {})
    if "ca" in record:
        record["ca"] = str(path.parent.absolute() / _expand(record["ca"], env))
    config = Config(
        store=where,
        color=color,
        record=RecordDefaults(**record),
        recordings=tuple(Recording(**{"venue": "", **one}) for one in values.get("recordings", ())),
        file=path if text is not None else None,
        lines=lines,
    )
    if findings:
        raise BadConfig(findings, config)
    return config


def file_path(file: Path | str | None = None, env: Mapping[str, str] | None = None) -> Path:
    """Where the settings are, whether there are any or not. Raises UsageError."""
    env = os.environ if env is None else env
    return _expand(file, env) if file is not None else _xdg(env, "XDG_CONFIG_HOME", ".config") / "config.toml"


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


def _read(path: Path, *, must_exist: bool) -> str | None:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        if must_exist:
            raise UsageError(f"{path}: no such file, expected settings in TOML; see: mdtool config init") from None
        return None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text, expected settings in TOML") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}, expected a readable file of settings") from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error)
        at = _AT_LINE.search(said)
        line = int(at[1]) if at else text.count("\n") + 1 if said.endswith("(at end of document)") else None
        raise BadConfig([Finding(path, line, f"no valid TOML: {_AT_LINE.sub('', said)}")]) from None
