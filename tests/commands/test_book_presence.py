"""What a book is worth where its recorder stopped, was killed, or was not there at the time asked for: state, age and
note are of the writer's presence and of the records around the moment, in `book` as in `registry list`."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from mdtool.clock import HOUR, SECOND
from mdtool.history.seams import WHY, Change
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
BOOK = b'{"lastUpdateId":10,"bids":[["99.5","1"]],"asks":[["100.5","2"]]}'
T0 = 1_760_000_000 * SECOND


def update(at: int) -> bytes:
    head = b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT",'
    return head + b'"U":%d,"u":%d,"b":[["99.6","8"]],"a":[]}}' % (at, at)


def write(writer, first_ns: int, seq: int = 11) -> None:
    """A connection with a whole book and two updates, a second apart."""
    writer.append(first_ns, Kind.OPEN, writer.stream("session"), 1, b'{"url":"ws://x"}')
    writer.append(first_ns, Kind.RESPONSE, writer.stream("snapshot"), 0, BOOK.replace(b"10", b"%d" % (seq - 1), 1))
    for at in range(2):
        writer.append(first_ns + at * SECOND, Kind.DATA, writer.stream("depth@100ms"), 1, update(seq + at))


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def look(mdtool, store):
    def run(*options: str) -> dict[str, object]:
        done = mdtool("--store", store, "book", FEED, "--json", *options)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run


def writer_of(mdtool, store) -> str:
    return json.loads(mdtool("--store", store, "registry", "list", "--json").out)["feeds"][0]["writer"]


def test_after_a_clean_stop(mdtool, store, look) -> None:
    now_ns = time.time_ns()
    with Store.create(store) as opened, opened.writer(FEED) as writer:
        write(writer, now_ns - HOUR)
        writer.end(now_ns - HOUR + 2 * SECOND, "stopped")
    book = look()
    assert (book["state"], book["book_state"], book["note"]) == ("ended", "synced", "59 min ago")
    assert HOUR - 3 * SECOND <= book["age_ns"] <= 2 * HOUR
    assert writer_of(mdtool, store) == "gone"


def test_after_a_kill(mdtool, store, look) -> None:
    """The writer is a process that is killed in the middle; its book is stale at once."""
    with Store.create(store) as opened:
        opened.writer(FEED).close()
    pid = os.fork()
    if not pid:
        writer = Store.create(store).writer(FEED)
        write(writer, time.time_ns() - 2 * SECOND)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    book = look()
    assert (book["state"], book["book_state"]) == ("stale", "synced")
    assert book["note"].endswith(", no recorder")
    assert book["age_ns"] >= SECOND
    assert writer_of(mdtool, store) == "stale"


def test_while_it_is_recorded(store, look, mdtool) -> None:
    with Store.create(store) as opened, opened.writer(FEED) as writer:
        write(writer, time.time_ns() - SECOND)
        writer.append(time.time_ns() + 3600 * SECOND, Kind.DATA, writer.stream("depth@100ms"), 1, update(13))
        writer.heartbeat(time.time_ns())
        book = look()
        assert (book["state"], book["note"]) == ("synced", "")
        assert writer_of(mdtool, store) == "alive"


@pytest.mark.parametrize(
    ("ending", "state", "note"),
    [
        ("end", "ended", "29 min ago, not recorded until 09:53:20.000"),
        ("close", "stale", "29 min, connection closed, not recorded until 09:53:20.000"),
        ("kill", "stale", "29 min, not recorded until 09:53:20.000"),
    ],
)
def test_a_moment_within_an_outage(store, look, ending, state, note) -> None:
    """However long ago the recording ended, and whatever it ended with."""
    with Store.create(store) as opened:
        with opened.writer(FEED) as writer:
            write(writer, T0)
            if ending == "close":
                writer.append(T0 + 2 * SECOND, Kind.CLOSE, writer.stream("session"), 1, b'{"code":1006,"reason":""}')
            if ending == "end":
                writer.end(T0 + 2 * SECOND, "stopped")
                writer.append(T0 + 2 * SECOND, Kind.NOTE, writer.stream("session"), 0, b'{"note":"later"}')
        with opened.writer(FEED) as writer:
            write(writer, T0 + HOUR, 11)
    for at in ("2025-10-09T09:23:20", "1760001800"):
        book = look("--at", at)
        assert (book["state"], book["book_state"], book["note"]) == (state, "synced", note)
        assert book["age_ns"] == HOUR // 2 - SECOND
        assert book["bids"] == [["99.6", "8"], ["99.5", "1"]]
    again = look("--at", "2025-10-09T09:53:21")
    assert (again["state"], again["note"]) == ("synced", "")
    before = look("--at", "2025-10-09T08:53:21")
    assert (before["state"], before["note"]) == ("synced", "")


def test_two_connections_at_a_renewal_are_no_outage(store, look) -> None:
    """The new one is opened before the old one is closed."""
    with Store.create(store) as opened, opened.writer(FEED) as writer:
        write(writer, T0)
        session, depth = writer.stream("session"), writer.stream("depth@100ms")
        writer.append(T0 + SECOND, Kind.OPEN, session, 2, b'{"url":"ws://x"}')
        writer.append(T0 + SECOND, Kind.DATA, depth, 2, update(13))
        writer.append(T0 + SECOND, Kind.CLOSE, session, 1, b'{"code":1000,"reason":"renewed"}')
        writer.append(T0 + SECOND + 1, Kind.DATA, depth, 2, update(14))
        writer.append(T0 + 9 * SECOND, Kind.DATA, depth, 2, update(15))
    book = look("--at", "2025-10-09T08:53:22")
    assert (book["state"], book["note"], book["last_seq"]) == ("synced", "", 14)


def test_several_venues_say_the_same(mdtool, store) -> None:
    now_ns = time.time_ns()
    with Store.create(store) as opened:
        for venue in ("sim", "binance"):
            with opened.writer(f"{venue}/ALPHA_USDT") as writer:
                write(writer, now_ns - HOUR)
                writer.end(now_ns - HOUR + 2 * SECOND, "stopped")
    both = json.loads(mdtool("--store", store, "book", "ALPHA_USDT", "--venues", "all", "--json").out)
    assert [book["state"] for book in both["books"]] == ["ended", "ended"]
    assert both["best"]["bid"] == {"price": "99.6", "size": "16", "venues": ["binance", "sim"]}


def connect(writer, at_ns: int, session: int) -> None:
    writer.append(at_ns, Kind.OPEN, writer.stream("session"), session, b'{"url":"ws://x"}')


def snapshot(writer, at_ns: int, seq: int) -> None:
    writer.append(at_ns, Kind.RESPONSE, writer.stream("snapshot"), 0, BOOK.replace(b"10", b"%d" % seq, 1))


def depth(writer, at_ns: int, session: int, seq: int, flags: int = 0) -> None:
    writer.append(at_ns, Kind.DATA, writer.stream("depth@100ms"), session, update(seq), flags)


def trade(writer, at_ns: int, session: int) -> None:
    head = b'{"stream":"alphausdt@trade","data":{"e":"trade","E":1,"s":"ALPHAUSDT","t":1,"p":"99.6","q":"1",'
    writer.append(at_ns, Kind.DATA, writer.stream("trade"), session, head + b'"T":1,"m":true}}')


def reconnected(opened: Store) -> None:
    """Without a CLOSE, as where the machine went to sleep; a trade comes first."""
    with opened.writer(FEED) as writer:
        connect(writer, T0, 1)
        snapshot(writer, T0, 10)
        depth(writer, T0 + SECOND, 1, 11)
        connect(writer, T0 + 4 * SECOND, 2)
        trade(writer, T0 + 5 * SECOND, 2)
        depth(writer, T0 + 7 * SECOND, 2, 40)
        writer.end(T0 + 8 * SECOND, "stopped")


def two_imports(opened: Store) -> None:
    for first_ns, seq in ((T0, 11), (T0 + 7 * SECOND, 40)):
        with opened.writer(FEED) as writer:
            if seq == 11:
                snapshot(writer, first_ns, 10)
                first_ns += SECOND
            depth(writer, first_ns, seq, seq, Flag.IMPORTED)
            writer.append(first_ns, Kind.END, writer.stream("session"), 0, b'{"reason":"import"}', Flag.IMPORTED)


def two_writers(opened: Store) -> None:
    for first_ns, seq in ((T0 + SECOND, 11), (T0 + 7 * SECOND, 40)):
        with opened.writer(FEED) as writer:
            if seq == 11:
                snapshot(writer, T0, 10)
            depth(writer, first_ns, seq, seq)
            if seq == 11:
                writer.end(first_ns + SECOND, "stopped")


def killed(opened: Store) -> None:
    for first_ns, seq in ((T0 + SECOND, 11), (T0 + 7 * SECOND, 40)):
        with opened.writer(FEED) as writer:
            if seq == 11:
                snapshot(writer, T0, 10)
            depth(writer, first_ns, seq, seq)


@pytest.mark.parametrize(
    ("recorded", "change", "replayed"),
    [
        (reconnected, Change.RECONNECT, ""),
        (two_imports, Change.IMPORTED, "08:53:21"),
        (two_writers, Change.STOPPED, "08:53:22"),
        (killed, Change.DIED, "08:53:21"),
    ],
)
def test_the_book_says_of_an_outage_what_the_ledger_says(mdtool, store, look, recorded, change, replayed) -> None:
    with Store.create(store) as opened:
        recorded(opened)
    span = {"from_ns": T0 + SECOND, "to_ns": T0 + 7 * SECOND}
    (feed,) = json.loads(mdtool("--store", store, "audit", FEED, "--json").out)["feeds"]
    states = ("not_recorded", "broken")
    (hole,) = [one for one in feed["intervals"] if one["stream"] == "depth@100ms" and one["state"] in states]
    assert {key: hole[key] for key in span} == span
    for after in (1.5, 3, 4.5, 6, 6.9):
        book = look("--at", str(T0 + int(after * SECOND)))
        assert book["not_recorded"] == span | {"why": WHY[change]}
        assert book["state"] in ("stale", "ended")
        assert book["note"].endswith(", not recorded until 08:53:27.000")
    if change is not Change.RECONNECT:  # which is a record of its own
        said = mdtool("--store", store, "replay", FEED).err
        assert said == f"{FEED}: not recorded from 2025-10-09 {replayed} to 08:53:27: {WHY[change]}\n"
    assert mdtool("--store", store, "replay", FEED, "--to", "first+500ms").err == ""
    for after in (1, 7):
        book = look("--at", str(T0 + after * SECOND))
        assert (book["not_recorded"], book["note"].endswith("08:53:27.000")) == (None, False)


def test_what_follows_by_its_numbers_is_no_outage(mdtool, store, look) -> None:
    """Another connection that goes on where the one before ended, repeats before it; and a request within silence."""
    with Store.create(store) as opened, opened.writer(FEED) as writer:
        connect(writer, T0, 1)
        snapshot(writer, T0, 10)
        depth(writer, T0 + SECOND, 1, 11)
        connect(writer, T0 + 2 * SECOND, 2)
        depth(writer, T0 + 3 * SECOND, 2, 11)
        depth(writer, T0 + 4 * SECOND, 2, 12)
        writer.append(T0 + 14 * SECOND, Kind.REQUEST, writer.stream("snapshot"), 0, b"{}")
        depth(writer, T0 + 15 * SECOND, 2, 13)
        writer.end(T0 + 15 * SECOND, "stopped")
    (feed,) = json.loads(mdtool("--store", store, "audit", FEED, "--json").out)["feeds"]
    assert {one["state"] for one in feed["intervals"] if one["stream"] == "depth@100ms"} == {"whole"}
    book = look("--at", str(T0 + 5 * SECOND // 2))
    assert (book["state"], book["note"], book["not_recorded"]) == ("synced", "", None)
    book = look("--at", str(T0 + 13 * SECOND))
    assert (book["state"], book["note"], book["not_recorded"]) == ("stale", "9 s", None)


def test_a_missing_frame_that_was_noted_long_ago_is_known_now(mdtool, tmp_path) -> None:
    """A book of a venue that numbers its connections: whatever came since on top of it, it lacks what was missing."""
    store, begin_ns = tmp_path / "store", time.time_ns() - HOUR
    note = {"note": "missed", "session": 1, "after": 1, "next": 3, "since_ns": begin_ns + 2 * SECOND}
    with Store.create(store) as opened, opened.writer("bitfinex/BTC_USD") as writer:
        book, session = writer.stream("book-P0"), writer.stream("session")
        writer.append(begin_ns, Kind.DATA, book, 1, b"[1,[[4000,1,1],[4060,1,-1]],1]")
        for at in range(3, 1200):
            writer.append(begin_ns + (at - 1) * SECOND, Kind.DATA, book, 1, b"[1,[4010,2,1],%d]" % at)
            if at == 3:
                writer.append(begin_ns + 3 * SECOND, Kind.NOTE, session, 0, json.dumps(note).encode())
        writer.end(begin_ns + 1200 * SECOND, "stopped")
    done = mdtool("--store", store, "book", "bitfinex/BTC_USD", "--json")
    said = json.loads(done.out)
    assert (said["state"], said["book_state"]) == ("ended", "dirty"), done.err
