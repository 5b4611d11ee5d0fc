"""The benchmark: which groups there are, and a run of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mdtool.bench.book import bench_book
from mdtool.bench.commit import bench_commit
from mdtool.bench.decode import bench_decode
from mdtool.bench.iterate import bench_iterate
from mdtool.bench.latency import bench_latency
from mdtool.bench.measure import Progress, Setting
from mdtool.bench.receive import bench_receive
from mdtool.bench.replay import bench_replay
from mdtool.bench.report import BenchReport, Figure, this_machine
from mdtool.bench.roll import bench_roll
from mdtool.bench.seal import bench_seal
from mdtool.bench.storage import bench_append
from mdtool.bench.venues import bench_venues
from mdtool.errors import UsageError

GROUPS: dict[str, Callable[[Setting], list[Figure]]] = {
    "append": bench_append,
    "roll": bench_roll,
    "iterate": bench_iterate,
    "latency": bench_latency,
    "receive": bench_receive,
    "commit": bench_commit,
    "decode": bench_decode,
    "venues": bench_venues,
    "book": bench_book,
    "replay": bench_replay,
    "seal": bench_seal,
}


def run(
    groups: Sequence[str] = (),
    *,
    quick: bool = False,
    data: Path | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure `groups` (all where there is none). About two minutes; some seconds when `quick`.

    `data`: a .hb capture (plain, gzip or zstd) to decode as well. `directory`: where the stores to measure on are made
    (about 1 GB, removed afterwards), the system's temporary directory unless given; a memory file system takes the
    disk out of the figures. `progress` is told what is being measured. Raises UsageError for an unknown group.
    """
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        raise UsageError(f"no benchmark called {unknown[0]!r}; there are: {', '.join(GROUPS)}")
    if directory is not None and not directory.is_dir():
        raise UsageError(f"{directory}: no such directory to measure in")
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="mdtool-bench-", dir=directory) as scratch:
        setting = Setting(quick, Path(scratch), data, progress)
        figures = tuple(figure for name in GROUPS if name in groups or not groups for figure in GROUPS[name](setting))
    return BenchReport(machine, quick, str(data) if data else None, figures)
