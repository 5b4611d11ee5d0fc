"""Verifying, repairing and rebuilding a store, whatever state its registries are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdtool.commands.tasks.amounts import Sum, Told
from mdtool.errors import CorruptStore, FeedLocked, MdtoolError, NotAStore, UsageError
from mdtool.storage.doctor.flaws import Checked
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.recovered_table import RepairAction
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.store_evidence import StoreEvidence, examine_store
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store
from mdtool.units import parse_duration, parse_size
from mdtool.venues.catalog import VENUES
from mdtool.venues.symbols import match

OFF = ("0", "off", "none")
SETTINGS = {  # name on the command line: what Store.set calls it, and how it is read
    "live": "live",
    "chunk": "chunk_bytes",
    "live-window": "live_window_ns",
    "retain": "retain_ns",
    "max-bytes": "max_bytes",
    "keep-last": "keep_last",
    "archive": "archive",
}


Counter = Callable[[int, int], None]  # gets records and their payload bytes, as they are looked at


def counter(told: Told, total: int | None = None) -> Counter:
    """Adds up the bytes."""
    done = Sum(told, total)
    return lambda records, payload_bytes: done(payload_bytes)


def payload_bytes(path: Path, patterns: Sequence[str]) -> int | None:
    """Of the feeds that patterns name, else of all, as the registries have it; None where they cannot be read."""
    try:
        with Store.open(path) as store:
            infos = {info.name: info for info in store.feeds()}
            names = match(patterns, list(infos)) if patterns else list(infos)
            total = 0
            for name in names:
                with store.reader(name, verify=False) as reader:
                    total += sum(chunk.heap_bytes for chunk in reader.chunks())
            return total
    except (MdtoolError, OSError):  # which whoever looks at the store has to say, and not its progress
        return None


@dataclass(frozen=True, slots=True)
class RepairReport:
    dry_run: bool
    feeds: int
    actions: list[RepairAction]
    skipped: list[str]  # feeds that are being recorded


@dataclass(frozen=True, slots=True)
class RebuildReport:
    dry_run: bool
    actions: list[RepairAction]
    findings: Checked | None  # what verify says of the registries afterwards; None of a dry run


def store_at(path: Path) -> StoreEvidence:
    """What is in `path`. Raises NotAStore where that is neither a store nor the rest of one."""
    path = path.absolute()
    found = examine_store(path) if path.is_dir() else None
    if found is None or (found.file.missing and not found.feeds):
        Store.open(path).close()  # says what is wrong
        raise NotAStore(f"{path}: no mdtool store")
    return found


def selected(path: Path, patterns: Sequence[str]) -> list[str] | None:
    """The feeds that patterns name; None for all. Raises NotAStore, FeedNotFound."""
    store = store_at(path)
    return match(patterns, [feed.name for feed in store.feeds], VENUES) if patterns else None


def verify_store(
    path: Path, names: Sequence[str] | None, counter: Counter, *, registries_only: bool = False
) -> Checked:
    return verify(path.absolute(), names, registries_only=registries_only, progress=counter)


def repair_feeds(path: Path, patterns: Sequence[str], *, gone: bool, dry_run: bool, counter: Counter) -> RepairReport:
    """Repair the feeds that patterns name, else every feed that is not being recorded. Raises FeedLocked where a feed
    that was named is."""
    store = store_at(path)
    if store.head is None:
        raise CorruptStore(f"{store.file.path}: {store.why}; run: mdtool registry verify --rebuild")
    feeds = {feed.name: feed for feed in store.registered.values()}
    names = match(patterns, list(feeds), VENUES) if patterns else sorted(feeds)
    actions: list[RepairAction] = []
    skipped: list[str] = []
    for name in names:
        try:
            actions += repair(feeds[name], gone=gone, dry_run=dry_run, progress=counter)
        except FeedLocked:
            if patterns:
                raise
            skipped.append(name)
    return RepairReport(dry_run, len(names) - len(skipped), actions, skipped)


def rebuild_registries(path: Path, counter: Counter, *, dry_run: bool) -> RebuildReport:
    store_at(path)
    actions = rebuild(path, dry_run=dry_run, progress=counter)
    return RebuildReport(dry_run, actions, None if dry_run else verify(path.absolute(), registries_only=True))


def parse_settings(pairs: Sequence[str]) -> dict[str, object]:
    """`key=value` words as arguments of Store.set. Raises UsageError."""
    given: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key, value = key.strip().replace("_", "-"), value.strip()
        if not equals or key not in SETTINGS:
            raise UsageError(f"{pair!r}: expected key=value, with a key of {', '.join(SETTINGS)}")
        given[SETTINGS[key]] = _value(key, value)
    if not given:
        raise UsageError(f"nothing to set: give key=value, with a key of {', '.join(SETTINGS)}")
    return given


def _value(key: str, value: str) -> object:
    off = value.lower() in OFF
    if key == "live":
        if value not in ("disk", "shm"):
            raise UsageError(f"live={value}: expected disk or shm")
        return value
    if key == "archive":
        return "" if off else value
    if key == "keep-last":
        if not off and not (value.isascii() and value.isdecimal()):
            raise UsageError(f"keep-last={value}: expected a number of parts")
        return 0 if off else int(value)
    if off and key != "chunk":
        return 0
    return parse_size(value) if key in ("chunk", "max-bytes") else parse_duration(value)


def set_feed(path: Path, name: str, given: dict[str, object]) -> None:
    """Raises NotAStore, FeedNotFound, UsageError."""
    with Store.open(path, writable=True) as store:
        store.set(name, **given)  # type: ignore[arg-type]


def remove_feed(path: Path, name: str) -> Path | None:
    """Raises NotAStore, FeedNotFound, FeedLocked, StoreError."""
    with Store.open(path, writable=True) as store:
        return store.remove(name)
