"""registry.bin, and each feed.bin, made again from the feeds that are there: `registry verify --rebuild`.

Rule: nothing is deleted; a registry that is replaced or changed is kept in `repaired/<time>/`. Slots and heads that
prove themselves stay as they are.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mdtool.clock import Clock, SystemClock
from mdtool.errors import FeedLocked, NotAStore, StoreError
from mdtool.storage import files
from mdtool.storage.doctor.chunk_evidence import Progress, no_progress
from mdtool.storage.doctor.feed_evidence import examine_feed
from mdtool.storage.doctor.lost_feeds import has_parts, of_archives
from mdtool.storage.doctor.part_evidence import highest_session_in
from mdtool.storage.doctor.quarantine import Quarantine
from mdtool.storage.doctor.recovered_table import RepairAction, highest_session, put_right, recover_table, renewed_image
from mdtool.storage.doctor.registry_image import keeps_numbers, write_image
from mdtool.storage.doctor.store_evidence import StoreEvidence, examine_store
from mdtool.storage.format import layout
from mdtool.storage.format.layout import FeedState
from mdtool.storage.journal.locks import is_written, lock_writer, maintaining
from mdtool.storage.journal.registry import FeedInfo, denied_of, feed_fields


@dataclass(slots=True)
class _Registry:
    """What registry.bin is to hold: a slot for each feed id, from 1 on."""

    slots: list[bytes]
    feeds: list[FeedInfo]
    actions: list[RepairAction] = field(default_factory=list)


def rebuild(
    path: Path, *, dry_run: bool = False, clock: Clock | None = None, progress: Progress = no_progress
) -> list[RepairAction]:
    """Make the registries of the store in `path` whole, from what proves itself in them and from the chunks; says what
    it found and did. A feed that is being written is left alone. Raises NotAStore, and FeedLocked where registry.bin
    has to be replaced while a feed is being written."""
    path = path.absolute()
    clock = clock or SystemClock()
    with _locked(path):
        store = examine_store(path)
        if store.file.missing and not store.feeds:
            raise NotAStore(f"{path}: neither a registry nor feeds below feeds/; --store names another directory")
        written = [feed.name for feed in store.feeds if is_written(feed.directory)]
        if store.head is None and written:
            raise FeedLocked(
                f"{store.file.path} is to be replaced while {written[0]} is being written: stop that first"
            )
        if not store.store_id:
            store.store_id = uuid.uuid4().hex
        made = _plan(store)
        made.feeds = [replace(feed, store_id=store.store_id) for feed in made.feeds]
        highest = 0
        for feed in made.feeds:
            if feed.name not in written:
                highest = max(highest, _feed(feed, made.actions, dry_run, clock.now_ns(), progress))
        new = _image(store, made, highest, clock.now_ns())
        old = bytes(store.file.data)
        if old[: len(new)] != new or old[len(new) :].count(0) != len(old) - len(new):
            if not any(not action.feed for action in made.actions):
                made.actions.append(
                    RepairAction("", str(store.file.path), store.why or "its counts are wrong", "put right")
                )
            if not dry_run:
                quarantine = Quarantine(path, clock.now_ns())
                quarantine.open({"actions": [asdict(action) for action in made.actions]})
                write_image(store.file.path, new, quarantine, in_place=store.head is not None)
    return made.actions


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among those who change registry.bin, where it is there."""
    try:
        fd = files.open_existing(path / "registry.bin")
    except OSError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _plan(store: StoreEvidence) -> _Registry:
    where = str(store.file.path)
    made = _Registry([], list(store.registered.values()))
    slots: dict[int, bytes] = {}  # by feed id
    for number, slot in enumerate(store.table.slots):
        if slot is not None and number not in store.nonsense:
            slots[number + 1] = slot.tobytes()
    taken = {number + 1 for number in store.registered}
    names = {feed.name for feed in made.feeds}
    for feed in [*store.feeds, *_archived(store, made.actions)]:
        if feed.name in names:
            continue
        if not 0 < feed.feed_id < 1 << 20 or feed.feed_id in taken:
            why = (
                "no file of it says its number" if not feed.feed_id else f"its number {feed.feed_id} is another feed's"
            )
            made.actions.append(
                RepairAction(feed.name, str(feed.directory), "a feed that no entry names", f"left: {why}", left=True)
            )
            continue
        copied = feed.created_ns and examine_feed(feed.directory, in_use=True).settings is not None
        made.feeds.append(feed)
        taken.add(feed.feed_id)
        slots[feed.feed_id] = layout.sealed(layout.FEED_SLOT, **feed_fields(feed))
        settings = "with its settings" if copied else "its settings unknown and as for a new feed"
        made.actions.append(
            RepairAction("", f"{where} slot {feed.feed_id - 1}", f"no entry for {feed.name}", f"entered, {settings}")
        )
    for feed_id in range(1, max(slots, default=0) + 1):
        if feed_id not in slots:
            slots[feed_id] = layout.sealed(layout.FEED_SLOT, feed_id=feed_id, state=FeedState.REMOVED)
            made.actions.append(
                RepairAction(
                    "", f"{where} slot {feed_id - 1}", "damaged or missing, and no directory is its feed's", "left out"
                )
            )
    made.slots = [slots[feed_id] for feed_id in sorted(slots)]
    return made


