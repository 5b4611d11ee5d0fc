"""What a checkup found, a line each, and what to do about it below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mdtool.units import count

Check = Mapping[str, Any]  # as `doctor --json` prints it


def checks_page(checks: Sequence[Check]) -> RenderableType:
    """The table and, under it, what it comes to."""
    return Group(*_page(checks))


def _page(checks: Sequence[Check]) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        mark = ("-", "dim") if not check["seen"] else ("ok", "green") if check["ok"] else ("see to it", "bold red")
        found = Text(check["found"])
        if check["todo"]:
            found.append("\n" + check["todo"], style="yellow")
        grid.add_row(Text(*mark), Text(check["what"], style="bold"), found)
    yield grid
    wrong = sum(not check["ok"] for check in checks)
    yield Text(
        count(wrong, "finding") if wrong else "nothing stands in the way", style="bold red" if wrong else "green"
    )
