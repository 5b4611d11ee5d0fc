"""`mdtool demo`: record, audit, replay and show, from a synthetic exchange over a real socket."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Seed

if TYPE_CHECKING:
    from mdtool.commands.tasks.demo import DemoSession
    from mdtool.storage.store import Store
    from mdtool.view.output import Output

EXAMPLES = (
    ("mdtool demo", "five seconds, then everything is removed"),
    ("mdtool demo --for 30s --keep /tmp/demo", "and the store stays, to look at"),
)
WRONG = "The recording is not whole, or its book is not the exchange's."
SYMBOL = "ALPHA_USDT"
DEPTH = 5
LINES = 3  # of the replay that are shown


def demo(
    ctx: typer.Context,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to record.")] = "5s",
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Make the store here, and leave it.")
    ] = None,
    seed: Seed = 1,
) -> None:
    """Try it all: record a synthetic exchange, audit, replay, show.

    Starts the synthetic exchange, records it over a real socket, audits the recording, replays its last second, and
    holds the rebuilt book against the exchange's true one.
    """
    from mdtool.clock import SECOND
    from mdtool.commands.tasks import demo as task
    from mdtool.storage.store import Store
    from mdtool.units import parse_duration

    out = current(ctx).out
    seconds = parse_duration(duration) / SECOND
    with ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mdtool-demo-")))
        store = stack.enter_context(Store.create(directory))

        def started(url: str) -> None:
            out.command("mdtool sim --port 0 &")
            out.data(f"a synthetic exchange of seed {seed} at {url}\n")
            out.command(f"mdtool record sim --url {url} --for {duration}")
            out.flush()

        session = task.record(store, seconds, seed, started, lambda event, text: out.data(text))
        _show(out, store, session)
        if keep is not None:
            out.talk(f"the store is kept: mdtool --store {keep} registry list")


def _show(out: Output, store: Store, session: DemoSession) -> None:
    """What was recorded, step by step. Exits with 1 where it is not what it should be."""
    from mdtool.audit.feed import audit_store
    from mdtool.commands.tasks import demo as task
    from mdtool.commands.tasks.survey import feed_rows
    from mdtool.units import count, format_size
    from mdtool.venues import catalog
    from mdtool.view.audit import audit_line, audit_page, audit_summary
    from mdtool.view.reports import feed_table
    from mdtool.view.screen import BookScreen

    status = session.status
    out.data(f"recorded {count(status.records, 'message')}, {format_size(status.payload_bytes)}\n")
    out.command("mdtool registry list")
    feeds = store.feeds()
    out.show(feed_table(feed_rows(store, feeds)))

    out.command("mdtool audit", space=True)
    names = [feed.name for feed in feeds]
    reports = [report.to_json() for report in audit_store(store, catalog.get, names)]
    for report in reports:
        out.show(audit_line(report, max(map(len, names))) if report["clean"] else audit_page(report))
    out.show(audit_summary(reports))

    out.command("mdtool replay --from last-1s --speed 10", space=True)
    played, lines = task.replay_the_end(store, names)
    width = out.console.width
    for line in lines[:LINES]:
        out.data(line if len(line) <= width else line[: width - 3] + "...")
    more = f"{len(lines) - LINES:,} more; " if len(lines) > LINES else ""
    out.data(f"{more}{count(played.records, 'record')} of a second in a tenth of it")

    out.command(f"mdtool book {SYMBOL} --once --depth {DEPTH}", space=True)
    truth = task.compare_book(store, session.exchange, SYMBOL, DEPTH)
    out.show(BookScreen(truth.picture))
    verdict = "is" if truth.agrees else "is NOT"
    levels = count(truth.levels, "level")
    out.data(f"\nAt id {truth.picture.last_seq} this {verdict} the exchange's own book, on all {levels}.")
    if not truth.agrees or not all(report["clean"] for report in reports):
        raise typer.Exit(1)
