"""`mdtool reconnect`: connections are replaced."""

from __future__ import annotations

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool reconnect", "every connection of the store"),
    ("mdtool reconnect PENGU_USDT", "those that carry this symbol"),
)


def reconnect(ctx: typer.Context, feeds: Feeds = None, json: Json = False) -> None:
    """Replace connections: the new one streams before the old one is closed.

    All of a recorder, or those that carry the feeds that are named. Nothing is lost by it; what both bring is kept
    twice, as it was received.
    """
    from mdtool.commands.tasks import orders
    from mdtool.view.orders import show_told

    run = current(ctx)
    with run.store() as store:
        told = orders.reconnect(store, run.feeds(store, feeds or ()))
    show_told(run.out, [one.to_json() for one in told], "new connection asked for", as_json=json)
    if any(one.error for one in told):
        raise typer.Exit(2)
