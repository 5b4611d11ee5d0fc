"""A full disk: the record that finds no room is refused, nothing else is lost, and nothing is left behind."""

from __future__ import annotations

import errno
import os

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import StoreFull
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor.verify import verify
from mdtool.storage.journal.chunk import chunk_directory
from mdtool.storage.journal.registry import FeedRegistry

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND


def names(feed):
    return sorted(path.name for path in chunk_directory(feed, feed.live).iterdir())


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(patch, what):
    """Let one step of making a chunk find no space."""
    if what == "index":
        patch.setattr(files.os, "ftruncate", no_space)
    elif what == "heap":
        truncate, made = os.ftruncate, []

        def second(fd, size):
            made.append(fd)
            (truncate if len(made) % 2 else no_space)(fd, size)

        patch.setattr(files.os, "ftruncate", second)
    elif what == "link":
        patch.setattr(os, "link", no_space)
    elif what == "entry":
        patch.setattr(FeedRegistry, "add_chunk", lambda *_: files.reserve(-1, 0, 1, "feed.bin"))
        patch.setattr(files.os, "posix_fallocate", lambda fd, *_: no_space() if fd < 0 else None)
    else:
        nth = int(what)
        reserve, calls = os.posix_fallocate, []

        def counted(fd, start, size):
            calls.append(fd)
            (no_space if (len(calls) - 1) % (nth + 1) == nth else reserve)(fd, start, size)

        patch.setattr(files.os, "posix_fallocate", counted)


@pytest.mark.parametrize("what", ["index", "heap", "entry", "link", "0", "1", "2"])
@pytest.mark.parametrize("ready", [False, True], ids=["made", "preallocated"])
def test_an_append_that_finds_no_room_leaves_nothing_and_recording_resumes(store, what, ready, monkeypatch):
    clock = ManualClock(NOON)
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=clock)
    depth = writer.stream("d")
    for _ in range(40):
        writer.append(NOON, Kind.DATA, depth, 0, bytes(1000))
    writer.sync()
    clock.advance(DAY)
    before, held = names(store.feed(FEED)), None
    refused = 0
    for number in range(100):
        if ready:
            writer.prepare()
        with monkeypatch.context() as patch:
            refuse(patch, what)
            try:
                writer.append(NOON + DAY + number, Kind.DATA, depth, 0, bytes(1000))
                break  # a step that this way does not come by
            except StoreFull:
                refused += 1
        writer.sync()  # closes what was closed
        assert names(store.feed(FEED)) == before
        held = held or descriptors()
        assert descriptors() == held
    assert verify(store.path).findings == []
    for _ in range(40):
        writer.append(NOON + DAY + 100, Kind.DATA, depth, 0, bytes(1000))
    writer.close()
    chunks = [(info.chunk_id, info.rows) for info in store.reader(FEED).chunks()]
    assert chunks == ([(1, 40), (2, 40)] if refused == 100 else [(1, 40), (2, 41)])
    assert verify(store.path).findings == []


def test_a_preallocation_that_finds_no_room_leaves_nothing(store, monkeypatch):
    writer = store.writer(FEED, chunk_bytes=64 * 1024, clock=ManualClock(NOON))
    for _ in range(40):
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, bytes(1000))
    before = names(store.feed(FEED)), descriptors()
    for what in ("index", "heap", "0", "1"):
        with monkeypatch.context() as patch:
            refuse(patch, what)
            with pytest.raises(StoreFull):
                from mdtool.storage.journal import live

                live.preallocate(store.feed(FEED), 2, NOON)
        assert (names(store.feed(FEED)), descriptors()) == before
    writer.close()
