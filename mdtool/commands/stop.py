"""`mdtool stop`: recorders end as they are meant to."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

EXAMPLES = (
    ("mdtool stop", "every recorder of the store, each feed with an END"),
    ("mdtool stop --feed binance/PENGU_USDT", "only this feed; the rest is recorded on"),
)


def stop(
    ctx: typer.Context,
    feed: Annotated[
        list[str] | None,
        typer.Option("--feed", metavar="FEED", help="Only this one: venue/SYMBOL, a glob, or a bare symbol."),
    ] = None,
    json: Json = False,
) -> None:
    """Stop recording: sockets closed, an END in every feed.

    Returns when it is done. Recorders whose mdtool record is gone are reached all the same. A feed that is stopped
    alone leaves the connection it shares: that is replaced by one without it, and of the others nothing is lost.
    """
    from mdtool.commands.tasks import orders
    from mdtool.view.orders import show_told

    run = current(ctx)
    with run.store() as store:
        if feed:
            told = orders.leave(store, run.feeds(store, feed))
        else:
            told = orders.stop(store, run.out.progress)
    run.out.end_progress()
    show_told(run.out, [one.to_json() for one in told], "stopped", as_json=json)
    if any(one.error for one in told):
        raise typer.Exit(2)
