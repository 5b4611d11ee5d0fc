"""What a benchmark found: figures, what they were to be, and the machine they are of. Values only, nothing prints."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the figures are from. A figure without its machine says nothing."""

    cpu: str
    cores: int  # this process may run on
    python: str
    kernel: str
    load: float  # other work on the machine: its load average of the last minute, at the start


@dataclass(frozen=True, slots=True)
class Baseline:
    """The plain way to do the same, measured in turns with the subject, which is `ratio` times better."""

    name: str
    value: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value: the median over `repeats` runs, which lay between `low` and `high`."""

    group: str
    name: str
    title: str
    unit: str
    better: Better
    value: float
    low: float
    high: float
    repeats: int
    budget: float | None = None
    baseline: Baseline | None = None
    note: str = ""

    @property
    def verdict(self) -> Literal["within", "over"] | None:
        """How the value stands to its budget; None where it has none."""
        if self.budget is None:
            return None
        good = self.value <= self.budget if self.better == "lower" else self.value >= self.budget
        return "within" if good else "over"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All figures of one run. `quick`: sized to show that it works, not to be quoted."""

    machine: Machine
    quick: bool
    data: str | None  # the capture the decode figures were also taken on
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        """Keys: machine, quick, data, figures."""
        return {
            "machine": asdict(self.machine),
            "quick": self.quick,
            "data": self.data,
            "figures": [figure.to_json() for figure in self.figures],
        }


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        kernel=f"{platform.system()} {platform.release()}",
        load=round(os.getloadavg()[0], 2),
    )


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
