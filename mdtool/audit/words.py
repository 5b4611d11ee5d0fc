"""What records say that are no messages: the recorder's and the importer's own words, and a connection's end."""

from __future__ import annotations

import json
from typing import Any

from mdtool.audit.connection import missing
from mdtool.books.engine import MISSED


def loss(payload: bytes) -> str:
    """Why a NOTE makes a book be no book any more."""
    note = words(payload)
    if note.get("note") == MISSED:
        return missing(note.get("after"), note.get("next"))
    return "records were lost here"


def close_reason(payload: bytes) -> str:
    """What a CLOSE record says, in a few words."""
    said = words(payload)
    return " ".join(str(said[key]) for key in ("code", "reason") if said.get(key))


def words(payload: bytes) -> dict[str, Any]:
    """A record's JSON object; an empty one where it is none."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
