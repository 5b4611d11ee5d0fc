"""A disk that refuses to take what was written: said once is said for good, and nothing is relied on that it refused.

After a failed fsync the system takes what it could not write for written, so that asking again succeeds and proves
nothing. Each place that syncs has to write anew, or to give up what it synced."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import SyncFailed
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.journal import table
from mdtool.storage.journal.table import MappedFile
from mdtool.storage.parts.archive import own_place
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute, finish
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND


class Disk:
    """Logs what is synced by its name, and refuses a name as often as it is told to."""

    def __init__(self, monkeypatch):
        self.synced: list[str] = []
        self.refusing: dict[str, int] = {}
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(files.os, name, self._sync)

    def _sync(self, fd):
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        name = "trash" if path.name == "trash" else path.name
        self.synced.append(name)
        for wanted, times in self.refusing.items():
            if times and name.startswith(wanted):
                self.refusing[wanted] -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def store(tmp_path, disk):
    with Store.create(tmp_path / "store") as made:
        yield made
    disk.refusing.clear()


@pytest.fixture
def rewritten(monkeypatch):
    """Names of registries whose pages were written again before a sync."""
    seen = []
    sync = MappedFile.sync

    class Spy:
        def __init__(self, mapping, name):
            self.mapping, self.name = mapping, name

        def __getattr__(self, name):
            return getattr(self.mapping, name)

        def __len__(self):
            return len(self.mapping)

        def __getitem__(self, at):
            return self.mapping[at]

        def __setitem__(self, at, value):
            seen.append((self.name, at))
            self.mapping[at] = value

    def spied(self, *spans, anew=False):
        mapping = self._map
        self._map = Spy(mapping, self.path.name)
        try:
            sync(self, *spans, anew=anew)
        finally:
            self._map = mapping

    monkeypatch.setattr(MappedFile, "sync", spied)
    return seen


def fill(writer, count, at=NOON):
    for number in range(count):
        writer.append(at + number, Kind.DATA, writer.stream("d"), 0, bytes(1000))


def told(store):
    return [
        {name: value for name, value in json.loads(record.payload).items() if name != "why"}
        for record in store.reader(FEED).records()
        if record.kind == Kind.NOTE
    ]


def chunks(store):
    return [(info.chunk_id, info.state, info.rows) for info in store.reader(FEED).chunks()]


@pytest.mark.parametrize("which", [".dat", ".idx", "live"])
def test_a_chunk_that_the_disk_refused_is_closed_and_named_and_never_asked_again(store, disk, which):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    fill(writer, 3)
    if which != "live":  # which is synced once a chunk
        assert writer.sync() is None
        fill(writer, 2)
    disk.refusing["live" if which == "live" else f"00000001{which}"] = 1
    row = 0 if which == "live" else 3
    said = writer.sync()
    assert said is not None
    assert said.startswith(f"{FEED}: chunk 1 may lack its records from row {row} on: ")
    assert said.endswith("cannot be brought to disk: Input/output error; see to the device")
    rows = 3 if which == "live" else 5
    assert chunks(store) == [(1, ChunkState.CLOSED, rows), (2, ChunkState.LIVE, 1)]
    disk.synced.clear()
    fill(writer, 1)
    assert writer.sync() is None
    assert writer.sync() is None
    writer.close()
    assert not [name for name in disk.synced if name.startswith("00000001")]
    assert told(store) == [{"note": "sync failed", "chunk": 1, "row": row}]
    assert sum(1 for _ in store.reader(FEED).records()) == rows + 2
    assert verify(store.path).findings == []


def test_a_closed_chunk_that_the_disk_refused_is_named_and_never_asked_again(store, disk):
    writer = store.writer(FEED, clock=ManualClock(NOON), sync="chunk")
    fill(writer, 3)
    fill(writer, 1, at=NOON + DAY)
    disk.refusing["00000001.dat"] = 1
    assert "chunk 1 may lack its records from row 0 on" in (writer.sync() or "")
    disk.synced.clear()
    assert writer.sync() is None
    writer.close()
    assert not [name for name in disk.synced if name.startswith("00000001")]
    assert chunks(store) == [(1, ChunkState.CLOSED, 3), (2, ChunkState.CLOSED, 1), (3, ChunkState.CLOSED, 1)]
    assert told(store) == [{"note": "sync failed", "chunk": 1, "row": 0}]


def test_where_no_new_chunk_can_be_made_either_the_note_comes_with_the_next(store, disk, monkeypatch):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    fill(writer, 3)
    disk.refusing["00000001.dat"] = 1
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        assert writer.sync() is not None
    assert told(store) == []
    fill(writer, 1)
    writer.close()
    kinds = [record.kind for record in store.reader(FEED).records()]
    assert kinds == [Kind.DATA, Kind.DATA, Kind.DATA, Kind.NOTE, Kind.DATA]


def test_the_last_chunk_refused_is_an_error_of_closing_and_the_feed_is_given_back(store, disk):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    fill(writer, 3)
    disk.refusing["00000001.idx"] = 1
    with pytest.raises(SyncFailed, match=r"chunk 1 may lack its records from row 0 on"):
        writer.close()
    writer.close()
    with store.writer(FEED, clock=ManualClock(NOON)) as again:
        fill(again, 1)
    assert sum(1 for _ in store.reader(FEED).records()) == 4


def test_a_registry_that_the_disk_refused_is_written_anew_before_it_is_asked_again(store, disk, rewritten):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    fill(writer, 3)
    disk.refusing["feed.bin"] = 1
    assert "feed.bin: cannot be brought to disk" in (writer.sync() or "")
    assert rewritten == []
    assert writer.sync() is None
    assert rewritten == [("feed.bin", 0), ("feed.bin", 4096), ("feed.bin", 4096 + 64 * 1024)]
    disk.synced.clear()
    assert writer.sync() is None
    assert disk.synced == []
    writer.close()
    assert chunks(store) == [(1, ChunkState.CLOSED, 3)]


def test_a_store_whose_registry_was_refused_is_asked_again_with_the_next_feed(store, disk, rewritten):
    disk.refusing["registry.bin"] = 1
    with pytest.raises(SyncFailed):
        store.writer(FEED)
    with store.writer(FEED):
        assert rewritten == [("registry.bin", 0), ("registry.bin", 4096)]


@pytest.mark.parametrize("which", [".00000001.dat", ".00000001.idx", "feed.bin"])
def test_shared_memory_is_not_given_up_for_a_copy_that_the_disk_refused(store, disk, which):
    writer = store.writer(FEED, clock=ManualClock(NOON), live="shm")
    fill(writer, 3)
    fill(writer, 1, at=NOON + DAY)
    disk.refusing[which] = 4 if which == "feed.bin" else 2  # which is asked twice a round
    for _ in range(2):
        assert "cannot be brought to disk" in (writer.sync() or "")
        assert [info.location for info in store.reader(FEED).chunks()] == [Location.SHM, Location.SHM]
    assert writer.sync() is None
    assert [info.location for info in store.reader(FEED).chunks()] == [Location.DISK, Location.SHM]
    writer.close()
    assert sum(1 for _ in store.reader(FEED).records()) == 4
    assert verify(store.path).findings == []


@pytest.mark.parametrize("which", [".000001.sealing", "000001.parquet", "date=", "symbol=ALPHA_USDT", "feed.bin"])
def test_no_chunk_goes_for_a_part_that_the_disk_refused(store, disk, which, rewritten):
    with store.writer(FEED, clock=ManualClock(NOON)) as writer:
        fill(writer, 3)
    feed = store.feed(FEED)
    disk.refusing[which] = 1
    assert "cannot be brought to disk" in (seal_feed(feed, NOON + 9 * DAY).error or "")
    there = sorted(path.name for path in (feed.directory / "live").iterdir())
    assert there == ["00000001.dat", "00000001.idx"]
    assert sum(1 for _ in store.reader(FEED).records()) == 3
    disk.synced.clear()
    rewritten.clear()
    report = seal_feed(feed, NOON + 9 * DAY)
    assert report.error is None
    if which == "feed.bin":  # its entries say sealed already: that has to be on disk before the chunk goes
        assert rewritten == [("feed.bin", 0), ("feed.bin", 4096), ("feed.bin", 4096 + 64 * 1024)]
    else:
        assert [one.part for one in report.parts] == [1]
        assert {"000001.parquet", "date=2023-11-15", "symbol=ALPHA_USDT", "feed.bin"} <= set(disk.synced)
    assert list((feed.directory / "live").iterdir()) == []
    assert sum(1 for _ in store.reader(FEED).records()) == 3
    assert verify(store.path).findings == []


def test_a_part_published_by_a_run_that_died_is_brought_to_disk_before_it_is_relied_on(store, disk):
    with store.writer(FEED, clock=ManualClock(NOON)) as writer:
        fill(writer, 3)

    class Died(BaseException):
        pass

    def step(name):
        if name == "published":
            raise Died

    with pytest.raises(Died):
        seal_feed(store.feed(FEED), NOON + 9 * DAY, step=step)
    disk.synced.clear()
    assert [one.adopted for one in seal_feed(store.feed(FEED), NOON + 9 * DAY).parts] == [True]
    assert disk.synced == ["000001.parquet", "date=2023-11-15", "symbol=ALPHA_USDT", "feed.bin", "live"]


def test_no_file_goes_whose_removal_the_disk_refused_to_note(store, disk, rewritten):
    with store.writer(FEED, clock=ManualClock(NOON)) as writer:
        fill(writer, 3)
    feed = store.feed(FEED)
    seal_feed(feed, NOON + 9 * DAY)
    disk.refusing["feed.bin"] = 1
    rewritten.clear()
    with pytest.raises(SyncFailed):
        list(execute(plan([feed], RetentionLimits(older_than_ns=DAY), NOON + 9 * DAY)))
    assert len(list(own_place(feed).root.glob("date=*/*.parquet"))) == 1
    assert finish(feed) == 1
    assert rewritten == [("feed.bin", 0), ("feed.bin", 4096), ("feed.bin", 4096 + 64 * 1024)]
    assert list(own_place(feed).root.glob("date=*/*.parquet")) == []


def test_a_durable_commit_that_the_disk_refused_is_written_anew_by_the_next(store, disk):
    with store.writer(FEED, clock=ManualClock(NOON)) as writer:
        fill(writer, 3)
    with store.cursor(FEED, "sink", durable=True) as cursor:
        cursor.commit(1 << 32)
        disk.refusing["sink"] = 1
        with pytest.raises(SyncFailed, match="sink: cannot be brought to disk"):
            cursor.commit(1 << 32 | 2)
        assert cursor.position == 1 << 32
        before = (store.feed(FEED).directory / "cursors/sink").read_bytes()
        cursor.commit(1 << 32 | 3)
        after = (store.feed(FEED).directory / "cursors/sink").read_bytes()
    changed = {at // 4096 for at in range(len(after)) if before[at] != after[at]}
    assert changed == {0}  # the slot that was refused, and not the one that is on disk
    assert store.cursors(FEED)[0].position == 1 << 32 | 3


def test_a_file_or_folder_whose_name_the_disk_refused_is_not_there(tmp_path, disk):
    disk.refusing["there"] = 1
    (tmp_path / "there").mkdir()
    with pytest.raises(SyncFailed):
        files.write_durably(tmp_path / "there" / "file", [b"content"])
    assert list((tmp_path / "there").iterdir()) == []
    disk.refusing["there"] = 1
    with pytest.raises(SyncFailed):
        files.make_directory(tmp_path / "there" / "a" / "b")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_row_is_never_on_disk_before_its_payload_nor_an_entry_before_its_chunk(store, disk):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    disk.synced.clear()
    fill(writer, 3)
    writer.sync()
    assert disk.synced == [FEED.partition("/")[2], "00000001.dat", "00000001.idx", "live", "feed.bin"]
    disk.synced.clear()
    fill(writer, 1)
    writer.sync()
    assert disk.synced == ["00000001.dat", "00000001.idx"]
    fill(writer, 1, at=NOON + DAY)
    disk.synced.clear()
    writer.close()
    assert disk.synced == ["00000001.dat", "00000001.idx", "feed.bin",
                           "00000002.dat", "00000002.idx", "live", "feed.bin", "feed.bin"]  # fmt: skip


def test_a_copy_out_of_shared_memory_is_on_disk_payloads_first_and_then_named(store, disk):
    writer = store.writer(FEED, clock=ManualClock(NOON), live="shm")
    fill(writer, 3)
    disk.synced.clear()
    writer.close()
    assert disk.synced == ["ALPHA_USDT", f".00000001.dat.{os.getpid()}", *[f".00000001.idx.{os.getpid()}"] * 2,
                           "live", "feed.bin", "feed.bin"]  # fmt: skip


def test_a_prepared_chunk_gets_its_names_heap_first(store, monkeypatch):
    """An index is what names a chunk: without its heap it would be a chunk that cannot be read."""
    writer = store.writer(FEED, clock=ManualClock(NOON), chunk_bytes=64 * 1024)
    fill(writer, 40)
    writer.prepare()
    named, link = [], os.link
    monkeypatch.setattr(os, "link", lambda source, target: named.append(target.name) or link(source, target))
    fill(writer, 1, at=NOON + DAY)
    writer.close()
    assert named == ["00000002.dat", "00000002.idx"]


def test_what_replaces_a_file_is_on_disk_under_its_name(tmp_path, disk):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"old")
    files.replace_durably(path, [b"new"])
    assert path.read_bytes() == b"new"
    assert disk.synced[-1] == "folder"
    assert disk.synced.count("folder") == 2  # the name aside, and the name


def test_a_slot_is_whole_before_it_is_counted(store, monkeypatch):
    writer = store.writer(FEED, clock=ManualClock(NOON))
    counted = []
    release = table.store_release

    def released(mapping, at, value):
        counted.append(layout.unsealed(layout.CHUNK_SLOT, bytes(mapping[layout.CHUNKS_AT :][:128])) is not None)
        release(mapping, at, value)

    stream = writer.stream("d")
    monkeypatch.setattr(table, "store_release", released)
    writer.append(NOON, Kind.DATA, stream, 0, b"x")
    assert counted == [True]
    writer.close()
