"""`mdtool bench`: what this machine does, beside what it was built to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

EXAMPLES = (
    ("mdtool bench", "everything, about two minutes"),
    ("mdtool bench append latency --quick", "two groups, only to see that they run"),
    ("mdtool bench decode --data ethusdt_20240808.hb.gz", "on a capture as well"),
)


def bench(
    ctx: typer.Context,
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GROUP",
            show_default=False,
            help="append, roll, iterate, latency, receive, commit, decode, venues, book, replay or seal. None: all.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and fast: not to be quoted.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="A capture (.hb, packed or not) to decode and seal as well."),
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to put the stores that are measured on.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure append, latency, receiving, decode, book, replay and seal.

    Each figure is the median of several runs and stands beside its budget and, where there is one, the plain way to do
    the same, measured in turns with it.
    """
    from mdtool.bench.suite import run as measure
    from mdtool.view.bench import bench_page

    out = current(ctx).out
    report = measure(groups or (), quick=quick, data=data, directory=directory, progress=out.progress)
    out.end_progress()
    if json:
        out.json(report.to_json())
    else:
        out.show(bench_page(report.to_json(), out.console.width))
