"""Whether recording is well, from one reading: every recorder lives (health), every feed is whole (readiness).

Rule: a word needs evidence. Ready is said of a feed where a connection carries it, each of its streams has been
acknowledged or heard, and somebody who lives says that its book is whole; what is missing of that is said in its stead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mdtool.books.phases import BookState
from mdtool.clock import SECOND
from mdtool.service.readings import STUCK_NS, FeedReading, FeedState, Reading, RecorderReading
from mdtool.units import count

UNWATCHED_NS = 20 * SECOND  # what watches gives a sign of life every 5 s
ALIVE, IDLE, FAILING = "alive", "idle", "failing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict and what it rests on."""

    good: bool
    report: dict[str, Any]  # as it is printed


def health(reading: Reading) -> Verdict:
    """Good where no recorder has died or hangs."""
    problems = [{"recorder": one.name, "why": why} for one in reading.recorders if (why := ails(one))]
    at_work = sum(one.alive for one in reading.recorders)
    word = FAILING if problems else ALIVE if at_work else IDLE
    report = {"schema": 1, "now_ns": reading.now_ns, "status": word, "recorders": at_work, "problems": problems}
    return Verdict(not problems, report)


def readiness(reading: Reading) -> Verdict:
    """Good where each stream that is to be recorded is there, each book that is kept is whole, and there are any."""
    recorders = {one.name: one for one in reading.recorders}
    problems: list[dict[str, Any]] = [
        {"recorder": one.name, "feed": None, "why": [why]} for one in reading.recorders if (why := ails(one))
    ]
    feeds = [feed for feed in reading.feeds if recorders[feed.recorder].alive]
    lacking = [(feed, lack) for feed in feeds if (lack := lacks(feed, recorders[feed.recorder]))]
    problems += [{"recorder": feed.recorder, "feed": feed.feed, "why": lack} for feed, lack in lacking]
    if not feeds and not problems:
        problems.append({"recorder": None, "feed": None, "why": ["nothing is being recorded"]})
    report = {
        "schema": 1,
        "now_ns": reading.now_ns,
        "ready": not problems,
        "feeds": len(feeds),
        "live": len(feeds) - len(lacking),
        "quiet": [feed.feed for feed in feeds if feed.state is FeedState.QUIET],
        "problems": problems,
    }
    return Verdict(not problems, report)


def unreadable(now_ns: int, why: str) -> Verdict:
    """Where nothing is known, that is what is said."""
    problem = {"recorder": None, "feed": None, "why": [why]}
    return Verdict(False, {"schema": 1, "now_ns": now_ns, "status": FAILING, "ready": False, "problems": [problem]})


def ails(recorder: RecorderReading) -> str:
    """What is wrong with a recorder; "" where nothing is, or it ended as it was told to."""
    if not recorder.alive:
        return "" if recorder.graceful else recorder.ended or "it is gone"
    if recorder.beat_age_ns is not None and recorder.beat_age_ns > STUCK_NS:
        return f"no sign of life for {recorder.beat_age_ns // SECOND} s"
    return ""


def lacks(feed: FeedReading, recorder: RecorderReading) -> list[str]:
    """What is not known to be well with a feed of a recorder that lives."""
    return list(_lacks(feed, recorder))


def _lacks(feed: FeedReading, recorder: RecorderReading) -> Iterator[str]:
    if why := ails(recorder):
        yield f"its recorder: {why}"
        return
    if recorder.started_ns is None:
        yield "its recorder's counters cannot be seen"
        return
    counters = feed.counters
    if counters.parked:
        yield "let go until there is room on the disk"
        return
    if not counters.connected:
        yield "no connection carries it"
    elif counters.missing:
        refused = f"; refused: {counters.refused}" if counters.refused else ""
        yield f"{count(counters.missing, 'stream')} neither acknowledged nor heard{refused}"
    if feed.state is FeedState.SILENT:
        yield "nothing has come since the recorder began"
    if not recorder.keeps_books:
        return
    if recorder.watched_age_ns is None or recorder.watched_age_ns > UNWATCHED_NS:
        yield "nobody watches its book"
    elif feed.book is None:
        yield "nobody has looked at its book yet"
    elif feed.book is not BookState.SYNCED:
        yield f"its book is {feed.book.value}"
