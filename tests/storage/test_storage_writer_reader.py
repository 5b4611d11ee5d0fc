"""What is written through the store is read back, whole and in order, over rolls, epochs, locations and crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable, CorruptStore, FeedLocked, FeedNotFound, NotAStore, StoreError, UsageError
from mdtool.model import Kind, Scale
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import chunk
from mdtool.storage.reading.reader import WriterStatus
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND  # 2023-11-15 12:00 UTC


def write(store, payloads, *, start=NOON, step=1000, name=FEED, **options):
    """One epoch of these payloads; left open."""
    writer = store.writer(name, **options)
    depth = writer.stream("depth")
    for number, payload in enumerate(payloads):
        writer.append(start + number * step, Kind.DATA, depth, 7, payload)
    return writer


def payloads(reader):
    return [record.payload for record in reader.records()]


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_a_feed_is_read_while_written_and_after(store, live):
    sent = [b"%d" % number * 50 for number in range(3000)]
    writer = write(store, sent, chunk_bytes=64 * 1024, live=live)
    reader = store.reader(FEED)
    assert payloads(reader) == sent
    assert reader.poll() == []
    writer.append(NOON + DAY // 4, Kind.SENT, writer.stream("orders"), 9, b"later", 2)
    (late,) = reader.poll()
    assert (late.recv_ns, late.kind, reader.stream_name(late.stream), late.session, late.flags, late.payload) == (
        NOON + DAY // 4, Kind.SENT, "orders", 9, 2, b"later",
    )  # fmt: skip
    writer.end(NOON + DAY // 4 + 1, "done")
    writer.close()
    (end,) = reader.poll()
    assert (end.kind, end.payload) == (Kind.END, b'{"reason": "done"}')
    whole = store.reader(FEED)
    assert payloads(whole) == [*sent, b"later", b'{"reason": "done"}']
    assert len(whole.chunks()) > 5
    assert {info.location for info in whole.chunks()} == {Location.DISK}
    assert {info.state for info in whole.chunks()} == {ChunkState.CLOSED}
    assert not any(path.exists() for path in chunk.chunk_paths(whole.feed, 1, Location.SHM))
    assert whole.count() == 3002
    assert (whole.first_ns, whole.last_ns) == (NOON, NOON + DAY // 4 + 1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * DAY // 1000), st.binary(max_size=3000)), max_size=60),
    st.lists(st.integers(0, 70), max_size=4),
)
def test_any_records_over_rolls_midnights_and_restarts_come_back(tmp_path_factory, records, restarts):
    path = tmp_path_factory.mktemp("store") / "s"
    with Store.create(path) as store:
        writer = store.writer(FEED, chunk_bytes=4096, sync="none")
        for number, (at, payload) in enumerate(records):
            if number in restarts:
                writer.close()
                writer = store.writer(FEED, sync="none")
            writer.append(NOON + at * 1000, Kind.DATA, writer.stream(f"s{number % 3}"), number, payload)
        reader = store.reader(FEED)
        found = [(one.recv_ns, reader.stream_name(one.stream), one.session, one.payload) for one in reader.records()]
        assert found == [(NOON + at * 1000, f"s{n % 3}", n, payload) for n, (at, payload) in enumerate(records)]
        batches = list(store.reader(FEED).batches())
        assert [b.payload(i) for b in batches for i in range(len(b))] == [payload for _, payload in records]
        for info in reader.chunks():  # one UTC day a chunk: a part is sealed by day
            assert info.min_ns // DAY == info.max_ns // DAY
        writer.close()


def test_seek_and_positions(store):
    writer = write(store, [b"x" * 100] * 1000, chunk_bytes=8192)
    reader = store.reader(FEED)
    for number in (0, 1, 63, 64, 65, 500, 999):
        reader.seek(NOON + number * 1000)
        position = reader.position
        assert next(reader.records()).recv_ns == NOON + number * 1000
        other = store.reader(FEED)
        other.move_to(position)
        assert next(other.records()).recv_ns == NOON + number * 1000
        reader.seek(NOON + number * 1000 - 999)
        assert reader.position == position
    reader.seek(NOON + 10**9)
    assert reader.poll() == []
    reader.to_start()
    assert len(reader.poll(10)) == 10
    assert next(reader.records()).recv_ns == NOON + 10 * 1000
    reader.to_end()
    assert reader.poll() == []
    assert reader.has_data_since(NOON + 999 * 1000)
    assert not reader.has_data_since(NOON + 999 * 1000 + 1)
    with pytest.raises(CorruptStore, match="not kept any more"):
        reader.move_to(99 << 32)
    writer.close()
    batch = next(store.reader(FEED).batches())
    assert [record.position for record in batch.records()] == [batch.position + n for n in range(len(batch))]


def test_seek_finds_the_first_late_enough_record_though_the_clock_stepped_back(store):
    writer = store.writer(FEED)
    for at in (0, 50, 100, 20, 30, 120, 110):
        writer.append(NOON + at, Kind.DATA, writer.stream("d"), 1, b"%d" % at)
    for closed in (False, True):
        if closed:
            writer.close()
        reader = store.reader(FEED)
        for wanted, first in ((0, b"0"), (20, b"50"), (60, b"100"), (101, b"120")):
            reader.seek(NOON + wanted)
            assert next(reader.records()).payload == first
    assert reader.chunks()[0].flags == ChunkFlag(0)
    assert (reader.first_ns, reader.last_ns) == (NOON, NOON + 120)


def test_a_restart_starts_an_epoch_and_touches_nothing(store):
    write(store, [b"first"] * 3).close()
    before = {path: path.read_bytes() for path in (store.path / "feeds").rglob("*.???") if path.parent.name == "live"}
    writer = write(store, [b"second"] * 2, start=NOON + SECOND)
    assert writer.epoch == 2
    assert {path: path.read_bytes() for path in before} == before
    assert payloads(store.reader(FEED)) == [b"first"] * 3 + [b"second"] * 2
    assert [info.epoch for info in store.reader(FEED).chunks()] == [1, 2]
    writer.close()


KILLED = """
import sys, time
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store:
    writer = store.writer("sim/ALPHA_USDT", chunk_bytes=16384, live=sys.argv[2], sync="none")
    depth = writer.stream("depth")
    number = 0
    while True:
        writer.append(1_700_049_600_000_000_000 + number, 1, depth, 1, b"%d" % number * 20)
        number += 1
        if number % 100 == 0:
            print(number, flush=True)
