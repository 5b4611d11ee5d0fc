"""The watcher tells each thing once, and one that goes on at its mark forgets nothing and tells nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdtool.books.phases import BookState
from mdtool.capture import watcher as module
from mdtool.capture.protocol import Ask, Book, Delays, Gap, Learned, Mark, NoBook, Undecodable, Unwatched
from mdtool.capture.watcher import QUIET_NS, Watcher
from mdtool.clock import SECOND, ManualClock
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

SIM = catalog.get("sim")
FEED = "sim/ALPHA_USDT"
NOW = 1_700_049_600 * SECOND
START = (Mark("ALPHA_USDT", 0, 0),)


def update(first, last=None):
    return (
        b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":%d,"u":%d,'
        b'"b":[["1.5","2"]],"a":[]}}' % (first, last or first)
    )


def snapshot(last):
    return b'{"lastUpdateId":%d,"bids":[["1.25","2"]],"asks":[]}' % last


class Feed:
    """A feed that is written to record by record."""

    def __init__(self, path):
        self.store = Store.create(path)
        self.writer = self.store.writer(FEED, sync="none")
        self.number = 0

    def put(self, payload, kind=Kind.DATA, stream="depth@100ms", flags=0):
        self.number += 1
        self.writer.append(NOW + self.number, kind, self.writer.stream(stream), 1, payload, flags)

    def answer(self, payload, flags=0):
        self.put(payload, Kind.RESPONSE, "snapshot", flags)

    def close(self):
        self.writer.close()
        self.store.close()


@pytest.fixture
def feed(tmp_path):
    made = Feed(tmp_path / "store")
    yield made
    made.close()


class Said(list):
    """What is said."""

    def __call__(self, news):
        self.extend(news)

    @property
    def news(self):
        return [said for said in self if not isinstance(said, Mark | Book | Delays)]

    @property
    def books(self):
        return [said.state for said in self if isinstance(said, Book)]


def watch(feed, said, marks=START, clock=None):
    return Watcher(feed.store, SIM, ("depth@100ms",), marks, clock or ManualClock(NOW), said)


def test_an_update_without_a_book_a_gap_and_the_digits_are_said_once(feed):
    said = Said()
    watching = watch(feed, said)
    feed.put(update(7))
    assert not watching.look()
    assert said == [
        Ask("ALPHA_USDT"),
        Book("ALPHA_USDT", BookState.PARTIAL),
        Delays("ALPHA_USDT", ((60, 1),)),
        Mark("ALPHA_USDT", 0, (1 << 32) + 1, book=BookState.PARTIAL),
    ]
    feed.answer(snapshot(6))
    feed.put(update(8))
    feed.put(update(11))
    feed.put(update(12))
    watching.look()
    watching.look()
    assert said.news == [
        Ask("ALPHA_USDT"),
        Learned("ALPHA_USDT", -2, 0),
        Gap("ALPHA_USDT", "gap before update 11; asking for a snapshot"),
        Ask("ALPHA_USDT"),
    ]
    assert said.books == [BookState.PARTIAL, BookState.DIRTY]


def test_what_a_book_is_worth_is_said_when_it_changes_and_by_the_next_one_once_it_knows_as_much(feed):
    said = Said()
    watching = watch(feed, said)
    watching.look()
    feed.put(update(7))
    watching.look()
    feed.answer(snapshot(6))
    watching.look()
    feed.put(update(8))
    watching.look()
    watching.look()
    assert said.books == [BookState.WAITING, BookState.PARTIAL, BookState.SYNCED]
    mark = watching.marks()[-1]
    assert mark.told == (1 << 32) + 3
    again = Said()
    other = watch(feed, again, (mark,))
    other.look()
    assert again.books == [BookState.SYNCED]  # and not that of its way back
    feed.put(update(10))
    other.look()
    assert again.books == [BookState.SYNCED, BookState.DIRTY]


BAD_ANSWERS = [
    (b"<html>come back later</html>", "malformed"),
    (b"", "truncated"),
    (b'{"code":-1003,"msg":"Way too much request weight used"}', "missing"),
    (b'{"lastUpdateId":6,"bids":[["1e","x"]],"asks":[]}', ""),
]


@pytest.mark.parametrize(("body", "why"), BAD_ANSWERS)
def test_an_answer_that_is_no_whole_book_is_none(feed, body, why):
    said = Said()
    watching = watch(feed, said)
    feed.answer(body)
    feed.answer(body, Flag.FAILED)  # asked again by whoever asked
    watching.look()
    (one,) = said.news
    assert isinstance(one, NoBook)
    assert why in one.text


class Raising:
    """A venue whose code fails at one message, in one place."""

    def __init__(self, where):
        self.where = where

    def __getattr__(self, name):
        return getattr(SIM, name)

    def decoder(self, stream):
        real = SIM.decoder(stream)

        def decode(payload):
            if self.where == "decode" and b'"U":8,' in payload:
                raise ZeroDivisionError("by the venue")
            return real(payload)

        return decode

    def rule(self, stream):
        rule = SIM.rule(stream)
        real = rule.judge

        def judge(update):
            if self.where == "rule" and update.first_seq == 8:
                raise ZeroDivisionError("by the venue")
            return real(update)

        rule.judge = judge
        return rule


@pytest.mark.parametrize("where", ["decode", "rule"])
def test_whatever_a_venues_code_raises_is_an_undecodable_record(feed, where):
    said = Said()
    watching = Watcher(feed.store, Raising(where), ("depth@100ms",), START, ManualClock(NOW), said)
    for number in (7, 8, 8, 8, 9):
        feed.put(update(number))
    watching.look()
    assert [one for one in said.news if isinstance(one, Undecodable)] == [
        Undecodable("ALPHA_USDT", 1, "ZeroDivisionError: by the venue"),
        Undecodable("ALPHA_USDT", 2),
    ]


def test_a_book_without_updates_is_asked_for_all_the_same(feed):
    said, clock = Said(), ManualClock(NOW)
    watching = watch(feed, said, clock=clock)
    feed.put(b"{}", Kind.OPEN, "session")
    watching.look()
    assert said.news == []
    clock.advance(2 * QUIET_NS)
    watching.look()
    watching.look()
    assert said.news == [Ask("ALPHA_USDT")]


def test_a_feed_that_cannot_be_read_is_named_and_left(feed, monkeypatch):
    said = Said()
    watching = watch(feed, said)
    feed.put(update(7))
    monkeypatch.setattr(module, "SLICE", 1)
    monkeypatch.setattr(type(watching._feeds[0].reader), "poll", _broken)
    assert not watching.look()
    assert said == [Unwatched("ALPHA_USDT", "cannot be read")]
    assert watching.marks() == []


def _broken(self, limit):
    from mdtool.errors import CorruptStore

    raise CorruptStore("cannot be read")


STEPS = st.lists(st.sampled_from("uuuugsbx"), min_size=1, max_size=24)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sets(st.integers(0, 24)), st.integers(2, 30))
@example(["u", "u", "u", "s", "g"], {4}, 6)  # whole once, and not to be seen from where it goes on
def test_however_often_it_dies_each_gap_is_told_once_and_no_need_is_forgotten(tmp_path_factory, steps, deaths, back):
    """Against one that never dies: the same gaps, in their order; and where that one waits for a book at the end, the
    other has asked for one since the last that came."""
    feed = Feed(tmp_path_factory.mktemp("s") / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_WAY_BACK", back)
        whole, cut = Said(), Said()
        one, other = watch(feed, whole), watch(feed, cut)
        number, marks, asked = 1, START, False
        for at, step in enumerate(steps):
            number += 3 if step == "g" else 1 if step == "u" else 0
            if step in "ug":
                feed.put(update(number))
            elif step == "x":
                feed.put(b"no message")
            else:
                feed.answer(snapshot(number if step == "s" else max(1, number - 4)))
            one.look()
            before = len(cut)
            other.look()
            if step in "sb" and not any(isinstance(said, Ask) for said in cut[before:]):
                asked = asked and step == "b"
            asked = asked or any(isinstance(said, Ask) for said in cut[before:])
            marks = {said.symbol: said for said in [*marks, *cut] if isinstance(said, Mark)}.values()
            if at in deaths:
                other = watch(feed, cut, tuple(marks))
        before = len(cut)
        other.look()
        asked = asked or any(isinstance(said, Ask) for said in cut[before:])
        gaps = [said for said in whole if isinstance(said, Gap)]
        assert [said for said in cut if isinstance(said, Gap)] == gaps
        if back > len(steps):  # else it begins where it cannot know all that the other knows
            assert cut.books[-1] is whole.books[-1]
        if one._feeds[0].engine.sync.needs_snapshot and any(step in "ug" for step in steps):
            assert asked or any(isinstance(said, Ask) for said in cut)
    feed.close()
