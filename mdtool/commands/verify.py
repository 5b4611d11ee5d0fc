"""`mdtool verify`: every byte that can prove itself is asked to."""

from __future__ import annotations

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool verify", "the whole store: every checksum, every entry of every registry"),
    ("mdtool verify 'binance*/BTC_*'", "some of its feeds"),
    ("mdtool verify --json", "the findings for a program"),
)
FINDINGS = "something is not as it should be"


def verify(ctx: typer.Context, feeds: Feeds = None, json: Json = False) -> None:
    """Check every checksum and every registry of the store.

    Each record and payload of every chunk, each part, each header, and what the registries say against what the files
    say; files that nothing names are findings too. Nothing is changed. A feed may be recorded meanwhile.
    """
    from mdtool.commands.tasks.upkeep import counter, payload_bytes, selected, verify_store
    from mdtool.view.progress import Progress
    from mdtool.view.upkeep import verify_page

    run = current(ctx)
    out = run.out
    path = run.config().store
    progress = counter(Progress(out.progress, what="checked"), payload_bytes(path, feeds or ()))
    checked = verify_store(path, selected(path, feeds or ()), progress)
    out.end_progress()
    if json:
        out.json(checked)
    else:
        for finding in checked.findings:
            out.data(str(finding))
        out.show(verify_page(checked))
    if checked.findings:
        raise typer.Exit(1)
