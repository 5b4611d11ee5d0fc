"""Findings as values: where, what was found, what was expected, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FlawKind(StrEnum):
    """Kinds of findings."""

    CRC = "crc"  # records whose bytes contradict their checksum
    HEADER = "header"  # the head of a file, or a slot, that contradicts its checksum or is another's
    MISSING = "missing"  # a file that a registry names and that is not there, or not whole
    COUNT = "count"  # a count that says more, or less, than is there
    FIGURES = "figures"  # a registry that says other than the files do
    ORPHAN = "orphan"  # a chunk, a part or a feed that no registry names
    UNFINISHED = "unfinished"  # what a process left that died in the middle of something
    FOREIGN = "foreign"  # a file that is none of ours
    CURSOR = "cursor"  # a cursor that is damaged or points nowhere
    UNREADABLE = "unreadable"  # the device or the system refuses to read it


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is not as it should be. `feed` is empty where it concerns the store."""

    feed: str
    where: str
    what: FlawKind
    found: str
    expected: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}, expected {self.expected}; {self.todo}"


@dataclass(slots=True)
class Checked:
    """What verify looked at, and what it found."""

    feeds: int = 0
    chunks: int = 0
    parts: int = 0
    records: int = 0
    payload_bytes: int = 0
    findings: list[Flaw] = field(default_factory=list)
