"""Where a feed's parts are: its own directory, another one, or an object store behind pyarrow.fs.

Rule: what stands under a part's name is whole, and is never overwritten. A part is written beside its place (where
`draft` says) and published under its name in one step.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mdtool.clock import DAY, SECOND
from mdtool.errors import ChunkUnavailable, CorruptStore, StoreError, SyncFailed
from mdtool.kernel.journal import crc32c
from mdtool.storage import files
from mdtool.storage.journal.registry import FeedInfo

DRAFT = ".{number:06d}.sealing"  # hidden from `date=*/*.parquet`, and recognised as what a crash left
OBJECT_STORES = {"s3", "gcs", "abfs"}  # which have no folders, so none are made there
PART_NAME = re.compile(r"date=\d{4}-\d{2}-\d{2}/\d{6,10}\.parquet")
COPY_BYTES = 8 * 1024 * 1024
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as other tools for S3 read them


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
        """The names of all parts that are there, named by a registry or not."""
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

    @property
    def trash(self) -> Path | None:
        """Where `discard` puts parts; None where it removes them at once."""
        ...

    def discard(self, name: str) -> None:
        """Take a part out of sight; nothing happens where there is none."""
        ...


def place_of(feed: FeedInfo) -> PartPlace:
    """Where the feed's parts are. Raises StoreError for an archive nothing can be kept in."""
    own = LocalPlace(feed.directory)
    if not feed.archive:
        return own
    split = urlsplit(feed.archive)
    if "://" not in feed.archive or split.scheme == "file":
        root = Path(split.path if split.scheme == "file" else feed.archive).expanduser()
        return ArchivePlace(LocalPlace(root / feed.venue / feed.symbol), own)
    return ArchivePlace(RemotePlace(feed), own)


class LocalPlace:
    """A directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, name: str) -> str:
        return str(self.root / name)

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).lstat().st_size
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        found = (f"{path.parent.name}/{path.name}" for path in self.root.glob("date=*/*.parquet"))
        return sorted(name for name in found if PART_NAME.fullmatch(name))

    def open(self, name: str) -> Any:
        import pyarrow as pa

        path = self.root / name
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ChunkUnavailable(_gone(str(path), "no plain file"))
            return pa.OSFile(str(path))
        except OSError as error:
            raise ChunkUnavailable(_gone(str(path), error.strerror or _line(error))) from None

    def draft(self, number: int) -> Path:
        files.make_directory(self.root)
        return self.root / DRAFT.format(number=number)

    def drafts(self) -> list[Path]:
        return _drafts(self.root)

    def publish(self, draft: Path, name: str) -> None:
        final = self.root / name
        files.make_directory(final.parent)
        os.link(draft, final)  # and not rename, which would replace what is there
        self.settle(name)
        draft.unlink()

    def settle(self, name: str) -> None:
        path = self.root / name
        fd = files.open_existing(path)
        try:
            files.sync(fd, path)
            files.sync_name(path)
            files.sync_directory(self.root)
        except SyncFailed:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def set_aside(self, name: str) -> str:
        taken = self.root / name
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
        (self.root / name).unlink(missing_ok=True)

    @property
    def trash(self) -> Path | None:
        return self.root / "trash"

    def discard(self, name: str) -> None:
        path = self.root / name
        if path.exists():
            files.move_into(path, self.root / "trash")
        with suppress(OSError):
            path.parent.rmdir()  # its day, once that is empty


class ArchivePlace:
    """An archive, and what the feed's own directory held before it was given one."""

    def __init__(self, archive: PartPlace, own: LocalPlace) -> None:
        self._archive = archive
        self._own = own

    @property
    def trash(self) -> Path | None:
        return self._archive.trash

    def draft(self, number: int) -> Path:
        return self._archive.draft(number)

    def drafts(self) -> list[Path]:
        return list(dict.fromkeys([*self._archive.drafts(), *self._own.drafts()]))

    def publish(self, draft: Path, name: str) -> None:
        self._archive.publish(draft, name)

    def settle(self, name: str) -> None:
        self._holder(name).settle(name)

    def names(self) -> list[str]:
        return sorted({*self._archive.names(), *self._own.names()})

    def where(self, name: str) -> str:
        return self._holder(name).where(name)

    def size(self, name: str) -> int | None:
        return self._holder(name).size(name)

    def open(self, name: str) -> Any:
        return self._holder(name).open(name)

    def set_aside(self, name: str) -> str:
        return self._holder(name).set_aside(name)

    def remove(self, name: str) -> None:
        self._holder(name).remove(name)

    def discard(self, name: str) -> None:
        self._holder(name).discard(name)

    def _holder(self, name: str) -> PartPlace:
        return self._own if self._own.size(name) is not None else self._archive


