"""The settings as frozen values, and what may be wrong with a file of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mdtool.config.lines import Lines
from mdtool.config.lines import Path as Key
from mdtool.errors import UsageError
from mdtool.units import count

CHECK = "mdtool config check"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file of settings: where, what was found, what was expected."""

    file: Path
    line: int | None  # None: the file as a whole
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{where}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        return {"file": str(self.file), "line": self.line, "text": self.text}


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
class Recording:
    """One [[recording]]. What is None or empty is left to [record], and then to the venue or the feed."""

    venue: str
    symbols: tuple[str, ...] = ()  # in any spelling, or patterns; none: the venue's default set
    exclude: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    url: str | None = None
    rest: str | None = None
    live: str | None = None
    sync: str | None = None
    chunk_bytes: int | None = None
    shards: int = 1
    cpus: tuple[int, ...] = ()
    instruments: bool = True  # whether to fetch what the venue lists
    # How its feeds are kept, as Store.set has it. None: as the feed was set before.
    live_window_ns: int | None = None
    retain_ns: int | None = None
    max_bytes: int | None = None
    keep_last: int | None = None
    archive: str | None = None

    @property
    def kept(self) -> dict[str, Any]:
        """What there is to set of its feeds."""
        given = {
            "live_window_ns": self.live_window_ns,
            "retain_ns": self.retain_ns,
            "max_bytes": self.max_bytes,
            "keep_last": self.keep_last,
            "archive": self.archive,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one run."""

    store: Path  # absolute
    color: bool | None = None  # None: where the output is a terminal
    record: RecordDefaults = RecordDefaults()
    recordings: tuple[Recording, ...] = ()
    file: Path | None = None  # the file that was read
    lines: Lines = field(default_factory=lambda: Lines(""), compare=False, repr=False)

    def finding(self, key: Key, text: str) -> Finding:
        """Something that is wrong with what stands under this key of the file."""
        assert self.file is not None
        return Finding(self.file, self.lines.of(key), text)

    def where(self, key: Key) -> str | None:
        """FILE:LINE of a key of the file; None where it does not say."""
        line = self.lines.exactly(key)
        return f"{self.file}:{line}" if line is not None else None


class BadConfig(UsageError):
    """A file of settings that does not hold. As text it is the first finding, and how many more there are. `rest`: the
    settings without what is wrong with them, for who looks for more."""

    def __init__(self, findings: Sequence[Finding], rest: Config | None = None) -> None:
        findings = sorted(findings, key=lambda finding: finding.line or 0)
        more = f"; {count(len(findings) - 1, 'finding')} more, see: {CHECK}" if len(findings) > 1 else ""
        super().__init__(f"{findings[0]}{more}")
        self.findings = tuple(findings)
        self.rest = rest
