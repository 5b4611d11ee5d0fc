"""Cursors keep a position over restarts, crashes and torn writes, for one owner at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import CorruptStore, FeedNotFound, StoreError, UsageError
from mdtool.model import Kind
from mdtool.storage.format import layout
from mdtool.storage.reading.cursor import FILE_BYTES, SLOT_AT, Cursor, CursorInfo
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
POSITIONS = st.integers(0, (1 << 64) - 1)


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        with made.writer(FEED, chunk_bytes=4096) as writer:
            for number in range(200):
                writer.append(NOON + number, Kind.DATA, writer.stream("d"), 1, b"%03d" % number * 20)
        yield made


def test_a_tailer_goes_on_where_it_committed(store):
    got = []
    for _ in range(5):
        with store.cursor(FEED, "sink") as cursor, store.reader(FEED) as reader:
            reader.move_to(cursor.position)
            got += [record.payload for record in reader.poll(40)]
            cursor.commit(reader.position)
    assert got == [b"%03d" % number * 20 for number in range(200)]
    with store.cursor(FEED, "sink", create=False) as cursor, store.reader(FEED) as reader:
        reader.move_to(cursor.position)
        assert reader.poll() == []
        cursor.to_start()
        assert cursor.position == 0
        reader.move_to(cursor.position)
        assert next(reader.records()).payload == b"000" * 20
        cursor.to_end()
        end = cursor.position
        cursor.to_start()
        cursor.move_to(end)
        reader.move_to(cursor.position)
        assert reader.poll() == []
        with pytest.raises(CorruptStore, match="not kept any more"):
            cursor.move_to(999 << 32)
        assert cursor.position == end


def test_one_owner_at_a_time_and_readers_of_it_are_not_owners(store):
    with store.cursor(FEED, "sink") as cursor:
        cursor.commit(5)
        with pytest.raises(StoreError, match="cursor 'sink' of sim/ALPHA_USDT is in use by another process"):
            store.cursor(FEED, "sink")
        with pytest.raises(StoreError, match="in use by another process"):
            store.remove_cursor(FEED, "sink")
        assert [(info.name, info.position) for info in store.cursors(FEED)] == [("sink", 5)]
    cursor.close()
    with pytest.raises(StoreError, match="is closed"):
        cursor.commit(6)
    store.remove_cursor(FEED, "sink")
    assert store.cursors(FEED) == []
    with pytest.raises(StoreError, match="no such cursor"):
        store.cursor(FEED, "sink", create=False)
    with pytest.raises(StoreError, match="no such cursor"):
        store.remove_cursor(FEED, "sink")


def test_lists_show_position_time_and_lease(store):
    clock = ManualClock(NOON)
    feed = store.feed(FEED)
    assert store.cursors(FEED) == []
    with Cursor(feed, "b", clock=clock) as b, Cursor(feed, "a", clock=clock):
        clock.advance(5)
        b.lease(100)
        clock.advance(5)
        b.commit(7)
    a, b = store.cursors(FEED)
    assert (a, b) == (CursorInfo("a", 0, NOON, 0), CursorInfo("b", 7, NOON + 10, NOON + 105))
    assert [info.leased(NOON + 104) for info in (a, b)] == [False, True]
    assert not b.leased(NOON + 105)
    with Cursor(feed, "b", clock=clock) as again:
        assert (again.position, again.updated_ns, again.lease_until_ns) == (7, NOON + 10, NOON + 105)
        again.lease(0)
    assert store.cursors(FEED)[1] == CursorInfo("b", 7, NOON + 10, 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(POSITIONS, min_size=1, max_size=6), st.data())
def test_after_a_torn_write_one_of_the_last_two_positions_serves(tmp_path_factory, positions, data):
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        store.writer(FEED).close()
        file = store.feed(FEED).directory / "cursors" / "c"
        with store.cursor(FEED, "c") as cursor:
            for position in positions:
                before = file.read_bytes()
                cursor.commit(position)
            after = file.read_bytes()
        changed = next(at for at in SLOT_AT if before[at : at + 64] != after[at : at + 64])
        assert all(before[at:] == after[at:] for at in SLOT_AT[1:] if at > changed)
        # What a crash may leave of the slot that was being written: any mixture of old and new bytes, zeros, noise.
        torn = bytearray(after)
        cut = data.draw(st.integers(0, 64))
        rest = data.draw(st.sampled_from(["old", "zero", "noise"]))
        fill = {
            "old": before[changed : changed + 64],
            "zero": bytes(64),
            "noise": data.draw(st.binary(min_size=64, max_size=64)),
        }
        torn[changed + cut : changed + 64] = fill[rest][cut:]
        file.write_bytes(torn)
        with store.cursor(FEED, "c") as again:
            assert again.position in ([0, *positions])[-2:]
            again.commit(99)
        with store.cursor(FEED, "c") as again:
            assert again.position == 99


COMMITTER = """
import sys
from mdtool.storage.store import Store
with Store.open(sys.argv[1]) as store, store.cursor("sim/ALPHA_USDT", "c") as cursor:
    for number in range(1, 1 << 40):
        cursor.commit(number)
        if number % 50 == 0:
            print(number, flush=True)
