"""How recorders are doing, from outside: states in their order, what a minute brought, and the dead among them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.json import decode, encode

from mdtool.books.phases import BookState
from mdtool.capture.options import BOOK_STATES, FeedCounters, RecordStatus, record_options
from mdtool.clock import MINUTE, SECOND
from mdtool.model import Kind
from mdtool.service.assignment import assignment
from mdtool.service.growth import MOST_POINTS, Window
from mdtool.service.page import TOTALS
from mdtool.service.processes import children, memory, open_files
from mdtool.service.readings import (
    QUIET_NS,
    STUCK_NS,
    TROUBLE,
    FeedState,
    Readings,
)
from mdtool.service.roster import Duty, Ended, Roster
from mdtool.storage.format import layout
from mdtool.storage.store import Store
from mdtool.venues import catalog

NOW = 1_700_049_600 * SECOND
A, B, C = "ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT"


class Place:
    """Recorders that say and record what a test has them."""

    def __init__(self, path):
        self.open = ExitStack()
        self.store = self.open.enter_context(Store.create(path))
        self.roster = Roster(self.store.path)
        self.readings = self.open.enter_context(Readings(self.store))
        self.writers = {}
        self.seats = {}

    def recorder(self, *symbols, name="sim", life="1", at=NOW):
        options = record_options(catalog.get("sim"), symbols)
        work = structs.replace(assignment(name, str(self.store.path), options), life=life)
        duty = ExitStack()
        seat = duty.enter_context(self.roster.on_duty(work, self.store, at))
        self.seats[name] = duty
        self.open.callback(duty.close)
        return seat

    def put(self, symbol, at, records=1, kind=Kind.DATA, size=100):
        if symbol not in self.writers:
            writer = self.store.writer(f"sim/{symbol}", sync="none")
            self.writers[symbol] = self.open.enter_context(writer)
        writer = self.writers[symbol]
        for _ in range(records):
            writer.append(at, kind, writer.stream("trade"), 1, b"x" * size, 0)

    def leave(self, name="sim"):
        self.seats[name].close()

    def kill(self, name="sim"):
        """It is gone, and its page is still there."""
        path = self.roster.directory / f"{name}.json"
        duty = decode(path.read_bytes(), type=Duty)
        path.write_bytes(encode(structs.replace(duty, pid=duty.pid + 1)))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "store")
    yield made
    made.open.close()


def status(**feeds):
    made = RecordStatus(records=5)
    for symbol in (A, B, C):
        made.of(symbol).connected = 1
    for symbol, counters in feeds.items():
        for name, value in counters.items():
            setattr(made.of(symbol), name, value)
    return made


def states(place, now):
    return [(feed.feed.partition("/")[2], feed.state) for feed in place.readings.take(now).feeds]


def test_nobody_is_there(place):
    reading = place.readings.take(NOW)
    assert (reading.recorders, reading.feeds, reading.full_in_ns, reading.window_ns) == ((), (), None, 0)
    assert reading.free_bytes > 0


def test_a_recorder_and_its_feed(place):
    seat = place.recorder(A)
    place.put(A, NOW + SECOND, records=3)
    counters = {"gaps": 1, "snapshots": 2, "book": BOOK_STATES.index(BookState.SYNCED)}
    seat.page.beat(status(**{A: counters}), NOW + 2 * SECOND)
    (recorder,), (feed,) = (reading := place.readings.take(NOW + 3 * SECOND)).recorders, reading.feeds
    assert (recorder.name, recorder.venue, recorder.symbols, recorder.pid) == ("sim", "sim", (A,), os.getpid())
    assert (recorder.alive, recorder.ended, recorder.graceful) == (True, None, False)
    assert (recorder.started_ns, recorder.beat_age_ns) == (NOW, SECOND)
    assert recorder.totals == dict.fromkeys(TOTALS, 0) | {"records": 5}
    assert recorder.memory > 1_000_000
    assert recorder.open_files > 3
    assert (feed.feed, feed.recorder, feed.state) == (f"sim/{A}", "sim", FeedState.LIVE)
    assert (feed.records, feed.age_ns, feed.epoch, feed.chunk) == (3, 2 * SECOND, 1, 1)
    assert (feed.counters, feed.book) == (FeedCounters(**counters, connected=1), BookState.SYNCED)


BOOK = BOOK_STATES.index


@pytest.mark.parametrize(
    ("counters", "age_ns", "state"),
    [
        ({"book": BOOK(BookState.SYNCED)}, SECOND, FeedState.LIVE),
        ({}, SECOND, FeedState.LIVE),
        ({"book": BOOK(BookState.WAITING)}, SECOND, FeedState.WAITING),
        ({"book": BOOK(BookState.PARTIAL)}, SECOND, FeedState.WAITING),
        ({"book": BOOK(BookState.SYNCED)}, QUIET_NS + 2 * SECOND, FeedState.QUIET),
        ({"book": BOOK(BookState.DIRTY)}, QUIET_NS + 2 * SECOND, FeedState.BROKEN),
        ({"book": BOOK(BookState.DIRTY), "refused": 1, "missing": 1}, SECOND, FeedState.REFUSED),
        ({"refused": 1}, SECOND, FeedState.LIVE),  # once, and it is there now
        ({"connected": 0}, SECOND, FeedState.OFFLINE),
        ({"book": 99}, SECOND, FeedState.LIVE),
        ({"book": -1}, SECOND, FeedState.LIVE),
    ],
)
def test_a_feed_in_one_word(place, counters, age_ns, state):
    seat = place.recorder(A)
    place.put(A, NOW + SECOND)
    now = NOW + SECOND + age_ns
    seat.page.beat(status(**{A: counters}), now)
    assert states(place, now) == [(A, state)]


def test_what_the_recorder_itself_writes_is_no_message(place):
    """A plan, connections that come and go: a feed that brings nothing else is silent."""
    seat = place.recorder(A)
    seat.page.beat(status(), NOW + SECOND)
    place.put(A, NOW - MINUTE)
    for kind in (Kind.NOTE, Kind.OPEN, Kind.CLOSE, Kind.REQUEST, Kind.RESPONSE):
        place.put(A, NOW + SECOND, kind=kind)
    (feed,) = place.readings.take(NOW + SECOND).feeds
    assert (feed.state, feed.age_ns) == (FeedState.SILENT, MINUTE + SECOND)
    place.put(A, NOW + 2 * SECOND)
    place.put(A, NOW + 3 * SECOND, records=1000, kind=Kind.NOTE)  # so many that the message is not looked for so far
    assert states(place, NOW + 3 * SECOND) == [(A, FeedState.SILENT)]
    place.put(A, NOW + 4 * SECOND)
    assert states(place, NOW + 4 * SECOND) == [(A, FeedState.LIVE)]
    place.put(A, NOW + 5 * SECOND, records=1000, kind=Kind.NOTE)
    (feed,) = place.readings.take(NOW + 5 * SECOND).feeds
    assert (feed.state, feed.age_ns) == (FeedState.LIVE, SECOND)


def test_a_feed_that_was_never_written_is_silent(place):
    place.recorder(A).page.beat(status(), NOW)
    (feed,) = place.readings.take(NOW).feeds
    assert (feed.state, feed.records, feed.age_ns, feed.epoch, feed.chunk) == (FeedState.SILENT, 0, None, None, None)


def test_a_recorder_that_hangs(place):
    seat = place.recorder(A)
    place.put(A, NOW + SECOND)
    seat.page.beat(status(), NOW + SECOND)
    assert states(place, NOW + SECOND + STUCK_NS) == [(A, FeedState.LIVE)]
    assert states(place, NOW + SECOND + STUCK_NS + 1) == [(A, FeedState.STUCK)]


def test_one_that_was_killed_is_down_with_its_last_counters(place):
    seat = place.recorder(A)
    place.put(A, NOW)
    seat.page.beat(status(**{A: {"gaps": 2}}), NOW)
    place.readings.take(NOW)
    place.kill()
    reading = place.readings.take(NOW + SECOND)
    (recorder,), (feed,) = reading.recorders, reading.feeds
    assert (recorder.alive, recorder.ended, recorder.graceful) == (False, "died without a word", False)
    assert (recorder.memory, recorder.open_files) == (None, None)
    assert (feed.state, feed.counters.gaps) == (FeedState.DOWN, 2)


@pytest.mark.parametrize(
    ("ended", "says", "state"),
    [
        (Ended(0, "told to stop"), "told to stop", FeedState.ENDED),
        (Ended(2, "failed", "no space left", "StoreFull"), "no space left", FeedState.DOWN),
    ],
)
def test_one_that_has_ended_says_why_and_its_totals(place, ended, says, state):
    seat = place.recorder(A)
    seat.page.beat(status(), NOW)
    totals = dict.fromkeys(TOTALS, 0) | {"records": 9}
    place.roster.has_ended("sim", structs.replace(ended, totals=totals, life="1"))
    place.leave()
    (recorder,), (feed,) = (reading := place.readings.take(NOW)).recorders, reading.feeds
    assert (recorder.ended, recorder.graceful, recorder.totals) == (says, not ended.error, totals)
    assert feed.state is state


def test_a_feed_that_somebody_else_records_now_is_his(place):
    """In whatever order their names come."""
    place.recorder(A, name="sim", life="1").page.beat(status(), NOW)
    place.recorder(A, B, name="sim-2", life="2").page.beat(status(), NOW)
    place.kill("sim")
    place.put(A, NOW)
    place.put(B, NOW)
    reading = place.readings.take(NOW)
    assert [(recorder.name, recorder.alive) for recorder in reading.recorders] == [("sim-2", True)]
    assert not reading.trouble
    found = sorted((feed.feed, feed.recorder, feed.state) for feed in reading.feeds)
    assert found == [(f"sim/{A}", "sim-2", FeedState.LIVE), (f"sim/{B}", "sim-2", FeedState.LIVE)]


def test_the_most_troubled_come_first(place):
    seat = place.recorder(A, B, C)
    for symbol in (A, B, C):
        place.put(symbol, NOW)
    books = {A: {"book": BOOK(BookState.SYNCED)}, B: {"book": BOOK(BookState.DIRTY)}, C: {"refused": 1, "missing": 1}}
    seat.page.beat(status(**books), NOW)
    assert states(place, NOW) == [(C, FeedState.REFUSED), (B, FeedState.BROKEN), (A, FeedState.LIVE)]
    assert FeedState.BROKEN in TROUBLE
    assert FeedState.QUIET not in TROUBLE


def test_the_last_minute(place):
    seat = place.recorder(A)
    place.put(A, NOW)
    seat.page.beat(status(), NOW)
    (feed,) = (reading := place.readings.take(NOW)).feeds
    assert (feed.minute_records, feed.minute_bytes, feed.rate, feed.rates, reading.full_in_ns) == (0, 0, 0.0, (), None)
    place.put(A, NOW + SECOND, records=10)
    place.readings.take(NOW + 10 * SECOND)
    place.put(A, NOW + SECOND, records=30)
    run = status()
    run.records = 45
    seat.page.beat(run, NOW + 20 * SECOND)
    reading = place.readings.take(NOW + 20 * SECOND)
    (feed,), (recorder,) = reading.feeds, reading.recorders
    assert (feed.minute_records, feed.minute_bytes, feed.rate, feed.rates) == (40, 4000, 2.0, (1.0, 3.0))
    assert recorder.minute == dict.fromkeys(TOTALS, 0) | {"records": 40}
    assert reading.window_ns == 20 * SECOND
    grown = 4000 + 40 * layout.ROW.itemsize
    assert reading.full_in_ns == round(reading.free_bytes / grown * (20 * SECOND))
    reading = place.readings.take(NOW + 20 * SECOND + MINUTE)
    assert (reading.feeds[0].minute_records, reading.full_in_ns) == (0, None)


def test_a_chunk_that_rolls_and_a_recorder_that_begins_anew_count_on(place):
    place.recorder(A, life="1").page.beat(status(), NOW)
    place.put(A, NOW, records=5)
    place.readings.take(NOW)
    place.writers.pop(A).close()
    place.put(A, NOW + SECOND, records=7)
    place.leave()
    place.recorder(A, life="2", at=NOW + SECOND).page.beat(RecordStatus(records=2), NOW + SECOND)
    reading = place.readings.take(NOW + SECOND)
    (feed,), (recorder,) = reading.feeds, reading.recorders
    assert (feed.records, feed.minute_records, feed.minute_bytes, feed.chunk, feed.epoch) == (12, 7, 700, 2, 2)
    assert (recorder.totals["records"], recorder.minute["records"]) == (2, 0)


def test_a_page_that_comes_later_or_cannot_be_read_harms_nothing(place):
    seat = place.recorder(A)
    hidden = seat.page.path.with_suffix(".hidden")
    seat.page.path.rename(hidden)
    place.put(A, NOW)
    for now in (NOW, NOW + SECOND):
        (recorder,), (feed,) = (reading := place.readings.take(now)).recorders, reading.feeds
        assert (recorder.totals, recorder.minute, recorder.started_ns, recorder.beat_age_ns) == ({}, {}, None, None)
        assert (feed.state, feed.counters) == (FeedState.LIVE, FeedCounters())
    hidden.rename(seat.page.path)
    seat.page.beat(status(), NOW + 2 * SECOND)
    (recorder,) = place.readings.take(NOW + 2 * SECOND).recorders
    assert (recorder.totals["records"], recorder.started_ns) == (5, NOW)


def test_what_is_no_more_is_let_go(place):
    """Readers and windows of feeds and lives that have gone: looked at for months, nothing grows."""
    for life in range(5):
        place.recorder(*((A, B) if life % 2 else (A,)), life=str(life)).page.beat(status(), NOW)
        place.put(A, NOW)
        place.put(B, NOW)
        place.readings.take(NOW)
        place.leave()
    assert set(place.readings._feeds) == {f"sim/{A}"}
    assert set(place.readings._recorders) == {"4"}


def test_a_window_holds_a_minute_and_no_more_points_than_it_may():
    window = Window()
    for second in range(200):
        window.add(second * SECOND, (second,))
    assert (window.lasted_ns, window.growth()) == (MINUTE, (60,))
    for look in range(1000):
        window.add(200 * SECOND + look, (look,))
    assert len(window._points) == MOST_POINTS


@given(st.lists(st.tuples(st.integers(1, 10**11), st.integers(0, 10**6)), min_size=1, max_size=50))
def test_growth_and_rates_are_never_negative(looks):
    window, now = Window(), 0
    for wait, counter in looks:
        now += wait
        window.add(now, (counter,))
        assert window.growth()[0] >= 0
        assert all(rate >= 0 for rate in window.rates(0))
        assert window.lasted_ns >= 0


def test_of_a_process_that_is_gone_nothing_is_told():
    gone = 2**22 + 1
    assert (memory(gone, "RssAnon"), memory(gone, "VmRSS"), open_files(gone), children(gone)) == (None, None, None, {})
    assert asdict(FeedCounters())["gaps"] == 0
