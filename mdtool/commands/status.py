"""`mdtool status`: how the recorders of a store are doing."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

EXAMPLES = (
    ("mdtool status", "recorders and feeds, the most troubled first"),
    ("mdtool status --watch", "the same, drawn anew each second"),
    ("mdtool status --json | jq '.feeds[] | select(.state != \"live\")'", "what is not as it should be"),
)
TROUBLE = "a recorder that has died or hangs, or a feed that is refused, offline, silent or broken"


def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it anew each second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show how recorders are doing.

    Read from what they have recorded and from the counters they keep in shared memory: nobody is asked, and a recorder
    that hangs is seen to. Rates and growth are of as much of the last minute as it was looked at; without --watch that
    is a second.
    """
    from mdtool.commands.tasks import standing
    from mdtool.view.status import status_lines

    run = current(ctx)
    out = run.out
    with run.store() as store:
        if watch and out.is_terminal and not json:
            with out.painter() as painter:
                for reading in standing.readings(store):
                    size = painter.size
                    painter.paint(status_lines(reading.to_json(), *size), size)
            return
        for reading in standing.readings(store, once=not watch):
            if json:
                out.json(reading.to_json())
            elif not reading.recorders:
                out.talk(f"nothing has been recorded into {store.path} yet; begin with: mdtool record VENUE")
            else:
                for line in status_lines(reading.to_json(), out.console.width):
                    out.line(line.text())
            out.flush()
    if reading.trouble:
        raise typer.Exit(1)
