"""The recorders of a store: who is on duty, what each was told, where it is spoken to, how the last one ended.

    <store>/run/NAME.lock   held for as long as the process lives
                NAME.json   its assignment, its pid, where its page is
                NAME.sock   where it is spoken to
                NAME.log    what it said on stderr
                NAME.ended  how the last one ended; of none while it runs, or where it was killed

Rule: presence is the lock and nothing else: it ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import DecodeError, Struct, ValidationError, structs
from msgspec.json import decode, encode

from mdtool.errors import FeedLocked, StoreError
from mdtool.service.assignment import Assignment
from mdtool.service.page import Page, PageReader
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.journal.locks import LockHeld, held_by, lock, unlock
from mdtool.storage.store import Store
from mdtool.venues import catalog

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
    timed: bool = False  # the time it was given was over
    life: str = ""  # whose end it is


class NameTaken(FeedLocked):
    """Another recorder has this name."""

    exit_code = 75  # of the system's: try again


@dataclass(frozen=True, slots=True)
class Member:
    """A recorder that is on duty, or was last under its name."""

    name: str
    alive: bool
    duty: Duty
    socket: Path

    def page(self) -> PageReader | None:
        """Its counters; None where they cannot be seen from here."""
        with contextlib.suppress(OSError, ValueError, StoreError):
            page = PageReader(Path(self.duty.page))
            return page if page.pid == self.duty.pid else None
        return None


class Roster:
    """Of one store. The folder is made by the first who goes on duty."""

    def __init__(self, store: Path) -> None:
        self.directory = store / layout.RUN

    def names(self) -> list[str]:
        """Of everybody on duty, or once on duty."""
        return sorted(path.stem for path in self.directory.glob("*.json"))

    def members(self) -> list[Member]:
        """Everybody on duty, and who was last under a name that nobody has now."""
        return [member for name in self.names() if (member := self.member(name)) is not None]

    def member(self, name: str) -> Member | None:
        duty = _read(self._path(name, "json"), Duty)
        if duty is None:
            return None
        # The next one has the lock a moment before it has written down what it does.
        return Member(name, held_by(self._path(name, "lock")) == duty.pid, duty, self.socket(name))

    def is_on_duty(self, name: str) -> bool:
        """Whether anybody has this name."""
        return held_by(self._path(name, "lock")) is not None

    def socket(self, name: str) -> Path:
        return self._path(name, "sock")

    def ended(self, name: str, life: str) -> Ended | None:
        """How that life of it ended; None where it lasts, or was ended by force."""
        ended = _read(self._path(name, "ended"), Ended)
        return ended if ended is not None and ended.life == life else None

    def has_ended(self, name: str, ended: Ended) -> None:
        """Write down how one ended. Raises StoreError."""
        _write(self._path(name, "ended"), encode(ended))

    def last_words(self, name: str) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError), os.fdopen(files.open_existing(self._path(name, "log")), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_LOG))
            lines = file.read(MOST_LOG).decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def prepare(self) -> None:
        """Have the folder there. Raises StoreError."""
        files.make_directory(self.directory)
        try:
            self.directory.chmod(PRIVATE)
        except OSError as error:
            raise files.refusal(self.directory, error, "not this user's: one user records into a store") from None

    @contextmanager
    def log(self, name: str) -> Iterator[int]:
        """A new log for a recorder that is about to be started, as a descriptor. Raises StoreError."""
        self.prepare()
        path = self._path(name, "log")
        try:
            path.unlink(missing_ok=True)
            fd = files.create(path, 0)
        except OSError as error:
            raise files.refusal(path, error, "cannot be written") from None
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def on_duty(self, assignment: Assignment, store: Store, now_ns: int) -> Iterator[Seat]:
        """A context in which this process is the recorder of that name. Raises NameTaken where another one is,
        StoreError."""
        self.prepare()
        name = assignment.name
        try:
            held = lock(self._path(name, "lock"))
        except LockHeld as other:
            raise NameTaken(f"a recorder {name!r} runs on this store already (pid {other.pid})") from None
        with ExitStack() as leaving:
            leaving.callback(unlock, held)
            venue = catalog.called(assignment.venue).name
            page = self._page(store, name, venue, now_ns)
            leaving.callback(page.remove)
            _write(self._path(name, "json"), encode(Duty(assignment, venue, os.getpid(), str(page.path))))
            yield Seat(page, self.socket(name), self._path(name, "json"))

    def _page(self, store: Store, name: str, venue: str, now_ns: int) -> Page:
        """In shared memory, so that no disk that hangs can hold who writes it; in the store where there is none, or no
        room in it."""
        shared = store.shared_memory
        with contextlib.suppress(OSError, StoreError):
            return Page(shared.with_name(f"{shared.name}.{name}.page"), venue, os.getpid(), now_ns)
        path = self._path(name, "page")
        try:
            return Page(path, venue, os.getpid(), now_ns)
        except OSError as error:
            raise files.refusal(path, error, "cannot be written") from None

    def _path(self, name: str, suffix: str) -> Path:
        return self.directory / f"{name}.{suffix}"


@dataclass(frozen=True, slots=True)
class Seat:
    """What belongs to the one on duty."""

    page: Page
    socket: Path
    _duty: Path

    def reassigned(self, assignment: Assignment) -> None:
        """From now on this is what it records: who starts it again, starts it with that. Raises StoreError."""
        duty = _read(self._duty, Duty)
        if duty is not None:
            _write(self._duty, encode(structs.replace(duty, assignment=assignment)))


def _write(path: Path, data: bytes) -> None:
    """This under the name, at once or not at all. Not durably: it tells of processes, and none outlives the machine.
    Raises StoreError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            aside.unlink(missing_ok=True)
            with os.fdopen(files.create(aside, 0), "wb") as file:
                file.write(data)
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise files.refusal(path, error, "cannot be written") from None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with os.fdopen(files.open_existing(path), "rb") as file:
            return decode(file.read(LARGEST_FILE), type=kind)
    except (OSError, ValidationError, DecodeError, UnicodeDecodeError):
        return None
