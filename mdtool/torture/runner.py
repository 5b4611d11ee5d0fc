"""Rounds of torture: which scenario comes when, what came of each, and the sum."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from mdtool.errors import UsageError
from mdtool.torture.case import NO_MOUNT, Outcome
from mdtool.torture.scenarios import SCENARIOS, play

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round. `silent` is what was wrong or missing without anything saying so: it should always be empty."""

    number: int
    scenario: str
    seed: int
    faults: tuple[str, ...]
    records: int
    lost: int
    silent: tuple[str, ...]
    kept: str | None  # where its store is, if something was wrong


@dataclass(slots=True)
class Tally:
    """The rounds of one scenario."""

    rounds: int = 0
    faults: int = 0
    records: int = 0  # committed before the faults
    lost: int = 0  # of them, lost and named as lost
    silent: int = 0  # rounds with anything silently wrong
    skipped: int = 0  # rounds this user may not play


@dataclass(slots=True)
class TortureReport:
    """All rounds: by scenario, and in full those that failed."""

    seed: int
    seconds: float = 0.0
    scenarios: dict[str, Tally] = field(default_factory=dict)
    failed: list[RoundReport] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        whole = Tally()
        for tally in self.scenarios.values():
            for name, value in asdict(tally).items():
                setattr(whole, name, getattr(whole, name) + value)
        return whole

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "scenarios": {name: asdict(tally) for name, tally in self.scenarios.items()},
            "total": asdict(self.total),
            "failed": [asdict(report) for report in self.failed],
        }


def torture(
    rounds: int,
    *,
    seed: int = 1,
    names: Sequence[str] = (),
    directory: Path | None = None,
    progress: Progress = lambda text: None,
) -> TortureReport:
    """Play `rounds` rounds, scenarios in turn. A round that fails keeps its store, below `directory` (None: the
    system's temporary one). The same seed plays the same rounds, as far as the machine's timing allows."""
    for name in names:
        if name not in SCENARIOS:
            raise UsageError(f"no scenario {name!r}: expected one of {', '.join(SCENARIOS)}")
    chosen = list(names) or list(SCENARIOS)
    report = TortureReport(seed, scenarios={name: Tally() for name in chosen})
    began = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="mdtool-torture-", dir=directory))
    try:
        for number in range(rounds):
            name = chosen[number % len(chosen)]
            progress(f"round {number + 1} of {rounds}: {name}")
            round_seed = Random(f"{seed}/{number}").getrandbits(48)
            place = base / f"{number:06d}"
            _count(report, number, name, round_seed, play(name, place, round_seed), place)
    finally:
        with contextlib.suppress(OSError):  # a round that failed, or was ended by a defect, keeps its store in it
            base.rmdir()
    report.seconds = time.monotonic() - began
    return report


def _count(report: TortureReport, number: int, name: str, seed: int, outcome: Outcome, place: Path) -> None:
    tally = report.scenarios[name]
    tally.rounds += 1
    tally.skipped += outcome.faults == [NO_MOUNT]
    tally.faults += len(outcome.faults)
    tally.records += outcome.records
    tally.lost += outcome.lost
    if outcome.silent:
        tally.silent += 1
        faults, silent = tuple(outcome.faults), tuple(outcome.silent)
        report.failed.append(RoundReport(number, name, seed, faults, outcome.records, outcome.lost, silent, str(place)))
