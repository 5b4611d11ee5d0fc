"""What an import did: values for people (view draws them) and, through to_json, for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdtool.interop.lines import name_of
from mdtool.interop.source import Damage
from mdtool.interop.understanding import NOT_JSON, UNDECODABLE
from mdtool.units import count

UNREADABLE = (NOT_JSON, UNDECODABLE)


@dataclass(frozen=True, slots=True)
class FeedImport:
    """What one feed got."""

    name: str
    records: int  # taken from the files; the END and the copies of a connect not counted
    payload_bytes: int
    first_ns: int
    last_ns: int
    streams: dict[str, int]  # records by stream
    already: int = 0  # records of the files that the feed held before

    def to_json(self) -> dict[str, Any]:
        return {
            "feed": self.name,
            "records": self.records,
            "payload_bytes": self.payload_bytes,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "streams": self.streams,
            "already_there": self.already,
        }


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    paths: tuple[Path, ...]
    feeds: tuple[FeedImport, ...]  # by name
    records: int  # lines that became records: each frame, connect, REST answer, damaged line
    kinds: dict[str, int]  # the same by kind: "data", "open", "sent", "response", "note"
    messages: int = 0  # frames received, those that were there already not counted
    of_market: int = 0  # of them, those that are more than the session's talk
    not_understood: dict[str, int] = field(default_factory=dict)  # of them, by name
    damage: tuple[Damage, ...] = ()  # of each file
    resumed: bool = False  # an import of these files had been broken off, and this one went on with it
    unplaced: tuple[str, ...] = ()  # what could not be put anywhere, and what helps

    @property
    def already(self) -> int:
        """Records that were there before."""
        return sum(feed.already for feed in self.feeds)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with the files, or with their having been taken for this venue's; none where nothing is."""
        found: list[str] = []
        for path, damage in zip(self.paths, self.damage, strict=True):
            if damage.count:
                named = ", ".join(f"{line.number} ({line.text})" for line in damage.lines[:3])
                more = f" and {damage.count - 3:,} more" if damage.count > 3 else ""
                lines = "line, kept as it stands" if damage.count == 1 else "lines, kept as they stand"
                found.append(f"{name_of(path)}: {damage.count:,} damaged {lines}: line {named}{more}")
            if damage.cut is not None:
                found.append(f"{damage.cut}; {kept(self.records)} kept")
        found += self.unplaced
        lost = sum(self.not_understood.values())
        if 2 * lost > self.messages:
            found.append(
                f"{lost:,} of {_messages(self.messages)} not understood ({self._named()}): is the venue right?"
            )
        elif self.messages and not self.of_market:
            found.append(f"no message of {self.messages:,} is of a market: is the venue right?")
        elif unreadable := sum(self.not_understood.get(name, 0) for name in UNREADABLE):
            found.append(f"{unreadable:,} of {_messages(self.messages)} not to be read")
        return tuple(found)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing and not wrong."""
        said = []
        if self.already:
            said.append(
                count(self.already, "record was", "records were")
                + " there already"
                + (", and it went on behind them" * self.resumed)
            )
        if self.not_understood and not 2 * sum(self.not_understood.values()) > self.messages:
            said.append(f"kept and not decoded: {self._named()}")
        return tuple(said)

    def _named(self) -> str:
        return ", ".join(f"{name} {number:,}" for name, number in self.not_understood.items())

    def to_json(self) -> dict[str, Any]:
        return {
            "files": [str(path) for path in self.paths],
            "records": self.records,
            "kinds": self.kinds,
            "feeds": [feed.to_json() for feed in self.feeds],
            "already_there": self.already,
            "resumed": self.resumed,
            "messages": self.messages,
            "of_market": self.of_market,
            "not_understood": self.not_understood,
            "damaged": [
                {"file": str(path), "lines": damage.count, "first": [line.number for line in damage.lines]}
                for path, damage in zip(self.paths, self.damage, strict=True)
                if damage.count
            ],
            "cut": [damage.cut for damage in self.damage if damage.cut is not None],
            "notes": list(self.notes),
            "findings": list(self.findings),
        }


def kept(records: int) -> str:
    """So many records were kept, without the last word."""
    return count(records, "record is", "records are")


def _messages(number: int) -> str:
    return count(number, "message is", "messages are")
