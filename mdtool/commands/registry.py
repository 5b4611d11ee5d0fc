"""`mdtool registry`: which feeds the store has, and what a feed is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

EXAMPLES = (
    ("mdtool registry list", "every feed with its records, size and times"),
    ("mdtool registry list 'binance*/BTC_*'", "some of them"),
    ("mdtool registry show ETH_USDT", "streams and chunks of a feed"),
)

registry = typer.Typer(help="List the feeds of the store, or show what one is made of.", rich_markup_mode=None)


@registry.command("list")
def list_(ctx: typer.Context, feeds: Feeds = None, json: Json = False) -> None:
    """List feeds: records, bytes, times, and writers at work."""
    from mdtool.commands.tasks.survey import feed_rows
    from mdtool.view.reports import feed_table

    run = current(ctx)
    with run.store() as store:
        rows = feed_rows(store, run.feeds(store, feeds or ()))
    if json:
        run.out.json(rows)
    else:
        run.out.show(feed_table(rows))


@registry.command("show")
def show(
    ctx: typer.Context,
    feed: Annotated[str, typer.Argument(metavar="FEED", help="venue/SYMBOL, or a bare symbol recorded once.")],
    json: Json = False,
) -> None:
    """Show a feed's settings, streams and chunks."""
    from mdtool.commands.tasks.survey import feed_details
    from mdtool.view.reports import feed_page

    run = current(ctx)
    with run.store() as store:
        details = feed_details(store, run.one_feed(store, feed))
    if json:
        run.out.json(details)
    else:
        run.out.show(feed_page(details))
