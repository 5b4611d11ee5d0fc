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
    ("mdtool registry set ETH_USDT live=shm retain=30d max-bytes=100GiB", "change how a feed is kept"),
    ("mdtool registry remove ETH_USDT", "take a feed out of the store; its files go to the store's trash/"),
    ("mdtool registry verify --rebuild", "make lost or damaged registries anew from the chunks and parts"),
)
FINDINGS = "verify: something is not as it should be"

registry = typer.Typer(help="List the feeds of the store, show, set or remove one, or verify.", rich_markup_mode=None)
Feed = Annotated[str, typer.Argument(metavar="FEED", help="venue/SYMBOL, or a bare symbol recorded once.")]


@registry.command("list")
def list_(ctx: typer.Context, feeds: Feeds = None, json: Json = False) -> None:
    """List feeds: records, bytes, times, and writers at work."""
    from mdtool.commands.tasks.survey import feed_rows
    from mdtool.view.reports import feed_table

    run = current(ctx)
    with run.store() as store:
        rows = feed_rows(store, run.feeds(store, feeds or ()))
    if json:
        run.out.json({"feeds": rows})
    else:
        run.out.show(feed_table(rows))


@registry.command("show")
def show(
    ctx: typer.Context,
    feed: Feed,
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


@registry.command("set")
def set_(
    ctx: typer.Context,
    feed: Feed,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE ...",
            help="live=disk|shm, chunk=SIZE, live-window=DURATION, retain=DURATION, max-bytes=SIZE, keep-last=N, "
            "archive=URI; off for no limit.",
        ),
    ],
    json: Json = False,
) -> None:
    """Change how a feed is kept.

    live and chunk hold from the next start of its recorder on. retain, max-bytes and keep-last are what clean goes by.
    """
    from mdtool.commands.tasks.survey import feed_details
    from mdtool.commands.tasks.upkeep import parse_settings, set_feed
    from mdtool.view.reports import feed_page

    run = current(ctx)
    given = parse_settings(settings)
    with run.store() as store:
        name = run.one_feed(store, feed).name
    set_feed(run.config().store, name, given)
    with run.store() as store:
        details = feed_details(store, store.feed(name))
    if json:
        run.out.json(details)
    else:
        run.out.show(feed_page(details))


@registry.command("remove")
def remove(
    ctx: typer.Context,
    feed: Feed,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a feed out of the store. Its files are moved to the store's trash/, and not deleted."""
    import sys

    from mdtool.commands.tasks.upkeep import remove_feed
    from mdtool.errors import UsageError

    run = current(ctx)
    with run.store() as store:
        found = run.one_feed(store, feed)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{found.name} would be taken out of the store; say --yes")
        typer.confirm(f"Take {found.name} out of the store?", abort=True, err=True)
    trashed = remove_feed(run.config().store, found.name)
    run.out.talk(f"{found.name} is removed{f'; its files are in {trashed}' if trashed else ''}")


@registry.command("verify")
def verify(
    ctx: typer.Context,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make what is lost or damaged anew from the feeds' chunks and parts.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --rebuild: only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Check the registries, or rebuild them.

    A rebuild deletes nothing: a registry that is replaced is kept in a repaired/ folder.
    """
    from mdtool.commands.tasks.upkeep import counter, rebuild_registries, selected, verify_store
    from mdtool.view.progress import Progress
    from mdtool.view.upkeep import rebuild_page, registries_page

    run = current(ctx)
    out = run.out
    path = run.config().store
    left = False
    if rebuild:
        report = rebuild_registries(path, counter(Progress(out.progress, what="checked")), dry_run=dry_run)
        out.end_progress()
        checked, left = report.findings, any(action.left for action in report.actions)
        if json:
            out.json(report)
        else:
            for action in report.actions:
                out.data(str(action))
            out.show(rebuild_page(report))
    else:
        selected(path, ())
        checked = verify_store(path, None, counter(Progress(out.progress, what="checked")), registries_only=True)
        if json:
            out.json(checked)
    if checked is not None and not json:
        for finding in checked.findings:
            out.data(str(finding))
        out.show(registries_page(checked))
    if left or (checked is not None and checked.findings):
        raise typer.Exit(1)
