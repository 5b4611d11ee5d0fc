"""A table of fixed slots in a shared mapping: appended to by one owner, read by anyone, without locks.

A slot is published by release-storing the count after it. A slot that is rewritten in place carries a CRC, so a
reader that catches it half written reads it again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdtool.errors import CorruptStore, StoreError
from mdtool.kernel.journal import Word, first_torn, store_release
from mdtool.kernel.mapping import FileMap
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.units import count

GROW_BYTES = 64 * 1024  # a registry grows by this much at a time: 512 chunks, or 128 feeds
READ_AGAIN = 1000  # tries at a slot that is being rewritten; a rewrite takes well under a microsecond


class MappedFile:
    """A registry file: mapped whole, mapped again when it has grown."""

    def __init__(self, path: Path, dtype: np.dtype[Any], magic: bytes, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self.unsure = False  # a sync has failed, and what it was to bring to disk may not be there
        self._fd = -1
        try:
            self._fd = files.open_existing(path, writable=writable)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            self._map = self._mapped()
            self.header = layout.header(dtype, magic, bytes(self._map[: layout.PAGE]), str(path))
        except BaseException:
            self.close()
            raise

    def _mapped(self) -> FileMap:
        mapping = files.map_file(self._fd, writable=self.writable)
        if not mapping:
            raise CorruptStore(f"{self.path}: empty, expected a registry; run: mdtool registry verify --rebuild")
        if not files.allocated(self._fd):  # restored by a tool that leaves holes, or damaged
            if self.writable:
                for start, end in files.holes(self._fd, len(mapping)):
                    files.reserve(self._fd, start, end, self.path)
            else:
                files.check_backed(mapping, self._fd, len(mapping), self.path)
        return mapping

    def upto(self, size: int) -> FileMap:
        """The mapping, at least `size` bytes long."""
        if size > len(self._map):
            self._map = self._mapped()
            if size > len(self._map):
                raise CorruptStore(
                    f"{self.path}: {count(len(self._map), 'byte')}, its count asks for {size}; "
                    "run: mdtool registry verify --rebuild"
                )
        return self._map

    def grow(self, size: int) -> None:
        if size > len(self._map):
            target = size + GROW_BYTES - size % GROW_BYTES
            files.reserve(self._fd, len(self._map), target, self.path)
            self._map = self._mapped()

    def sync(self, *spans: range, anew: bool = False) -> None:
        """Bring the file to disk. `anew`, and after a sync that failed: pages that the system may wrongly take for
        written are written again. `spans`: where its slots lie, whose first bytes never change. Raises SyncFailed."""
        if anew or self.unsure:
            for at in [0, *(at for span in spans for at in span)]:
                self._map[at] = self._map[at]
        self.unsure = True
        files.sync(self._fd, self.path)
        self.unsure = False

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        self.close()  # a reader nobody closed must not keep its descriptor for as long as the process lives

    def close(self) -> None:
        """Let the file go. The mapping goes with its last user."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Table:
    """The slots of one dtype at one offset of a mapped file, counted at another."""

    def __init__(self, file: MappedFile, dtype: np.dtype[Any], at: int, count_at: int) -> None:
        self._file = file
        self._dtype = dtype
        self._at = at
        self._count_at = count_at
        self.count = Word(file.upto(layout.PAGE), count_at)  # number of slots, as of when it is asked

    def __len__(self) -> int:
        return self.count.value

    @property
    def pages(self) -> range:
        """Offset of the first slot of each page that has any."""
        return range(self._at, self._at + len(self) * self._dtype.itemsize, layout.PAGE)

    def _span(self, number: int) -> tuple[int, int]:
        start = self._at + number * self._dtype.itemsize
        return start, start + self._dtype.itemsize

    def read(self, number: int) -> np.void:
        """Slot `number`. Raises CorruptStore when its CRC does not come right."""
        start, stop = self._span(number)
        for attempt in range(READ_AGAIN):
            slot = layout.unsealed(self._dtype, bytes(self._file.upto(stop)[start:stop]))
            if slot is not None:
                return slot
            if attempt > 10:
                time.sleep(1e-5)
        raise CorruptStore(
            f"{self._file.path} slot {number}: its checksum does not hold; run: mdtool registry verify --rebuild"
        )

    def array(self) -> npt.NDArray[np.void]:
        """Every slot as of now, copied. Raises CorruptStore as `read`."""
        count = len(self)
        stop = self._at + count * self._dtype.itemsize
        slots = np.frombuffer(memoryview(self._file.upto(stop)), self._dtype, count, self._at).copy()
        while (torn := first_torn(slots.data, self._dtype.itemsize)) is not None:
            slots[torn] = self.read(torn)
        return slots

    def append(self, fields: dict[str, object], limit: int | None = None) -> int:
        """Publish a new slot; returns its number."""
        number = len(self)
        if limit is not None and number >= limit:
            raise StoreError(f"{self._file.path}: its table holds {count(limit, 'entry')} and is full")
        self._write(number, fields)
        store_release(self._file.upto(layout.PAGE), self._count_at, number + 1)
        return number

    def update(self, number: int, fields: dict[str, object]) -> None:
        """Rewrite the named fields of a slot."""
        slot = self.read(number)
        self._write(number, {name: slot[name] for name in self._dtype.names or ()} | fields)

    def _write(self, number: int, fields: dict[str, object]) -> None:
        start, stop = self._span(number)
        self._file.grow(stop)
        self._file.upto(stop)[start:stop] = layout.sealed(self._dtype, **fields)
