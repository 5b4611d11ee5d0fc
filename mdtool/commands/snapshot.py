"""`mdtool snapshot`: whole books are asked for."""

from __future__ import annotations

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool snapshot", "of every feed that is recorded"),
    ("mdtool snapshot kraken/BTC_EUR", "of one"),
)


def snapshot(ctx: typer.Context, feeds: Feeds = None, json: Json = False) -> None:
    """Have whole books fetched, now.

    What a recorder does by itself when a book is not whole: a REST snapshot where the venue has one, else a new
    subscription or connection. It is put on record like any other.
    """
    from mdtool.commands.tasks import orders
    from mdtool.view.orders import show_told

    run = current(ctx)
    with run.store() as store:
        told = orders.snapshot(store, run.feeds(store, feeds or ()))
    show_told(run.out, [one.to_json() for one in told], "whole book asked for", as_json=json)
    if any(one.error for one in told):
        raise typer.Exit(2)
