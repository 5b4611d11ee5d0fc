"""Named positions in a feed that survive restarts and crashes.

Rule: a commit never overwrites the newest position. Two slots are written in turn, so a write that a crash or a power
loss tears leaves the position before it; a torn slot is told by its CRC.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mdtool.clock import Clock, SystemClock
from mdtool.errors import CorruptStore, StoreError, UsageError
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.reading.reader import Reader

DIRECTORY = "cursors"
SLOT_AT = (0, layout.PAGE)  # a page apart: one torn page is one torn slot
FILE_BYTES = 2 * layout.PAGE


@dataclass(frozen=True, slots=True)
class CursorInfo:
    """What a cursor's file says. `damaged`: neither slot is whole, and the rest is zero."""

    name: str
    position: int
    updated_ns: int
    lease_until_ns: int
    damaged: bool = False

    def leased(self, now_ns: int) -> bool:
        """Whether retention must wait for it. A damaged cursor counts as leased: nobody knows what it needs."""
        return self.damaged or self.lease_until_ns > now_ns


class Cursor:
    """One named position, owned by this process until closed. Open it with `Store.cursor`.

    `position` (chunk id << 32 | row; 0: the first record kept) is that of the next record its owner wants. What is
    committed before a crash of the process is found by the next owner; `durable=True` brings each commit to disk, so
    that a power loss does not take it either. Raises StoreError while another process has the cursor, CorruptStore
    where its file is damaged.

    >>> with store.cursor("sim/ALPHA_USDT", "to-redis") as cursor, store.reader("sim/ALPHA_USDT") as reader:
    ...     cursor.lease(60_000_000_000)  # for a minute retention keeps what has not been sent
    ...     reader.move_to(cursor.position)
    ...     for record in reader.poll(3):
    ...         print(record.payload)
    ...     cursor.commit(reader.position)
    b'{"p":"64.2","q":"1"}'
    b'{"p":"64.3","q":"2"}'
    b'{"note":"half way"}'
    >>> reader = store.reader("sim/ALPHA_USDT")
    >>> with store.cursor("sim/ALPHA_USDT", "to-redis", create=False) as cursor:
    ...     reader.move_to(cursor.position)
    >>> print([record.payload for record in reader.records()])
    [b'{"reason": "done"}']
    """

    def __init__(
        self, feed: FeedInfo, name: str, *, create: bool = True, durable: bool = False, clock: Clock | None = None
    ) -> None:
        self.feed = feed
        self.name = check_name(name)
        self.durable = durable
        self._clock = clock or SystemClock()
        path = self._path = _directory(feed, create=create) / name
        if create:
            _create(path, feed, self._clock.now_ns())
        self._fd = _open(path, writable=True)
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"cursor {name!r} of {feed.name} is in use by another process: stop that, or use another name"
                ) from None
            if os.fstat(self._fd).st_nlink == 0:
                raise StoreError(f"{path}: the cursor was removed just now; open it again")
            self._slot = _read(self._fd, path, feed)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def position(self) -> int:
        """What was committed last: chunk id << 32 | row; 0 at the feed's beginning."""
        return self._slot.position

    @property
    def updated_ns(self) -> int:
        """When it was committed last, ns since the epoch."""
        return self._slot.updated_ns

    @property
    def lease_until_ns(self) -> int:
        """Until when retention keeps what stands from the position on; 0: it does not."""
        return self._slot.lease_until_ns

    def commit(self, position: int) -> None:
        """Keep `position`, as of `Reader.position`. Raises StoreError where it cannot be written, SyncFailed where it
        cannot be brought to disk."""
        self._write(position, self._slot.lease_until_ns)

    def lease(self, ttl_ns: int) -> None:
        """Have retention keep everything from the position on for the next `ttl_ns`; renew it in time. 0 gives it
        up. A lease outlives its process, so that a sink may be restarted without losing what it has not sent."""
        self._write(self.position, self._clock.now_ns() + ttl_ns if ttl_ns > 0 else 0)

    def move_to(self, position: int) -> None:
        """Commit a position that the feed has. Raises CorruptStore where it is not kept any more."""
        with Reader(self.feed, verify=False) as reader:
            reader.move_to(position)
        self.commit(position)

    def to_start(self) -> None:
        """Commit the feed's beginning: the first record that is kept when it is read."""
        self.commit(0)

    def to_end(self) -> None:
        """Commit the position behind the last record as of now."""
        with Reader(self.feed, verify=False) as reader:
            reader.to_end()
            self.commit(reader.position)

    def close(self) -> None:
        """Give it to whoever wants it next. Idempotent; the lease stays as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, position: int, lease_until_ns: int) -> None:
        if self._fd < 0:
            raise StoreError(f"cursor {self.name!r} of {self.feed.name} is closed")
        if not 0 <= position < 1 << 64:
            raise UsageError(f"position {position}: expected what Reader.position gave")
        slot = _Slot(self._slot.generation + 1, position, self._clock.now_ns(), lease_until_ns)
        try:
            os.pwrite(self._fd, slot.sealed(self.feed), SLOT_AT[slot.generation % 2])
        except OSError as error:
            raise StoreError(f"cursor {self.name!r} of {self.feed.name}: {error.strerror}") from None
        if self.durable:
            files.sync(self._fd, self._path)  # where it fails, the next commit writes this slot anew
        self._slot = slot


@dataclass(frozen=True, slots=True)
class _Slot:
    generation: int
    position: int
    updated_ns: int
    lease_until_ns: int

    def sealed(self, feed: FeedInfo) -> bytes:
        return layout.sealed(
            layout.CURSOR_SLOT,
            magic=layout.CURSOR_MAGIC,
            version=layout.VERSION,
            feed_id=feed.feed_id,
            generation=self.generation,
            position=self.position,
            updated_ns=self.updated_ns,
            lease_until_ns=self.lease_until_ns,
        )


def check_name(name: str) -> str:
    """The name, if it can be one. Raises UsageError."""
    if not layout.CURSOR_NAME.fullmatch(name):
        raise UsageError(f"cursor {name!r}: expected letters, digits and _.:+- (at most 63, no dot or dash first)")
    return name


def cursors(feed: FeedInfo) -> list[CursorInfo]:
    """Every cursor of a feed, by name; none is locked or changed."""
    return sorted(_infos(feed), key=lambda info: info.name)


def remove(feed: FeedInfo, name: str) -> None:
    """Forget a cursor, damaged or not. Raises StoreError where there is none or a process has it."""
    path = _directory(feed, create=False) / check_name(name)
    fd = _open(path, writable=True)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        raise StoreError(f"cursor {name!r} of {feed.name} is in use by another process: stop that first") from None
    finally:
        os.close(fd)


def _infos(feed: FeedInfo) -> Iterator[CursorInfo]:
    directory = _directory(feed, create=False)
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if not layout.CURSOR_NAME.fullmatch(path.name):
            continue  # a file being created, or none of ours
        try:
            fd = _open(path, writable=False)
        except StoreError:
            continue  # removed in the meantime, or no file of ours
        try:
            slot = _read(fd, path, feed)
        except CorruptStore:
            yield CursorInfo(path.name, 0, 0, 0, damaged=True)
        else:
            yield CursorInfo(path.name, slot.position, slot.updated_ns, slot.lease_until_ns)
        finally:
            os.close(fd)


def _directory(feed: FeedInfo, *, create: bool) -> Path:
    directory = feed.directory / DIRECTORY
    if create:
        files.make_directory(directory)
    if directory.is_symlink():
        raise StoreError(f"{directory}: a symbolic link, expected the directory of a feed's cursors; move it away")
    return directory


def _create(path: Path, feed: FeedInfo, now_ns: int) -> None:
    head = _Slot(0, 0, now_ns, 0).sealed(feed)
    try:
        files.write_durably(path, [head, bytes(FILE_BYTES - len(head))])
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"{path}: the cursor cannot be made: {error.strerror}") from None


def _open(path: Path, *, writable: bool) -> int:
    try:
        fd = files.open_existing(path, writable=writable)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such cursor; see: mdtool registry show") from None
    except OSError as error:
        raise StoreError(f"{path}: the cursor cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise StoreError(f"{path}: no plain file, expected a cursor; move it away")
    return fd


def _read(fd: int, path: Path, feed: FeedInfo) -> _Slot:
    """The newest whole slot. Raises CorruptStore where neither is, or it is another feed's."""
    newest: _Slot | None = None
    for at in SLOT_AT:
        data = os.pread(fd, layout.CURSOR_SLOT.itemsize, at)
        if len(data) < layout.CURSOR_SLOT.itemsize or data[: len(layout.CURSOR_MAGIC)] != layout.CURSOR_MAGIC:
            continue
        found = layout.unsealed(layout.CURSOR_SLOT, data)
        if found is None or int(found["version"]) != layout.VERSION or int(found["feed_id"]) != feed.feed_id:
            continue
        slot = _Slot(*(int(found[n]) for n in ("generation", "position", "updated_ns", "lease_until_ns")))
        if newest is None or slot.generation > newest.generation:
            newest = slot
    if newest is None:
        raise CorruptStore(
            f"{path}: neither of the cursor's two slots is whole and of {feed.name}; remove the file and start it anew"
        )
    return newest
