"""The settings looked at: what is wrong with them, what they come to, where each is from, and a file to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from mdtool.commands.context import Invocation
from mdtool.config import BadConfig, Config, Finding, file_path
from mdtool.errors import UsageError
from mdtool.service.jobs import Job, load_jobs
from mdtool.units import count

BUILT_IN = "built in"
VENUES_OWN = "the venue's default"
FEEDS_OWN = "as the feed was set before"
FILE_MODE = 0o666  # less the umask
FIRST = 3  # venues that are named in a line


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with the settings, and what they would have recorded."""

    file: Path | None
    findings: tuple[Finding, ...]
    jobs: tuple[Job, ...]

    def line(self) -> str:
        """What would be recorded, in a line."""
        if self.file is None:
            return "no file of settings: what is built in holds; to write one: mdtool config init"
        if not self.jobs:
            return f"{self.file}: fine; it has no [[recording]], so mdtool record needs a venue"
        feeds: dict[str, int] = {}
        for job in self.jobs:
            name = job.options.venue.name
            feeds[name] = feeds.get(name, 0) + len(job.feeds)
        named = ", ".join(f"{many:,} of {venue}" for venue, many in feeds.items())
        recorders = sum(min(job.shards, len(job.feeds)) for job in self.jobs)
        return (
            f"{self.file}: fine; mdtool record would record {count(sum(feeds.values()), 'feed')} "
            f"({named}) with {count(recorders, 'recorder')}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file) if self.file is not None else None,
            "findings": [finding.to_json() for finding in self.findings],
            "recordings": [_job(job) for job in self.jobs],
        }


def checked(run: Invocation) -> Checked:
    """Raises UsageError where the file cannot be read."""
    try:
        config, found = load_jobs(run.config)
    except BadConfig as bad:
        return Checked(bad.findings[0].file, bad.findings, ())
    return Checked(config.file, (), tuple(found))


@dataclass(frozen=True, slots=True)
class Setting:
    """One that holds, and why."""

    name: str
    value: Any
    source: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "source": self.source}


@dataclass(frozen=True, slots=True)
class Effective:
    file: Path
    exists: bool
    settings: tuple[Setting, ...]
    recordings: tuple[tuple[Job, tuple[Setting, ...]], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "exists": self.exists,
            "settings": [setting.to_json() for setting in self.settings],
            "recordings": [
                {**_job(job), "settings": [setting.to_json() for setting in settings]}
                for job, settings in self.recordings
            ],
        }


def effective(run: Invocation, env: Mapping[str, str] | None = None) -> Effective:
    """Raises BadConfig, UsageError."""
    env = os.environ if env is None else env
    config, found = load_jobs(run.config)
    return Effective(
        file=config.file or file_path(run.config_file),
        exists=config.file is not None,
        settings=_settings(run, config, env),
        recordings=tuple((job, _recording(config, number, job)) for number, job in enumerate(found)),
    )


def _settings(run: Invocation, config: Config, env: Mapping[str, str]) -> tuple[Setting, ...]:
    store = config.where(("store",)) or (
        "environment: XDG_DATA_HOME" if env.get("XDG_DATA_HOME", "").startswith("/") else BUILT_IN
    )
    if run.store_dir is not None and str(run.store_dir):
        store = "environment: MDTOOL_STORE" if env.get("MDTOOL_STORE") == str(run.store_dir) else "option: --store"
    color = {None: "auto", True: "always", False: "never"}[config.color]
    color_source = config.where(("color",)) or BUILT_IN
    if env.get("NO_COLOR"):
        color_source = "environment: NO_COLOR"
    record = config.record

    def where(key: str) -> str | None:
        return config.where(("record", key))

    return (
        Setting("store", str(config.store), store),
        Setting("color", color, color_source),
        Setting("record.live", record.live, where("live") or FEEDS_OWN),
        Setting("record.sync", record.sync or "1s", where("sync") or BUILT_IN),
        Setting("record.chunk_size", record.chunk_bytes, where("chunk_size") or FEEDS_OWN),
        Setting("record.ca", record.ca, where("ca") or BUILT_IN),
        Setting("record.deflate", bool(record.deflate), where("deflate") or BUILT_IN),
        *(
            Setting(f"record.streams.{venue}", list(streams), config.where(("record", "streams", venue)) or BUILT_IN)
            for venue, streams in record.streams.items()
        ),
    )


def _recording(config: Config, number: int, job: Job) -> tuple[Setting, ...]:
    one, options = config.recordings[number], job.options

    def source(key: str, otherwise: str, *, in_record: tuple[str, ...] = ()) -> str:
        own = config.where(("recording", number, key))
        return own or (config.where(("record", *in_record)) if in_record else None) or otherwise

    url = source("url", VENUES_OWN)
    return (
        Setting("venue", options.venue.name, source("venue", BUILT_IN)),
        Setting("symbols", list(options.symbols), source("symbols", VENUES_OWN)),
        *([Setting("exclude", list(one.exclude), source("exclude", BUILT_IN))] if one.exclude else []),
        Setting(
            "streams", list(options.streams), source("streams", VENUES_OWN, in_record=("streams", options.venue.name))
        ),
        Setting("url", options.ws_url, url),
        Setting("rest", options.rest_url, source("rest", url)),
        Setting("live", options.live, source("live", FEEDS_OWN, in_record=("live",))),
        Setting("sync", options.sync, source("sync", BUILT_IN, in_record=("sync",))),
        Setting("chunk_size", options.chunk_bytes, source("chunk_size", FEEDS_OWN, in_record=("chunk_size",))),
        Setting("shards", job.shards, source("shards", BUILT_IN)),
        Setting("cpu", list(job.cpus) or None, source("cpu", BUILT_IN)),
        Setting("instruments", options.instruments, source("instruments", BUILT_IN)),
        *(
            Setting(key, getattr(one, name), source(key, FEEDS_OWN))
            for key, name in (
                ("live_window", "live_window_ns"), ("retain", "retain_ns"), ("max_bytes", "max_bytes"),
                ("keep_last", "keep_last"), ("archive", "archive"),
            )
        ),
    )  # fmt: skip


def _job(job: Job) -> dict[str, Any]:
    options = job.options
    return {
        "where": job.where,
        "venue": options.venue.name,
        "symbols": list(options.symbols),
        "streams": list(options.streams),
        "shards": job.shards,
    }


def example() -> str:
    """A file of settings to begin with."""
    text = resources.files("mdtool.commands.tasks").joinpath("example.toml").read_text(encoding="utf-8")
    return text.rstrip("\n")


def write_example(file: Path | None) -> Path:
    """Where `file` says, else where settings are looked for; that path. Raises UsageError where one is there."""
    path = file_path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "w", encoding="utf-8") as opened:
            opened.write(example() + "\n")
    except FileExistsError:
        raise UsageError(
            f"{path}: there is one already, and it is left as it is; to see one: mdtool config init --stdout"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another with --config FILE") from None
    return path
