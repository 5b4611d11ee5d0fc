"""`mdtool import`: other tools' captures into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json, Venue

EXAMPLES = (
    ("mdtool import binance-usdm ethusdt_20240808.hb.gz", "frames with receive times, as hftbacktest keeps them"),
    ("mdtool import binance ws.cf.gz http.cf.gz", "websocket and REST of cryptofeed as one history"),
    ("mdtool import binance books.http.cf.gz --symbol BTC_USDT", "where the file does not say which symbol"),
)


def import_(
    ctx: typer.Context,
    venue: Venue,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Files of one venue, merged by receive time; .gz and .zst too.")
    ],
    symbol: Annotated[
        str | None, typer.Option("--symbol", metavar="SYMBOL", help="Of REST answers before any frame names one.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="hb, cf or pat, where the names do not tell.")
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Even where the store already holds records of that time.")
    ] = False,
    json: Json = False,
) -> None:
    """Import captures of other tools, byte for byte.

    Receive times are kept as they are in the file. Formats: .hb (receive time in ns and the message), .cf
    (cryptofeed's, with connects, frames sent and REST answers) and .pat (pyalgotrade's). A damaged or cut file keeps
    what came before.
    """
    from mdtool.interop.importer import import_files
    from mdtool.storage.store import Store
    from mdtool.units import format_size
    from mdtool.venues import catalog
    from mdtool.view.reports import import_table

    run = current(ctx)
    adapter = catalog.get(venue)

    def progress(done: int, total: int) -> None:
        run.out.progress(f"{format_size(done)} of {format_size(total)}")

    with Store.create(run.config().store) as store:
        report = import_files(
            store,
            adapter,
            files,
            symbol=symbol,
            form=form,
            allow_overlap=allow_overlap,
            progress=progress,
        )
    run.out.end_progress()
    if json:
        run.out.json(report.to_json())
    else:
        run.out.show(import_table(report.to_json(), run.out.console.width))
