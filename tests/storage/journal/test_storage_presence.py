"""What a reader can tell of a writer it never talks to: there, silent, dead, ended; and of a feed not there yet."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from patience import LONGEST, wait_until

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable, CorruptStore, FeedNotFound, NotAStore
from mdtool.model import Kind
from mdtool.storage.discovery import discover
from mdtool.storage.format.layout import Location
from mdtool.storage.journal import chunk
from mdtool.storage.journal.locks import Holder, holder, lock_writer
from mdtool.storage.journal.presence import Reason
from mdtool.storage.reading.reader import WriterStatus
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND


def both(reader, now_ns=NOON, ttl_ns=SECOND):
    """(status, reason) at one moment."""
    found = reader.detect_disconnect(ttl_ns, now_ns)
    return reader.writer_status(ttl_ns, now_ns), found and found.reason


def test_the_life_of_a_writer_as_a_reader_sees_it(store):
    clock = ManualClock(NOON)
    writer = store.writer(FEED, clock=clock)
    reader = store.reader(FEED)
    assert both(reader) == (WriterStatus.ALIVE, None)  # it has the feed, and nothing to write yet
    writer.append(NOON, Kind.DATA, writer.stream("d"), 1, b"x")
    assert both(reader, NOON + SECOND) == (WriterStatus.ALIVE, None)
    assert both(reader, NOON + SECOND + 1) == (WriterStatus.STALE, Reason.HEARTBEAT_STALE)
    stale = reader.detect_disconnect(SECOND, NOON + 90 * SECOND)
    assert stale.since_ns == NOON
    assert "silent for 90.0 s" in stale.text
    writer.heartbeat(NOON + 5 * SECOND)
    assert both(reader, NOON + 6 * SECOND) == (WriterStatus.ALIVE, None)
    writer.end(NOON + 6 * SECOND, "done")
    assert both(reader, NOON + 6 * SECOND) == (WriterStatus.ALIVE, Reason.ENDED)
    writer.close()
    assert both(reader, NOON + 999 * SECOND) == (WriterStatus.GONE, Reason.ENDED)
    ended = reader.detect_disconnect(SECOND, NOON + 999 * SECOND)
    assert (ended.since_ns, ended.text) == (
        NOON + 6 * SECOND, f"{FEED}: its writer stopped of its own will: done",
    )  # fmt: skip
    with store.writer(FEED, clock=ManualClock(NOON + 1000 * SECOND)) as writer:
        assert both(reader, NOON + 1000 * SECOND)[0] is WriterStatus.ALIVE
        writer.append(NOON + 1000 * SECOND, Kind.DATA, writer.stream("d"), 1, b"y")
        assert both(reader, NOON + 1000 * SECOND) == (WriterStatus.ALIVE, None)
    assert both(reader, NOON + 1001 * SECOND) == (WriterStatus.GONE, Reason.LOCK_LOST)  # closed, but not ended
    assert "was not ended" in reader.detect_disconnect(SECOND, NOON).text


def test_a_feed_nobody_wrote(store):
    store.writer(FEED).close()
    reader = store.reader(FEED)
    assert both(reader) == (WriterStatus.GONE, Reason.NEVER_WRITTEN)
    assert reader.detect_disconnect(SECOND, NOON).since_ns is None


DYING = """
import sys, time
from mdtool.storage.store import Store
store = Store.create(sys.argv[1])
writer = store.writer("sim/ALPHA_USDT", live="disk")
writer.append(time.time_ns(), 1, writer.stream("d"), 1, b"x")
if sys.argv[2] == "between":
    writer._close_chunk()
