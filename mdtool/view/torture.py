"""What torture came to, drawn from the report's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Report = Mapping[str, Any]
COLUMNS = ("rounds", "faults", "records", "lost", "silent")


def torture_page(report: Report) -> RenderableType:
    """A line a scenario, the sum, and every round in which something went wrong silently."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("scenario", no_wrap=True)
    for column in COLUMNS:
        made.add_column({"lost": "lost, named", "silent": "silently wrong"}.get(column, column), justify="right")
    for name, tally in report["scenarios"].items():
        made.add_row(name, *_numbers(tally))
    made.add_row(Text("all", style="bold"), *_numbers(report["total"]))
    lines: list[RenderableType] = [made, Text(f"seed {report['seed']}, {report['seconds']:.0f} s", style="dim")]
    if skipped := report["total"]["skipped"]:
        lines.append(Text(f"{skipped} rounds skipped: filling up a small file system needs root", style="yellow"))
    for failed in report["failed"]:
        lines.append(
            Text(f"round {failed['number']}, {failed['scenario']}, kept in {failed['kept']}", style="bold red")
        )
        lines += [Text(f"  fault   {fault}") for fault in failed["faults"]]
        lines += [Text(f"  silent  {text}", style="red") for text in failed["silent"]]
    return Group(*lines)


def _numbers(tally: Report) -> list[Text]:
    return [
        Text(f"{tally[column]:,}", style="bold red" if column == "silent" and tally[column] else "")
        for column in COLUMNS
    ]
