"""The two registries: which feeds a store has, and which chunks a feed has. Readers need nothing else to find data."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdtool.errors import StoreError
from mdtool.kernel.journal import load_acquire, store_release
from mdtool.model import Scale
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, FeedState, Location
from mdtool.storage.journal.table import MappedFile, Table


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """One feed of a store: its identity and settings."""

    feed_id: int
    venue: str
    symbol: str
    directory: Path
    live: Location
    chunk_bytes: int
    scale: Scale | None  # learnt while recording; None where nothing has decoded the feed yet
    created_ns: int
    store_id: str
    live_window_ns: int = 0  # closed chunks younger than this are not sealed yet
    retain_ns: int = 0  # sealed parts older than this may go; 0: no limit
    retain_bytes: int = 0  # the oldest parts beyond this much may go; 0: no limit
    keep_last: int = 0  # parts that stay whatever the limits say
    archive: str = ""  # URI under which parts are kept; empty: the feed's own directory

    @property
    def name(self) -> str:
        return f"{self.venue}/{self.symbol}"


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """One entry of a feed's chunk table. Rows, bytes and times are final once the state is CLOSED or later."""

    chunk_id: int
    epoch: int
    state: ChunkState
    location: Location
    flags: ChunkFlag
    part: int
    rows: int
    heap_bytes: int
    min_ns: int
    max_ns: int
    created_ns: int
    closed_ns: int


_INFO = [field.name for field in fields(ChunkInfo)]  # which a slot calls the same


def _chunk_info(slot: Any) -> ChunkInfo:
    """An entry of the chunk table as a value."""
    chunk_id, epoch, state, location, flags, *figures = slot
    return ChunkInfo(chunk_id, epoch, ChunkState(state), Location(location), ChunkFlag(flags), *figures)


class FeedRegistry:
    """feed.bin: the stream names and the ordered chunk table of one feed. Written by the feed's one writer only."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._file = MappedFile(path, layout.FEED_HEADER, layout.FEED_MAGIC, writable=writable)
        self._chunks = Table(self._file, layout.CHUNK_SLOT, layout.CHUNKS_AT, layout.COMMITTED_AT)
        self._streams = Table(self._file, layout.STREAM_SLOT, layout.PAGE, layout.STREAMS_AT)
        self.chunk_total = self._chunks.count
        self._names: list[str] = []
        self.path = path

    @staticmethod
    def create(path: Path, store_id: str, feed_id: int, created_ns: int) -> None:
        """The registry of a new feed; one that is there already is left as it is."""
        try:
            files.write_durably(path, FeedRegistry.blank(store_id, feed_id, created_ns))
        except FileExistsError:
            pass

    @staticmethod
    def blank(store_id: str, feed_id: int, created_ns: int) -> list[bytes]:
        """What the registry of a new feed holds."""
        head = layout.sealed(
            layout.FEED_HEADER,
            magic=layout.FEED_MAGIC,
            version=layout.VERSION,
            header_bytes=layout.PAGE,
            store_id=uuid.UUID(store_id).bytes,
            feed_id=feed_id,
            created_ns=created_ns,
        )
        return [head, bytes(layout.CHUNKS_AT - layout.PAGE)]

    @property
    def chunk_count(self) -> int:
        return len(self._chunks)

    def chunk(self, number: int) -> ChunkInfo:
        """Entry `number` of the chunk table, in order of time."""
        return _chunk_info(self._chunks.read(number)[_INFO].item())

    def boot_is_over(self, number: int) -> bool:
        """Whether a chunk was in the shared memory of an earlier boot of the machine."""
        boot = bytes(self._chunks.read(number)["boot"])
        return any(boot) and boot != files.boot_id()

    def chunks(self) -> list[ChunkInfo]:
        """Every entry as of now; of 10,000 in one go."""
        return [_chunk_info(slot) for slot in self._chunks.array()[_INFO].tolist()]

    def table(self) -> npt.NDArray[np.void]:
        """The whole chunk table at once: an array of layout.CHUNK_SLOT, a copy. Raises as `chunk`."""
        return self._chunks.array()

    def add_chunk(self, fields: dict[str, object]) -> int:
        return self._chunks.append(fields)

    def update_chunk(self, number: int, fields: dict[str, object]) -> None:
        self._chunks.update(number, fields)

    @property
    def streams(self) -> list[str]:
        """Stream names; a record's `stream` is the index."""
        for number in range(len(self._names), len(self._streams)):
            self._names.append(bytes(self._streams.read(number)["name"]).decode("utf-8", "replace"))
        return self._names

    def add_stream(self, name: str) -> int:
        encoded = name.encode()
        if not 0 < len(encoded) <= layout.MAX_STREAM_NAME:
            raise StoreError(f"stream name {name!r}: expected 1 to {layout.MAX_STREAM_NAME} bytes")
        return self._streams.append({"name": encoded}, layout.MAX_STREAMS)

    @property
    def unsure(self) -> bool:
        """Whether the last sync failed."""
        return self._file.unsure

    def sync(self, *, anew: bool = False) -> None:
        """Bring it to disk; `anew`: what another process changed and may not have got there, too. Raises SyncFailed."""
        self._file.sync(self._streams.pages, self._chunks.pages, anew=anew)

    def close(self) -> None:
        self._file.close()


