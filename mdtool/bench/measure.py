"""How things are timed.

Rule: a subject and its baseline run in turns within one run, each in front as often as the other, so whatever else the
machine is doing hits both. A figure is the median over the turns. The garbage collector runs between turns, not
within, as timeit has it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mdtool.bench.report import Baseline, Better, Figure

Progress = Callable[[str], None]  # told what is being measured
Contestant = Callable[[], float]  # does its work once; nanoseconds a unit of it


@dataclass(frozen=True, slots=True)
class Setting:
    """What every group is given."""

    quick: bool
    directory: Path  # of this run's own, for its stores; removed afterwards
    data: Path | None = None
    progress: Progress | None = None

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def repeats(self) -> int:
        return 2 if self.quick else 7

    def tell(self, what: str) -> None:
        if self.progress is not None:
            self.progress(what)


@dataclass(frozen=True, slots=True)
class Unit:
    """How nanoseconds a unit of work are shown."""

    name: str
    better: Better
    scale: float  # lower: value = ns * scale; higher: value = scale / ns

    def of(self, ns: float) -> float:
        return ns * self.scale if self.better == "lower" else self.scale / max(ns, 1e-9)


def nanoseconds(what: str) -> Unit:
    return Unit(f"ns/{what}", "lower", 1.0)


def millions(what: str) -> Unit:
    return Unit(f"M{what}/s" if what == "B" else f"M {what}/s", "higher", 1e3)


def thousands(what: str) -> Unit:
    return Unit(f"k {what}/s", "higher", 1e6)


def spent(work: Callable[[], object], count: int) -> float:
    """Nanoseconds each of `count` units takes, of one call of `work`."""
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / count


def race(contestants: Mapping[str, Contestant], repeats: int) -> dict[str, list[float]]:
    """The nanoseconds a unit of each turn, by contestant."""
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            gc.disable()
            try:
                turns[name].append(contestants[name]())
            finally:
                gc.enable()
    return turns


def figure(
    group: str,
    name: str,
    title: str,
    unit: Unit,
    turns: Sequence[float],
    *,
    budget: float | None = None,
    against: tuple[str, Sequence[float]] | None = None,
    note: str = "",
) -> Figure:
    """A figure of the turns of a race; `against`: name and turns of its baseline."""
    values = sorted(unit.of(ns) for ns in turns)
    baseline = None
    if against is not None:
        label, others = against
        baseline = Baseline(label, unit.of(median(others)), median(others) / max(median(turns), 1e-9))
    return Figure(
        group=group,
        name=name,
        title=title,
        unit=unit.name,
        better=unit.better,
        value=unit.of(median(turns)),
        low=values[0],
        high=values[-1],
        repeats=len(values),
        budget=budget,
        baseline=baseline,
        note=note,
    )
