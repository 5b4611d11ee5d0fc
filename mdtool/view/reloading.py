"""What a reload has changed, in lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAMED = 8  # of a list
SAID = (
    ("added", "added"),
    ("removed", "removed"),
    ("moved", "moved to another recorder"),
    ("recorders_begun", "recorders begun"),
    ("recorders_ended", "recorders ended"),
)


def followed_lines(done: Mapping[str, Any]) -> Iterator[str]:
    """A line for each kind of change; one where there is none, and the file was not refused."""
    changes = [(words, done[key]) for key, words in SAID if done[key]]
    for words, names in changes:
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        yield f"{words}: {' '.join(names[:NAMED])}{more}"
    if not changes and not done["findings"] and not done["errors"]:
        yield "nothing has changed"
