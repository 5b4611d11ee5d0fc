"""What retention takes and leaves, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mdtool.units import count, format_size
from mdtool.view.moments import stretch
from mdtool.view.reports import table


def clean_page(report: Mapping[str, Any]) -> RenderableType:
    """`clean`, from the report's own JSON: what goes, then what is held and by whom."""
    lines: list[RenderableType] = []
    going = [(feed, one) for feed in report["feeds"] for one in feed["removals"]]
    if going:
        made = table("feed", "goes", ">records", ">bytes", "received (UTC)", "limit")
        for feed, one in going:
            made.add_row(Text(feed["feed"]), *_cells(one), one["why"])
        lines.append(made)
    held = [(feed, one) for feed in report["feeds"] for one in (*feed["held"], *feed["skipped"])]
    if held:
        made = table("feed", "held", ">records", ">bytes", "received (UTC)", "by")
        for feed, one in held:
            made.add_row(Text(feed["feed"]), *_cells(one), Text(one["by"], style="yellow"))
        lines += [*([Text()] if going else []), made]
    lines += [*([Text()] if lines else []), Text(_summary(report))]
    if report["finished"]:
        verb = "would be taken away for good" if report["dry_run"] else "taken away for good"
        lines.append(Text(f"{count(report['finished'], 'chunk')} that an earlier run had begun to remove {verb}"))
    if report["over_bytes"]:
        what = f"the size limit is missed by {format_size(report['over_bytes'])}: what is left may not go"
        lines.append(Text(what, style="yellow"))
    return Group(*lines)


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    size = format_size(one["bytes"])
    return one["unit"], f"{one['records']:,}", size, stretch(one["first_ns"], one["last_ns"])


def _summary(report: Mapping[str, Any]) -> str:
    skipped = {(feed["feed"], one["unit"]) for feed in report["feeds"] for one in feed["skipped"]}
    kinds = Counter(
        one["unit"].partition(" ")[0]
        for feed in report["feeds"]
        for one in feed["removals"]
        if (feed["feed"], one["unit"]) not in skipped
    )
    if not kinds:
        return "nothing to remove"
    verb = "would be removed" if report["dry_run"] else "removed"
    what = " and ".join(count(number, kind) for kind, number in sorted(kinds.items(), reverse=True))
    return f"{what} {verb}: {format_size(report['freed_bytes'])}"
