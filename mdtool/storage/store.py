"""A store: a directory with a registry, and the door to its feeds."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mdtool.clock import Clock, SystemClock
from mdtool.errors import FeedLocked, FeedNotFound, NotAStore, StoreError
from mdtool.model import Scale, is_session, session_symbol
from mdtool.storage import files, settings
from mdtool.storage.format import layout
from mdtool.storage.format.layout import REGISTRY, FeedState
from mdtool.storage.journal import locks
from mdtool.storage.journal.chunk import chunk_directory
from mdtool.storage.journal.locks import WriterLock, lock_writer
from mdtool.storage.journal.registry import FeedInfo, FeedRegistry, StoreRegistry, copy_settings, denied_of, is_registry
from mdtool.storage.journal.writer import Sync, Writer
from mdtool.storage.parts.archive import PARTS
from mdtool.storage.reading import cursor as cursors
from mdtool.storage.reading.cursor import Cursor, CursorInfo
from mdtool.storage.reading.reader import Reader
from mdtool.storage.settings import LOCATIONS, Live

__all__ = ["FeedInfo", "Live", "Store"]

DEFAULT_CHUNK_BYTES = 64 * 1024 * 1024


class Store:
    """Open one with `Store.open` (it must exist) or `Store.create` (made if missing). Closes as a context manager.

    It knows its feeds by their names `venue/SYMBOL` alone."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._registry = StoreRegistry(path / REGISTRY, writable=writable)
        self._writable = writable
        self.id = self._registry.store_id

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> Self:
        """An existing store, for reading or to change settings too. Raises NotAStore, and StoreError where it may not
        be written."""
        path = Path(path).absolute()
        if not is_registry(path / REGISTRY):
            raise NotAStore(_no_store(path))
        return cls(path, writable=writable)

    @classmethod
    def create(cls, path: Path | str, clock: Clock | None = None) -> Self:
        """The store at `path` for writing, made if the directory is missing or empty. Raises NotAStore where the
        directory holds something else."""
        path = Path(path).absolute()
        if not is_registry(path / REGISTRY):
            if path.is_dir() and not all(_may_be_there(entry.name) for entry in path.iterdir()):
                raise NotAStore(
                    f"{path} is not empty and no mdtool store (no {REGISTRY}): "
                    "name an empty or new directory with --store"
                )
            files.make_directory(path)
            try:
                StoreRegistry.create(path / REGISTRY, (clock or SystemClock()).now_ns())
            except FileExistsError:
                pass  # another process made it in the meantime, which serves as well
            except OSError as error:
                raise StoreError(f"{path}: cannot make a store there: {error.strerror}") from None
        if not os.access(path / REGISTRY, os.W_OK):
            raise StoreError(f"{path / REGISTRY}: not writable by this user; record into another --store")
        return cls(path, writable=True)

    @property
    def shared_memory(self) -> Path:
        """The store's own directory in shared memory; it need not exist."""
        return layout.shm_root(self.id)

    def feeds(self) -> list[FeedInfo]:
        """Every feed, by name."""
        return sorted(self._registry.feeds(), key=lambda feed: feed.name)

    def __iter__(self) -> Iterator[FeedInfo]:
        """As `feeds`."""
        return iter(self.feeds())

    def __contains__(self, feed: object) -> bool:
        """Whether a feed, or the feed of a name, is in this store."""
        name = feed.name if isinstance(feed, FeedInfo) else feed
        found = self._registry.find(name) if isinstance(name, str) else None
        return found is not None and (not isinstance(feed, FeedInfo) or feed.store_id == self.id)

    def feed(self, name: str) -> FeedInfo:
        """The feed called `venue/SYMBOL`. Raises FeedNotFound."""
        feed = self._registry.find(name)
        if feed is None:
            raise FeedNotFound(f"{self.path} has no feed {name!r}; see: mdtool registry list")
        return feed

    def denial(self, feed: FeedInfo) -> str | None:
        """Why this user may not read a feed, in words; None where they may."""
        path = denied_of(feed)
        return files.denial(path) if path is not None else None

    def reader(self, name: str, *, verify: bool = True) -> Reader:
        """A reader at the feed's beginning. `verify`: check each record's CRC as it is read."""
        return Reader(self.feed(name), verify=verify)

    def cursor(self, feed: str, name: str, *, create: bool = True, durable: bool = False) -> Cursor:
        """The named position `name` in a feed, owned until closed; at the feed's beginning if it is new. `durable`:
        each commit survives a power loss, at the price of a disk sync. Raises FeedNotFound, and StoreError while
        another process has it (or there is none and `create` is False)."""
        return Cursor(self.feed(feed), name, create=create, durable=durable)

    def cursors(self, feed: str) -> list[CursorInfo]:
        """The cursors of a feed, by name, without touching them."""
        return cursors.cursors(self.feed(feed))

    def remove_cursor(self, feed: str, name: str) -> None:
        """Forget a cursor. Raises StoreError where there is none, or while a process has it."""
        cursors.remove(self.feed(feed), name)

    def writer(
        self,
        name: str,
        *,
        live: Live | None = None,
        chunk_bytes: int | None = None,
        clock: Clock | None = None,
        sync: Sync = "1s",
    ) -> Writer:
        """The one writer of `venue/SYMBOL`, made known if it is new. `live` and `chunk_bytes` are kept as the feed's
        settings. Raises FeedLocked while another process writes it; nothing is changed then."""
        clock = clock or SystemClock()
        ((feed, lock),) = self._own_feeds([name], live, chunk_bytes, clock)
        return Writer(feed, lock, clock, sync)

    def writers(
        self,
        names: Iterable[str],
        *,
        live: Live | None = None,
        chunk_bytes: int | None = None,
        clock: Clock | None = None,
        sync: Sync = "1s",
    ) -> dict[str, Writer]:
        """The writers of many feeds, all or none, as `writer` gives them one by one: new ones are brought to disk
        together, and each has the chunk it begins with open, so that its first append waits for nothing."""
        clock = clock or SystemClock()
        names = list(dict.fromkeys(names))
        with contextlib.ExitStack() as undo:
            made: dict[str, Writer] = {}
            owned = self._own_feeds(names, live, chunk_bytes, clock)
            for _, lock in owned:
                undo.callback(lock.release)
            for name, (feed, lock) in zip(names, owned, strict=True):
                writer = made[name] = Writer(feed, lock, clock, sync)
                undo.callback(writer.close)
            for writer in made.values():
                writer.make_ready()
            undo.pop_all()
        return made

    def free_session(self, venue: str) -> str:
        """The first session feed of a venue that no process writes, in the store or not."""
        return next(self._free_sessions(venue))

    def session_writer(
        self,
        venue: str,
        *,
        live: Live | None = None,
        chunk_bytes: int | None = None,
        clock: Clock | None = None,
        sync: Sync = "1s",
    ) -> Writer:
        """The writer of the first session feed of a venue that no other process writes: a feed has one writer, and
        whoever records or imports needs one for what belongs to no symbol."""
        for name in self._free_sessions(venue):
            with contextlib.suppress(FeedLocked):  # taken in the meantime
                return self.writer(name, live=live, chunk_bytes=chunk_bytes, clock=clock, sync=sync)
        raise AssertionError  # there is always a next one

    def _free_sessions(self, venue: str) -> Iterator[str]:
        taken = {
            feed.symbol
            for feed in self._registry.feeds()
            if feed.venue == venue and is_session(feed.symbol) and locks.is_written(feed.directory)
        }
        free = (symbol for symbol in map(session_symbol, itertools.count(1)) if symbol not in taken)
        return (f"{venue}/{symbol}" for symbol in free)

    def make_known(
        self, names: Iterable[str], *, live: Live | None = None, chunk_bytes: int | None = None, clock: Clock
    ) -> None:
        """Have these feeds in the store, new ones with nothing in them, so that what `set` says of one holds from its
        first record on; those that are there are left alone. `live` and `chunk_bytes` as `writer` has them. Raises
        FeedLocked, StoreError."""
        new = [name for name in dict.fromkeys(names) if self._registry.find(name) is None]
        for _, lock in self._own_feeds(new, live, chunk_bytes, clock):
            lock.release()

    def set(
        self,
        name: str,
        *,
        live: Live | None = None,
        chunk_bytes: int | None = None,
        live_window_ns: int | None = None,
        retain_ns: int | None = None,
        max_bytes: int | None = None,
        keep_last: int | None = None,
        archive: str | None = None,
    ) -> FeedInfo:
        """Change settings of a feed; None leaves one as it is. Raises FeedNotFound, UsageError.

        `live` and `chunk_bytes` hold from its writer's next start on. `live_window_ns`: closed chunks younger stay
        unsealed. `retain_ns`, `max_bytes` (0: no limit): parts that are older, or beyond, may go; the last `keep_last`
        stay. `archive`: URI parts are kept under, "" for the feed's own directory."""
        fields = settings.fields(live, chunk_bytes, live_window_ns, retain_ns, max_bytes, keep_last, archive)
        return self._update(name, fields)

    def set_scale(self, name: str, scale: Scale) -> None:
        """Keep the decimal exponents a feed has been found to need."""
        self._update(name, {"scale_known": 1, "price_exp": scale.price_exp, "size_exp": scale.size_exp})

    def _update(self, name: str, fields: dict[str, object]) -> FeedInfo:
        with self._registry.locked():
            feed = self.feed(name)
            self._registry.update_feed(feed.feed_id, fields)
            feed = self._registry.feed(feed.feed_id)
            with contextlib.suppress(FileNotFoundError):  # known, and not written yet
                copy_settings(feed)
        return feed

    def remove(self, name: str, clock: Clock | None = None) -> Path | None:
        """Take a feed out of the store. Nothing is deleted: its directory goes to `<store>/trash/`, which is returned
        (None: there was none). Raises FeedNotFound, FeedLocked while it is written, StoreError while it has records in
        shared memory only."""
        with self._registry.locked():
            feed = self.feed(name)
            trashed = settings.to_trash(feed, self.path, (clock or SystemClock()).now_ns())
            self._registry.update_feed(feed.feed_id, {"state": FeedState.REMOVED})
        return trashed

    def next_session(self) -> int:
        """A session number that no other connection of this store has."""
        with self._registry.locked():
            return self._registry.next_session()

    def close(self) -> None:
        """Let the registry go; readers and writers that were opened from here go on."""
        self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_feeds(
        self, names: Sequence[str], live: Live | None, chunk_bytes: int | None, clock: Clock
    ) -> list[tuple[FeedInfo, WriterLock]]:
        """The feeds with these settings, registered and with their own registries, each with its writer's lock; all or
        none."""
        settings.check_chunk_bytes(chunk_bytes)
        for name in names:
            venue, _, symbol = name.partition("/")
            layout.check_name(venue, symbol)
        with self._registry.locked(), contextlib.ExitStack() as undo:
            held: dict[str, WriterLock] = {}

            def hold(feed: FeedInfo) -> None:
                if feed.name not in held:
                    held[feed.name] = lock_writer(feed)
                    undo.callback(held[feed.name].release)

            found = [self._registry.find(name) for name in names]
            for known in found:
                if known is not None and known.directory.is_dir():
                    hold(known)  # before anything is changed: of a feed that another process writes, nothing is
            unknown = any(feed is None for feed in found)
            feeds = [self._registered(name, live, chunk_bytes, clock) for name in names]
            if unknown or self._registry.unsure:
                self._registry.sync()
            new = [feed for feed in feeds if not (feed.directory / "feed.bin").exists()]
            if len(new) > 1:
                self._make_together(new)
            for feed in feeds:
                self._make(feed)
                hold(feed)
                try:
                    copy_settings(feed)
                except OSError as error:
                    raise files.refusal(feed.directory / "feed.bin", error, "cannot be opened") from None
            undo.pop_all()
        return [(feed, held[feed.name]) for feed in feeds]

    def _make(self, feed: FeedInfo) -> None:
        files.make_directory(feed.directory)
        try:
            locks.offer(feed.directory)  # before there is anything to be looked at
            if not (feed.directory / "feed.bin").exists():
                FeedRegistry.create(feed.directory / "feed.bin", self.id, feed.feed_id, feed.created_ns)
        except OSError as error:
            raise files.refusal(feed.directory, error, "the feed cannot be made") from None

    def _make_together(self, feeds: Sequence[FeedInfo]) -> None:
        contents: dict[Path, list[bytes]] = {}
        for feed in feeds:
            contents[feed.directory / locks.MAINTENANCE_LOCK] = []  # named first, as above
            contents[feed.directory / "feed.bin"] = FeedRegistry.blank(self.id, feed.feed_id, feed.created_ns)
        files.write_together(contents, [chunk_directory(feed, feed.live) for feed in feeds], self.path)

    def _registered(self, name: str, live: Live | None, chunk_bytes: int | None, clock: Clock) -> FeedInfo:
        feed = self._registry.find(name)
        if feed is None:
            venue, _, symbol = name.partition("/")
            location, size = LOCATIONS[live or "disk"], chunk_bytes or DEFAULT_CHUNK_BYTES
            return self._registry.add_feed(venue, symbol, location, size, clock.now_ns())
        location = LOCATIONS[live] if live else feed.live
        size = chunk_bytes or feed.chunk_bytes
        if (location, size) != (feed.live, feed.chunk_bytes):
            self._registry.update_feed(feed.feed_id, {"live": location, "chunk_bytes": size})
            feed = self._registry.feed(feed.feed_id)
        return feed


def _may_be_there(name: str) -> bool:
    """Whether a directory that holds this is still as good as empty."""
    # A process that died while it made a store leaves the registry it had not yet given its name.
    return name == "lost+found" or name.startswith(f".{REGISTRY}.")


def _no_store(path: Path) -> str:
    if not path.exists():
        return f"{path}: no such directory, expected an mdtool store; record or import makes one, --store names another"
    if not path.is_dir():
        return f"{path}: a file, expected the directory of an mdtool store; --store names another"
    if (path / "feeds").is_dir() or (path / PARTS).is_dir():
        return f"{path}: its {REGISTRY} is lost or damaged; run: mdtool registry verify --rebuild"
    return f"{path}: no mdtool store (it has no {REGISTRY}); record or import makes one, --store names another"
