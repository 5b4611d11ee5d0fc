"""`mdtool audit`: what the venue's own numbers prove of a recording."""

from __future__ import annotations

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, From, Json, To

EXAMPLES = (
    ("mdtool audit", "every feed of the store"),
    ("mdtool audit binance-usdm/ETH_USDT --json", "one, with all it found, for a program"),
    ("mdtool audit 'binance*/*' --from -1d", "the last day"),
)
PAGES = 4  # feeds up to which each gets a page of its own; of more, only those with findings do, unless -v
FINDINGS = "Something was found: a gap, a duplicate, a damaged record."


def audit(ctx: typer.Context, feeds: Feeds = None, from_: From = None, to: To = None, json: Json = False) -> None:
    """Prove what is and what is not in a recording.

    Each stream is judged by its venue's sequence rule: which stretches are proven whole, where messages are missing,
    and what the venue gives no numbers for.
    """
    from contextlib import ExitStack

    from mdtool.audit.feed import audit_store
    from mdtool.commands.tasks.amounts import Sum, bytes_between
    from mdtool.venues import catalog
    from mdtool.view.audit import audit_line, audit_page, audit_summary
    from mdtool.view.progress import Progress

    run = current(ctx)
    out = run.out
    with run.store() as store:
        names = [feed.name for feed in run.feeds(store, feeds or ())]
        with ExitStack() as stack:
            readers = [stack.enter_context(store.reader(name)) for name in names]
            span = run.span(readers, from_, to)
            total = bytes_between(readers, span.from_ns, span.to_ns)
        progress = Sum(Progress(out.progress, what="audited"), total)
        width = max(map(len, names))
        reports = []
        for report in audit_store(store, catalog.get, names, from_ns=span.from_ns, to_ns=span.to_ns, progress=progress):
            out.end_progress()
            reports.append(report.to_json())
            if not json:
                short = report.clean and len(names) > PAGES and not out.verbose
                out.show(audit_line(reports[-1], width) if short else audit_page(reports[-1]))
                if not short and len(names) > 1:
                    out.data("")
    out.end_progress()
    if json:
        out.json({"clean": all(report["clean"] for report in reports), "feeds": reports})
    elif len(reports) > 1:
        out.show(audit_summary(reports))
    if any(report["finding_counts"] for report in reports):
        raise typer.Exit(1)
    if any(report["error"] for report in reports):
        raise typer.Exit(2)
