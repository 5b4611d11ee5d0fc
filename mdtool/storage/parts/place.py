"""A place that parts are kept in, and the plainest of them: a directory, and the store's own.

Rule: what stands under a part's name is whole, and is never overwritten. A part is written beside its place (where
`draft` says) and published under its name in one step.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from mdtool.clock import DAY, SECOND
from mdtool.errors import ChunkUnavailable, StoreError, SyncFailed
from mdtool.storage import files

DRAFT = ".{number:06d}.sealing"  # hidden from `date=*/*.parquet`, and recognised as what a crash left
PART_NAME = re.compile(r"date=\d{4}-\d{2}-\d{2}/\d{6,10}\.parquet")


def part_name(number: int, day_ns: int) -> str:
    """Path of a part below its place, by its number and any time of its UTC day: `date=2025-10-06/000017.parquet`."""
    day = time.strftime("%Y-%m-%d", time.gmtime(day_ns // DAY * DAY // SECOND))
    return f"date={day}/{number:06d}.parquet"


def day_of(name: str) -> int:
    """The UTC midnight, in ns, of a part's day, by its name; 0 where that is no date."""
    try:
        day = date.fromisoformat(name[len("date=") : len("date=2025-10-06")])
    except ValueError:
        return 0
    return (day - date(1970, 1, 1)).days * DAY


class PartPlace(Protocol):
    """Where the parts of one feed are. Names are those of `part_name`."""

    def where(self, name: str) -> str:
        """The part's path or URI, for people."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of what stands under the name; None where nothing does."""
        ...

    def names(self) -> list[str]:
        """The names of all parts that are there, named by a registry or not; none that are known to be another's."""
        ...

    def open(self, name: str) -> Any:
        """The part as pyarrow's random access file. Raises ChunkUnavailable."""
        ...

    def draft(self, number: int) -> Path:
        """Where a part is written before it is published, in a directory that is there."""
        ...

    def drafts(self) -> list[Path]:
        """What was being written when a process died."""
        ...

    def publish(self, draft: Path, name: str) -> None:
        """Have the draft, which is on disk, stand under the name for good; the draft goes. Raises FileExistsError
        where the name is taken."""
        ...

    def settle(self, name: str) -> None:
        """Have what stands under the name survive a power loss, or not stand there. Raises SyncFailed."""
        ...

    def set_aside(self, name: str) -> str:
        """Give what stands under the name another one, which is returned as by `where`."""
        ...

    def remove(self, name: str) -> None:
        """Remove a part; nothing happens where there is none."""
        ...

    def like(self, name: str) -> list[str]:
        """Names of what stands beside a part's place under a name that begins like its own, the part itself too."""
        ...

    @property
    def trashes(self) -> list[Path]:
        """Where `discard` puts parts; none where it removes them at once."""
        ...

    def discard(self, name: str) -> None:
        """Take a part out of sight; nothing happens where there is none."""
        ...


class LocalPlace:
    """A directory. `beside`: another of the same file system, for what no reader of the parts should come across."""

    def __init__(self, root: Path, beside: Path | None = None) -> None:
        self.root = root
        self._beside = beside or root

    def path(self, name: str) -> Path:
        """Where a part stands, or would."""
        return self.root / name

    def where(self, name: str) -> str:
        return str(self.path(name))

    def size(self, name: str) -> int | None:
        try:
            return self.path(name).lstat().st_size
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        found = (f"{path.parent.name}/{path.name}" for path in self.root.glob("date=*/*.parquet"))
        return sorted(name for name in found if PART_NAME.fullmatch(name))

    def folders(self) -> list[str]:
        """`venue=VENUE/symbol=SYMBOL` of every feed that has a folder below this one."""
        found = (path for path in self.root.glob("venue=*/symbol=*") if path.is_dir() and not path.is_symlink())
        return sorted(f"{path.parent.name}/{path.name}" for path in found)

    def open(self, name: str) -> Any:
        import pyarrow as pa

        path = self.path(name)
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ChunkUnavailable(gone_text(str(path), "no plain file"))
            return pa.OSFile(str(path))
        except OSError as error:
            raise ChunkUnavailable(gone_text(str(path), error.strerror or one_line(error))) from None

    def draft(self, number: int) -> Path:
        files.make_directory(self._beside)
        return self._beside / DRAFT.format(number=number)

    def drafts(self) -> list[Path]:
        return drafts_in(self._beside)

    def publish(self, draft: Path, name: str) -> None:
        final = self.root / name
        files.make_directory(final.parent)
        os.link(draft, final)  # and not rename, which would replace what is there
        self.settle(name)
        draft.unlink()

    def settle(self, name: str) -> None:
        path = self.path(name)
        fd = files.open_existing(path)
        try:
            files.sync(fd, path)
            files.sync_name(path)
            files.sync_directory(path.parent.parent)
        except SyncFailed:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def set_aside(self, name: str) -> str:
        taken = self.path(name)
        for number in range(1, 10_000):
            aside = taken.with_name(f"{taken.name}.foreign-{number}")
            try:
                os.link(taken, aside)
            except FileExistsError:
                continue
            taken.unlink()
            files.sync_directory(taken.parent)
            return str(aside)
        raise StoreError(f"{taken}: foreign, and so are all the names to set it aside under; clear that directory")

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def like(self, name: str) -> list[str]:
        folder, _, part = name.partition("/")
        return sorted(f"{folder}/{path.name}" for path in (self.root / folder).glob(f"{part}*"))

    @property
    def trashes(self) -> list[Path]:
        return [self._beside / "trash"]

    def discard(self, name: str) -> None:
        path = self.path(name)
        if path.exists():
            files.move_into(path, self._beside / "trash")
        with suppress(OSError):
            path.parent.rmdir()  # its day, once that is empty


class OwnPlace(LocalPlace):
    """The store's own folder of parts, in which other tools find nothing but parts; and the feed's directory, where
    they were before there was one, and where a feed that comes back from the trash has them."""

    def __init__(self, root: Path, directory: Path) -> None:
        super().__init__(root, directory)
        self._older = LocalPlace(directory)

    def path(self, name: str) -> Path:
        older = self._older.path(name)
        return older if os.path.lexists(older) else super().path(name)

    def names(self) -> list[str]:
        return sorted({*super().names(), *self._older.names()})

    def like(self, name: str) -> list[str]:
        return sorted({*super().like(name), *self._older.like(name)})

    def gather(self) -> None:
        """Have what is in the store's folder in the feed's directory, for both to go together."""
        for path in [path for path in sorted(self.root.glob("*/*")) if path.is_file()]:
            target = self._older.root / path.parent.name / path.name
            files.make_directory(target.parent)
            try:
                os.link(path, target)  # and not rename, which would replace what is there
            except FileExistsError:
                if not target.samefile(path):  # as a run that died has left it
                    raise StoreError(f"{target}: stands where {path} is to go; move it away") from None
            files.sync_directory(target.parent)
            path.unlink()
        for folder in [*self.root.glob("*"), self.root]:
            with suppress(OSError):
                folder.rmdir()  # which has nothing in it any more


def drafts_in(directory: Path) -> list[Path]:
    return sorted(directory.glob(".*.sealing"))


def gone_text(where: str, why: str | None) -> str:
    return f"{where}: the part cannot be opened: {why}; run: mdtool verify"


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
