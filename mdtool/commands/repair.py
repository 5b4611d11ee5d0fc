"""`mdtool repair`: what verify found is put right, and nothing is thrown away."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool repair --dry-run", "only say what would be done"),
    ("mdtool repair ETH_USDT", "put a feed right"),
    ("mdtool repair --gone ETH_USDT", "files that are not there are lost for good: name the loss and go on"),
)
LEFT = "something was left for a person to decide"


def repair(
    ctx: typer.Context,
    feeds: Feeds = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Take files that are not there for lost, and name their records as lost.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Put right what verify finds.

    Every record that proves itself stays, byte for byte and at its position. A record that is lost is named in a NOTE
    record in its place. The files as they were, and a note of what was done, are kept in the feed's repaired/ folder.
    A feed that is being recorded is left alone. The exit status is 1 where records are lost, or something is left for
    a person to decide.
    """
    from mdtool.commands.tasks.upkeep import counter, payload_bytes, repair_feeds
    from mdtool.view.progress import Progress
    from mdtool.view.upkeep import repair_page

    run = current(ctx)
    out = run.out
    path = run.config().store
    progress = counter(Progress(out.progress, what="checked"), payload_bytes(path, feeds or ()))
    report = repair_feeds(path, feeds or (), gone=gone, dry_run=dry_run, counter=progress)
    out.end_progress()
    if json:
        out.json(report)
    else:
        for action in report.actions:
            out.data(str(action))
        for name in report.skipped:
            out.talk(f"{name}: left alone, it is being recorded")
        out.show(repair_page(report))
    if any(action.left or action.lost != 0 for action in report.actions):
        raise typer.Exit(1)
