"""A feed whose directory is lost is there again after a rebuild, with every record that is in a part."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed

ALPHA, BRAVO = "sim/ALPHA_USDT", "sim/BRAVO_USDT"
NOON = 1_700_049_600 * SECOND
Rows = dict[str, list[tuple[int, str, bytes]]]


def sealed(path: Path, archive: Path | None, *names: str) -> None:
    """Two sealed days of each feed, and a day that is not sealed."""
    with Store.create(path) as store:
        for name in names:
            clock = ManualClock(NOON)
            with store.writer(name, clock=clock) as writer:
                if archive is not None:
                    store.set(name, archive=str(archive))
                for number in range(60):
                    at = NOON + number // 20 * DAY + number
                    writer.append(at, Kind.DATA, writer.stream("ab"[number % 2]), 0, b"%d" % number * 20)
            assert seal_feed(store.feed(name), NOON + 2 * DAY).error is None


def rows(path: Path) -> Rows:
    found = {}
    with Store.open(path) as store:
        for feed in store:
            with store.reader(feed.name) as reader:
                found[feed.name] = [(r.recv_ns, reader.stream_name(r.stream), r.payload) for r in reader.records()]
    return found


def in_parts(before: Rows) -> Rows:
    return {name: records[:40] for name, records in before.items()}


@pytest.mark.parametrize("where", ["parts", "archive"])
def test_a_feed_the_registry_names(tmp_path: Path, where: str) -> None:
    path = tmp_path / "s"
    sealed(path, tmp_path / "archive" if where == "archive" else None, ALPHA, BRAVO)
    before = rows(path)
    with Store.open(path) as store:
        settings, lost = store.feeds(), store.feed(ALPHA).directory
    shutil.rmtree(lost)
    assert {flaw.what for flaw in verify(path).findings} == {FlawKind.ORPHAN}
    foreseen = [str(action) for action in rebuild(path, dry_run=True)]
    assert not lost.exists()
    actions = rebuild(path)
    assert [str(action) for action in actions] == foreseen
    assert (actions[0].found, actions[0].lost) == ("it is gone, and parts of the feed are there", None)
    assert rows(path) == in_parts(before) | {BRAVO: before[BRAVO]}
    with Store.open(path) as store:
        assert store.feeds() == settings
    assert verify(path).findings == []
    assert rebuild(path) == []


def test_no_registry_and_no_directory_but_parts(tmp_path: Path) -> None:
    path = tmp_path / "s"
    sealed(path, None, ALPHA, BRAVO)
    before = in_parts(rows(path))
    with Store.open(path) as store:
        feeds = store.feeds()
    shutil.rmtree(path / "feeds")
    (path / "registry.bin").unlink()
    assert FlawKind.ORPHAN in {flaw.what for flaw in verify(path).findings}
    rebuild(path)
    assert rows(path) == before
    with Store.open(path) as store:
        assert [(feed.name, feed.feed_id, feed.store_id) for feed in store] == [
            (feed.name, feed.feed_id, feed.store_id) for feed in feeds
        ]
    assert verify(path).findings == []


def test_parts_of_another_store_are_not_taken(tmp_path: Path) -> None:
    sealed(tmp_path / "s", None, ALPHA)
    sealed(tmp_path / "other", None, BRAVO)
    below = Path("parts") / "venue=sim" / "symbol=BRAVO_USDT"
    shutil.copytree(tmp_path / "other" / below, tmp_path / "s" / below)
    assert rebuild(tmp_path / "s") == []
    assert [flaw.found for flaw in verify(tmp_path / "s").findings] == ["parts of no feed"]


def test_an_archive_has_what_no_registry_and_no_directory_has(tmp_path: Path) -> None:
    """Where another feed of the store still says which archive that is; what was removed stays removed."""
    path, gone = tmp_path / "s", "sim/CHARLIE_USDT"
    sealed(path, tmp_path / "archive", ALPHA, BRAVO, gone)
    before = rows(path)
    with Store.open(path, writable=True) as store:
        store.remove(gone)
        lost = replace(store.feed(ALPHA), live_window_ns=0)
    assert rebuild(path) == []
    shutil.rmtree(lost.directory)
    registry = bytearray((path / "registry.bin").read_bytes())
    at = registry.index(b"ALPHA_USDT")
    registry[at] ^= 1  # its entry does not prove itself any more
    (path / "registry.bin").write_bytes(registry)
    rebuild(path)
    assert rows(path) == {ALPHA: before[ALPHA][:40], BRAVO: before[BRAVO]}
    with Store.open(path) as store:
        assert store.feed(ALPHA) == lost
    assert verify(path).findings == []
