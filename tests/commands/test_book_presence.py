"""What a book is worth where its recorder stopped, was killed, or was not there at the time asked for: state, age and
note are of the writer's presence and of the records around the moment, in `book` as in `registry list`."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from mdtool.clock import HOUR, SECOND
from mdtool.model import Kind
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
