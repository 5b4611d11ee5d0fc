"""Verify over a store at work: whatever a healthy process is in the middle of is no finding."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage import store as door
from mdtool.storage.doctor import store_evidence, untrusted
from mdtool.storage.doctor import verify as looking
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.journal import locks
from mdtool.storage.store import Store
from mdtool.storage.upkeep import sealing

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
LONG = 60  # seconds; for what must come, so that a failure does not hang


def write(store, *, days=1, name=FEED):
    clock = ManualClock(NOON)
    with store.writer(name, chunk_bytes=16 * 1024, clock=clock, sync="none") as writer:
        for day in range(days):
            for number in range(40):
                writer.append(NOON + day * DAY + number, Kind.DATA, writer.stream("d"), 0, bytes(1000))


def told_before(monkeypatch, module, name):
    """An event that is set just before `module.name` is called."""
    reached, real = threading.Event(), getattr(module, name)

    def call(*arguments):
        reached.set()
        return real(*arguments)

    monkeypatch.setattr(module, name, call)
    return reached


@pytest.mark.parametrize("older", [False, True], ids=["new", "without the lock file"])
def test_the_first_sealing_of_a_feed_begins_while_it_is_looked_at(store, older, monkeypatch):
    write(store, days=2)
    feed, examine = store.feed(FEED), looking.examine_feed
    if older:
        (feed.directory / locks.MAINTENANCE_LOCK).unlink()
    drafted, looked = threading.Event(), threading.Event()
    sealer: list[threading.Thread] = []
    real = locks.fcntl.flock

    def flock(fd, how):
        if threading.current_thread() in sealer and not older:
            drafted.set()  # it waits for its turn
        real(fd, how)

    def step(name):
        if name == "draft":
            drafted.set()
            looked.wait(LONG)

    def examined(directory, *, in_use):
        if not sealer:
            sealer.append(threading.Thread(target=lambda: sealing.seal_feed(feed, NOON + 9 * DAY, step=step)))
            sealer[0].start()
            assert drafted.wait(LONG)
            if older:
                threading.Timer(0.2, looked.set).start()  # it ends at last, and the look is taken anew under its lock
        return examine(directory, in_use=in_use)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(looking, "examine_feed", examined)
    findings = verify(store.path).findings
    looked.set()
    sealer[0].join(LONG)
    assert findings == []
    assert verify(store.path).findings == []


@pytest.mark.parametrize("at", ["make_directory", "offer", "create", "copy_settings"])
def test_a_feed_that_is_being_made_known(store, at, monkeypatch):
    """The look begins between two steps of making the feed, and ends after them."""
    owner = {"make_directory": door.files, "offer": door.locks, "create": door.FeedRegistry}.get(at, door)
    real, waits = getattr(owner, at), told_before(monkeypatch, looking, "wait_for_changes")
    found: list[object] = []
    looker = threading.Thread(target=lambda: found.append(verify(store.path).findings))

    def paused(*arguments):
        if looker.ident is None:
            looker.start()
            if at != "copy_settings":
                assert waits.wait(LONG)
        return real(*arguments)

    monkeypatch.setattr(owner, at, staticmethod(paused) if at == "create" else paused)
    write(store)
    looker.join(LONG)
    assert found == [[]]


def test_a_writer_that_came_and_went_during_a_look(store, monkeypatch):
    write(store)
    examine, ran = looking.examine_feed, []

    def examined(directory, *, in_use):
        seen = examine(directory, in_use=in_use)
        if not ran:
            ran.append(True)
            bytes(seen.file.data)
            write(store, days=3)
        return seen

    monkeypatch.setattr(looking, "examine_feed", examined)
    assert verify(store.path).findings == []


def test_a_registry_that_grows_between_being_mapped_and_being_counted(store, monkeypatch):
    load, ran = untrusted.load, []

    def loaded(path):
        seen = load(path)
        if path.name == "registry.bin" and not ran:
            ran.append(True)
            write(store)
        return seen

    monkeypatch.setattr(store_evidence, "load", loaded)
    assert verify(store.path).findings == []


def test_a_registry_that_is_read_and_not_mapped_while_a_feed_is_made_known(store, monkeypatch):
    """A copy, as of a file with a hole, is made piece by piece: it may have the new count and not yet the slot."""
    write(store)
    real, torn = untrusted.load, []

    def loaded(path):
        seen = real(path)
        if path.name == "registry.bin" and not torn:
            torn.append(bytes(seen.data[: layout.PAGE]) + bytes(len(seen.data) - layout.PAGE))
            return untrusted.Bytes(path, torn[0])
        return seen

    monkeypatch.setattr(untrusted, "load", loaded)
    monkeypatch.setattr(store_evidence, "load", loaded)
    checked = verify(store.path)
    assert torn
    assert (checked.findings, checked.feeds) == ([], 1)


def test_a_file_written_aside_and_finished_by_a_process_that_then_ended(store, monkeypatch):
    write(store)
    aside = store.feed(FEED).directory / f".feed.bin.{2**22 + 1}"
    aside.write_bytes(b"")
    real = looking.being_written

    def asked(path):
        if path == aside:
            aside.unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(looking, "being_written", asked)
    assert verify(store.path).findings == []


def test_many_looks_at_feeds_that_are_made_written_sealed_and_cleaned(tmp_path):
    """A bounded stress beside the interleavings above."""
    work = """
        import sys
        from mdtool.clock import DAY, SECOND
        from mdtool.model import Kind
        from mdtool.storage.store import Store
        from mdtool.storage.upkeep.sealing import seal_feed
        from mdtool.storage.upkeep.removal import execute
        from mdtool.storage.upkeep.retention import RetentionLimits, plan

        NOON, path, own = 1_700_049_600 * SECOND, sys.argv[1], sys.argv[2]
        with Store.create(path) as store:
            for number in range(12):
                name = f"sim/F{own}_{number}"
                for live in ("disk", "shm"):
                    with store.writer(name, chunk_bytes=16 * 1024, live=live, sync="1s") as writer:
                        for day in range(3):
                            for row in range(30):
                                writer.append(NOON + day * DAY + row, Kind.DATA, writer.stream("d"), 0, bytes(1000))
                            writer.prepare()
                            writer.sync()
                feed = store.feed(name)
                seal_feed(feed, NOON + 9 * DAY, everything=True)
                for _ in execute(plan([feed], RetentionLimits(older_than_ns=DAY), NOON + 3 * DAY)):
                    pass
    """
    path = tmp_path / "store"
    Store.create(path).close()
    code = textwrap.dedent(work)
    workers = [subprocess.Popen([sys.executable, "-c", code, path, str(own)], env=os.environ) for own in range(2)]
    looks = 0
    while any(worker.poll() is None for worker in workers) or not looks:
        assert verify(path).findings == []
        looks += 1
    assert [worker.wait() for worker in workers] == [0, 0]
    assert verify(path).findings == []
