"""What could not be read of one stream, told apart by kind, in bounded memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mdtool.audit.findings import Undecodable
from mdtool.storage.reading.reader import Record

MAX_REASONS = 16  # kinds told apart in one stream
_DIGITS = re.compile(r"\d+")


@dataclass(slots=True)
class _Kind:
    at_ns: int
    position: int
    reason: str
    count: int = 0


class Unreadable:
    """Kinds are told apart by their text without its numbers, which are offsets and values of one message. What a venue
    quotes of the message behind a semicolon is none of the kind either."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    @property
    def count(self) -> int:
        return sum(kind.count for kind in self._kinds.values())

    @property
    def times(self) -> list[int]:
        """Receive times of the first of each kind."""
        return [kind.at_ns for kind in self._kinds.values()]

    def add(self, record: Record, reason: str) -> None:
        name = _DIGITS.sub("#", reason.partition(";")[0])
        if name not in self._kinds:
            if len(self._kinds) >= MAX_REASONS:
                name = next(reversed(self._kinds))
            else:
                self._kinds[name] = _Kind(record.recv_ns, record.position, reason)
        self._kinds[name].count += 1

    def findings(self, stream: str) -> list[Undecodable]:
        return [
            Undecodable(stream=stream, at_ns=kind.at_ns, reason=kind.reason, count=kind.count, position=kind.position)
            for kind in self._kinds.values()
        ]
