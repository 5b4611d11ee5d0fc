"""A benchmark's figures beside their budgets, drawn from the report's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Report = Mapping[str, Any]


WIDE = 110  # columns from which a figure's note and the name of what it is held against have room


def bench_page(report: Report, width: int) -> RenderableType:
    """Groups in order, a line a figure; what is over its budget stands out."""
    machine = report["machine"]
    head = Text(f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}", style="dim")
    head.append(f", load {machine['load']}")
    if report["quick"]:
        head.append("\nquick: shows that it runs; not to be quoted", style="yellow")
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("what", overflow="fold")
    made.add_column("figure", justify="right", no_wrap=True)
    made.add_column("budget", justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    made.add_column("against" if width >= WIDE else "plain", overflow="fold")
    group = None
    for figure in report["figures"]:
        if figure["group"] != group:
            group = figure["group"]
            made.add_row(Text(group, style="bold cyan"))
        made.add_row(*_row(figure, wide=width >= WIDE))
    return Group(head, "", made)


def _row(figure: Report, *, wide: bool) -> tuple[RenderableType, ...]:
    what = Text(figure["title"])
    if figure["note"] and wide:
        what.append(f" ({figure['note']})", style="dim")
    over = figure["verdict"] == "over"
    value = Text(f"{number(figure['value'])} {figure['unit']}", style="bold red" if over else "bold")
    budget = figure["budget"]
    sign = "<=" if figure["better"] == "lower" else ">="
    bound = Text(f"{sign} {number(budget)}" if budget is not None else "", style="dim")
    verdict = Text(figure["verdict"] or "", style="bold red" if over else "green")
    baseline = figure["baseline"]
    against = Text(f"{baseline['ratio']:.1f}x" if baseline else "", style="dim")
    if baseline and wide:
        against.append(f" {baseline['name']}")
    return Padding(what, (0, 0, 0, 2)), value, bound, verdict, against


def number(value: float) -> str:
    """Three digits that count: 12,345  192  40.1  2.77."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
