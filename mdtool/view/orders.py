"""What recorders were told, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mdtool.view.output import Output

NAMED = 8  # feeds in a line


def show_told(out: Output, told: Sequence[Mapping[str, Any]], done: str, *, as_json: bool) -> None:
    """A line a recorder: what was `done` of which feeds, or why not."""
    if as_json:
        out.json({"recorders": list(told)})
        return
    if not told:
        out.talk("nothing of this is being recorded")
    for one in told:
        feeds = " ".join(one["feeds"][:NAMED])
        more = f" and {len(one['feeds']) - NAMED:,} more" if len(one["feeds"]) > NAMED else ""
        if one["error"]:
            out.error(f"{one['recorder']}: {one['error']}")
        else:
            out.data(f"{one['recorder']}: {done}: {feeds}{more}")
