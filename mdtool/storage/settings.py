"""What a feed may be set to, and how it leaves the store."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from mdtool.errors import StoreError, UsageError
from mdtool.storage import files
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.chunk import chunk_directory, leave_shm
from mdtool.storage.journal.live import discard_next
from mdtool.storage.journal.locks import lock_writer, maintaining
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.archive import own_place
from mdtool.units import format_time

Live = Literal["disk", "shm"]
LOCATIONS: dict[Live, Location] = {"disk": Location.DISK, "shm": Location.SHM}
SMALLEST_CHUNK = 4096
LARGEST_CHUNK = 1 << 40
ARCHIVES = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")  # what pyarrow.fs has file systems for
LONGEST_ARCHIVE = 160
TRASH = "trash"


def check_chunk_bytes(chunk_bytes: int | None) -> None:
    if chunk_bytes is not None and not SMALLEST_CHUNK <= chunk_bytes <= LARGEST_CHUNK:
        raise StoreError(f"chunk size {chunk_bytes}: expected {SMALLEST_CHUNK} bytes to 1 TiB")


def fields(
    live: Live | None,
    chunk_bytes: int | None,
    live_window_ns: int | None,
    retain_ns: int | None,
    max_bytes: int | None,
    keep_last: int | None,
    archive: str | None,
) -> dict[str, object]:
    """The fields of a feed slot that change. Raises UsageError."""
    check_chunk_bytes(chunk_bytes)
    if live is not None and live not in LOCATIONS:
        raise UsageError(f"live {live!r}: expected disk or shm")
    for name, value, top in (
        ("live_window", live_window_ns, 1 << 63),
        ("retain", retain_ns, 1 << 63),
        ("max_bytes", max_bytes, 1 << 63),
        ("keep_last", keep_last, 1 << 32),
    ):
        if value is not None and not 0 <= value < top:
            raise UsageError(f"{name} {value}: expected 0 to {top - 1}")
    scheme, several, _ = (archive or "").partition("://")
    if several and scheme not in ARCHIVES:
        raise UsageError(f"archive {archive!r}: expected a directory, or a URI of one of {', '.join(ARCHIVES)}")
    if archive and not several:
        archive = os.path.abspath(os.path.expanduser(archive))  # noqa: PTH100, PTH111 - ~nobody is no error here
    if archive is not None and (len(archive.encode()) > LONGEST_ARCHIVE or "\0" in archive):
        raise UsageError(f"archive {archive!r}: expected a URI of at most {LONGEST_ARCHIVE} bytes")
    given = {
        "live": LOCATIONS[live] if live else None,
        "chunk_bytes": chunk_bytes,
        "live_window_ns": live_window_ns,
        "retain_ns": retain_ns,
        "retain_bytes": max_bytes,
        "keep_last": keep_last,
        "archive": archive.encode() if archive is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def to_trash(feed: FeedInfo, store: Path, now_ns: int) -> Path | None:
    """Move a feed's directory to the store's trash, its parts in it; None where it has none."""
    if not feed.directory.is_dir():
        return None
    with ExitStack() as held:
        held.callback(lock_writer(feed).release)
        held.enter_context(maintaining(feed, wait=False))
        discard_next(feed, Location.SHM)
        shm = chunk_directory(feed, Location.SHM)
        if shm.is_dir() and any(path.suffix in (".idx", ".dat") for path in shm.iterdir()):
            raise StoreError(
                f"{feed.name} has records in {shm} that are not on disk yet; run: mdtool repair {feed.name}"
            )
        own_place(feed).gather()
        trash = store / TRASH
        files.make_directory(trash)
        stamp = format_time(now_ns).replace(":", "").replace("-", "")
        target = trash / f"{feed.venue}-{feed.directory.name}-{stamp}"
        if os.path.lexists(target):
            raise StoreError(f"{target} is there already; try again")
        feed.directory.rename(target)
        files.sync_directory(trash)
        files.sync_directory(feed.directory.parent)
        leave_shm(feed)
    return target
