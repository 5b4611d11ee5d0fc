"""Who may change a feed: its one writer, and beside it one maintainer of what the writer no longer touches.

Both are flocks, so they end with the process that holds them, however it ends, and hold across containers. Whoever
only wants to know about the writer's never takes it, not for an instant: the writer holds a second, byte-range lock on
the same file, which the kernel tells about when asked.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mdtool.errors import FeedLocked
from mdtool.storage import files
from mdtool.storage.journal.registry import FeedInfo

WRITER_LOCK = "writer.lock"
MAINTENANCE_LOCK = "maintenance.lock"
RANGE_LOCK = struct.Struct("@hhqqi4x")  # struct flock: type, whence, start, length (0: to the end), pid
PID_BYTES = 13


@dataclass(frozen=True, slots=True)
class Holder:
    """What a feed's writer lock tells. `held`: a process has it now. `left`: the pid of one that had it and died
    without giving it back; 0 where the last one gave it back, or there was none."""

    held: bool
    left: int


class WriterLock:
    """A feed's writer lock, held until it is released."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """As `unlock`. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            unlock(fd)

    def drop(self) -> None:
        """Let the lock go as a holder that dies does."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def lock_writer(feed: FeedInfo) -> WriterLock:
    """Take the feed's writer lock. Raises FeedLocked naming the process that holds it."""
    try:
        return WriterLock(lock(feed.directory / WRITER_LOCK))
    except LockHeld as held:
        raise FeedLocked(
            f"{feed.name} is being written by another process (pid {held.pid}): stop it first, or name other feeds"
        ) from None


class LockHeld(Exception):
    """Another process has the lock."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"held by pid {pid}")
        self.pid = pid


def lock(path: Path) -> int:
    """The lock in this file, made where it is not there, as a descriptor for `unlock`. Raises LockHeld."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.FILE_MODE)
    except OSError as error:
        raise files.refusal(path, error, "the lock cannot be opened") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise LockHeld(pid) from None
    try:
        # Never contended: it is only ever set under the flock. Bound to this open file, as that is.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, RANGE_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        os.pwrite(fd, f"{os.getpid():<{PID_BYTES - 1}}\n".encode(), 0)
    except OSError as error:
        os.close(fd)
        raise files.refusal(path, error, "the lock cannot be taken") from None
    return fd


def unlock(fd: int) -> None:
    """Give the lock back: who looks afterwards sees that its holder did not die."""
    try:
        os.pwrite(fd, b" " * (PID_BYTES - 1) + b"\n", 0)
    finally:
        os.close(fd)


def holder(directory: Path) -> Holder:
    """Who has the writer lock of the feed in `directory`, as of now. Disturbs nobody."""
    held, pid = _look(directory / WRITER_LOCK)
    return Holder(held, 0 if held else pid)


def held_by(path: Path) -> int | None:
    """The pid of the process that has the lock in this file, as it calls itself; None where nobody has. Disturbs
    nobody."""
    held, pid = _look(path)
    return pid if held else None


def _look(path: Path) -> tuple[bool, int]:
    """Whether the lock is held, and the pid that stands in the file; 0: none."""
    try:
        fd = files.open_existing(path)
    except OSError:
        return False, 0
    try:
        asked = RANGE_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = RANGE_LOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
        pid = os.pread(fd, PID_BYTES, 0).decode("ascii", "replace").strip()
    finally:
        os.close(fd)
    return found != fcntl.F_UNLCK, int(pid) if pid.isdecimal() else 0


def is_written(directory: Path) -> bool:
    """Whether a process holds the writer lock of the feed in `directory`, as of now."""
    return holder(directory).held


def offer(directory: Path) -> None:
    """Have the lock file of maintenance there from the feed's beginning: what has no lock file, nobody can wait for."""
    os.close(_maintenance(directory))


def _maintenance(directory: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(directory / MAINTENANCE_LOCK, flags, files.FILE_MODE)


@contextmanager
def maintaining(feed: FeedInfo, *, wait: bool = True) -> Iterator[None]:
    """Alone among those who change closed chunks and parts of a feed. Raises FeedLocked where it would have to wait and
    should not."""
    fd = _maintenance(feed.directory)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FeedLocked(f"{feed.name} is being sealed, cleaned or repaired by another process") from None
        yield
    finally:
        os.close(fd)


@contextmanager
def undisturbed(directory: Path) -> Iterator[bool]:
    """While nobody changes closed chunks and parts of the feed in `directory`; several may look so at once. Waits for a
    process that does. Gives False where there is no lock to hold: nobody has changed any yet, and somebody may now."""
    try:
        fd = files.open_existing(directory / MAINTENANCE_LOCK)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield True
    finally:
        os.close(fd)


def can_be_undisturbed(directory: Path) -> bool:
    """Whether the feed in `directory` has the lock file that `undisturbed` holds."""
    return (directory / MAINTENANCE_LOCK).exists()


def wait_for_changes(registry: Path) -> None:
    """Until whoever is changing this registry.bin just now is done: a feed that is made known has its own registry by
    then."""
    try:
        fd = files.open_existing(registry)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)
