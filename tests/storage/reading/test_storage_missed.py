"""What retention removed of what a reader had yet to read is an error with its place and counted in `missed`; none
besides, and asked again the reader goes on."""

from __future__ import annotations

import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import CorruptStore, RecordsRemoved
from mdtool.model import Kind
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
ROWS = (3, 5, 7, 11)  # a day, a chunk and a part each: no two sums are alike


@pytest.fixture
def store(tmp_path):
    clock = ManualClock(NOON)
    with Store.create(tmp_path / "store") as made:
        with made.writer(FEED, clock=clock, sync="none") as writer:
            for day, rows in enumerate(ROWS):
                for number in range(rows):
                    writer.append(NOON + day * DAY + number, Kind.DATA, writer.stream("d"), 0, b"%d.%d" % (day, number))
        seal_feed(made.feed(FEED), NOON + 9 * DAY)
        yield made


def remove(store, days):
    """The first `days` parts go."""
    limits = RetentionLimits(older_than_ns=DAY)
    assert sum(len(one.removed) for one in execute(plan([store.feed(FEED)], limits, NOON + days * DAY + SECOND))) > 0


def rest(reader):
    """What is left to be read, over every error; and how many records these told of."""
    left, told = [], 0
    while True:
        try:
            left.extend(record.payload for record in reader.records())
        except RecordsRemoved as error:
            told += int(str(error).split(": ")[1].split(" records ")[0])
        else:
            return left, told


def of(*days):
    return [b"%d.%d" % (day, number) for day in days for number in range(ROWS[day])]


@pytest.mark.parametrize("by", ["records", "batches", "poll"])
@pytest.mark.parametrize(("read", "gone", "missed"), [
    (0, 1, 0),  # nothing was read: it begins where the feed does
    (3, 2, 5),  # it stands behind day 0, and day 1 is gone
    (3, 3, 5 + 7),
    (8, 3, 7),
    (8, 2, 0),
    (8 + 7, 3, 0),
])  # fmt: skip
def test_a_reader_that_goes_on_counts_what_it_did_not_come_to(store, by, read, gone, missed):
    reader = store.reader(FEED)
    for _ in range(read):
        reader.poll(1)
    reader.position  # noqa: B018 - it has settled: what it has read to its end it has let go of
    if read:
        reader.move_to(reader.position)
    remove(store, gone)
    left, told = [], []
    while len(told) < 2:
        try:
            if by == "batches":
                left += [batch.payload(number) for batch in reader.batches() for number in range(len(batch))]
            elif by == "poll":
                while got := reader.poll(2):
                    left += [record.payload for record in got]
            else:
                left += [record.payload for record in reader.records()]
            break
        except RecordsRemoved as error:
            told.append(str(error))
    begin = {0: 0, 3: 1, 8: 2, 15: 3}[read]
    assert left == of(*range(max(gone, begin), 4))
    assert reader.missed == missed
    assert told == [
        f"{FEED}: {missed} records from position {begin + 1 << 32} on were removed by retention before they were read; "
        "what is kept begins behind them: read on, or begin anew"
    ] * bool(missed)
    assert rest(reader) == ([], 0)  # nor is it told twice


def test_from_the_middle_of_what_goes_only_the_rest_of_it_is_missed(store):
    reader = store.reader(FEED)
    reader.move_to(2 << ROW_BITS | 2)
    remove(store, 3)
    assert rest(reader) == (of(3), 3 + 7)


def test_what_goes_piece_by_piece_adds_up(store):
    reader = store.reader(FEED)
    reader.move_to(1 << ROW_BITS)
    remove(store, 1)
    with pytest.raises(RecordsRemoved, match="3 records from position 4294967296 on"):
        reader.poll(1)
    assert reader.poll(1)[0].payload == b"1.0"
    assert reader.missed == 3
    remove(store, 3)
    assert rest(reader) == (of(1)[1:] + of(3), 7)  # what it has open it reads to its end
    assert reader.missed == 3 + 7


def test_everything_gone_is_missed_whole_and_nothing_is_left(store):
    reader = store.reader(FEED)
    reader.move_to(1 << ROW_BITS)
    remove(store, 4)
    assert rest(reader) == ([], sum(ROWS))
    assert reader.position == 4 << ROW_BITS | 11


def test_a_reader_sent_to_the_start_misses_nothing(store):
    reader = store.reader(FEED)
    reader.poll(4)
    reader.to_start()
    remove(store, 2)
    assert rest(reader) == (of(2, 3), 0)


def test_a_position_behind_a_chunk_that_is_gone_is_the_next_ones_beginning(store):
    remove(store, 1)
    reader = store.reader(FEED)
    reader.move_to(1 << ROW_BITS | 3)
    assert reader.position == 2 << ROW_BITS
    assert rest(reader) == (of(1, 2, 3), 0)
    with pytest.raises(CorruptStore, match="is in chunk 1, which is not kept any more"):
        reader.move_to(1 << ROW_BITS | 2)


def test_a_reader_told_where_to_stand_misses_what_goes_before_it_has_read_any(store):
    for place in (lambda one: one.seek(NOON), lambda one: one.move_to(1 << ROW_BITS)):
        reader = store.reader(FEED)
        place(reader)
    remove(store, 1)
    assert rest(reader) == (of(1, 2, 3), 3)


@pytest.mark.parametrize("after", ["poll", "records", "batches"])
def test_what_is_missing_behind_what_one_poll_gave_is_told_by_what_comes_next(store, after):
    """The records before it are not lost by it, nor is it by them."""
    reader = store.reader(FEED)
    assert [record.payload for record in reader.poll(2)] == of(0)[:2]
    remove(store, 2)
    assert [record.payload for record in reader.poll(100)] == of(0)[2:]
    with pytest.raises(RecordsRemoved, match="5 records from position"):
        reader.poll(100) if after == "poll" else list(getattr(reader, after)())
    assert reader.missed == 5
    assert rest(reader) == (of(2, 3), 0)


def test_who_moves_on_need_not_be_told_of_what_was_missing_where_he_stood(store):
    reader = store.reader(FEED)
    reader.poll(2)
    remove(store, 2)
    reader.poll(100)
    reader.seek(NOON + 3 * DAY)
    assert rest(reader) == (of(3), 0)
