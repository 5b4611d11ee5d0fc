"""Many feeds as one, live: in order of receive time as far as anybody can know it, and nothing lost where not."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import SECOND, ManualClock
from mdtool.model import Kind
from mdtool.replay.merge import merge
from mdtool.storage.reading.fanin import FanIn
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND
MS = 1_000_000
NAMES = ("sim/ALPHA_USDT", "sim/BRAVO_USDT", "sim/CHARLIE_USDT")


def put(writer, at, payload=b""):
    writer.append(NOON + at, Kind.DATA, writer.stream("d"), 1, payload or b"%d" % at)


def shown(items):
    """(feed's first letter, payload) each."""
    return [(reader.feed.symbol[0], record.payload) for reader, record in items]


def test_a_record_waits_until_the_quiet_feeds_would_have_shown_what_comes_before_it(store):
    clock = ManualClock(NOON)
    a, b = (store.writer(name) for name in NAMES[:2])
    fan = FanIn([store.reader(name) for name in NAMES[:2]], window_ns=10 * MS, clock=clock)
    assert fan.poll() == []
    put(a, 0, b"a0")
    clock.advance(9 * MS)
    assert fan.poll() == []  # the other might still show one stamped before
    put(b, -1 * MS, b"b-1")
    assert shown(fan.poll()) == [("B", b"b-1")]
    clock.advance(1 * MS - 1)
    assert fan.poll() == []
    clock.advance(1)
    assert shown(fan.poll()) == [("A", b"a0")]  # of two at the same time, the first feed's comes first
    put(b, -1, b"late")  # it took longer than the window
    assert shown(fan.poll()) == [("B", b"late")]
    assert fan.late == 1
    put(a, 20 * MS, b"a20")
    put(b, 21 * MS, b"b21")
    assert shown(fan.poll()) == [("A", b"a20")]  # both have shown more: no wait
    a.end(NOON + 22 * MS, "done")
    assert shown(fan.poll())[:1] == [("B", b"b21")]
    a.close()
    put(b, 999 * MS, b"b999")
    assert [payload for _, payload in shown(fan.poll(5))][-1] == b"b999"  # nobody waits for what has ended
    b.close()


def test_of_many_feeds_with_a_few_records_all_that_is_due_goes_out_at_once(store, monkeypatch):
    names = [f"sim/S{number:02}_USDT" for number in range(30)]
    writers = list(store.writers(names, sync="none").values())
    clock = ManualClock(NOON + SECOND)
    fan = FanIn([store.reader(name) for name in names], window_ns=10 * MS, clock=clock)
    rounds, hand_out = [], FanIn._hand_out
    monkeypatch.setattr(FanIn, "_hand_out", lambda *given: rounds.append(1) or hand_out(*given))
    for turn in range(2):
        for number, writer in enumerate(writers):
            put(writer, turn * SECOND + number, b"%d" % number)
        found = [payload for _, payload in shown(fan.poll())]
        assert found == [b"%d" % number for number in range(30)]
        clock.advance(SECOND)
    assert (len(rounds), fan.late) == (2, 0)
    for writer in writers:
        writer.close()


def test_ties_go_to_the_feed_named_first_and_limits_hold(store):
    writers = [store.writer(name) for name in NAMES]
    for at in range(5):
        for writer in reversed(writers):
            put(writer, at)
    readers = [store.reader(name) for name in NAMES]
    fan = FanIn(readers, clock=ManualClock(NOON + SECOND))
    items = fan.poll(4)
    assert shown(items) == [("A", b"0"), ("B", b"0"), ("C", b"0"), ("A", b"1")]
    again = store.reader(NAMES[0])
    again.move_to(fan.position(readers[0]))
    assert next(again.records()).payload == b"2"
    again = store.reader(NAMES[1])
    again.move_to(fan.position(readers[1]))
    assert next(again.records()).payload == b"1"
    assert len(fan.poll(0)) == 0
    assert len(fan.poll()) == 11
    assert fan.position(readers[2]) == readers[2].position
    assert fan.late == 0
    for writer in writers:
        writer.close()


FEEDS = st.lists(st.lists(st.integers(0, 40), max_size=25), min_size=1, max_size=3)


@settings(max_examples=50, deadline=None)
@given(FEEDS, st.integers(1, 7))
def test_what_is_there_comes_as_replay_merges_it(tmp_path_factory, feeds, limit):
    """A backlog is merged exactly as replay does, clocks that step back and ties included, however it is cut."""
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        for name, times in zip(NAMES, feeds, strict=False):
            with store.writer(name, sync="none") as writer:
                for at in times:
                    put(writer, at)
        names = NAMES[: len(feeds)]
        expected = shown(merge([store.reader(name) for name in names]))
        fan = FanIn([store.reader(name) for name in names], clock=ManualClock(NOON + SECOND))
        got = []
        while items := fan.poll(limit):
            assert len(items) <= limit
            got += shown(items)
        assert got == expected


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(0, 6), st.booleans()), max_size=60)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_live_nothing_is_lost_and_order_holds_within_the_window(tmp_path_factory, steps):
    """Records are stamped by one clock and committed up to 6 ms later. With a window as long, the order is perfect;
    without one, everything still comes once, each feed in its own order, and the disorder is counted."""
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        writers = [store.writer(name, sync="none") for name in NAMES]
        clock = ManualClock(NOON)
        fans = [FanIn([store.reader(n) for n in NAMES], window_ns=window * MS, clock=clock) for window in (6, 0)]
        got = [[], []]
        waiting = [[], [], []]  # (due, stamp) of records stamped and not yet committed, by feed
        sent = [[], [], []]
        settle = [(-1, 8, 0, True)] * 2
        for feed, advance, delay, poll in [*steps, *settle]:
            for _ in range(advance):
                clock.advance(MS)
                for number, queue in enumerate(waiting):
                    while queue and queue[0][0] <= clock.now_ns():
                        _, stamp = queue.pop(0)
                        put(writers[number], stamp - NOON)
                        sent[number].append(stamp)
            now = clock.now_ns()
            if feed >= 0:
                due = max(now + delay * MS, waiting[feed][-1][0] if waiting[feed] else 0)
                if due - now <= 6 * MS:
                    waiting[feed].append((due, now))
            if poll:
                for number, fan in enumerate(fans):
                    got[number] += [(reader.feed.name, record.recv_ns) for reader, record in fan.poll()]
        assert not any(waiting)
        clock.advance(SECOND)
        for number, fan in enumerate(fans):
            got[number] += [(reader.feed.name, record.recv_ns) for reader, record in fan.poll()]
        for number, name in enumerate(NAMES):
            for items in got:
                assert [stamp for feed, stamp in items if feed == name] == sent[number]
        disorder = [
            sum(stamp < max((s for _, s in items[:n]), default=0) for n, (_, stamp) in enumerate(items))
            for items in got
        ]
        assert disorder == [fan.late for fan in fans]
        assert fans[0].late == 0
        for writer in writers:
            writer.close()