class StoreRegistry:
    """registry.bin: every feed of the store, and the counter sessions are numbered by."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._file = MappedFile(path, layout.STORE_HEADER, layout.STORE_MAGIC, writable=writable)
        self._feeds = Table(self._file, layout.FEED_SLOT, layout.PAGE, layout.COMMITTED_AT)
        self._root = path.parent
        self._numbers: dict[str, int] = {}  # newest slot of each name
        self._indexed = 0  # slots that are in it
        self.store_id = uuid.UUID(bytes=bytes(self._file.header["store_id"])).hex

    @staticmethod
    def create(path: Path, created_ns: int) -> None:
        """The registry of a new store. Raises FileExistsError where there is one."""
        head = layout.sealed(
            layout.STORE_HEADER,
            magic=layout.STORE_MAGIC,
            version=layout.VERSION,
            header_bytes=layout.PAGE,
            store_id=uuid.uuid4().bytes,
            created_ns=created_ns,
            next_session=1,
        )
        files.write_durably(path, [head])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among the processes that change this registry; readers do not wait."""
        fcntl.flock(self._file.fileno(), fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_UN)

    def feeds(self) -> list[FeedInfo]:
        """Every feed that has not been removed, in the order they were made known."""
        slots = (self._feeds.read(number) for number in range(len(self._feeds)))
        return [self._info(slot) for slot in slots if slot["state"] == FeedState.ACTIVE]

    def find(self, name: str) -> FeedInfo | None:
        """The feed called `venue/SYMBOL`; None where there is none, or it has been removed."""
        number = self._newest(name)
        if number is None:
            return None
        slot = self._feeds.read(number)
        if _name(slot) != name:  # put right in place, meanwhile
            self._numbers, self._indexed = {}, 0
            return self.find(name)
        return self._info(slot) if slot["state"] == FeedState.ACTIVE else None

    def _newest(self, name: str) -> int | None:
        """Number of the newest slot of a name. A name that was removed and came again has several."""
        while self._indexed < len(self._feeds):
            self._numbers[_name(self._feeds.read(self._indexed))] = self._indexed
            self._indexed += 1
        return self._numbers.get(name)

    def feed(self, feed_id: int) -> FeedInfo:
        return self._info(self._feeds.read(feed_id - 1))

    def _info(self, slot: np.void) -> FeedInfo:
        return feed_info(slot, self._root, self.store_id)

    def add_feed(self, venue: str, symbol: str, live: Location, chunk_bytes: int, created_ns: int) -> FeedInfo:
        """A new entry, which is on disk once `sync` has been called. The caller holds the lock and has seen that there
        is none."""
        number = self._feeds.append(
            {
                "feed_id": len(self._feeds) + 1,
                "state": FeedState.ACTIVE,
                "venue": venue.encode(),
                "symbol": symbol.encode(),
                "live": live,
                "chunk_bytes": chunk_bytes,
                "created_ns": created_ns,
            }
        )
        return self.feed(number + 1)

    def sync(self) -> None:
        """Bring it to disk. The caller holds the lock. Raises SyncFailed."""
        self._file.sync(self._feeds.pages)

    @property
    def unsure(self) -> bool:
        """Whether the last sync failed."""
        return self._file.unsure

    def update_feed(self, feed_id: int, fields: dict[str, object]) -> None:
        self._feeds.update(feed_id - 1, fields)

    def next_session(self) -> int:
        """A session number no other connection of this store has. The caller holds the lock."""
        mapping = self._file.upto(layout.PAGE)
        session = load_acquire(mapping, layout.NEXT_SESSION_AT)
        store_release(mapping, layout.NEXT_SESSION_AT, session + 1)
        return session & 0xFFFFFFFF

    def close(self) -> None:
        self._file.close()


