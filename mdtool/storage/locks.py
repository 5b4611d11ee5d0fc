"""Who may change a feed: its one writer, and beside it one maintainer of what the writer no longer touches.

Both are flocks, so they end with the process that holds them, however it ends, and hold across containers.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdtool.errors import FeedLocked
from mdtool.storage import files
from mdtool.storage.registry import FeedInfo

WRITER_LOCK = "writer.lock"
MAINTENANCE_LOCK = "maintenance.lock"
TRIES = 5  # `is_written` holds the lock for an instant; whoever meets it there tries again
PAUSE = 0.005


def lock_writer(feed: FeedInfo) -> int:
    """The feed's writer lock, as a descriptor to close. Raises FeedLocked naming the process that holds it."""
    path = feed.directory / WRITER_LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    for attempt in range(TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if attempt < TRIES - 1:
                time.sleep(PAUSE)
    else:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise FeedLocked(
            f"{feed.name} is being written by another process (pid {holder}): stop it first, or name other feeds"
        )
    os.pwrite(fd, f"{os.getpid():<12}\n".encode(), 0)
    return fd


def is_written(directory: Path) -> bool:
    """Whether a process holds the writer lock of the feed in `directory`, as of now."""
    try:
        fd = files.open_existing(directory / WRITER_LOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextmanager
def maintaining(feed: FeedInfo, *, wait: bool = True) -> Iterator[None]:
    """Alone among those who change closed chunks and parts of a feed. Raises FeedLocked where it would have to wait and
    should not."""
    path = feed.directory / MAINTENANCE_LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FeedLocked(f"{feed.name} is being sealed, cleaned or repaired by another process") from None
        yield
    finally:
        os.close(fd)
