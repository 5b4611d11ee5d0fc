"""What sealing did, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mdtool.units import count, format_size
from mdtool.view.reports import table

WAITS = "for their day to end or their live window to pass"


def seal_page(reports: Sequence[Mapping[str, Any]], *, dry_run: bool) -> RenderableType:
    """One line a part, then what waits and what was set aside."""
    parts = [part for report in reports for part in report["parts"]]
    lines: list[RenderableType] = []
    if parts:
        more = [] if dry_run else [">part", ">bytes", ">of payload"]
        made = table("feed", ">chunks", ">records", ">payload", *more)
        for part in parts:
            cells = [part["feed"], f"{part['chunks']:,}", f"{part['records']:,}", format_size(part["payload_bytes"])]
            if not dry_run:
                share = part["part_bytes"] / part["payload_bytes"] if part["payload_bytes"] else 0.0
                number = f"{part['part']}{' (begun earlier)' if part['adopted'] else ''}"
                cells += [number, format_size(part["part_bytes"]), f"{share:.1%}"]
            made.add_row(*cells)
        lines.append(made)
    else:
        lines.append(Text("nothing to seal"))
    waiting = sum(report["waiting"] for report in reports)
    if waiting:
        lines.append(Text(f"{count(waiting, 'closed chunk waits', 'closed chunks wait')} {WAITS} (--all)"))
    for report in reports:
        lines.extend(Text(f"{report['feed']}: left alone, as it is none of its parts: {path}", style="yellow")
                     for path in report["foreign"])  # fmt: skip
    return Group(*lines)