"""


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_kill_9_loses_nothing_that_was_committed(tmp_path, live):
    path = tmp_path / "store"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path), live], stdout=subprocess.PIPE, text=True)
    seen = 0
    for line in child.stdout:
        seen = int(line)
        if seen >= 5000:
            child.send_signal(signal.SIGKILL)
            break
    seen = max([seen, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
    child.wait()
    with Store.open(path) as store:
        dead = store.reader(FEED)
        found = payloads(dead)
        assert len(found) >= seen
        assert found == [b"%d" % number * 20 for number in range(len(found))]
        assert dead.writer_status(SECOND, time.time_ns() + DAY) is not WriterStatus.ALIVE
    with Store.create(path) as store:
        writer = write(store, [b"next"], start=NOON + SECOND)
        assert writer.epoch == 2
        assert payloads(store.reader(FEED)) == [*found, b"next"]
        states = [(info.state, bool(info.flags & ChunkFlag.UNCLEAN)) for info in store.reader(FEED).chunks()]
        assert states[-1] == (ChunkState.LIVE, False)
        assert all(state == (ChunkState.CLOSED, False) for state in states[:-2])
        assert states[-2][0] is ChunkState.CLOSED  # unclean, unless the kill fell between two chunks
        writer.close()
        assert {info.location for info in store.reader(FEED).chunks()} == {Location.DISK}


def test_one_writer_a_feed(store):
    writer = write(store, [b"x"])
    with pytest.raises(FeedLocked, match=f"written by another process \\(pid {os.getpid()}\\)"):
        store.writer(FEED)
    store.writer("sim/BRAVO_USDT").close()
    writer.close()
    writer.close()
    store.writer(FEED).close()


def test_a_writer_that_is_refused_changes_nothing(store):
    with store.writer(FEED, chunk_bytes=8192):
        before = store.feeds()
        for ask in (store.writer, lambda name, **given: store.writers(["sim/NEW_USDT", name], **given)):
            with pytest.raises(FeedLocked):
                ask(FEED, live="shm", chunk_bytes=16384)
            assert store.feeds() == before
    store.writer(FEED, live="shm", chunk_bytes=16384).close()
    assert [(feed.live, feed.chunk_bytes) for feed in store.feeds()] == [(Location.SHM, 16384)]


def test_the_last_writer_takes_the_folders_in_shared_memory_away(store):
    folder = layout.shm_directory(store.id, 1)
    first, second = write(store, [b"x"], live="shm"), store.writer("sim/BRAVO_USDT", live="shm")
    second.make_ready()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["000001", "000002"]
    first.close()
    assert [path.name for path in folder.parent.iterdir()] == ["000002"]
    second.close()
    assert not folder.parent.exists()


def test_writer_status_follows_the_heartbeat(store):
    clock = ManualClock(NOON)
    writer = store.writer(FEED, clock=clock)
    reader = store.reader(FEED)
    assert reader.writer_status(SECOND, NOON) is WriterStatus.ALIVE  # it has the feed, and nothing to write yet
    writer.append(NOON, Kind.DATA, writer.stream("d"), 1, b"x")
    assert reader.writer_status(SECOND, NOON + SECOND) is WriterStatus.ALIVE
    assert reader.writer_status(SECOND, NOON + SECOND + 1) is WriterStatus.STALE
    writer.heartbeat(NOON + 5 * SECOND)
    assert reader.writer_status(SECOND, NOON + 6 * SECOND) is WriterStatus.ALIVE
    writer.close()
    assert reader.writer_status(SECOND, NOON + 6 * SECOND) is WriterStatus.GONE


def test_settings_scales_streams_and_sessions_are_kept(store):
    write(store, [], live="shm", chunk_bytes=8192).close()
    info = store.feed(FEED)
    assert (info.live, info.chunk_bytes, info.scale) == (Location.SHM, 8192, None)
    store.set_scale(FEED, Scale(-2, -8))
    with Store.open(store.path) as again:
        assert again.feed(FEED).scale == Scale(-2, -8)
        assert again.feed(FEED).live == Location.SHM
        assert [feed.name for feed in again.feeds()] == [FEED]
        assert again.id == store.id
    assert [store.next_session() for _ in range(3)] == [1, 2, 3]
    with Store.create(store.path) as again:
        assert again.next_session() == 4
        writer = again.writer(FEED)
        names = ["depth", *(f"stream{number}" for number in range(1, layout.MAX_STREAMS))]
        assert [writer.stream(name) for name in names] == list(range(layout.MAX_STREAMS))
        assert again.reader(FEED).streams == names
        with pytest.raises(StoreError, match="holds 1,024 entries and is full"):
            writer.stream("one more")
        for bad in ("", "x" * 61):
            with pytest.raises(StoreError, match="expected 1 to 60 bytes"):
                writer.stream(bad)
        writer.close()


def test_many_feeds_grow_the_registry_under_readers_that_have_it_mapped(store):
    with Store.open(store.path) as reading:
        names = [f"sim/S{number:03d}_USDT" for number in range(300)]
        for name in names:
            store.writer(name).close()
        assert [feed.name for feed in reading.feeds()] == names
        assert reading.feed(names[-1]).feed_id == 300


def test_a_record_larger_than_a_chunk_gets_one_of_its_own(store):
    big = os.urandom(1_000_000)
    writer = write(store, [b"small", big, b"small"], chunk_bytes=4096)
    assert payloads(store.reader(FEED)) == [b"small", big, b"small"]
    writer.close()


def test_an_idle_feed_costs_pages_and_not_its_chunk_size(store):
    writer = write(store, [b"x"], chunk_bytes=1 << 30)
    used = sum(path.stat().st_blocks * 512 for path in (store.feed(FEED).directory).rglob("*") if path.is_file())
    assert used < 256 * 1024
    writer.close()


def test_follow_waits_for_more_and_for_a_feed_that_has_nothing_yet(store):
    store.writer(FEED).close()
    reader = store.reader(FEED)
    writer = None
    got = []
    for wait in ("spin", "hybrid", "sleep"):
        turns = iter(range(100))

        def stop(turns=turns, wait=wait):
            nonlocal writer
            turn = next(turns)
            if turn == 3:
                writer = writer or store.writer(FEED)
                writer.append(NOON, Kind.DATA, writer.stream("d"), 1, wait.encode())
            return turn > 5

        got += [record.payload for record in reader.follow(wait=wait, stop=stop)]
    assert got == [b"spin", b"hybrid", b"sleep"]
    writer.close()


def test_a_reader_reads_on_though_the_files_are_gone(store):
    write(store, [b"%d" % n for n in range(100)]).close()
    reader = store.reader(FEED)
    records = reader.records()
    first = next(records)
    for path in chunk.chunk_paths(reader.feed, 1, Location.DISK):
        path.unlink()
    assert [first.payload, *(record.payload for record in records)] == [b"%d" % n for n in range(100)]
    (note,) = store.reader(FEED).records()  # who comes later is told, and goes on with what there is
    said = json.loads(note.payload)
    assert (note.kind, said["note"], said["rows"]) == (Kind.NOTE, "lost", 100)
    assert "chunk 1 of sim/ALPHA_USDT cannot be opened: No such file" in said["why"]


def test_shared_memory_that_is_not_visible_is_said_so(store):
    writer = write(store, [b"x"], live="shm")
    reader = store.reader(FEED)
    for path in chunk.chunk_paths(reader.feed, 1, Location.SHM):
        path.unlink()
    with pytest.raises(ChunkUnavailable, match="--ipc=host"):
        payloads(store.reader(FEED))
    writer.close()  # who has it mapped has it
    assert payloads(store.reader(FEED)) == [b"x"]


@pytest.mark.parametrize("where", ["idx", "dat"])
def test_damage_is_named_and_never_returned(store, where):
    write(store, [b"%03d" % n for n in range(100)]).close()
    index, heap = chunk.chunk_paths(store.feed(FEED), 1, Location.DISK)
    path, at = (index, layout.PAGE + 40 * 32 + 3) if where == "idx" else (heap, 3 * 40)
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    reader = store.reader(FEED)
    got = []
    with pytest.raises(
        CorruptStore, match=rf"{index} row 40: crc [0-9a-f]{{8}}, expected [0-9a-f]{{8}}; run: mdtool verify"
    ):
        for record in reader.records():
            got.append(record.payload)
    assert got == [b"%03d" % n for n in range(40)]
    with pytest.raises(CorruptStore, match="row 40"):
        list(store.reader(FEED).batches())
    unverified = store.reader(FEED, verify=False)
    assert len(payloads(unverified)) == 100


def test_damaged_registries_and_foreign_chunks_are_refused(store):
    write(store, [b"x"]).close()
    write(store, [b"y"], name="sim/BRAVO_USDT").close()
    a, b = store.feed(FEED), store.feed("sim/BRAVO_USDT")
    for mine, theirs in zip(
        chunk.chunk_paths(a, 1, Location.DISK), chunk.chunk_paths(b, 1, Location.DISK), strict=True
    ):
        mine.write_bytes(theirs.read_bytes())
    with pytest.raises(CorruptStore, match=r"belongs to another feed or store, expected chunk 1 of sim/ALPHA_USDT"):
        payloads(store.reader(FEED))
    registry = bytearray((a.directory / "feed.bin").read_bytes())
    registry[layout.CHUNKS_AT + 50] ^= 1
    (a.directory / "feed.bin").write_bytes(registry)
    with pytest.raises(CorruptStore, match=r"feed\.bin slot 0: its checksum does not hold"):
        payloads(store.reader(FEED))
    (b.directory / "feed.bin").write_bytes(b"not a registry" * 1000)
    with pytest.raises(CorruptStore, match=r"feed\.bin: begins with b'not a re'"):
        store.reader("sim/BRAVO_USDT")


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(NotAStore, match="no such directory"):
        Store.open(tmp_path / "missing")
    with pytest.raises(NotAStore, match="a file, expected the directory"):
        Store.open(Path(__file__))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(NotAStore, match="no mdtool store"):
        Store.open(tmp_path / "full")
    with pytest.raises(NotAStore, match="not empty and no mdtool store"):
        Store.create(tmp_path / "full")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    with Store.create(tmp_path / "new") as store:
        with pytest.raises(FeedNotFound, match="has no feed 'sim/X'"):
            store.reader("sim/X")
        for bad in ("../x/Y", "sim/../../etc", "sim/.hidden", "sim/", "/", "sim/A B", "SIM/X", "sim/" + "x" * 64):
            with pytest.raises(UsageError):
                store.writer(bad)
        for size in (0, 4095, 1 << 41):
            with pytest.raises(StoreError, match="chunk size"):
                store.writer(FEED, chunk_bytes=size)
    (tmp_path / "new" / "registry.bin").write_bytes(b"MDTSTORE" + bytes(5000))
    with pytest.raises(CorruptStore, match="checksum does not hold"):
        Store.open(tmp_path / "new")


def test_a_store_whose_making_was_killed_is_made_anew(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".registry.bin.4711").write_bytes(b"half")
    with Store.create(tmp_path / "store") as store:
        write(store, [b"x"]).close()
        assert payloads(store.reader(FEED)) == [b"x"]


def test_no_file_is_made_or_followed_through_a_link(store, tmp_path):
    write(store, [b"x"]).close()
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (store.feed(FEED).directory / "live" / "00000002.idx").symlink_to(target)
    (store.feed(FEED).directory / "live" / "00000003.dat").symlink_to(target)
    write(store, [b"y"]).close()
    assert [info.chunk_id for info in store.reader(FEED).chunks()] == [1, 4]
    assert payloads(store.reader(FEED)) == [b"x", b"y"]
    assert target.read_bytes() == b"precious"
    (store.feed(FEED).directory / "feed.bin").unlink()
    (store.feed(FEED).directory / "feed.bin").symlink_to(target)
    with pytest.raises(StoreError, match=r"feed\.bin: cannot be opened: Too many levels of symbolic links"):
        store.reader(FEED)


def test_batches_are_views_of_the_mapping(store):
    writer = write(store, [b"abc"] * 10)
    (batch,) = store.reader(FEED).batches()
    assert not batch.rows.flags.owndata
    assert not batch.rows.flags.writeable
    assert batch.rows.dtype == layout.ROW
    assert np.array_equal(batch.rows["recv_ns"], NOON + np.arange(10) * 1000)
    assert batch.streams == ["depth"]
    writer.close()
