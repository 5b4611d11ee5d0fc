"""Two stores that keep their parts in one archive: neither touches what is the other's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
NAME = "date=2023-11-15/000001.parquet"


def recorded(path, archive, word, *, days=1, seal=True):
    """A store with a feed of `days` parts of three records."""
    store = Store.create(path)
    with store.writer(FEED, clock=ManualClock(NOON), sync="none") as writer:
        for day in range(days):
            for number in range(3):
                payload = b"%s %d" % (word, day * 3 + number)
                writer.append(NOON + day * DAY + number, Kind.DATA, writer.stream("d"), 0, payload)
    store.set(FEED, archive=str(archive))
    if seal:
        assert seal_feed(store.feed(FEED), NOON + 9 * DAY).error is None
    return store


def words(store):
    return [record.payload for record in store.reader(FEED).records()]


def below(store, name=NAME):
    return f"recorder={store.id}/venue=sim/symbol=ALPHA_USDT/{name}"


def as_older(store, archive, name=NAME):
    """Move a part to where an archive had it before its paths began with the store's id."""
    older = archive / FEED / name
    older.parent.mkdir(parents=True, exist_ok=True)
    (archive / below(store, name)).rename(older)
    return older


def test_two_stores_and_one_archive(tmp_path):
    archive = tmp_path / "shelf"
    stores = [recorded(tmp_path / word, archive, word.encode()) for word in ("one", "two")]
    assert sorted(str(path.relative_to(archive)) for path in archive.rglob("*.parquet")) == sorted(map(below, stores))
    for store, word in zip(stores, (b"one", b"two"), strict=True):
        assert words(store) == [b"%s %d" % (word, number) for number in range(3)]
        assert verify(store.path).findings == []
        assert repair(store.feed(FEED)) == []


def test_an_archive_from_before_is_read_and_cleaned_and_what_is_anothers_in_it_is_not_touched(tmp_path):
    archive = tmp_path / "shelf"
    one = recorded(tmp_path / "one", archive, b"one", days=2)
    two = recorded(tmp_path / "two", archive, b"two", days=2)
    mine = as_older(one, archive)
    theirs = as_older(two, archive, "date=2023-11-16/000002.parquet")
    kept = theirs.read_bytes()
    assert words(one) == [b"one %d" % number for number in range(6)]
    assert words(two) == [b"two %d" % number for number in range(6)]
    for store in (one, two):
        assert verify(store.path).findings == []
        assert repair(store.feed(FEED), gone=True) == []
    effects = list(execute(plan([one.feed(FEED)], RetentionLimits(older_than_ns=1), NOON + 9 * DAY)))
    assert [len(effect.removed) for effect in effects] == [2]
    assert not mine.exists()
    assert list(archive.rglob("trash/*")) == []
    assert theirs.read_bytes() == kept
    assert words(two) == [b"two %d" % number for number in range(6)]


@pytest.mark.parametrize("gone", [False, True])
def test_anothers_part_in_the_place_of_ours_is_said_and_never_moved(tmp_path, gone):
    archive = tmp_path / "shelf"
    one, two = (recorded(tmp_path / word, archive, word.encode()) for word in ("one", "two"))
    place, own = archive / below(one), tmp_path / "own"
    place.rename(own)
    shutil.copy(archive / below(two), place)
    foreign = place.read_bytes()
    (finding,) = verify(one.path).findings
    assert (finding.what, finding.where) == (FlawKind.FOREIGN, str(place))
    assert finding.found == f"is part 1 of {FEED} of store {two.id}"
    (action, *rest) = repair(one.feed(FEED), gone=gone)
    assert place.read_bytes() == foreign
    if not gone:
        assert (action.left, action.lost, rest) == (True, 0, [])
        place.unlink()
        own.rename(place)
        assert words(one) == [b"one 0", b"one 1", b"one 2"]
    else:
        assert (action.left, action.lost) == (False, 3)


@pytest.mark.parametrize("where", ["beside", "repaired", "trash", "own", "older"])
def test_records_that_are_still_there_somewhere_are_not_given_up(tmp_path, where):
    archive = tmp_path / "shelf"
    one = recorded(tmp_path / "one", archive, b"one")
    place, feed = archive / below(one), one.feed(FEED)
    away = {
        "beside": Path(f"{place}.foreign-1"),
        "repaired": feed.directory / "repaired" / "20231116T120000Z" / NAME,
        "trash": feed.directory / "trash" / "000001.parquet",
        "own": Path(f"{feed.directory / NAME}.kept"),
        "older": Path(f"{archive / FEED / NAME}.foreign-1"),
    }[where]
    away.parent.mkdir(parents=True, exist_ok=True)
    place.rename(away)
    (action,) = repair(feed, gone=True)
    assert (action.left, action.lost) == (True, 0)
    assert action.does == f"left: its records are in {away}: bring that back to its place"
    away.rename(place)
    assert words(one) == [b"one 0", b"one 1", b"one 2"]


def test_a_part_that_is_gone_while_its_chunk_is_there_costs_nothing(tmp_path):
    archive = tmp_path / "shelf"
    one = recorded(tmp_path / "one", archive, b"one", seal=False)

    def step(name):
        if name == "registered":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal_feed(one.feed(FEED), NOON + 9 * DAY, step=step)
    (archive / below(one)).unlink()
    (action, *_) = repair(one.feed(FEED))
    assert (action.left, action.lost) == (False, 0)
    assert [(info.state, info.location) for info in one.reader(FEED).chunks()] == [(ChunkState.CLOSED, Location.DISK)]
    assert words(one) == [b"one 0", b"one 1", b"one 2"]
    assert verify(one.path).findings == []
    assert repair(one.feed(FEED)) == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_registry_older_than_its_parts_finds_them(tmp_path, gone):
    """As after a backup of feed.bin was brought back: it names chunk files, and a part has had them since."""
    one = recorded(tmp_path / "one", tmp_path / "shelf", b"one", seal=False)
    registry = one.feed(FEED).directory / "feed.bin"
    old = registry.read_bytes()
    seal_feed(one.feed(FEED), NOON + 9 * DAY)
    registry.write_bytes(old)
    actions = repair(one.feed(FEED), gone=gone)
    assert [(action.left, action.lost) for action in actions] == [(False, 0)]
    assert words(one) == [b"one 0", b"one 1", b"one 2"]
    assert verify(one.path).findings == []
