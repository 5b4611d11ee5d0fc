"""`mdtool clean`: what is older or more than is to be kept goes, whole parts only, oldest first."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool clean --older-than 7d --dry-run", "only say what would go"),
    ("mdtool clean 'binance*/*' --older-than 30d --keep-last 3", "these feeds; the last three parts of each stay"),
    ("mdtool clean --max-bytes 100GiB", "the oldest parts of the whole store, until the rest fits"),
    ("mdtool clean", "each feed by its own policy, as registry set has it"),
)


def clean(
    ctx: typer.Context,
    feeds: Feeds = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DURATION", help="What was received longer ago, as in 7d.")
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option("--max-bytes", metavar="SIZE", help="The oldest, until no more than this is left over all feeds."),
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", metavar="N", min=0, help="Parts of each feed that stay in any case.")
    ] = None,
    closed_chunks: Annotated[
        bool, typer.Option("--closed-chunks", help="Take closed chunks that are not sealed as well.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Remove old parts.

    Whole sealed parts go, oldest first; with neither limit given, each feed's own policy says which. What stays in any
    case: what is being written, what a named cursor with a lease has yet to read, and the snapshot that kept book
    updates need, with all that came since. Each is named. A run that was cut short is finished by the next one.
    """
    from mdtool.commands.tasks.cleaning import Wanted, begun, carry_out, report
    from mdtool.view.cleaning import clean_page

    wanted = Wanted(older_than, max_bytes, keep_last, closed_chunks)
    wanted.check()
    run = current(ctx)
    with run.store() as store:
        chosen = run.feeds(store, feeds or ())
        plans, left = wanted.plans(chosen), begun(chosen)
        effects = [] if dry_run else list(carry_out(chosen, plans))
    said = report(plans, effects, left, dry_run=dry_run)
    if json:
        run.out.json(said)
        return
    run.out.show(clean_page(said))
    if not plans:
        run.out.talk("no feed has a policy; give a limit, or set one: mdtool registry set FEED retain=7d")
