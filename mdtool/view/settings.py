"""Settings as lines: what each is, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from mdtool.units import format_duration, format_size

NAMED = 8  # words of a list that are shown
NAME_WIDTH = 22
UNSET = "-"


def settings_lines(settings: Mapping[str, Any], width: int) -> Iterator[Text]:
    """Each setting in a line: name, value, source; the recordings below, each with its own."""
    there = "" if settings["exists"] else " (not there)"
    yield Text.assemble(("file ", "dim"), settings["file"] + there)
    yield from _lines(settings["settings"], width)
    for recording in settings["recordings"]:
        yield Text("")
        yield Text.assemble((f"[[recording]] {recording['where']}", "bold"))
        yield from _lines(recording["settings"], width)


def _lines(settings: Sequence[Mapping[str, Any]], width: int) -> Iterator[Text]:
    room = max(20, min(60, width - NAME_WIDTH - 30))
    for setting in settings:
        value = _value(setting["name"], setting["value"])
        padded = value.ljust(room) + ("  " if len(value) > room else "")
        yield Text.assemble((setting["name"].ljust(NAME_WIDTH), "cyan"), padded, " ", (setting["source"], "dim"))


def _value(name: str, value: Any) -> str:
    if value is None:
        return UNSET
    if isinstance(value, list):
        more = f" and {len(value) - NAMED:,} more" if len(value) > NAMED else ""
        return " ".join(map(str, value[:NAMED])) + more
    key = name.rpartition(".")[2]
    if key in ("retain", "live_window"):
        return format_duration(value) if value else "off"
    if key in ("chunk_size", "max_bytes"):
        return format_size(value) if value else "off"
    if key == "archive":
        return value or "off"
    return str(value)