def _archived(store: StoreEvidence, actions: list[RepairAction]) -> Iterator[FeedInfo]:
    """Feeds that only archives have any more; one that was taken out of the store has its parts there, too."""
    whole = {number for number, slot in enumerate(store.table.slots) if slot is not None}
    removed = {number + 1 for number in whole.difference(store.registered, store.nonsense)}
    for found in of_archives(store.path, store.feeds):
        if isinstance(found, StoreError):
            actions.append(RepairAction("", str(found), "an archive", "left: it cannot be looked at", left=True))
        elif found.feed_id not in removed:
            yield found


def _has_parts(feed: FeedInfo, actions: list[RepairAction]) -> bool:
    try:
        return has_parts(feed)
    except StoreError as error:
        actions.append(RepairAction(feed.name, feed.archive, str(error), "left: its parts cannot be seen", left=True))
        return False


def _feed(feed: FeedInfo, actions: list[RepairAction], dry_run: bool, now_ns: int, progress: Progress) -> int:
    """A feed's own registry; returns the highest session of its records."""
    if (path := denied_of(feed)) is not None:
        why = "left: this user may not read it"
        actions.append(RepairAction(feed.name, str(path), "permission denied", why, left=True))
        return 0
    with ExitStack() as held:
        if not feed.directory.is_dir():
            if not _has_parts(feed, actions):
                return 0
            actions.append(
                RepairAction(feed.name, str(feed.directory), "it is gone, and parts of the feed are there",
                       "made again; what was in no part is lost", lost=None)
            )  # fmt: skip
        if not dry_run:
            files.make_directory(feed.directory)
            held.callback(lock_writer(feed).release)
            held.enter_context(maintaining(feed, wait=False))
        registry = examine_feed(feed.directory, in_use=False)
        table = recover_table(feed, registry, progress)
        new = renewed_image(feed, registry, table)
        mine = [*table.actions, *([put_right(feed, registry)] if new is not None and not table.actions else [])]
        actions += mine
        if new is not None and not dry_run:
            quarantine = Quarantine(feed.directory, now_ns)
            quarantine.open({"feed": feed.name, "actions": [asdict(action) for action in mine]})
            write_image(registry.path, new, quarantine, in_place=keeps_numbers(feed, registry, table.slots))
        return max(highest_session(table), highest_session_in(feed, table.slots))


def _image(store: StoreEvidence, made: _Registry, highest: int, now_ns: int) -> bytes:
    """registry.bin as it is to be."""
    session, created_ns = 1, min((feed.created_ns for feed in made.feeds if feed.created_ns), default=now_ns)
    if store.head is not None:
        created_ns = int(store.head["created_ns"])
        session = store.next_session if store.next_session < 1 << 32 else 1
    if session <= highest:
        made.actions.append(
            RepairAction("", str(store.file.path), f"next session {session}, and records of session {highest}",
                   f"next session {highest + 1}")
        )  # fmt: skip
        session = highest + 1
    head = layout.sealed(
        layout.STORE_HEADER,
        magic=layout.STORE_MAGIC,
        version=layout.VERSION,
        header_bytes=layout.PAGE,
        store_id=uuid.UUID(store.store_id).bytes,
        created_ns=created_ns,
        next_session=max(1, session),
        committed=len(made.slots),
    )
    return head + b"".join(made.slots)
