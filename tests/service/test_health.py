"""Alive, idle, ready: each word only where there is evidence for it, and else what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from duty import NOW, SYMBOLS, WHOLE, on_duty, well

from mdtool.books.phases import BookState
from mdtool.capture.options import BOOK_STATES, record_options
from mdtool.clock import SECOND
from mdtool.service.assignment import assignment
from mdtool.service.health import UNWATCHED_NS, health, readiness
from mdtool.service.readings import STUCK_NS, Readings
from mdtool.service.roster import Roster
from mdtool.storage.store import Store
from mdtool.venues import catalog

ALPHA, BRAVO = (f"sim/{symbol}" for symbol in SYMBOLS)


def test_of_nothing_it_is_said_that_there_is_nothing(tmp_path: Path) -> None:
    with Store.create(tmp_path) as store, Readings(store) as readings:
        reading = readings.take(NOW)
    assert health(reading).report == {"schema": 1, "now_ns": NOW, "status": "idle", "recorders": 0, "problems": []}
    assert health(reading).good
    ready = readiness(reading)
    assert not ready.good
    assert ready.report == {
        "schema": 1, "now_ns": NOW, "ready": False, "feeds": 0, "live": 0, "quiet": [],
        "problems": [{"recorder": None, "feed": None, "why": ["nothing is being recorded"]}],
    }  # fmt: skip


def test_one_that_is_well(tmp_path: Path) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        reading = readings.take(duty.now_ns)
    alive = {"schema": 1, "now_ns": duty.now_ns, "status": "alive", "recorders": 1, "problems": []}
    assert (health(reading).good, health(reading).report) == (True, alive)
    ready = {"schema": 1, "now_ns": duty.now_ns, "ready": True, "feeds": 2, "live": 2, "quiet": [], "problems": []}
    assert (readiness(reading).good, readiness(reading).report) == (True, ready)


def book(state: BookState | None) -> dict[str, int]:
    return WHOLE | {"book": BOOK_STATES.index(state)}


@pytest.mark.parametrize(
    ("counters", "why"),
    [
        (WHOLE | {"connected": 0}, ["no connection carries it"]),
        (WHOLE | {"missing": 1}, ["1 stream neither acknowledged nor heard"]),
        (WHOLE | {"missing": 2, "refused": 2}, ["2 streams neither acknowledged nor heard; refused: 2"]),
        (WHOLE | {"refused": 1}, []),  # once, and it is there now
        (book(BookState.DIRTY), ["its book is dirty"]),
        (book(BookState.WAITING), ["its book is waiting"]),
        (book(BookState.PARTIAL), ["its book is partial"]),
        (book(None), ["nobody has looked at its book yet"]),
        (WHOLE | {"gaps": 3, "resets": 1, "undecodable": 4}, []),  # of before
    ],
)
def test_what_is_missing_of_a_feed_is_said(tmp_path: Path, counters: dict[str, int], why: list[str]) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        duty.counts(SYMBOLS[0], **counters)
        duty.passes()
        reading = readings.take(duty.now_ns)
    found = readiness(reading)
    assert found.report["problems"] == ([{"recorder": "sim", "feed": ALPHA, "why": why}] if why else [])
    assert found.good == (not why)
    assert health(reading).good


def test_nothing_that_came_and_quiet_are_two_things(tmp_path: Path) -> None:
    with on_duty(tmp_path) as duty, duty.readings() as readings:
        for symbol in SYMBOLS:
            duty.counts(symbol, **WHOLE)
        duty.receives(SYMBOLS[0])
        duty.passes(90 * SECOND)
        found = readiness(readings.take(duty.now_ns)).report
    assert found["quiet"] == [ALPHA]
    why = ["nothing has come since the recorder began"]
    assert found["problems"] == [{"recorder": "sim", "feed": BRAVO, "why": why}]


def test_a_book_is_only_as_good_as_who_watches_it(tmp_path: Path) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        duty.sidecar_lives = False
        duty.passes(UNWATCHED_NS)
        assert readiness(readings.take(duty.now_ns)).good
        duty.passes(1)
        found = readiness(readings.take(duty.now_ns)).report
        assert {one["feed"]: one["why"] for one in found["problems"]} == {
            feed: ["nobody watches its book"] for feed in (ALPHA, BRAVO)
        }
        duty.sidecar_lives = True
        duty.passes(1)
        assert readiness(readings.take(duty.now_ns)).good


def test_one_that_hangs_one_that_died_and_one_that_was_told(tmp_path: Path) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        hangs = readings.take(duty.now_ns + STUCK_NS + SECOND)
        assert health(hangs).report["problems"] == [{"recorder": "sim", "why": "no sign of life for 11 s"}]
        assert not health(hangs).good and not readiness(hangs).good
    with Store.open(tmp_path) as store, Readings(store) as readings:
        died = readings.take(NOW)
        assert health(died).report["problems"] == [{"recorder": "sim", "why": "died without a word"}]
        assert health(died).report["status"] == "failing"
        assert readiness(died).report["problems"] == [{"recorder": "sim", "feed": None, "why": ["died without a word"]}]


def test_who_is_gone_and_has_left_nothing_undone_is_nobody(tmp_path: Path) -> None:
    """Two recorders died; one records now what both did."""
    for name, symbols in (("sim", SYMBOLS[:1]), ("sim-2", SYMBOLS[1:])):
        with on_duty(tmp_path, name, symbols):
            pass
    with Store.open(tmp_path) as store, Readings(store) as readings:
        assert [one.name for one in readings.take(NOW).recorders] == ["sim", "sim-2"]
        told = assignment("sim", str(tmp_path), record_options(catalog.get("sim"), SYMBOLS))
        with Roster(tmp_path).on_duty(told, store, NOW):
            reading = readings.take(NOW)
    assert [(one.name, one.alive) for one in reading.recorders] == [("sim", True)]
    assert [feed.recorder for feed in reading.feeds] == ["sim", "sim"]
    assert health(reading).good


def test_what_came_is_counted_over_chunks_that_closed_between_two_looks(tmp_path: Path) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        before = {feed.feed: (feed.came, feed.came_bytes) for feed in readings.take(duty.now_ns).feeds}
        assert before == {ALPHA: (0, 0), BRAVO: (0, 0)}
        for records in (1, 4, 2):  # each a writer, and so a chunk of its own
            duty.receives(SYMBOLS[0], records)
        duty.passes()
        reading = {feed.feed: feed for feed in readings.take(duty.now_ns).feeds}
    assert (reading[ALPHA].came, reading[ALPHA].came_bytes) == (7, 700)
    assert (reading[ALPHA].minute_records, reading[ALPHA].minute_bytes, reading[ALPHA].rate) == (7, 700, 7.0)
    assert (reading[BRAVO].came, reading[BRAVO].came_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("counters", "state"),
    [
        (WHOLE, "live"),
        (WHOLE | {"connected": 0}, "offline"),
        (WHOLE | {"refused": 1, "missing": 1}, "refused"),
        (WHOLE | {"refused": 1}, "live"),  # refused once, and there now
        (book(BookState.DIRTY), "broken"),
        (book(BookState.PARTIAL), "waiting"),
    ],
)
def test_a_feed_in_one_word(tmp_path: Path, counters: dict[str, int], state: str) -> None:
    with well(tmp_path) as duty, duty.readings() as readings:
        duty.counts(SYMBOLS[0], **counters)
        duty.passes()
        reading = readings.take(duty.now_ns)
    assert {feed.feed: feed.state.value for feed in reading.feeds} == {ALPHA: state, BRAVO: "live"}
    assert reading.trouble == (state not in ("live", "waiting"))
