"""`mdtool doctor`: whether this machine is fit to record."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json, RestUrl, WebsocketUrl

EXAMPLES = (
    ("mdtool doctor", "this machine and this store; nobody is connected to"),
    ("mdtool doctor binance kraken", "and whether these venues can be reached from here"),
)
FINDINGS = "something that stands in the way of recording unattended"


def doctor(
    ctx: typer.Context,
    venues: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VENUE", show_default=False, help="Venues to try to reach. None: nobody is connected to."
        ),
    ] = None,
    url: WebsocketUrl = None,
    rest: RestUrl = None,
    json: Json = False,
) -> None:
    """Check whether this machine is fit to record.

    Settings, limits on open files, shared memory and whether a container hides it, the clock, the processor's
    governor, permissions, the disk against the present rate, what is wrong with recorders that run. With venues: names
    resolved, certificates verified, both doors tried.
    """
    from mdtool.commands.tasks import checking
    from mdtool.view.checkup import checks_page

    run = current(ctx)
    out = run.out
    checks = [check.to_json() for check in checking.checks(run.config(), venues or (), url, rest, out.progress)]
    out.end_progress()
    if json:
        out.json({"checks": checks})
    else:
        out.show(checks_page(checks))
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)