if sys.argv[2] == "ended":
    writer.end(time.time_ns(), "done")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("where", "alive", "dead"),
    [
        ("in", (WriterStatus.ALIVE, None), (WriterStatus.STALE, Reason.LOCK_LOST)),
        ("between", (WriterStatus.ALIVE, None), (WriterStatus.STALE, Reason.LOCK_LOST)),
        ("ended", (WriterStatus.ALIVE, Reason.ENDED), (WriterStatus.GONE, Reason.ENDED)),
    ],
)
def test_a_writer_that_is_killed_is_told_from_one_that_stopped(tmp_path, where, alive, dead):
    path = tmp_path / "store"
    child = subprocess.Popen(
        [sys.executable, "-c", DYING, str(path), where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    with Store.open(path) as store:
        reader = store.reader(FEED)
        assert both(reader, time.time_ns(), 60 * SECOND) == alive
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert both(reader, time.time_ns(), 60 * SECOND) == dead  # at once, whatever the ttl
        if where != "ended":
            assert f"(pid {child.pid}) died" in reader.detect_disconnect(SECOND, time.time_ns()).text


def test_a_live_chunk_that_cannot_be_opened_is_said_and_one_that_is_open_is_read_on(store):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    depth = writer.stream("d")
    writer.append(NOON, Kind.DATA, depth, 1, b"0")
    holding, coming = store.reader(FEED), store.reader(FEED)
    assert [record.payload for record in holding.poll()] == [b"0"]
    for path in chunk.chunk_paths(store.feed(FEED), 1, Location.SHM):
        path.unlink()
    found = coming.detect_disconnect(SECOND, NOON)
    assert found.reason is Reason.CHUNK_MISSING
    assert "--ipc=host" in found.text
    assert coming.writer_status(SECOND, NOON) is WriterStatus.ALIVE  # the lock is held, and that is all that shows
    with pytest.raises(ChunkUnavailable):
        coming.poll()
    for number in range(1, 100):
        writer.append(NOON + number, Kind.DATA, depth, 1, b"%d" % number)
    assert holding.detect_disconnect(SECOND, NOON).reason is Reason.CHUNK_MISSING
    assert [record.payload for record in holding.poll()] == [b"%d" % number for number in range(1, 100)]
    assert holding.writer_status(SECOND, NOON + 2 * SECOND) is WriterStatus.STALE  # its heartbeat is still seen
    writer._lock.drop()  # as if it had died
    writer._lock = None


def test_after_a_reboot_what_was_on_disk_is_read_and_what_was_not_is_named(tmp_path):
    """A reboot takes the shared memory and every process; the chunks that were copied to disk stay."""
    path = tmp_path / "store"
    code = DYING.replace('live="disk"', 'live="shm", chunk_bytes=4096').replace(
        'b"x")',
        'b"x")\nfor n in range(200):\n    writer.append(time.time_ns(), 1, 0, 1, b"%03d" % n * 20)\nwriter.sync()',
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path), "in"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    child.kill()
    child.wait()
    with Store.open(path) as store:
        whole = [record.payload for record in store.reader(FEED).records()]
        feed = store.feed(FEED)
        latest = store.reader(FEED).latest_chunk()
        assert latest.location is Location.SHM
        for file in chunk.chunk_directory(feed, Location.SHM).iterdir():
            file.unlink()
        reader = store.reader(FEED)
        assert reader.detect_disconnect(SECOND, time.time_ns()).reason is Reason.CHUNK_MISSING
        assert reader.writer_status(SECOND, time.time_ns()) is WriterStatus.STALE
        found = reader.detect_disconnect(SECOND, time.time_ns())
        assert f"its copy on disk has {latest.rows} records, and where that memory is gone what came" in found.text
        *before, note = [(record.kind, record.payload) for record in reader.records()]
        assert [payload for _, payload in before] == whole  # all of it had been synced
        why = "its shared memory is gone, and its copy on disk ends with the last sync"
        lost = {"note": "lost", "rows": None, "why": why, "chunk": latest.chunk_id, "row": latest.rows}
        assert (note[0], json.loads(note[1])) == (Kind.NOTE, lost)


def test_looking_never_keeps_a_writer_from_starting(store):
    """Readers ask without pause while writers come and go; not one start is refused."""
    store.writer(FEED).close()
    stop = threading.Event()
    seen = set()

    def look():
        reader = store.reader(FEED)
        while not stop.is_set():
            seen.add(reader.writer_status(DAY, time.time_ns()))
            reader.detect_disconnect(DAY, time.time_ns())

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            with store.writer(FEED) as writer:
                writer.append(time.time_ns(), Kind.DATA, writer.stream("d"), 1, b"x")
                writer.end(time.time_ns(), "done")
        with store.writer(FEED):
            wait_until(lambda: WriterStatus.ALIVE in seen)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert WriterStatus.ALIVE in seen
    assert WriterStatus.STALE not in seen


def test_the_lock_is_asked_about_and_never_taken(store):
    store.writer(FEED).close()
    feed = store.feed(FEED)
    assert holder(feed.directory) == Holder(False, 0)
    lock = lock_writer(feed)
    assert holder(feed.directory) == Holder(True, 0)
    lock.drop()  # as a death does
    assert holder(feed.directory) == Holder(False, os.getpid())
    lock_writer(feed).release()
    assert holder(feed.directory) == Holder(False, 0)
    assert holder(feed.directory / "nowhere") == Holder(False, 0)
    with open(feed.directory / "writer.lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody has it


def test_end_is_seen_as_the_end(store):
    writer = store.writer(FEED)
    depth = writer.stream("d")
    reader = store.reader(FEED)
    assert not reader.ended
    writer.append(NOON, Kind.DATA, depth, 1, b"0")
    writer.end(NOON + 1, "first")
    assert not reader.ended  # not read yet
    assert [record.kind for record in reader.follow(until_end=True)] == [Kind.DATA, Kind.END]
    assert reader.ended
    assert list(reader.follow(until_end=True)) == []
    writer.close()
    assert reader.ended
    late = store.reader(FEED)
    late.to_end()
    assert late.ended
    writer = store.writer(FEED)  # another epoch goes on behind the END
    writer.append(NOON + 2, Kind.DATA, depth, 1, b"1")
    assert not reader.ended
    seen = []

    def finish():
        time.sleep(0.05)
        writer.append(NOON + 3, Kind.DATA, depth, 1, b"2")
        writer.end(NOON + 4, "second")
        writer.close()

    thread = threading.Thread(target=finish)
    thread.start()
    whole = store.reader(FEED)
    seen = [record.payload for record in whole.follow(until_end=True)]
    thread.join()
    assert seen == [b"0", b'{"reason": "first"}', b"1", b"2", b'{"reason": "second"}']
    assert whole.ended


def test_a_feed_and_a_store_that_do_not_exist_yet_are_waited_for(tmp_path):
    path = tmp_path / "later"
    with pytest.raises(NotAStore):
        discover(path, FEED, timeout=0.05)
    assert not path.exists()

    def record():
        time.sleep(0.1)
        with Store.create(path) as store:
            time.sleep(0.1)
            with store.writer(FEED) as writer:
                time.sleep(0.1)
                writer.append(NOON, Kind.DATA, writer.stream("d"), 1, b"x")
                writer.end(NOON, "done")

    thread = threading.Thread(target=record)
    thread.start()
    with discover(path, FEED, timeout=LONGEST) as reader:
        assert [record.kind for record in reader.follow(until_end=True)] == [Kind.DATA, Kind.END]
    thread.join()
    with pytest.raises(FeedNotFound):
        discover(path, "sim/NEVER", timeout=0.05)
    turns = iter([False, True])
    with pytest.raises(FeedNotFound):
        discover(path, "sim/NEVER", stop=lambda: next(turns))
    (path / "registry.bin").write_bytes(b"MDTSTORE" + bytes(5000))
    with pytest.raises(CorruptStore):
        discover(path, FEED)