"""


def test_kill_9_leaves_what_was_committed(store):
    child = subprocess.Popen([sys.executable, "-c", COMMITTER, str(store.path)], stdout=subprocess.PIPE, text=True)
    seen = 0
    for line in child.stdout:
        seen = int(line)
        if seen >= 2000:
            child.send_signal(signal.SIGKILL)
            break
    seen = max([seen, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
    child.wait()
    with store.cursor(FEED, "c") as cursor:  # the dead process holds no lock
        assert seen <= cursor.position <= seen + 51


def test_damage_is_named_and_a_damaged_cursor_holds_its_lease(store):
    feed = store.feed(FEED)
    store.cursor(FEED, "c").close()
    (feed.directory / "cursors" / "c").write_bytes(b"\xff" * FILE_BYTES)
    with pytest.raises(CorruptStore, match=r"cursors/c: neither of the cursor's two slots is whole and of sim/ALPHA"):
        store.cursor(FEED, "c")
    assert store.cursors(FEED) == [CursorInfo("c", 0, 0, 0, damaged=True)]
    assert store.cursors(FEED)[0].leased(1 << 62)
    store.remove_cursor(FEED, "c")
    store.writer("sim/BRAVO_USDT").close()
    store.cursor(FEED, "c").close()
    other = store.feed("sim/BRAVO_USDT").directory / "cursors"
    other.mkdir()
    (feed.directory / "cursors" / "c").rename(other / "c")
    with pytest.raises(CorruptStore, match="of sim/BRAVO_USDT"):
        store.cursor("sim/BRAVO_USDT", "c")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "../feed.bin", "a b", "é", "x" * 64, "a\0b"])
def test_names_that_could_not_be_files_are_refused(store, name):
    with pytest.raises(UsageError, match="expected letters, digits"):
        store.cursor(FEED, name)


def test_nothing_is_read_or_written_through_a_link(store, tmp_path):
    with pytest.raises(FeedNotFound):
        store.cursor("sim/NONE", "c")
    feed = store.feed(FEED)
    store.cursor(FEED, "c").close()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (feed.directory / "cursors" / "link").symlink_to(precious)
    with pytest.raises(StoreError, match="cannot be opened: Too many levels of symbolic links"):
        store.cursor(FEED, "link")
    os.mkfifo(feed.directory / "cursors" / "pipe")
    with pytest.raises(StoreError, match="no plain file"):
        store.cursor(FEED, "pipe")
    assert [info.name for info in store.cursors(FEED) if not info.damaged] == ["c"]
    moved = tmp_path / "moved"
    (feed.directory / "cursors").rename(moved)
    (feed.directory / "cursors").symlink_to(moved)
    with pytest.raises(StoreError, match="a symbolic link, expected the directory of a feed's cursors"):
        store.cursor(FEED, "c")
    assert precious.read_bytes() == b"precious"


def test_the_slots_are_the_documented_bytes(store):
    with Cursor(store.feed(FEED), "c", clock=ManualClock(NOON)) as cursor:
        cursor.commit(3 << 32 | 4)
    raw = (store.feed(FEED).directory / "cursors" / "c").read_bytes()
    assert len(raw) == FILE_BYTES
    slot = raw[4096:4160]
    assert slot[:8] == b"MDTCURSR"
    assert [int.from_bytes(slot[at : at + 8], "little") for at in (16, 24, 32, 40)] == [1, 3 << 32 | 4, NOON, 0]
    assert layout.unsealed(layout.CURSOR_SLOT, slot) is not None
    assert Path(store.feed(FEED).directory / "cursors" / "c").stat().st_mode & 0o777 == 0o640
