"""`mdtool torture`: break stores on purpose, and see whether anything goes wrong silently."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

SILENT = "something was silently wrong or missing"
EXAMPLES = (
    ("mdtool torture", "a hundred rounds, about a minute"),
    ("mdtool torture --rounds 1000 --seed 7", "many more, and others"),
    ("mdtool torture --only damage --only kill-seal", "two of the scenarios"),
)


def torture(
    ctx: typer.Context,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="How many rounds.")] = 100,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Other rounds for another number.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="SCENARIO", help="This scenario; may be given several times.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to put the stores that are tortured.")
    ] = None,
    json: Json = False,
) -> None:
    """Torture stores and say what was lost.

    Writers, sealers and repairs are killed with SIGKILL, disks filled, bits flipped, pages torn, clocks set back; a
    reader races all of it. Two stores share an archive, a reader is overtaken by cleaning, a recorder talks to nobody.
    After each round everything committed must be there, or be named as lost. Works on stores of its own, never on
    yours.
    """
    from mdtool.torture.runner import torture as play
    from mdtool.view.torture import torture_page

    out = current(ctx).out
    report = play(rounds, seed=seed, names=only or (), directory=directory, progress=out.progress)
    out.end_progress()
    if json:
        out.json(report.to_json())
    else:
        out.show(torture_page(report.to_json()))
    if report.failed:
        raise typer.Exit(1)
