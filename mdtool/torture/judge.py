"""What a store says it has, against what was written: every record there and right, or named as lost.

Rule: a wrong byte, a missing record nobody named or a record twice is SILENT, and fails the round.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mdtool.errors import StoreError
from mdtool.model import Kind
from mdtool.storage.reading.reader import Reader, Record
from mdtool.torture.workload import STREAM, payload


@dataclass(slots=True)
class Judgement:
    """What one reading of a feed came to."""

    numbers: list[int] = field(default_factory=list)  # of the records that are right, in the order they came
    wrong: list[str] = field(default_factory=list)  # silent: what is wrong and where
    named: list[str] = field(default_factory=list)  # errors that say what is damaged

    def missing(self, upto: int) -> list[int]:
        """Numbers below `upto` that did not come."""
        there = set(self.numbers)
        return [number for number in range(upto) if number not in there]


def take(verdict: Judgement, reader: Reader, record: Record) -> None:
    """Judge one record by itself."""
    if record.kind != Kind.DATA:
        return
    body = record.payload
    try:
        number = int(body[:8])
    except ValueError:
        verdict.wrong.append(f"position {record.position}: {body[:16]!r} is no payload of ours")
        return
    if body != payload(number) or reader.stream_name(record.stream) != STREAM or record.session != 1:
        verdict.wrong.append(f"position {record.position}: record {number} is not what was written")
    elif verdict.numbers and number <= verdict.numbers[-1]:
        verdict.wrong.append(f"position {record.position}: record {number} after {verdict.numbers[-1]}")
    else:
        verdict.numbers.append(number)


def read(reader: Reader) -> Judgement:
    """Read a feed from its start; an error that names what is damaged ends it."""
    verdict = Judgement()
    try:
        for record in reader.records():
            take(verdict, reader, record)
    except StoreError as error:
        verdict.named.append(str(error))
    return verdict
