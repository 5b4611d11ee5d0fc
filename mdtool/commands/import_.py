"""`mdtool import`: other tools' captures into the store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json, Venue

EXAMPLES = (
    ("mdtool import binance-usdm ethusdt_20240808.hb.gz", "frames with receive times, as hftbacktest keeps them"),
    ("mdtool import binance ws.cf.gz http.cf.gz", "websocket and REST of cryptofeed as one history"),
    ("mdtool import binance books.http.cf.gz --symbol BTC_USDT", "where the file does not say which symbol"),
    ("ssh recorder cat day.zst | mdtool import okx -", "from standard input"),
)
FINDINGS = "Lines are damaged, a file is cut short, or most messages were not understood: what came is kept, and named."


class Form(StrEnum):
    """How the lines of a file are written."""

    HB = "hb"
    CF = "cf"
    PAT = "pat"


def import_(
    ctx: typer.Context,
    venue: Venue,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Files of one venue, merged by receive time; gzip, zstd, and - for stdin."),
    ],
    symbol: Annotated[
        str | None, typer.Option("--symbol", metavar="SYMBOL", help="Of REST answers before any frame names one.")
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option("--format", metavar="hb|cf|pat", help="Rather than what the lines look like."),
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Even where the store already holds other records of that time.")
    ] = False,
    json: Json = False,
) -> None:
    """Import captures of other tools, byte for byte.

    Receive times are kept as they are in the file. Formats: hb (receive time in ns, us, ms or s, and the message), cf
    (cryptofeed's, with connects, frames sent and REST answers) and pat (pyalgotrade's); which one a file is of, its
    lines say. Damaged lines are kept as they stand, in the venue's session feed, and the rest comes in.

    What the store holds already is passed over: an import that was interrupted goes on when it is run again, and a file
    that overlaps another adds what is new.
    """
    from mdtool.commands.tasks.stopping import on_stop
    from mdtool.history.lists import venue_in
    from mdtool.interop.importer import Stop, import_files
    from mdtool.storage.store import Store
    from mdtool.venues import catalog
    from mdtool.view.progress import Progress
    from mdtool.view.reports import import_lines, import_table

    run = current(ctx)
    catalog.get(venue)  # raises, before there is a store

    stop = Stop()
    with Store.create(run.config().store) as store, on_stop(stop.ask):
        adapter = venue_in(store, venue)
        report = import_files(
            store,
            adapter,
            files,
            symbol=symbol,
            form=form.value if form is not None else None,
            allow_overlap=allow_overlap,
            progress=Progress(run.out.progress),
            stop=stop,
        )
    run.out.end_progress()
    if json:
        run.out.json(report.to_json())
    else:
        if report.feeds:
            run.out.show(import_table(report.to_json(), run.out.console.width))
        for line in import_lines(report.to_json()):
            run.out.line(line)
    if report.findings:
        raise typer.Exit(1)
