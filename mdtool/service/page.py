"""The page a recorder keeps its counters on: one process writes, any may read, nobody waits.

Rule: each number is written whole, by its one writer; two numbers may be of different moments, up to a heartbeat apart.
What is on a page is told of a process that may be gone: who reads it asks the roster whether it lives.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from mdtool.capture.options import BUCKETS, COUNTERS, RecordStatus, counters_of
from mdtool.errors import CorruptStore, StoreError
from mdtool.storage import files
from mdtool.units import count

MAGIC = b"MDTPAGE\n"
VERSION = 2
MOST_FEEDS = 4096  # of one recorder
LONGEST_NAME = 96  # bytes of a feed's name; the store allows 95

TOTALS = tuple(field.name for field in fields(RecordStatus) if field.type in ("int", "bool"))
HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("feeds", "<u4"),  # rows of the table in use
        ("pid", "<i8"),
        ("started_ns", "<i8"),
        ("beat_ns", "<i8"),  # of the last heartbeat
        ("watched_ns", "<i8"),  # when there was a sign of life of what watches, 0: never
        ("totals", "<i8", (len(TOTALS),)),
        ("commit_ns", "<u8", (BUCKETS,)),  # from receiving to the commit, of a sample of the records
    ]
)
ROW = np.dtype(
    [
        ("name", f"S{LONGEST_NAME}"),
        ("counters", "<i8", (len(COUNTERS),)),
        ("delay_ns", "<i8", (BUCKETS,)),  # from the venue's time of an update to its receiving
    ]
)
HEADER_BYTES = 4096
COUNTERS_AT, DELAYS_AT = ((HEADER_BYTES + ROW.fields[name][1]) // 8 for name in ("counters", "delay_ns"))  # type: ignore[index]
ROW_WORDS = ROW.itemsize // 8
SIZE = HEADER_BYTES + MOST_FEEDS * ROW.itemsize  # sparse: rows have storage once there are feeds for them
STEP = 64  # rows that get it at a time


class Page:
    """The page of this process, new. Raises StoreFull, OSError; then there is none."""

    def __init__(self, path: Path, venue: str, pid: int, now_ns: int) -> None:
        self.path = path
        self._venue = venue
        path.unlink(missing_ok=True)  # of one that is gone: this process holds the name
        self._fd = files.create(path, SIZE)
        try:
            # A page that is written to and has no storage would end the process.
            files.reserve(self._fd, 0, HEADER_BYTES, path)
            self._map = files.map_file(self._fd, writable=True)
        except BaseException:
            self.remove()
            raise
        self._room = 0  # rows that have storage
        self._header = np.frombuffer(memoryview(self._map), HEADER, 1)
        self._rows = np.frombuffer(memoryview(self._map), ROW, MOST_FEEDS, HEADER_BYTES)
        header = self._header[0]
        header["version"], header["pid"], header["started_ns"], header["beat_ns"] = VERSION, pid, now_ns, now_ns
        header["magic"] = MAGIC  # last
        # A thousand feeds change within a second, and this is written where messages are received.
        self._words = memoryview(self._map).cast("q")
        self._at: dict[str, int] = {}
        self._signs = 0

    def remove(self) -> None:
        """Nobody is told any more; who reads it sees it as it was."""
        os.close(self._fd)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def commit_ns(self) -> memoryview:
        """The histogram of the time from receiving to the commit, for who fills it: 64 unsigned words."""
        at = int(HEADER.fields["commit_ns"][1])  # type: ignore[index]
        return memoryview(self._map)[at : at + 8 * BUCKETS]

    def beat(self, status: RecordStatus, now_ns: int) -> None:
        """Write down how the run stands. Of feeds only those whose counters have changed."""
        header, words = self._header[0], self._words
        header["totals"] = [int(getattr(status, name)) for name in TOTALS]
        if status.signs != self._signs:
            self._signs, header["watched_ns"] = status.signs, now_ns
        homeless = set()
        for symbol in status.changed:
            at = self._row(f"{self._venue}/{symbol}")
            if at is None:
                homeless.add(symbol)
                continue
            start = COUNTERS_AT + at * ROW_WORDS
            words[start : start + len(COUNTERS)] = array("q", counters_of(status.feeds[symbol]))
            if symbol in status.delays:
                start = DELAYS_AT + at * ROW_WORDS
                words[start : start + BUCKETS] = status.delays[symbol]
        status.changed = homeless
        header["beat_ns"] = now_ns

    def _row(self, name: str) -> int | None:
        """The row of a feed; None where there is no room for one, as yet."""
        at = self._at.get(name)
        if at is None and len(self._at) < MOST_FEEDS and self._has_room(len(self._at)):
            at = self._at[name] = len(self._at)
            self._rows["name"][at] = name.encode()
            self._header[0]["feeds"] = len(self._at)
        return at

    def _has_room(self, at: int) -> bool:
        if at >= self._room:
            start = HEADER_BYTES + self._room * ROW.itemsize
            try:
                files.reserve(self._fd, start, min(start + STEP * ROW.itemsize, SIZE), self.path)
            except StoreError:
                return False
            self._room += STEP
        return True


class PageReader:
    """The page of some process, as it is now. Raises CorruptStore of what is none, OSError of what cannot be opened."""

    def __init__(self, path: Path) -> None:
        fd = files.open_existing(path)
        try:
            if os.fstat(fd).st_size != SIZE:
                raise CorruptStore(
                    f"{path}: {count(os.fstat(fd).st_size, 'byte')}, expected a recorder's page of {SIZE}"
                )
            self._map = files.map_file(fd)
        finally:
            os.close(fd)
        self._header = np.frombuffer(memoryview(self._map), HEADER, 1)
        self._rows = np.frombuffer(memoryview(self._map), ROW, MOST_FEEDS, HEADER_BYTES)
        header = self._header[0]
        if (
            not self._map.is_backed(0, HEADER_BYTES)
            or header["magic"] != MAGIC.rstrip(b"\0")
            or header["version"] != VERSION
        ):
            raise CorruptStore(f"{path}: no recorder's page of version {VERSION}; use the mdtool that records")

    @property
    def pid(self) -> int:
        return int(self._header[0]["pid"])

    @property
    def started_ns(self) -> int:
        return int(self._header[0]["started_ns"])

    @property
    def beat_ns(self) -> int:
        return int(self._header[0]["beat_ns"])

    @property
    def watched_ns(self) -> int | None:
        """When there was a sign of life of what watches the books; None: never."""
        return int(self._header[0]["watched_ns"]) or None

    def totals(self) -> dict[str, int]:
        """The counters of the whole run."""
        return dict(zip(TOTALS, self._header[0]["totals"].tolist(), strict=True))

    def feeds(self) -> dict[str, dict[str, int]]:
        """By the feed's name its counters; a feed of which nothing was ever counted has none."""
        names, used = self._names()
        counters = self._rows["counters"][:used].tolist()
        return {name: dict(zip(COUNTERS, row, strict=True)) for name, row in zip(names, counters, strict=True)}

    def delays_ns(self) -> dict[str, tuple[int, ...]]:
        """By the feed's name, of its updates: how many took 2**n to 2**(n+1) nanoseconds from the venue's time on."""
        names, used = self._names()
        delays = self._rows["delay_ns"][:used].tolist()
        return {name: tuple(row) for name, row in zip(names, delays, strict=True)}

    def commit_ns(self) -> tuple[int, ...]:
        """The same of the time from receiving to the commit, of a sample of all records."""
        return tuple(self._header[0]["commit_ns"].tolist())

    @property
    def _used(self) -> int:
        """Rows; none where their storage is gone."""
        used = min(int(self._header[0]["feeds"]), MOST_FEEDS)
        return used if self._map.is_backed(HEADER_BYTES, HEADER_BYTES + used * ROW.itemsize) else 0

    def _names(self) -> tuple[list[str], int]:
        """Of the rows in use, and how many they are: asked once, as a feed may come at any time."""
        used = self._used
        names: Sequence[bytes] = self._rows["name"][:used].tolist()
        return [name.decode("utf-8", "replace") for name in names], used


def summed(many: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counters of several added up."""
    return {name: sum(one[name] for one in many) for name in TOTALS}
