"""The NOTE that stands where records were lost: what it says, and how it becomes a row."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mdtool.kernel.journal import crc32c
from mdtool.model import Kind
from mdtool.storage.format import layout

PREFIX = b'{"note": "lost"'  # what the payload of each begins with


def loss(chunk_id: int, row: int, lost: int | None, why: str) -> dict[str, object]:
    """What is said of `lost` records (None: nobody knows how many) from a row of a chunk on."""
    return {"note": "lost", "rows": lost, "why": why, "chunk": chunk_id, "row": row}


def put(
    rows: npt.NDArray[np.void], row: int, note: Mapping[str, object], recv_ns: int, stream: int, offset: int
) -> bytes:
    """Make `rows[row]` a NOTE; returns its payload, which belongs at `offset` of the heap."""
    payload = json.dumps(note).encode()
    made = np.zeros((), layout.ROW)
    made["recv_ns"], made["offset"], made["length"] = recv_ns, offset, len(payload)
    made["stream"], made["kind"] = stream, Kind.NOTE
    made["crc32c"] = crc32c(payload, crc32c(made.tobytes()))
    rows[row] = made
    return payload