def _name(slot: np.void) -> str:
    return f"{bytes(slot['venue']).decode()}/{bytes(slot['symbol']).decode()}"


def feed_info(slot: np.void, root: Path, store_id: str) -> FeedInfo:
    """A feed slot of the store in `root`, as a value."""
    venue, symbol = bytes(slot["venue"]).decode(), bytes(slot["symbol"]).decode()
    return FeedInfo(
        feed_id=int(slot["feed_id"]),
        venue=venue,
        symbol=symbol,
        directory=layout.feed_directory(root, venue, symbol),
        live=Location(int(slot["live"])),
        chunk_bytes=int(slot["chunk_bytes"]),
        scale=Scale(int(slot["price_exp"]), int(slot["size_exp"])) if slot["scale_known"] else None,
        created_ns=int(slot["created_ns"]),
        store_id=store_id,
        live_window_ns=int(slot["live_window_ns"]),
        retain_ns=int(slot["retain_ns"]),
        retain_bytes=int(slot["retain_bytes"]),
        keep_last=int(slot["keep_last"]),
        archive=bytes(slot["archive"]).decode("utf-8", "replace"),
    )


def feed_fields(feed: FeedInfo) -> dict[str, object]:
    """A feed as the fields of its slot in registry.bin."""
    return {
        "feed_id": feed.feed_id,
        "state": FeedState.ACTIVE,
        "venue": feed.venue.encode(),
        "symbol": feed.symbol.encode(),
        "live": feed.live,
        "scale_known": int(feed.scale is not None),
        "price_exp": feed.scale.price_exp if feed.scale else 0,
        "size_exp": feed.scale.size_exp if feed.scale else 0,
        "chunk_bytes": feed.chunk_bytes,
        "created_ns": feed.created_ns,
        "live_window_ns": feed.live_window_ns,
        "retain_ns": feed.retain_ns,
        "retain_bytes": feed.retain_bytes,
        "keep_last": feed.keep_last,
        "archive": feed.archive.encode(),
    }


def denied_of(feed: FeedInfo) -> Path | None:
    """The first thing of a feed that this user may not read; None where there is none. That is no damage."""
    directory = str(feed.directory)
    paths = (directory, f"{directory}/feed.bin", f"{directory}/live")
    return next((Path(path) for path in paths if files.denied(path)), None)


def copy_settings(feed: FeedInfo) -> None:
    """Have the feed's settings in its own registry too, from where registry.bin can be rebuilt. The caller holds the
    store's registry."""
    data = layout.sealed(layout.FEED_SLOT, **feed_fields(feed))
    fd = files.open_existing(feed.directory / "feed.bin", writable=True)
    try:
        ours = os.pread(fd, len(layout.FEED_MAGIC), 0) == layout.FEED_MAGIC
        if ours and os.pread(fd, len(data), layout.SETTINGS_AT) != data:
            os.pwrite(fd, data, layout.SETTINGS_AT)
    finally:
        os.close(fd)


def is_registry(path: Path) -> bool:
    """Whether a file begins as a store's registry does. Raises StoreError where this user may not read it."""
    try:
        fd = files.open_existing(path)
    except PermissionError:
        raise StoreError(files.denial(path)) from None
    except OSError:
        return False
    try:
        return os.read(fd, len(layout.STORE_MAGIC)) == layout.STORE_MAGIC
    finally:
        os.close(fd)
