"""Preallocated chunks: a roll takes the one that is ready if it is the next one, and never another."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import StoreFull
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.format.layout import Location
from mdtool.storage.journal import chunk, live
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths
from mdtool.storage.journal.registry import FeedRegistry
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND


def names(feed):
    return sorted(path.name for path in chunk_directory(feed, feed.live).glob("*"))


def fill(writer, count, size=1000, at=NOON):
    for _ in range(count):
        writer.append(at, Kind.DATA, writer.stream("d"), 1, os.urandom(size))


@pytest.mark.parametrize("where", ["disk", "shm"])
def test_a_roll_takes_the_preallocated_chunk(store, where):
    clock = ManualClock(NOON)
    writer = store.writer(FEED, chunk_bytes=64 * 1024, live=where, clock=clock)
    fill(writer, 40)
    writer.prepare()
    feed = store.feed(FEED)
    assert names(feed) == ["00000001.dat", "00000001.idx", "next.dat", "next.idx"]
    ready = os.stat(chunk_directory(feed, feed.live) / "next.idx").st_ino
    writer.prepare()
    fill(writer, 40)
    assert names(feed) == ["00000001.dat", "00000001.idx", "00000002.dat", "00000002.idx"]
    assert os.stat(chunk_paths(feed, 2, feed.live)[0]).st_ino == ready
    assert [(info.chunk_id, info.rows) for info in store.reader(FEED).chunks()] == [(1, 65), (2, 15)]
    assert sum(1 for _ in store.reader(FEED).records()) == 80
    fill(writer, 40)
    writer.prepare()
    writer.close()
    assert not any(name.startswith("next") for name in names(store.feed(FEED)))
    assert sum(1 for _ in store.reader(FEED).records()) == 120


def test_an_idle_or_young_chunk_needs_no_successor_and_midnight_does(store):
    clock = ManualClock(NOON)
    writer = store.writer(FEED, chunk_bytes=1 << 20, clock=clock)
    writer.prepare()
    fill(writer, 3)
    writer.prepare()
    feed = store.feed(FEED)
    assert "next.idx" not in names(feed)
    clock.advance(DAY // 2 - 9 * 60 * SECOND)
    writer.prepare()  # nothing came: an idle feed prepares nothing
    assert "next.idx" not in names(feed)
    fill(writer, 1)
    writer.prepare()
    assert "next.idx" in names(feed)
    fill(writer, 1, at=NOON + DAY // 2)
    assert [info.rows for info in store.reader(FEED).chunks()] == [4, 1]
    writer.close()


@pytest.mark.parametrize("what", ["another feed's", "an older", "a used", "garbage", "too small", "no heap"])
def test_what_is_not_the_next_chunk_is_discarded(store, what):
    other = store.writer("sim/BRAVO_USDT")
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    fill(writer, 1)
    feed = store.feed(FEED)
    directory = chunk_directory(feed, feed.live)
    live.preallocate(feed, 1 if what == "an older" else 2, NOON)
    index, heap = directory / "next.idx", directory / "next.dat"
    if what == "another feed's":
        live.preallocate(store.feed("sim/BRAVO_USDT"), 2, NOON)
        index.write_bytes((chunk_directory(store.feed("sim/BRAVO_USDT"), Location.DISK) / "next.idx").read_bytes())
    elif what == "a used":
        data = bytearray(index.read_bytes())
        data[256] = 1
        index.write_bytes(data)
    elif what == "garbage":
        index.write_bytes(os.urandom(5000))
    elif what == "no heap":
        heap.unlink()
    fill(writer, 1, 100_000 if what == "too small" else 10, at=NOON + DAY)
    assert names(feed) == ["00000001.dat", "00000001.idx", "00000002.dat", "00000002.idx"]
    assert [info.rows for info in store.reader(FEED).chunks()] == [1, 1]
    assert sum(1 for _ in store.reader(FEED).records()) == 2
    writer.close()
    other.close()


def test_a_stale_one_is_made_anew_and_an_interrupted_one_is_no_obstacle(store):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    fill(writer, 1)
    feed = store.feed(FEED)
    directory = chunk_directory(feed, feed.live)
    assert live.preallocate(feed, 1, NOON)
    assert live.preallocate(feed, 2, NOON)
    assert not live.preallocate(feed, 2, NOON)
    live.discard_next(feed, Location.DISK)
    (directory / "next.dat").write_bytes(b"half made")
    assert live.preallocate(feed, 2, NOON)
    fill(writer, 1, at=NOON + DAY)
    assert names(feed) == ["00000001.dat", "00000001.idx", "00000002.dat", "00000002.idx"]
    writer.close()


def test_no_space_for_the_next_chunk_leaves_nothing_behind_and_recording_goes_on(store, monkeypatch):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    fill(writer, 40)
    writer.prepare()
    live.discard_next(store.feed(FEED), Location.DISK)
    fill(writer, 1)

    def full(fd, start, stop, where):
        raise StoreFull(f"{where}: no space left")

    monkeypatch.setattr(files, "reserve", full)
    with pytest.raises(StoreFull, match=r"next\.dat"):
        live.preallocate(store.feed(FEED), 2, NOON)
    assert names(store.feed(FEED)) == ["00000001.dat", "00000001.idx"]
    monkeypatch.undo()
    fill(writer, 40)
    assert sum(1 for _ in store.reader(FEED).records()) == 81
    writer.close()


def test_a_worker_that_prepares_while_the_writer_rolls_changes_nothing(store):
    writer = store.writer(FEED, chunk_bytes=16 * 1024, sync="none")
    depth, stop = writer.stream("d"), threading.Event()

    def work():
        while not stop.is_set():
            writer.prepare()
            writer.sync()

    worker = threading.Thread(target=work)
    worker.start()
    sent = [b"%d" % number * 30 for number in range(20_000)]
    for number, payload in enumerate(sent):
        writer.append(NOON + number, Kind.DATA, depth, 1, payload)
    stop.set()
    worker.join()
    writer.close()
    reader = store.reader(FEED)
    assert [record.payload for record in reader.records()] == sent
    assert len(reader.chunks()) > 100
    assert len({info.chunk_id for info in reader.chunks()}) == len(reader.chunks())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["append", "prepare", "roll", "sync", "restart", "stale"]), max_size=30))
def test_any_order_of_work_keeps_every_record(tmp_path_factory, steps):
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        clock = ManualClock(NOON)
        writer = store.writer(FEED, chunk_bytes=8192, clock=clock, sync="none")
        at, sent = NOON, []
        for number, step in enumerate(steps):
            if step in ("append", "roll"):
                at += DAY if step == "roll" else 1
                sent.append(b"%d" % number * 200)
                writer.append(at, Kind.DATA, writer.stream("d"), 1, sent[-1])
            elif step == "prepare":
                writer.prepare()
            elif step == "sync":
                writer.sync()
            elif step == "stale":
                live.preallocate(store.feed(FEED), 1, NOON)
            else:
                writer.close()
                writer = store.writer(FEED, clock=clock, sync="none")
        assert [record.payload for record in store.reader(FEED).records()] == sent
        writer.close()


def test_a_preallocated_chunk_that_is_another_one_by_now_is_not_written_to(store, monkeypatch):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    fill(writer, 40)
    writer.prepare()

    def link(source, target):
        """Another process puts a chunk of its own there in the moment before."""
        source.unlink()
        live.discard_next(store.feed(FEED), Location.DISK)
        live.preallocate(store.feed(FEED), 2, NOON)
        os_link(source, target)

    os_link = os.link
    with monkeypatch.context() as patch:
        patch.setattr(live.os, "link", link)
        fill(writer, 40)
    writer.close()
    assert [(info.chunk_id, info.rows) for info in store.reader(FEED).chunks()] == [(1, 65), (3, 15)]
    assert sum(1 for _ in store.reader(FEED).records()) == 80


def test_the_entry_is_on_disk_before_shared_memory_is_given_up(store, monkeypatch):
    """Else a power loss leaves an entry that names memory, and `repair` takes the copy on disk for half a one."""
    writer = store.writer(FEED, chunk_bytes=64 * 1024, live="shm", clock=ManualClock(NOON))
    fill(writer, 80)
    steps = []
    sync, remove = FeedRegistry.sync, chunk.remove_shm

    def synced(registry):
        steps.append(("synced", registry.chunk(0).location))
        sync(registry)

    def removed(feed, chunk_id):
        steps.append(("removed", chunk_id))
        remove(feed, chunk_id)

    monkeypatch.setattr(FeedRegistry, "sync", synced)
    monkeypatch.setattr(chunk, "remove_shm", removed)
    writer.sync()
    assert steps[-2:] == [("synced", Location.DISK), ("removed", 1)]
    writer.close()


def test_the_first_sync_of_a_chunk_brings_its_name_and_its_entry_to_disk(store, monkeypatch):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    fill(writer, 1)
    done = []
    monkeypatch.setattr(files, "sync_directory", lambda path: done.append(path.name))
    monkeypatch.setattr(FeedRegistry, "sync", lambda registry: done.append("feed.bin"))
    for _ in range(3):
        writer.sync()
        fill(writer, 1)
    assert done == ["live", "feed.bin"]
    writer.close()