def test_followed_until_all_have_ended(store):
    writers = [store.writer(name) for name in NAMES[:2]]
    readers = [store.reader(name) for name in NAMES[:2]]
    sent = []

    def work():
        for number in range(300):
            writer = writers[number % 2]
            stamp = time.time_ns()
            writer.append(stamp, Kind.DATA, writer.stream("d"), 1, b"%d" % number)
            sent.append(b"%d" % number)
            if number % 50 == 0:
                time.sleep(0.002)
        for writer in writers:
            writer.end(time.time_ns(), "done")
            writer.close()

    thread = threading.Thread(target=work)
    thread.start()
    fan = FanIn(readers, window_ns=3600 * SECOND)  # however long the thread is kept between a stamp and its commit
    items = list(fan.follow(until_end=True, wait="hybrid"))
    thread.join()
    assert [record.payload for _, record in items if record.kind == Kind.DATA] == sent
    assert fan.late == 0
    assert list(FanIn(readers).follow(until_end=True)) == []  # they stand behind their END already


def test_stopped_with_nothing_to_hand_out(store):
    with store.writer(NAMES[0]) as a, store.writer(NAMES[1]):
        put(a, 3600 * SECOND)  # a stamp that the other feed cannot reach for an hour
        readers = [store.reader(name) for name in NAMES[:2]]
        fan = FanIn(readers, clock=ManualClock(NOON))
        assert list(fan.follow(stop=lambda: True)) == []
        again = store.reader(NAMES[0])
        again.move_to(fan.position(readers[0]))
        assert len(again.poll()) == 1  # held, not lost


RECORDER = """
import sys, time
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store, store.writer(sys.argv[2], sync="none") as writer:
    depth = writer.stream("d")
    for number in range(3000):
        writer.append(time.time_ns(), 1, depth, 1, b"%d" % number)
        if number % 10 == 0:
            time.sleep(0.0005)
    writer.end(time.time_ns(), "done")
"""


def test_over_processes(store):
    for name in NAMES:
        store.writer(name).close()
    children = [subprocess.Popen([sys.executable, "-c", RECORDER, str(store.path), name]) for name in NAMES]
    fan = FanIn([store.reader(name) for name in NAMES], window_ns=50 * MS)
    stamps, per_feed = [], dict.fromkeys(NAMES, 0)
    for reader, record in fan.follow(until_end=True, wait="hybrid"):
        stamps.append(record.recv_ns)
        if record.kind == Kind.DATA:
            assert record.payload == b"%d" % per_feed[reader.feed.name]
            per_feed[reader.feed.name] += 1
    assert [child.wait() for child in children] == [0, 0, 0]
    assert per_feed == dict.fromkeys(NAMES, 3000)
    assert sum(b < a for a, b in itertools.pairwise(stamps)) <= fan.late
