"""What a venue's REST may be asked, over all recorders of a store together: when the next request may go, and until
when the venue wants none.

    <store>/run/VENUE.HOST.rest    magic, boot, next request (ns), none before (ns)

Rule: nobody waits for anybody. A moment is taken under a lock that is held for microseconds; whoever has it and is
stopped is passed by, a file that cannot be had leaves each recorder with what it knows itself, and a time beyond the
longest ban is nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mdtool.capture.failures import LONGEST_RETRY_AFTER
from mdtool.clock import SECOND
from mdtool.errors import StoreError
from mdtool.storage import files

LAYOUT = struct.Struct("<8s36sqq")
MAGIC = b"mdtREST1"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # times are of this machine since it was started
LONGEST_NS = int(2 * LONGEST_RETRY_AFTER * SECOND)
PRIVATE = 0o700  # as every recorder's folder is
LOCK_TRIES = 20
LOCK_PAUSE = 0.01  # seconds between two tries
FILE_TIMEOUT = 2.0  # seconds for a file that hangs, with all tries in them


class _Times(NamedTuple):
    """Nanoseconds of the monotonic clock."""

    next: int = 0  # when another request may go
    quiet: int = 0  # the venue wants none before


class Budget:
    """Of one venue's REST host. `directory`: where the recorders that share it meet."""

    def __init__(
        self, directory: Path, venue: str, rest_url: str, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        host = re.sub(r"[^a-z0-9.]+", "-", urlsplit(rest_url).netloc.rpartition("@")[2].lower())
        self.path = directory / f"{venue}.{host}.rest"
        self._clock = clock
        self._own = _Times()  # what this recorder knows by itself
        self._boot = _boot()
        self._hanging: threading.Thread | None = None  # the one that was not waited for any longer

    async def take(self, seconds: float) -> float:
        """Have a request go now, which the venue wants to be followed by none for these seconds: 0. Else nothing is
        taken, and it is in how many seconds to try again."""
        return await self._change(lambda now, times: _taken(now, times, int(seconds * SECOND)))

    async def rest(self, seconds: float) -> None:
        """Have no recorder ask anything for these seconds."""
        await self._change(lambda now, times: _rested(now, times, int(seconds * SECOND)))

    async def _change(self, change: Callable[[int, _Times], tuple[_Times, float]]) -> float:
        """In a thread of its own, and not for longer than `FILE_TIMEOUT`: what is on a disk may hang."""
        loop = asyncio.get_running_loop()
        if self._hanging is not None and not self._hanging.is_alive():
            self._hanging = None
        if self._hanging is None:
            answer: asyncio.Future[tuple[_Times, float]] = loop.create_future()
            own = self._own

            def work() -> None:
                found = None
                with contextlib.suppress(OSError, StoreError):
                    found = self._shared(own, change)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                    loop.call_soon_threadsafe(_answer, answer, found)

            thread = threading.Thread(target=work, name="REST budget", daemon=True)
            thread.start()
            try:
                async with asyncio.timeout(FILE_TIMEOUT):
                    return self._learn(*await answer)
            except TimeoutError:
                self._hanging = thread
            except OSError:
                pass  # it cannot be had: as if there were no others
        return self._learn(*change(self._clock(), self._own))

    def _learn(self, times: _Times, wait: float) -> float:
        self._own = _Times(max(times.next, self._own.next), max(times.quiet, self._own.quiet))
        return wait

    def _shared(self, own: _Times, change: Callable[[int, _Times], tuple[_Times, float]]) -> tuple[_Times, float]:
        """The change to what all recorders know. Raises OSError, StoreError."""
        fd = self._open()
        try:
            _lock(fd)
            now = self._clock()
            known = self._read(fd, now)
            times, wait = change(now, _Times(max(known.next, own.next), max(known.quiet, own.quiet)))
            if times != known:
                os.pwrite(fd, LAYOUT.pack(MAGIC, self._boot, *times), 0)
            return times, wait
        finally:
            os.close(fd)

    def _open(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return files.open_existing(self.path, writable=True)
        if not self.path.parent.is_dir():
            files.make_directory(self.path.parent)
            self.path.parent.chmod(PRIVATE)
        with contextlib.suppress(FileExistsError):
            return files.create(self.path, LAYOUT.size)
        return files.open_existing(self.path, writable=True)

    def _read(self, fd: int, now: int) -> _Times:
        """What stands in the file; nothing where it is of another machine, of another start of this one, or torn."""
        data = os.pread(fd, LAYOUT.size, 0)
        if len(data) != LAYOUT.size:
            return _Times()
        magic, boot, *times = LAYOUT.unpack(data)
        if magic != MAGIC or boot != self._boot or any(time > now + LONGEST_NS for time in times):
            return _Times()
        return _Times(*times)


def _taken(now: int, times: _Times, weight: int) -> tuple[_Times, float]:
    free = max(times)
    if free > now:
        return times, (free - now) / SECOND
    return _Times(now + weight, times.quiet), 0.0


def _rested(now: int, times: _Times, seconds: int) -> tuple[_Times, float]:
    return _Times(times.next, max(times.quiet, now + seconds)), 0.0


def _lock(fd: int) -> None:
    """So that no two take the same moment. Without it two may, which is rare and no harm: one that is stopped while it
    has the lock must not stop the others."""
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_PAUSE)


def _boot() -> bytes:
    try:
        return BOOT_ID.read_bytes()[:36].ljust(36)
    except OSError:
        return b" " * 36


def _answer(future: asyncio.Future[tuple[_Times, float]], found: tuple[_Times, float] | None) -> None:
    if future.done():
        return
    if found is None:
        future.set_exception(OSError("the file cannot be had"))
    else:
        future.set_result(found)
