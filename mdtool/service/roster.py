"""The recorders of a store: who is on duty, what each was told, where it is spoken to, how the last one ended.

    <store>/run/NAME.lock   held for as long as the process lives
                NAME.json   its assignment, its pid, where its page is
                NAME.sock   where it is spoken to
                NAME.log    what it said on stderr
                NAME.ended  how it ended; none while it runs, or where it was killed

Rule: presence is the lock and nothing else: it ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import DecodeError, Struct, ValidationError, structs
from msgspec.json import decode, encode

from mdtool.errors import FeedLocked
from mdtool.service.assignment import Assignment
from mdtool.service.page import Page, PageReader
from mdtool.storage import files
from mdtool.storage.journal.locks import LockHeld, holder_of, lock, unlock
from mdtool.storage.store import Store
from mdtool.venues import catalog

RUN = "run"
PRIVATE = 0o700
T = TypeVar("T", bound=Struct)
LARGEST_FILE = 4 * 1024 * 1024  # bytes of a file here that is read; an assignment of thousands of symbols is smaller
MOST_LOG = 64 * 1024  # bytes of a log that are looked at


class Duty(Struct, frozen=True):
    """What stands in NAME.json."""

    assignment: Assignment
    venue: str  # the name its feeds have
    pid: int
    page: str


class Ended(Struct, frozen=True):
    """What stands in NAME.ended. `error`: none where it was told to end, or the time was over."""

    code: int
    why: str
    error: str = ""
    kind: str = ""  # of the error: the name of its class
    totals: dict[str, int] = {}
    began: bool = True  # it had its feeds open


@dataclass(frozen=True, slots=True)
class Member:
    """A recorder that is on duty, or was last under its name."""

    name: str
    alive: bool
    duty: Duty
    socket: Path

    def page(self) -> PageReader | None:
        """Its counters; None where they cannot be seen from here."""
        with contextlib.suppress(OSError, ValueError):
            page = PageReader(Path(self.duty.page))
            return page if page.pid == self.duty.pid else None
        return None


class Roster:
    """Of one store. The folder is made by the first who goes on duty."""

    def __init__(self, store: Path) -> None:
        self.directory = store / RUN

    def names(self) -> list[str]:
        """Of everybody on duty, or once on duty."""
        return sorted(path.stem for path in self.directory.glob("*.json"))

    def members(self) -> list[Member]:
        """Everybody on duty, and who was last under a name that nobody has now."""
        return [member for name in self.names() if (member := self.member(name)) is not None]

    def member(self, name: str) -> Member | None:
        duty = _read(self.directory / f"{name}.json", Duty)
        if duty is None:
            return None
        return Member(name, self.is_on_duty(name), duty, self.socket(name))

    def is_on_duty(self, name: str) -> bool:
        return holder_of(self.directory / f"{name}.lock").held

    def socket(self, name: str) -> Path:
        return self.directory / f"{name}.sock"

    def ended(self, name: str) -> Ended | None:
        """How it ended; None where it runs, or was killed."""
        return _read(self.directory / f"{name}.ended", Ended)

    def last_words(self, name: str) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError), os.fdopen(files.open_existing(self._path(name, "log")), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_LOG))
            lines = file.read(MOST_LOG).decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def prepare(self) -> None:
        """Have the folder there. Raises StoreError."""
        if not self.directory.is_dir():
            files.make_directory(self.directory)
        self.directory.chmod(PRIVATE)

    @contextmanager
    def log(self, name: str) -> Iterator[int]:
        """A new log for a recorder that is about to be started, as a descriptor."""
        self.prepare()
        path = self.directory / f"{name}.log"
        path.unlink(missing_ok=True)
        fd = files.create(path, 0)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def on_duty(self, assignment: Assignment, store: Store, now_ns: int) -> Iterator[Seat]:
        """A context in which this process is the recorder of that name. Raises FeedLocked where another one is."""
        self.prepare()
        name = assignment.name
        try:
            held = lock(self.directory / f"{name}.lock")
        except LockHeld as other:
            raise FeedLocked(f"a recorder {name!r} runs on this store already (pid {other.pid})") from None
        try:
            venue = catalog.called(assignment.venue).name
            page = Page(_page_path(store, self.directory, name), venue, os.getpid(), now_ns)
            self._path(name, "ended").unlink(missing_ok=True)
            _write(self._path(name, "json"), encode(Duty(assignment, venue, os.getpid(), str(page.path))))
            yield Seat(page, self.socket(name), self._path(name, "ended"), self._path(name, "json"))
        finally:
            unlock(held)

    def _path(self, name: str, suffix: str) -> Path:
        return self.directory / f"{name}.{suffix}"


@dataclass(frozen=True, slots=True)
class Seat:
    """What belongs to the one on duty."""

    page: Page
    socket: Path
    _ended: Path
    _duty: Path

    def reassigned(self, assignment: Assignment) -> None:
        """From now on this is what it records: who starts it again, starts it with that."""
        duty = _read(self._duty, Duty)
        if duty is not None:
            _write(self._duty, encode(structs.replace(duty, assignment=assignment)))

    def ends(self, ended: Ended) -> None:
        """Write down how it ended."""
        _write(self._ended, encode(ended))


def _page_path(store: Store, directory: Path, name: str) -> Path:
    """In shared memory, so that no disk that hangs can hold who writes it; in the store where there is none."""
    shared = store.shared_memory
    if os.access(shared.parent, os.W_OK | os.X_OK):
        files.make_directory(shared / RUN)
        return shared / RUN / f"{name}.page"
    return directory / f"{name}.page"


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(files.create(aside, 0), "wb") as file:
        file.write(data)
    aside.rename(path)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with os.fdopen(files.open_existing(path), "rb") as file:
            return decode(file.read(LARGEST_FILE), type=kind)
    except (OSError, ValidationError, DecodeError, UnicodeDecodeError):
        return None
