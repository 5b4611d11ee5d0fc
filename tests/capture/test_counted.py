"""Numbers of connections over many feeds: each hole is told once, as soon as it is certain, and no other; whatever feed
is read first, and however often whoever reads them begins anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.capture.numbers import MOST_AHEAD, MOST_SESSIONS, Numbers
from mdtool.capture.protocol import Counted, Missed

FEEDS = ("A", "B", "_session")


def number(payload: bytes) -> int | None:
    return int(payload) if payload.isdigit() else None


def begun(*feeds: str, session: int = 1) -> Numbers:
    numbers = Numbers(number, FEEDS)
    for feed in feeds or FEEDS:
        numbers.opened(feed, session)
    return numbers


def take(numbers: Numbers, feed: str, *values: int, session: int = 1) -> None:
    for value in values:
        numbers.take(feed, session, b"%d" % value, 1000 + value)


def all_at_end(numbers: Numbers) -> None:
    for feed in FEEDS:
        numbers.at_end(feed)


def test_a_hole_is_one_when_all_feeds_were_read_to_their_ends_behind_it():
    numbers = begun()
    take(numbers, "A", 1, 2, 5)
    numbers.at_end("A")
    numbers.at_end("B")
    assert numbers.missed() == []
    take(numbers, "_session", 3)
    numbers.at_end("_session")
    assert numbers.missed() == []  # of the first number: there is none below it
    all_at_end(numbers)
    assert numbers.missed() == [Missed(1, 3, 5, 1005)]
    all_at_end(numbers)
    take(numbers, "B", 4)  # too late to be believed
    assert (numbers.missed(), numbers.settled) == ([], True)


def test_frames_without_a_number_count_for_nothing():
    numbers = begun()
    numbers.take("A", 1, b"hello", 5)
    take(numbers, "A", 1)
    all_at_end(numbers)
    numbers.settle()
    assert (numbers.missed(), numbers.counted()) == ([], (Counted(1, None, -1),))
    all_at_end(numbers)
    assert numbers.missed() == []
    numbers.settle()
    assert numbers.counted() == (Counted(1, 1, -1),)


def test_a_connection_that_is_not_known_from_its_beginning_is_left_alone():
    numbers = begun("A")
    take(numbers, "A", 1, 2)
    take(numbers, "B", 9)
    all_at_end(numbers)
    assert numbers.missed() == []
    take(numbers, "A", 20, session=2)
    all_at_end(numbers)
    assert numbers.missed() == []


def test_no_more_is_kept_than_can_be_judged():
    numbers = begun()
    take(numbers, "A", 0)
    all_at_end(numbers)
    assert numbers.missed() == []
    take(numbers, "A", *range(2, MOST_AHEAD + 4))
    all_at_end(numbers)
    assert numbers.missed() == []
    for session in range(2, 40):
        numbers.opened("A", session)
    numbers.settle()
    assert [one.session for one in numbers.counted()] == list(range(40 - MOST_SESSIONS, 40))


@dataclass
class Recording:
    """Feeds as they are on record: at each position of one, a number of a session, or its beginning (None)."""

    feeds: dict[str, list[tuple[int, int | None]]] = field(default_factory=lambda: {feed: [] for feed in FEEDS})


class Follower:
    """Reads feeds in whatever pieces, as the watcher does; and begins anew at what it has said."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.told: list[Missed] = []
        self.marks = dict.fromkeys(FEEDS, 0)
        self.counted: tuple[Counted, ...] = ()
        self.begin()

    def begin(self) -> None:
        self.numbers = Numbers(number, FEEDS, self.counted)
        self.at = dict(self.marks)
        self.settled = dict(self.marks)

    def look(self, most: dict[str, int], say: bool) -> None:
        for feed in FEEDS:
            records = self.recording.feeds[feed]
            for session, value in records[self.at[feed] : self.at[feed] + most[feed]]:
                if value is None:
                    self.numbers.opened(feed, session)
                else:
                    take(self.numbers, feed, value, session=session)
            self.at[feed] = min(len(records), self.at[feed] + most[feed])
            if self.at[feed] == len(records):
                self.numbers.at_end(feed)
        missed = self.numbers.missed()
        self.told += missed
        if self.numbers.settled:
            self.numbers.settle()
            self.settled = dict(self.at)
        if missed or say:
            self.marks, self.counted = dict(self.settled), self.numbers.counted()


FRAMES = st.lists(st.tuples(st.sampled_from(FEEDS), st.sampled_from("fffffflo")), max_size=40)
LOOKS = st.lists(st.tuples(*(st.integers(0, 6) for _ in FEEDS), st.booleans(), st.integers(0, 7)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(FRAMES, LOOKS)
def test_each_hole_is_told_once_and_no_other(frames, looks):
    recording, follower = Recording(), None
    expected: list[tuple[int, int, int]] = []
    session, value, pieces = 0, 0, iter(looks)
    follower = Follower(recording)
    for feed, what in [("A", "o"), *frames]:
        if what == "o":
            session, value, last = session + 1, 0, None
            for one in FEEDS:
                recording.feeds[one].append((session, None))
            continue
        value += 1
        if what == "l":
            continue
        recording.feeds[feed].append((session, value))
        if last is not None and value != last + 1:
            expected.append((session, last, value))
        last = value
        for *most, say, dies in (piece for piece, _ in zip(pieces, range(2), strict=False)):
            follower.look(dict(zip(FEEDS, most, strict=True)), say)
            if not dies:
                follower.begin()
    for _ in range(len(expected) + 3):
        follower.look(dict.fromkeys(FEEDS, 1000), True)
    told = [(one.session, one.after, one.next) for one in follower.told]
    assert sorted(told) == expected
    assert all(one.since_ns == 1000 + one.next for one in follower.told)
