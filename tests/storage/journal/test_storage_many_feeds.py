"""Many feeds are opened together: what is new comes to disk at once, and each has its first chunk ready."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import FeedLocked, SyncFailed
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor.verify import verify
from mdtool.storage.journal.live import FIRST_STEP
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND


def names(count):
    return [f"sim/S{number:03}_USDT" for number in range(count)]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def syncs(monkeypatch):
    """What was brought to disk, in order."""
    seen = []

    def counted(name, real):
        def call(fd):
            seen.append((name, os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
            return real(fd)

        return call

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    monkeypatch.setattr(files._libc, "syncfs", counted("syncfs", files._libc.syncfs))
    return seen


@pytest.mark.parametrize("count", [2, 50])
def test_what_is_new_comes_to_disk_together(store, syncs, count):
    writers = store.writers(names(count), clock=ManualClock(NOON))
    assert syncs == [("fdatasync", "registry.bin"), ("syncfs", "store"), ("syncfs", "store")]
    assert list(writers) == [feed.name for feed in store.feeds()] == names(count)
    for writer in writers.values():
        live = writer.feed.directory / "live"
        assert sorted(path.name for path in live.iterdir()) == ["00000001.dat", "00000001.idx"]
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
    assert len(syncs) == 3  # and the first record waits for none
    for writer in writers.values():
        writer.close()
    assert [[record.payload for record in store.reader(name).records()] for name in names(count)] == [[b"x"]] * count
    assert verify(store.path).findings == []
    syncs.clear()
    for writer in store.writers(names(count), clock=ManualClock(NOON)).values():
        assert writer.epoch == 2
        writer.close()
    assert not [one for one in syncs if one[0] == "syncfs"]


@pytest.mark.parametrize("refused", [1, 2])
def test_what_the_disk_refuses_has_no_name_and_the_next_try_makes_it(store, monkeypatch, refused):
    calls = []

    def refuse(fd):
        calls.append(fd)
        return -1 if len(calls) == refused else 0

    with monkeypatch.context() as patched:
        patched.setattr(files._libc, "syncfs", refuse)
        with pytest.raises(SyncFailed):
            store.writers(names(3), clock=ManualClock(NOON))
    assert not list((store.path / "feeds").rglob("*.bin*"))
    for writer in store.writers(names(3), clock=ManualClock(NOON)).values():
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
        writer.close()
    assert verify(store.path).findings == []


def test_all_or_none(store):
    with store.writer(names(3)[1], clock=ManualClock(NOON)):
        with pytest.raises(FeedLocked):
            store.writers(names(3), clock=ManualClock(NOON))
        store.writer(names(3)[0], clock=ManualClock(NOON)).close()
    for writer in store.writers([*names(3), names(3)[0]], clock=ManualClock(NOON)).values():
        writer.close()


def cached_bytes(path):
    """How much of a file the system holds in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        pages = (ctypes.c_ubyte * -(-len(mapping) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapping)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapping)), pages)
        del start
    assert not failed
    return sum(page & 1 for page in pages) * mmap.PAGESIZE


def test_a_chunk_that_is_ready_takes_the_memory_it_will_use_and_no_more(store):
    for writer in store.writers(names(3), clock=ManualClock(NOON)).values():
        live = writer.feed.directory / "live"
        assert [cached_bytes(live / f"00000001.{kind}") for kind in ("idx", "dat")] == [FIRST_STEP, FIRST_STEP]
        writer.close()


@pytest.fixture
def touches(monkeypatch):
    """What the file system was asked for, by name of the call."""
    seen = []

    def counted(name, real):
        def call(*given, **named):
            seen.append(name)
            return real(*given, **named)

        return call

    for name in ("open", "link", "unlink", "rename", "mkdir", "ftruncate", "posix_fallocate", "fsync", "fdatasync"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    return seen


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_the_first_record_asks_nothing_of_the_file_system(store, touches, live):
    writers = store.writers(names(3), clock=ManualClock(NOON), live=live).values()
    assert touches
    touches.clear()
    for writer in writers:
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x" * 1000)
    assert touches == []
    for writer in writers:
        writer.close()
    assert [[record.payload for record in store.reader(name).records()] for name in names(3)] == [[b"x" * 1000]] * 3


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_a_chunk_made_ready_for_nothing_leaves_nothing(store, touches, live):
    clock = ManualClock(NOON)
    with store.writer(names(1)[0], clock=clock, live=live) as writer:
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
        writer.end(NOON, "done")
    for _ in range(2):
        (writer,) = store.writers(names(1), clock=clock, live=live).values()
        reader = store.reader(names(1)[0])
        assert [info.rows for info in reader.chunks()] == [2, 0]
        assert [record.payload for record in reader.records()][:1] == [b"x"]
        touches.clear()
        writer.sync()
        assert touches == []
        writer.close()
        assert (reader.ended, reader.latest_chunk().rows, [info.rows for info in reader.chunks()]) == (True, 2, [2])
        assert reader.detect_disconnect(SECOND, NOON).reason.value == "ended"
    assert sorted(path.name for path in (writer.feed.directory / "live").iterdir()) == ["00000001.dat", "00000001.idx"]
    assert verify(store.path).findings == []
    with store.writer(names(1)[0], clock=clock) as writer:
        writer.append(NOON + 1, Kind.DATA, 0, 0, b"y")
    assert [record.payload for record in reader.records()] == [b"y"]


def test_a_chunk_made_ready_is_of_the_day_of_its_first_record(store):
    (writer,) = store.writers(names(1), clock=ManualClock(NOON)).values()
    for number in range(3):
        writer.append(NOON + 2 * DAY + number, Kind.DATA, 0, 0, b"x")
    writer.append(NOON + 3 * DAY, Kind.DATA, 0, 0, b"x")
    writer.close()
    found = [(info.chunk_id, info.rows, info.min_ns, info.max_ns) for info in store.reader(names(1)[0]).chunks()]
    assert found == [
        (1, 3, NOON + 2 * DAY, NOON + 2 * DAY + 2),
        (2, 1, NOON + 3 * DAY, NOON + 3 * DAY),
    ]


def test_a_first_record_that_does_not_fit_the_chunk_made_ready_has_one_of_its_own(store):
    (writer,) = store.writers(names(1), clock=ManualClock(NOON), chunk_bytes=8192).values()
    writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x" * 10_000)
    writer.sync()
    assert sorted(path.name for path in (writer.feed.directory / "live").iterdir()) == ["00000002.dat", "00000002.idx"]
    writer.close()
    assert [(info.chunk_id, info.rows) for info in store.reader(names(1)[0]).chunks()] == [(2, 1)]
    assert verify(store.path).findings == []


def test_a_writer_that_dies_before_its_first_record_leaves_what_the_next_one_closes(store):
    (dead,) = store.writers(names(1), clock=ManualClock(NOON)).values()
    dead._lock.drop()
    (writer,) = store.writers(names(1), clock=ManualClock(NOON)).values()
    writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
    writer.close()
    assert [(info.chunk_id, info.rows) for info in store.reader(names(1)[0]).chunks()] == [(1, 0), (2, 1)]
    assert [record.payload for record in store.reader(names(1)[0]).records()] == [b"x"]
    assert verify(store.path).findings == []
    dead._lock = None
