"""The process that records what a file of settings asks for: there is one of each file and store, and it is spoken to.

    <store>/run/_KEY.lock   held for as long as it lives; KEY is made of the file's path
                _KEY.sock   where it is spoken to
                _KEY.file   the path of the file

Rule: presence is the lock, as a recorder's is. No recorder's name begins as these do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mdtool.errors import FeedLocked
from mdtool.service.roster import Roster
from mdtool.storage import files
from mdtool.storage.journal.locks import LockHeld, held_by, lock, unlock

LONGEST_PATH = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Presence:
    """One that is there."""

    file: str
    pid: int
    socket: Path


def resolved(file: Path) -> str:
    """The one name of a file that all know it by."""
    return str(file.resolve())


def present(roster: Roster, file: Path) -> Presence | None:
    """Who records what this file asks for into this store; None where nobody does."""
    return _at(roster.directory / _key(resolved(file)))


def everybody(roster: Roster) -> list[Presence]:
    """All that are there, by file."""
    found = [_at(path.with_suffix("")) for path in roster.directory.glob("_*.lock")]
    return sorted((one for one in found if one is not None), key=lambda one: one.file)


@contextmanager
def taking_its_place(roster: Roster, file: Path) -> Iterator[Path]:
    """A context in which this process is the one; where it is to be spoken to. Raises FeedLocked where another is,
    StoreError."""
    roster.prepare()
    name = resolved(file)
    base = roster.directory / _key(name)
    try:
        held = lock(base.with_suffix(".lock"))
    except LockHeld as other:
        raise FeedLocked(
            f"{file}: what it asks for is recorded already, by mdtool record, pid {other.pid}; to have it read anew: "
            "mdtool reload, to end it: mdtool stop"
        ) from None
    try:
        _write(base.with_suffix(".file"), os.fsencode(name))
        yield base.with_suffix(".sock")
    finally:
        unlock(held)


def _key(file: str) -> str:
    return f"_{sha256(os.fsencode(file)).hexdigest()[:16]}"


def _at(base: Path) -> Presence | None:
    pid = held_by(base.with_suffix(".lock"))
    if pid is None:
        return None
    try:
        with os.fdopen(files.open_existing(base.with_suffix(".file")), "rb") as file:
            name = os.fsdecode(file.read(LONGEST_PATH))
    except OSError:
        return None
    return Presence(name, pid, base.with_suffix(".sock"))


def _write(path: Path, data: bytes) -> None:
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(files.create(path, 0), "wb") as file:
            file.write(data)
    except OSError as error:
        raise files.refusal(path, error, "cannot be written") from None
