"""What one feed.bin says, whatever its state: entries, stream names, settings; what is damaged as None."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdtool.storage.doctor.untrusted import Bytes, TableEvidence, head_of, load, read_table, whole_slot
from mdtool.storage.format import layout


@dataclass(slots=True)
class FeedEvidence:
    """What feed.bin says."""

    path: Path
    file: Bytes
    head: np.void | None
    why: str  # there is no head
    chunks: TableEvidence
    streams: list[str | None]  # None: damaged
    streams_count: int
    streams_behind: list[str | None]
    settings: np.void | None  # the copy of the feed's slot in registry.bin


def examine_feed(directory: Path, *, in_use: bool) -> FeedEvidence:
    """feed.bin, whatever its state."""
    path = directory / "feed.bin"
    file = load(path)
    head, why = head_of(file.data, layout.FEED_HEADER, layout.FEED_MAGIC)
    names = read_table(
        path, file.data, layout.STREAM_SLOT, layout.PAGE, layout.STREAMS_AT, in_use=in_use, limit=layout.MAX_STREAMS
    )
    return FeedEvidence(
        path,
        file,
        head,
        file.error or why,
        read_table(path, file.data, layout.CHUNK_SLOT, layout.CHUNKS_AT, layout.COMMITTED_AT, in_use=in_use),
        [_text(slot) for slot in names.slots],
        names.count,
        [_text(slot) for slot in names.behind],
        whole_slot(layout.FEED_SLOT, file.data, layout.SETTINGS_AT),
    )


def _text(slot: np.void | None) -> str | None:
    return None if slot is None else bytes(slot["name"]).decode("utf-8", "replace")
