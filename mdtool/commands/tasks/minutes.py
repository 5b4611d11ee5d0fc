"""What came in the last minute of a recording, in a line: for a log that nobody looks at until something is missing.

Rule: it is told from the counters and from what readers of the store see. Nothing here is called where messages are
received: reading and asking the disk take their time.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from mdtool.capture.options import RecordStatus
from mdtool.clock import MINUTE, SECOND
from mdtool.errors import StoreError
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.units import count, format_duration, format_size

EVERY_NS = MINUTE
NAMED = 5  # silent feeds named in a line


class Minutes:
    """A context. `line` says what came since it was called before, or since `began_ns`."""

    def __init__(self, store: Store, feeds: Sequence[str], began_ns: int) -> None:
        self._store = store
        self._feeds = feeds
        self._since_ns = began_ns
        self._before = (0, 0, 0)
        self._readers: dict[str, Reader] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def line(self, status: RecordStatus, now_ns: int) -> str:
        """Messages, rate, bytes and gaps since last time; feeds that were silent all the while; what the disk has."""
        lasted_ns = max(now_ns - self._since_ns, 1)
        now = status.records, status.payload_bytes, status.gaps
        records, payload_bytes, gaps = (new - old for new, old in zip(now, self._before, strict=True))
        silent = [feed for feed in self._feeds if (self._last_ns(feed) or 0) < self._since_ns]
        self._since_ns, self._before = now_ns, now
        words = [
            f"{format_duration(round(lasted_ns / SECOND) * SECOND)}: {count(records, 'message')}",
            f"{records * SECOND / lasted_ns:,.0f}/s",
            format_size(payload_bytes),
            count(gaps, "gap"),
            self._silent(silent),
            f"{format_size(shutil.disk_usage(self._store.path).free)} free",
        ]
        return ", ".join(words)

    def _silent(self, silent: Sequence[str]) -> str:
        said = f"{len(silent):,} of {count(len(self._feeds), 'feed')} silent"
        more = f" and {len(silent) - NAMED:,} more" if len(silent) > NAMED else ""
        return f"{said}: {' '.join(silent[:NAMED])}{more}" if silent else said

    def _last_ns(self, feed: str) -> int | None:
        """When the feed's last record was received; None where there is none, or none can be read."""
        try:
            if feed not in self._readers:
                self._readers[feed] = self._open.enter_context(self._store.reader(feed, verify=False))
            return self._readers[feed].last_ns
        except StoreError:
            return None
