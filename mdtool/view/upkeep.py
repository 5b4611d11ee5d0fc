"""What verify, repair and a rebuild have to say in the end."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.text import Text

from mdtool.units import count, format_size


def verify_page(checked: Any) -> RenderableType:
    """The last line of `verify`."""
    looked = (
        f"{count(checked.feeds, 'feed')}, {count(checked.chunks, 'chunk')}, {count(checked.parts, 'part')}, "
        f"{count(checked.records, 'record')}, {format_size(checked.payload_bytes)}"
    )
    if checked.findings:
        return Text(f"{looked}: {count(len(checked.findings), 'finding')}", style="bold red")
    return Text(f"{looked}: whole", style="green")


def registries_page(checked: Any) -> RenderableType:
    """The last line of `registry verify`."""
    if checked.findings:
        return Text(f"{count(len(checked.findings), 'finding')}", style="bold red")
    return Text(f"the registries of {count(checked.feeds, 'feed')} are whole", style="green")


def repair_page(report: Any) -> RenderableType:
    """The last line of `repair`."""
    done = [action for action in report.actions if not action.left]
    left = len(report.actions) - len(done)
    if not report.actions:
        return Text(f"{count(report.feeds, 'feed')}: nothing to repair", style="green")
    lost = sum(action.lost or 0 for action in done)
    unknown = any(action.lost is None for action in done)
    words = [f"{count(len(done), 'repair')}{' to do' if report.dry_run else ''}"]
    words.append(f"{'at least ' if unknown else ''}{count(lost, 'record')} lost" if lost or unknown else "nothing lost")
    if left:
        words.append(f"{left:,} left to decide")
    return Text(", ".join(words), style="bold")


def rebuild_page(report: Any) -> RenderableType:
    """The last line of `registry verify --rebuild`."""
    done = len([action for action in report.actions if not action.left])
    if not report.actions:
        return Text("nothing to rebuild", style="green")
    return Text(f"{count(done, 'repair')}{' to do' if report.dry_run else ''}", style="bold")