class RemotePlace:
    """An object store (or another file system) that pyarrow.fs knows by a URI, as in
    `s3://bucket/folder?endpoint_override=127.0.0.1:5000&scheme=http`. An object appears whole or not at all, so a
    part is uploaded under its own name; it is read back and compared before anything relies on it."""

    def __init__(self, feed: FeedInfo) -> None:
        import pyarrow as pa
        from pyarrow import fs

        self._local = feed.directory
        self._missing = fs.FileType.NotFound
        split = urlsplit(feed.archive)
        self._shown = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"  # and not the keys that may stand there
        try:
            self._fs, root = fs.FileSystem.from_uri(_with_endpoint(feed.archive))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StoreError(f"{feed.name}: its archive on {self._shown} cannot be used: {_line(error)}") from None
        self._root = posixpath.join(root, feed.venue, feed.symbol)

    def where(self, name: str) -> str:
        _, _, below = self._path(name).partition("/")
        return f"{self._shown}/{below}"

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def size(self, name: str) -> int | None:
        with self._telling(name):
            info = self._fs.get_file_info(self._path(name))
            return None if info.type == self._missing else int(info.size or 0)

    def names(self) -> list[str]:
        from pyarrow import fs

        with self._telling(""):
            infos = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        found = (posixpath.relpath(info.path, self._root) for info in infos if info.type == fs.FileType.File)
        return sorted(name for name in found if PART_NAME.fullmatch(name))

    def open(self, name: str) -> Any:
        try:
            return self._fs.open_input_file(self._path(name))
        except OSError as error:
            raise ChunkUnavailable(_gone(self.where(name), _line(error))) from None

    def draft(self, number: int) -> Path:
        return self._local / DRAFT.format(number=number)

    def drafts(self) -> list[Path]:
        return _drafts(self._local)

    def publish(self, draft: Path, name: str) -> None:
        if self.size(name) is not None:
            raise FileExistsError(self.where(name))
        path = self._path(name)
        with self._telling(name):
            if self._fs.type_name not in OBJECT_STORES:
                self._fs.create_dir(posixpath.dirname(path), recursive=True)
            sent = 0
            with draft.open("rb") as source, self._fs.open_output_stream(path) as out:
                while piece := source.read(COPY_BYTES):
                    out.write(piece)
                    sent = crc32c(piece, sent)
            came = 0
            with self._fs.open_input_stream(path) as back:
                while piece := back.read(COPY_BYTES):
                    came = crc32c(piece, came)
        if came != sent:
            raise CorruptStore(f"{self.where(name)}: reads back otherwise than it was written; its chunks are kept")
        draft.unlink()

    def settle(self, name: str) -> None:
        """An object store keeps what it has acknowledged."""

    def set_aside(self, name: str) -> str:
        number = 1
        while self.size(aside := f"{name}.foreign-{number}") is not None:
            number += 1
        with self._telling(name):
            self._fs.copy_file(self._path(name), self._path(aside))
            self._fs.delete_file(self._path(name))
        return self.where(aside)

    def remove(self, name: str) -> None:
        if self.size(name) is not None:
            with self._telling(name):
                self._fs.delete_file(self._path(name))

    @property
    def trash(self) -> Path | None:
        return None  # an object store has no rename: this would upload the part once more

    def discard(self, name: str) -> None:
        self.remove(name)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreError(f"{self.where(name)}: {_line(error)}") from None


def _with_endpoint(uri: str) -> str:
    """The URI with the endpoint the environment names, where it does not name one itself."""
    split = urlsplit(uri)
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    query = dict(parse_qsl(split.query))
    if split.scheme != "s3" or not endpoint or "endpoint_override" in query:
        return uri
    host = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    query |= {"endpoint_override": host.netloc, "scheme": host.scheme}
    return urlunsplit(split._replace(query=urlencode(query)))


def _drafts(directory: Path) -> list[Path]:
    return sorted(directory.glob(".*.sealing"))


def _gone(where: str, why: str | None) -> str:
    return f"{where}: the part cannot be opened: {why}; run: mdtool verify"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
