"""The copy on disk of a chunk in shared memory: what was synced is read when that memory is gone, byte for byte, and no
more is claimed than is there, wherever it was cut short."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable
from mdtool.kernel.journal import fill_crcs
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor import mended_chunk
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import spool
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths, index_rows
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
WHY = "its shared memory is gone, and its copy on disk ends with the last sync"
ANOTHER_BOOT = b"another boot id."

DYING = """
import os, signal, sys
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store:
    writer = store.writer("sim/ALPHA_USDT", chunk_bytes=16384, live="shm")
    number = 0
    for word in sys.argv[2:]:
        if word == "sync":
            assert writer.sync() is None
        elif word == "end":
            writer.end(1_700_049_600_000_000_000 + number, "done")
        else:
            for number in range(number, number + int(word)):
                payload = (b"%04d" % number) * 16
                writer.append(1_700_049_600_000_000_000 + number, 1, writer.stream("d"), 0, payload)
            number += 1
    os.kill(os.getpid(), signal.SIGKILL)
"""


def body(number):
    return (b"%04d" % number) * 16


def died(path, *words):
    """A writer that did this (append so many, sync, end) and was killed."""
    done = subprocess.run([sys.executable, "-c", DYING, str(path), *map(str, words)], check=False)
    assert done.returncode == -signal.SIGKILL


def wipe(path):
    with Store.open(path) as store:
        shutil.rmtree(layout.shm_directory(store.id, 0).parent)


def everything(path):
    """Position, kind and payload of each record; a NOTE as what it says."""
    with Store.open(path) as store, store.reader(FEED) as reader:
        return [
            (
                record.position,
                Kind(record.kind),
                json.loads(record.payload) if record.kind == Kind.NOTE else record.payload,
            )
            for record in reader.records()
        ]


def data(path):
    return [payload for _, kind, payload in everything(path) if kind == Kind.DATA]


def notes(path):
    return [said for _, kind, said in everything(path) if kind == Kind.NOTE]


def fill(writer, first, stop):
    for number in range(first, stop):
        writer.append(NOON + number, Kind.DATA, writer.stream("d"), 0, body(number))


def abandon(writer):
    """As if its process had died."""
    writer._lock.drop()
    writer._lock = None


def spool_paths(feed, chunk_id=1):
    return chunk_paths(feed, chunk_id, Location.DISK)


# -- shared memory is lost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["the next writer", "repair", "repair --gone"])
def test_all_that_was_synced_is_read_when_shared_memory_is_gone(tmp_path, monkeypatch, how):
    path = tmp_path / "s"
    died(path, 300, "sync", 20, "sync", 30)  # chunks of 128 records: the third has 94, of which 64 were synced
    wipe(path)
    loss = {"note": "lost", "rows": None, "why": WHY, "chunk": 3, "row": 64}
    read = everything(path)
    assert read[:320] == [(((1 + n // 128) << 32) | n % 128, Kind.DATA, body(n)) for n in range(320)]
    assert read[320:] == [((3 << 32) | 64, Kind.NOTE, loss)]
    checked = verify(path)
    assert [(one.what, one.found, one.expected) for one in checked.findings] == [
        (FlawKind.MISSING, "chunk 3 is in shared memory that is not visible here; its copy on disk has 64 records",
         "its records"),
    ]  # fmt: skip
    assert checked.records == 320
    with Store.create(path) as store:
        feed = store.feed(FEED)
        if how != "repair --gone":
            assert [one.left for one in repair(feed)] == [True]  # it may only not be seen from here
            store.writer(FEED).close()
            assert everything(path) == read
            monkeypatch.setattr(files, "boot_id", lambda: ANOTHER_BOOT)
        if how == "the next writer":
            store.writer(FEED).close()
        else:
            assert repair(feed, gone=True, dry_run=True) == repair(feed, gone=how == "repair --gone")
        info = store.reader(FEED).chunks()[-1]
        assert (info.state, info.location, info.rows) == (ChunkState.CLOSED, Location.DISK, 65)
        assert info.flags == ChunkFlag.ORDERED | ChunkFlag.UNCLEAN
        assert everything(path) == read
        assert repair(feed) == []
        assert verify(path).findings == []
        assert seal_feed(feed, NOON + 9 * DAY).error is None
        with store.writer(FEED, live="shm", clock=ManualClock(NOON + DAY)) as writer:
            fill(writer, 320, 330)
    assert data(path) == [body(number) for number in range(330)]
    assert notes(path) == [loss]
    assert verify(path).findings == []


@pytest.mark.parametrize("gone", ["wiped", "a boot ago"])
def test_what_was_closed_and_not_yet_all_on_disk_is_lost_by_the_count(tmp_path, monkeypatch, gone):
    path = tmp_path / "s"
    died(path, 100, "sync", 200)
    wipe(path)
    if gone == "a boot ago":
        monkeypatch.setattr(files, "boot_id", lambda: ANOTHER_BOOT)
    first = {"note": "lost", "rows": 28, "why": WHY, "chunk": 1, "row": 100}
    with Store.create(path) as store:
        feed = store.feed(FEED)
        with pytest.raises(ChunkUnavailable, match="chunk 2"):  # of which there is nothing
            list(store.reader(FEED).records())
        assert store.reader(FEED).poll(500)[-1].position == (1 << 32) | 100
        assert [one.lost for one in repair(feed, gone=True)] == [28, 128, None]
        assert repair(feed) == []
    assert data(path) == [body(number) for number in range(100)]
    assert [note["rows"] for note in notes(path)] == [28, 128, None]
    assert notes(path)[0] == first
    assert verify(path).findings == []


def test_a_feed_that_was_never_synced_goes_on_behind_a_note_after_the_next_boot(tmp_path, monkeypatch):
    path = tmp_path / "s"
    died(path, 150)
    wipe(path)
    with pytest.raises(ChunkUnavailable, match="chunk 1"):
        everything(path)
    monkeypatch.setattr(files, "boot_id", lambda: ANOTHER_BOOT)
    with Store.create(path) as store, store.writer(FEED, live="shm", clock=ManualClock(NOON)) as writer:
        fill(writer, 150, 160)
    lost = {"note": "lost", "why": "its shared memory is gone", "row": 0}
    assert notes(path) == [{**lost, "rows": 128, "chunk": 1}, {**lost, "rows": None, "chunk": 2}]
    assert data(path) == [body(number) for number in range(150, 160)]
    assert verify(path).findings == []


def test_a_writer_that_ended_of_its_own_will_lost_nothing(tmp_path, monkeypatch):
    path = tmp_path / "s"
    died(path, 50, "end", "sync")
    wipe(path)
    whole = [*[(Kind.DATA, body(number)) for number in range(50)], (Kind.END, b'{"reason": "done"}')]
    assert [one[1:] for one in everything(path)] == whole
    monkeypatch.setattr(files, "boot_id", lambda: ANOTHER_BOOT)
    with Store.create(path) as store:
        assert store.reader(FEED).detect_disconnect(SECOND, NOON).reason.value == "ended"
        store.writer(FEED).close()
    assert [one[1:] for one in everything(path)] == whole
    assert verify(path).findings == []


def test_a_feed_whose_registries_went_too_is_rebuilt_from_the_copy(tmp_path):
    path = tmp_path / "s"
    died(path, 100, "sync", 20)
    wipe(path)
    (path / "registry.bin").unlink()
    (path / "feeds" / "sim" / "ALPHA_USDT" / "feed.bin").unlink()
    rebuild(path)
    assert data(path) == [body(number) for number in range(100)]
    assert verify(path).findings == []


def test_a_feed_whose_registries_went_alone_is_rebuilt_from_shared_memory(tmp_path):
    path = tmp_path / "s"
    died(path, 100, "sync", 20)
    (path / "registry.bin").unlink()
    (path / "feeds" / "sim" / "ALPHA_USDT" / "feed.bin").unlink()
    rebuild(path)
    assert data(path) == [body(number) for number in range(120)]
    with Store.create(path) as store:
        repair(store.feed(FEED))
    assert data(path) == [body(number) for number in range(120)]
    assert verify(path).findings == []


def test_a_writer_whose_shared_memory_is_cleared_goes_on_in_a_new_chunk_and_nothing_is_lost(store):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 50)
    writer.sync()
    holding = store.reader(FEED)
    assert len(holding.poll()) == 50
    fill(writer, 50, 60)
    wipe(store.path)
    assert data(store.path) == [body(number) for number in range(50)]  # as of the last sync: the rest may yet come
    assert len(holding.poll()) == 10  # it has the memory, too
    assert store.reader(FEED).detect_disconnect(SECOND, NOON) is None  # it is written
    assert writer.sync() is None
    fill(writer, 60, 70)
    assert data(store.path) == [body(number) for number in range(70)]
    assert [record.payload for record in holding.poll()] == [body(number) for number in range(60, 70)]
    infos = [(info.state, info.location, info.rows) for info in store.reader(FEED).chunks()]
    assert infos == [(ChunkState.CLOSED, Location.DISK, 60), (ChunkState.LIVE, Location.SHM, 10)]
    writer.close()
    assert verify(store.path).findings == []


@pytest.mark.parametrize("step", ["heap", "index", "entry"])
def test_a_repair_from_the_copy_that_is_cut_short_is_finished_by_the_next(tmp_path, monkeypatch, step):
    path = tmp_path / "s"
    died(path, 100, "sync", 10)
    wipe(path)

    class Died(BaseException):
        pass

    def replaced(target, pieces, replace=files.replace_durably):
        replace(target, pieces)
        if (target.suffix == ".dat") == (step == "heap") and step != "entry":
            raise Died

    with Store.create(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(mended_chunk.files, "replace_durably", replaced)
            if step == "entry":
                from mdtool.storage.doctor import repair as module

                patch.setattr(module, "write_image", lambda *_, **__: (_ for _ in ()).throw(Died))
            with pytest.raises(Died):
                repair(store.feed(FEED), gone=True)
        assert data(path) == [body(number) for number in range(100)]
        repair(store.feed(FEED), gone=True)
    assert data(path) == [body(number) for number in range(100)]
    assert [note["row"] for note in notes(path)] == [100]
    assert verify(path).findings == []


# -- torn anywhere ------------------------------------------------------------------------------------------------


class Device:
    """Logs what is written, synced and named, and can say what a power loss at any point may have left."""

    def __init__(self, patch):
        self.log = []
        self.done = []  # rows on disk by what a sync promised, and the length of the log then
        self.made = {}  # number of each file, by its inode: that may be used again
        put, create, sync = spool._put, files.create, files.sync

        def logged_put(fd, source, start, stop):
            self.log.append(("put", self.made[os.fstat(fd).st_ino], start, bytes(memoryview(source)[start:stop])))
            put(fd, source, start, stop)

        def logged_create(path, size):
            fd = create(path, size)
            self.made[os.fstat(fd).st_ino] = len(self.log)
            self.log.append(("create", len(self.log), size))
            return fd

        def logged_sync(fd, where):
            self.log.append(("sync", self.made.get(os.fstat(fd).st_ino)))
            sync(fd, where)

        def logged_link(source, target, link=os.link):
            link(source, target)
            self.log.append(("name", self.made[os.stat(target).st_ino], Path(target).name))

        def logged_rename(source, target, rename=Path.rename):
            rename(source, target)
            self.log.append(("name", self.made[os.stat(target).st_ino], Path(target).name))

        patch.setattr(spool, "_put", logged_put)
        patch.setattr(files, "create", logged_create)
        patch.setattr(files, "sync", logged_sync)
        patch.setattr(os, "link", logged_link)
        patch.setattr(Path, "rename", logged_rename)
        patch.setattr(files, "sync_directory", lambda path: self.log.append(("names",)))

    def after(self, cut, random):
        """Files by name after a power loss behind `cut` steps: what was synced, of the rest any sectors and names."""
        log = self.log[:cut]
        content, names = {}, {}
        for at, (what, *said) in enumerate(log):
            if what == "create":
                content[said[0]] = bytearray(said[1])
            elif what == "put":
                kept = ("sync", said[0]) in log[at:]
                for start in range(0, len(said[2]), 512):
                    if kept or random.random() < 0.5:
                        piece = said[2][start : start + 512]
                        content[said[0]][said[1] + start : said[1] + start + len(piece)] = piece
            elif what == "name" and (("names",) in log[at:] or random.random() < 0.5):
                names[said[1]] = said[0]
        return {name: bytes(content[ino]) for name, ino in names.items()}


@settings(max_examples=120, deadline=None)
@given(
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    rolls=st.booleans(),
    where=st.floats(0, 1),
    seed=st.integers(0, 2**32),
    again=st.booleans(),
)
def test_whatever_reached_the_disk_what_is_read_is_a_prefix_with_all_that_was_synced(
    tmp_path_factory, batches, rolls, where, seed, again
):
    path, random = tmp_path_factory.mktemp("torn") / "s", Random(seed)
    with Store.create(path) as store, pytest.MonkeyPatch.context() as patch:
        writer = store.writer(FEED, live="shm", chunk_bytes=64 * 1024, clock=ManualClock(NOON))
        device, total = Device(patch), 0
        for size in batches:
            fill(writer, total, total + size)
            total += size
            if again and total % 3 == 0:
                writer._chunk.spool._files = ()  # as after a sync that failed: it is made anew
            assert writer.sync() is None
            device.done.append((total, len(device.log)))
        if rolls:
            with writer._making_room:
                writer._close_chunk()
            assert writer._closed.follow([])
        abandon(writer)
        feed = store.feed(FEED)
    cut = round(where * len(device.log))
    live = feed.directory / "live"
    shutil.rmtree(live)
    live.mkdir()
    for name, content in device.after(cut, random).items():
        (live / name).write_bytes(content)
    wipe(path)
    synced = max((rows for rows, end in device.done if end <= cut), default=0)
    try:
        read = data(path)
    except ChunkUnavailable:
        read = []
    assert read == [body(number) for number in range(len(read))]
    assert synced <= len(read) <= total
    findings = [one for one in verify(path).findings if one.what not in (FlawKind.MISSING, FlawKind.ORPHAN)]
    assert findings == []
    with pytest.MonkeyPatch.context() as patch, Store.create(path) as store:
        patch.setattr(files, "boot_id", lambda: ANOTHER_BOOT)
        if random.random() < 0.5:
            store.writer(FEED).close()
        repair(store.feed(FEED))
        after = everything(path)  # what proves itself behind what was counted is kept, too, where it was
        assert [payload for _, _, payload in after[: len(read)]] == read
        assert all(kind == Kind.NOTE or payload == body(position & 0xFFFFFFFF) for position, kind, payload in after)
        assert len(data(path)) == total or notes(path)
        assert repair(store.feed(FEED)) == []
        assert [one for one in verify(path).findings if "without its index" not in str(one)] == []


# -- the disk refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", range(6))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_nothing_for_a_while_loses_nothing(tmp_path, monkeypatch, nth, number):
    path = tmp_path / "s"
    with Store.create(path) as store:
        writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
        fill(writer, 0, 50)
        if nth > 2:
            assert writer.sync() is None
        fill(writer, 50, 80)
        write, sync, calls = os.pwrite, os.fdatasync, []

        def refusing(call):
            def asked(fd, *said):
                name = Path(os.readlink(f"/proc/self/fd/{fd}")).name.lstrip(".")
                if name.startswith("00000001"):
                    calls.append(call)
                    if (len(calls) - 1) % 3 == nth % 3:
                        raise OSError(number, os.strerror(number))
                return call(fd, *said)

            return asked

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite" if number == errno.ENOSPC else "fdatasync",
                          refusing(write if number == errno.ENOSPC else sync))  # fmt: skip
            said = writer.sync()
            assert said is not None
            word = "no space left" if number == errno.ENOSPC else "cannot be brought to disk"
            assert word in said
            assert "00000001" in said
        assert data(path) == [body(number) for number in range(80)]
        assert verify(path).findings == []
        fill(writer, 80, 90)
        assert writer.sync() is None
        abandon(writer)
    wipe(path)
    assert data(path) == [body(number) for number in range(90)]


def test_a_copy_that_found_no_room_is_tried_again(store, monkeypatch):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        for _ in range(2):
            assert "no space left" in (writer.sync() or "")
    assert [info.location for info in store.reader(FEED).chunks()] == [Location.SHM, Location.SHM]
    assert data(store.path) == [body(number) for number in range(600)]
    assert writer.sync() is None
    assert [info.location for info in store.reader(FEED).chunks()] == [Location.DISK, Location.SHM]
    writer.close()
    assert data(store.path) == [body(number) for number in range(600)]


def test_a_copy_that_somebody_removed_is_made_anew(store):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    for first, which in ((0, 0), (10, 1)):
        fill(writer, first, first + 10)
        writer.sync()
        spool_paths(store.feed(FEED))[which].unlink()
    fill(writer, 20, 30)
    assert writer.sync() is None
    abandon(writer)
    wipe(store.path)
    assert data(store.path) == [body(number) for number in range(30)]


# -- beside the chunk ---------------------------------------------------------------------------------------------


def test_a_chunk_that_was_synced_on_its_way_is_in_the_end_as_one_that_was_not(tmp_path, monkeypatch):
    store_id = uuid.uuid4()
    monkeypatch.setattr(uuid, "uuid4", lambda: store_id)
    made = []
    for name, policy in (("spooled", "1s"), ("once", "chunk")):
        with Store.create(tmp_path / name, ManualClock(NOON)) as store:
            clock = ManualClock(NOON)
            writer = store.writer(FEED, live="shm", chunk_bytes=64 * 1024, clock=clock, sync=policy)
            for first in range(0, 2000, 90):
                fill(writer, first, first + 90)
                clock.advance(SECOND)
                writer.stream(f"s{first}")
                writer.heartbeat(clock.now_ns())
                writer.sync()
            writer.close()
            live = store.feed(FEED).directory / "live"
            made.append({path.name: path.read_bytes() for path in live.iterdir()})
            assert verify(store.path).findings == []
    assert len(made[0]) > 4, sorted(made[0])
    assert made[0] == made[1]


def test_nothing_is_synced_that_has_not_changed(store, monkeypatch):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 10)
    writer.sync()
    synced = []
    monkeypatch.setattr(files.os, "fdatasync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    writer.heartbeat(NOON + SECOND)
    writer.sync()
    assert synced == []
    fill(writer, 10, 11)
    writer.sync()
    assert [Path(one).name for one in synced] == ["00000001.dat", "00000001.idx", "00000001.idx"]
    writer.close()


@pytest.mark.parametrize("dead", [False, True])
def test_a_copy_is_no_finding_and_one_that_differs_is(store, dead):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 20)
    writer.sync()
    fill(writer, 20, 30)
    if dead:
        abandon(writer)
    usual = [FlawKind.UNFINISHED] if dead else []
    assert [one.what for one in verify(store.path).findings] == usual
    feed = store.feed(FEED)
    index, heap = spool_paths(feed)
    content, payloads = bytearray(index.read_bytes()), bytearray(heap.read_bytes())
    index_rows(memoryview(content), 20)["recv_ns"][7] += 1
    payloads[64 * 9] ^= 1
    fill_crcs(memoryview(content)[layout.PAGE : layout.PAGE + 20 * 32], payloads)
    index.write_bytes(content)
    found = [one for one in verify(store.path).findings if one.what not in usual]
    assert [(one.where, one.what, one.found) for one in found] == [
        (f"{index} row 9", FlawKind.CRC, "the checksum does not hold"),
    ]  # the payload of that row is still the one received
    heap.write_bytes(payloads)
    found = [one for one in verify(store.path).findings if one.what not in usual]
    assert [(one.where, one.found, one.expected) for one in found] == [
        (f"{index} row 7", "another record than in shared memory", "the same"),
    ]
    if dead:
        repair(feed)
    else:
        writer.close()
    assert data(store.path) == [body(number) for number in range(30)]
    if dead:
        assert verify(store.path).findings == []


@pytest.mark.parametrize("which", [0, 1], ids=["rows", "payloads"])
@pytest.mark.parametrize("when", ["live", "dead", "taken over"])
def test_what_memory_does_not_prove_any_more_and_its_copy_does_is_kept(store, which, when):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 20)
    writer.sync()
    fill(writer, 20, 30)
    feed = store.feed(FEED)
    path = chunk_paths(feed, 1, Location.SHM)[which]
    with path.open("r+b") as file:  # as a hole that somebody punched into it
        file.seek(layout.PAGE + 3 * 32 if which == 0 else 3 * 64)
        file.write(bytes(5 * 32 if which == 0 else 5 * 64))
    if when == "live":
        writer.close()
    else:
        abandon(writer)
        if when == "taken over":
            store.writer(FEED).close()
        assert [one.lost for one in repair(feed)] == [0, 0]
    assert data(store.path) == [body(number) for number in range(30)]
    assert verify(store.path).findings == []


def test_neither_retention_nor_sealing_nor_repair_takes_the_copy_of_a_live_chunk(store):
    writer = store.writer(FEED, live="shm", clock=ManualClock(NOON))
    fill(writer, 0, 20)
    writer.sync()
    feed = store.feed(FEED)
    limits = RetentionLimits(max_bytes=1, closed_chunks=True)
    made = plan([feed], limits, NOON + 99 * DAY)
    in_memory = sum(path.stat().st_blocks * 512 for path in chunk_paths(feed, 1, Location.SHM))
    assert [(one.removals, one.kept_bytes) for one in made.feeds] == [((), in_memory)]
    list(execute(made))
    assert seal_feed(feed, NOON + 99 * DAY, everything=True).parts == ()
    abandon(writer)
    monkey = chunk_directory(feed, Location.SHM)
    hidden = monkey.with_name("hidden")
    monkey.rename(hidden)
    assert [one.left for one in repair(feed)] == [True]
    assert all(path.exists() for path in spool_paths(feed))
    hidden.rename(monkey)
    assert [one.left for one in repair(feed)] == [False, False]  # closed, and what is in memory goes aside
    assert data(store.path) == [body(number) for number in range(20)]
    assert verify(store.path).findings == []


def test_what_lies_under_a_copys_name_already_is_passed_by(store):
    live = store.writer(FEED).feed.directory / "live"
    live.mkdir()
    (live / "00000001.dat").write_bytes(b"somebody's")
    with store.writer("sim/BRAVO_USDT", live="shm") as writer:
        writer.feed.directory.joinpath("live").mkdir()
        (writer.feed.directory / "live" / "00000001.dat").write_bytes(b"somebody's")
        fill(writer, 0, 10)
    assert [info.chunk_id for info in store.reader("sim/BRAVO_USDT").chunks()] == [2]
    assert (writer.feed.directory / "live" / "00000001.dat").read_bytes() == b"somebody's"


def test_a_copy_that_was_being_made_when_its_writer_died_goes_with_the_next(store):
    with store.writer(FEED, live="shm", clock=ManualClock(NOON)) as writer:
        fill(writer, 0, 10)
    live = writer.feed.directory / "live"
    for name in (".00000002.dat.4194305", ".00000002.idx.4194305"):
        (live / name).write_bytes(b"half")
    (live / "mine").write_bytes(b"?")
    store.writer(FEED).close()
    assert sorted(path.name for path in live.iterdir()) == ["00000001.dat", "00000001.idx", "mine"]
