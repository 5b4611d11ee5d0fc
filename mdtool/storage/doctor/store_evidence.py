"""Which feeds a store has, by registry.bin and by what lies below feeds/, whatever state either is in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdtool.errors import StoreError, UsageError
from mdtool.storage import files
from mdtool.storage.doctor.feed_evidence import examine_feed
from mdtool.storage.doctor.lost_feeds import folders_of_parts, of_parts
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.untrusted import Bytes, TableEvidence, head_of, load, read_table
from mdtool.storage.format import layout
from mdtool.storage.format.layout import REGISTRY, FeedState, Location
from mdtool.storage.journal.registry import FeedInfo, feed_info
from mdtool.storage.parts.archive import PARTS, own_place


class StoreEvidence:
    """What registry.bin says, and which feeds are there whatever it says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if files.denied(path / REGISTRY):
            raise StoreError(files.denial(path / REGISTRY))  # which is no damage, and nothing can be said without it
        self.directories = feed_directories(path)  # before the registry, which names a feed first
        parts = folders_of_parts(path)
        self.file: Bytes = load(path / REGISTRY)
        self.head, why = head_of(self.file.data, layout.STORE_HEADER, layout.STORE_MAGIC)
        self.why = self.file.error or why
        self.table: TableEvidence = read_table(
            self.file.path, self.file.data, layout.FEED_SLOT, layout.PAGE, layout.COMMITTED_AT, in_use=True
        )
        self.next_session = int.from_bytes(
            self.file.data[layout.NEXT_SESSION_AT : layout.NEXT_SESSION_AT + 8], "little"
        )
        self.store_id = bytes(self.head["store_id"]).hex() if self.head is not None else ""
        if not self.store_id:
            self.store_id = _store_id_of(self.directories)
        self.registered: dict[int, FeedInfo] = {}  # by number of the slot, active ones
        self._names: set[str] = set()
        self.nonsense: list[int] = []  # slots that prove themselves and say what cannot be
        for number, slot in enumerate(self.table.slots):
            if slot is not None:
                self._take(number, slot)
        self.strays = [directory for directory in self.directories if name_of(directory) not in self._names]
        guessed = (guess(directory, self.store_id) for directory in self.strays)
        there = [*self.registered.values(), *guessed]
        self.lost = of_parts(path, parts, {feed.name for feed in there}, self.store_id)  # parts are all there is
        if self.lost and not self.store_id:
            self.store_id = self.lost[0].store_id
            self.lost = [feed for feed in self.lost if feed.store_id == self.store_id]
        self.feeds = sorted([*there, *self.lost], key=lambda feed: feed.name)

    def _take(self, number: int, slot: np.void) -> None:
        try:
            active = FeedState(int(slot["state"])) == FeedState.ACTIVE
            if active:
                feed = feed_info(slot, self.path, self.store_id)
                layout.check_name(feed.venue, feed.symbol)
                if feed.name not in self._names:
                    self.registered[number] = feed
                    self._names.add(feed.name)
        except (ValueError, UsageError):
            active = True
        if int(slot["feed_id"]) != number + 1 or (active and number not in self.registered):
            self.nonsense.append(number)


def examine_store(path: Path) -> StoreEvidence:
    """Raises StoreError where this user may not read the registry, and for nothing else."""
    return StoreEvidence(path)


def name_of(directory: Path) -> str:
    """The feed a directory of `feed_directories` is of."""
    return f"{directory.parent.name}/{layout.symbol_of_folder(directory.name)}"


def feed_directories(path: Path) -> list[Path]:
    """Every directory that can be a feed's."""
    found = []
    for directory in sorted(path.glob("feeds/*/*")):
        try:
            layout.check_name(directory.parent.name, layout.symbol_of_folder(directory.name) or "")
        except UsageError:
            continue
        if directory.is_dir() and not directory.is_symlink():
            found.append(directory)
    return found


def parts_of_nobody(store: StoreEvidence) -> Iterator[Path]:
    """What lies in the store's folder of parts where no feed has any."""
    known = {own_place(feed).root for feed in store.feeds}
    venues = {folder.parent for folder in known}
    top = store.path / PARTS
    for entry in sorted([*top.glob("*"), *top.glob("*/*")]):
        nobodys = entry not in known | venues and entry.parent in {top, *venues}
        if nobodys and any(not path.is_dir() for path in [entry, *entry.rglob("*")]):
            yield entry


def guess(directory: Path, store_id: str) -> FeedInfo:
    """A feed no registry knows, from what its own files say; feed id 0 where they do not."""
    seen = examine_feed(directory, in_use=True)
    if seen.settings is not None:
        try:
            info = feed_info(seen.settings, directory.parents[2], store_id)
            if info.name == name_of(directory):
                return info
        except ValueError:
            pass
    feed_id, heap_bytes = int(seen.head["feed_id"]) if seen.head is not None else 0, 0
    shm = any(
        slot is not None and (good := Slot.of(slot)) is not None and good.location == Location.SHM
        for slot in seen.chunks.slots
    )
    for index in sorted(directory.glob("live/[0-9]*.idx")):
        head, _ = head_of(load(index).data, layout.CHUNK_HEADER, layout.CHUNK_MAGIC)
        if head is not None:
            feed_id, heap_bytes = feed_id or int(head["feed_id"]), int(head["heap_capacity"])
    return FeedInfo(
        feed_id,
        directory.parent.name,
        layout.symbol_of_folder(directory.name) or directory.name,
        directory,
        Location.SHM if shm else Location.DISK,
        max(4096, heap_bytes) if heap_bytes else 64 << 20,
        None,
        int(seen.head["created_ns"]) if seen.head is not None else 0,
        store_id,
    )


def _store_id_of(directories: list[Path]) -> str:
    """The store's id as its feeds say, where its registry does not."""
    for directory in directories:
        paths = [(directory / "feed.bin", layout.FEED_HEADER, layout.FEED_MAGIC)]
        paths += [(p, layout.CHUNK_HEADER, layout.CHUNK_MAGIC) for p in sorted(directory.glob("live/[0-9]*.idx"))]
        for path, dtype, magic in paths:
            head, _ = head_of(load(path).data, dtype, magic)
            if head is not None:
                return bytes(head["store_id"]).hex()
    return ""
