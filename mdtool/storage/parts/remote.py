"""A place for parts beyond this machine: an object store, or another file system, that pyarrow.fs knows."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mdtool.errors import ChunkUnavailable, CorruptStore, StoreError
from mdtool.kernel.journal import crc32c
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.place import DRAFT, PART_NAME, drafts_in, gone_text, one_line

OBJECT_STORES = {"s3", "gcs", "abfs"}  # which have no folders, so none are made there
COPY_BYTES = 8 * 1024 * 1024
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as other tools for S3 read them


class RemotePlace:
    """An object store (or another file system) that pyarrow.fs knows by a URI, as in
    `s3://bucket/folder?endpoint_override=127.0.0.1:5000&scheme=http`. An object appears whole or not at all, so a
    part is uploaded under its own name; it is read back and compared before anything relies on it.

    That nothing stands under the name is looked at before, and not asked of the object store with the upload itself,
    as pyarrow.fs has no such request. It holds all the same as long as only this store publishes below its own id, and
    it does so under the feed's maintenance lock: two machines that seal one store without sharing its locks could
    still overwrite one another's part."""

    def __init__(self, feed: FeedInfo, below: str) -> None:
        import pyarrow as pa
        from pyarrow import fs

        self._local = feed.directory
        self._missing = fs.FileType.NotFound
        split = urlsplit(feed.archive)
        self._shown = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"  # and not the keys that may stand there
        try:
            self._fs, root = fs.FileSystem.from_uri(_with_endpoint(feed.archive))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StoreError(f"{feed.name}: its archive on {self._shown} cannot be used: {one_line(error)}") from None
        self._root = posixpath.join(root, below)

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

    def folders(self) -> list[str]:
        """As a LocalPlace has them."""
        from pyarrow import fs

        with self._telling(""):
            found: list[str] = []
            for venue in self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True)):
                if venue.type == fs.FileType.Directory:
                    infos = self._fs.get_file_info(fs.FileSelector(venue.path))
                    found += (f"{venue.base_name}/{info.base_name}" for info in infos)
        return sorted(found)

    def open(self, name: str) -> Any:
        try:
            return self._fs.open_input_file(self._path(name))
        except OSError as error:
            raise ChunkUnavailable(gone_text(self.where(name), one_line(error))) from None

    def draft(self, number: int) -> Path:
        return self._local / DRAFT.format(number=number)

    def drafts(self) -> list[Path]:
        return drafts_in(self._local)

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

    def like(self, name: str) -> list[str]:
        from pyarrow import fs

        folder, _, part = name.partition("/")
        with self._telling(name):
            infos = self._fs.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return sorted(f"{folder}/{info.base_name}" for info in infos if info.base_name.startswith(part))

    @property
    def trashes(self) -> list[Path]:
        return []  # an object store has no rename: this would upload the part once more

    def discard(self, name: str) -> None:
        self.remove(name)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreError(f"{self.where(name)}: {one_line(error)}") from None


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
