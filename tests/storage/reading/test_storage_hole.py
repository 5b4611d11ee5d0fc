"""A closed chunk whose files are gone: what is there is read, and the hole is named where it is."""

from __future__ import annotations

import json

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.format.layout import ROW_BITS, Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.reading.fanin import FanIn
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
ROWS = (3, 5, 7)


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        with made.writer(FEED, clock=ManualClock(NOON), sync="none") as writer:
            for day, rows in enumerate(ROWS):
                for number in range(rows):
                    writer.append(NOON + day * DAY + number, Kind.DATA, writer.stream("d"), 0, b"%d.%d" % (day, number))
        yield made


def of(*days):
    return [b"%d.%d" % (day, number) for day in days for number in range(ROWS[day])]


def lost(payload):
    """Chunk, row and number of records that a NOTE names, and whether it names the file."""
    said = json.loads(payload)
    return said["note"], said["chunk"], said["row"], said["rows"]


def read(records):
    return [lost(record.payload) if record.kind == Kind.NOTE else record.payload for record in records]


@pytest.mark.parametrize("which", [0, 1], ids=["index", "heap"])
@pytest.mark.parametrize("gone", [1, 2, 3])
def test_what_is_there_is_read_and_the_hole_is_named(store, which, gone):
    path = chunk_paths(store.feed(FEED), gone, Location.DISK)[which]
    aside = path.rename(path.with_name("aside"))
    named = ("lost", gone, 0, ROWS[gone - 1])
    expected: list[object] = []
    for day in range(3):
        expected += [named] if day == gone - 1 else of(day)
    reader = store.reader(FEED)
    assert read(reader.records()) == expected
    assert read(reader.records()) == []
    assert [read(batch.records()) for batch in store.reader(FEED).batches()] == [
        [named] if day == gone - 1 else of(day) for day in range(3)
    ]
    fan = FanIn([store.reader(FEED)])
    assert read(record for _, record in fan.poll()) == expected
    (note,) = [record for record in store.reader(FEED).records() if record.kind == Kind.NOTE]
    assert str(path) in json.loads(note.payload)["why"]
    assert (note.position, note.recv_ns) == (gone << ROW_BITS, NOON + (gone - 1) * DAY)
    aside.rename(path)
    assert read(store.reader(FEED).records()) == of(0, 1, 2)


def test_a_reader_sent_into_the_hole_is_told_of_what_is_lost_from_there_on(store):
    for path in chunk_paths(store.feed(FEED), 2, Location.DISK):
        path.unlink()
    reader = store.reader(FEED)
    reader.move_to(2 << ROW_BITS | 2)
    assert read(reader.records()) == [("lost", 2, 2, 3), *of(2)]
    reader.seek(NOON + DAY + 1)
    assert read(reader.records()) == [("lost", 2, 0, 5), *of(2)]
    reader.move_to(2 << ROW_BITS | 5)
    here = reader.position
    assert read(reader.records()) == of(2)  # of what was read before it went nothing is lost
    assert (here, reader.count(), reader.last_ns) == (2 << ROW_BITS | 5, sum(ROWS), NOON + 2 * DAY + 6)


def test_a_live_chunk_that_is_gone_is_an_error_still(store):
    from mdtool.errors import ChunkUnavailable

    writer = store.writer(FEED, clock=ManualClock(NOON + 3 * DAY))
    writer.append(NOON + 3 * DAY, Kind.DATA, writer.stream("d"), 0, b"x")
    chunk_paths(store.feed(FEED), 4, Location.DISK)[0].unlink()
    with pytest.raises(ChunkUnavailable, match=r"00000004\.idx"):
        list(store.reader(FEED).records())
    writer.close()
