"""`mdtool seal`: closed chunks become Parquet parts."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool seal", "what is due of every feed: days that are over"),
    ("mdtool seal ETH_USDT --dry-run", "only say what would be sealed"),
    ("mdtool seal --all --json", "today's closed chunks too, reported for a program"),
)


def seal(
    ctx: typer.Context,
    feeds: Feeds = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every closed chunk: today's too, and those in the feed's live window.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sealed.")] = False,
    json: Json = False,
) -> None:
    """Seal closed chunks into Parquet parts.

    The closed chunks of each UTC day that is over become one part, which is read back and compared before a chunk
    goes. A run that was cut short is finished by the next one.
    """
    from mdtool.commands.tasks.sealing import seal_feeds
    from mdtool.view.progress import Progress
    from mdtool.view.sealing import seal_page

    run = current(ctx)
    out = run.out
    with run.store() as store:
        reports = []
        chosen, told = run.feeds(store, feeds or ()), Progress(out.progress, what="sealed")
        for report in seal_feeds(chosen, everything=everything, dry_run=dry_run, told=told):
            reports.append(report.to_json())
    out.end_progress()
    if json:
        out.json({"dry_run": dry_run, "feeds": reports})
    else:
        out.show(seal_page(reports, dry_run=dry_run))
        for said in reports:
            if said["error"]:
                out.error(said["error"])
    if any(said["error"] for said in reports):
        raise typer.Exit(2)
