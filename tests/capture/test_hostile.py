"""Nothing a venue sends, and nothing its adapter makes of it, ends a recording: it is kept, counted, named, and what
stands beside it goes on."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from msgspec.structs import replace
from talkative import Peer, Talkative, run, told

from mdtool.capture import ports as ports_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.ports import Ports
from mdtool.capture.recorder import Recorder
from mdtool.capture.tending import tended
from mdtool.clock import SystemClock
from mdtool.errors import StoreFull, UsageError
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues.venue import HttpRequest, Place, Reply

HOSTILE = [
    b"",
    b"<html><body>Service unavailable</body></html>",
    b'{"code":-1003,"msg":"Too many requests"}',
    b"[1e999999999, true]",
    b"[" * 50_000,
    b"\xff\xfe\x00\x80",
    b"[null, true]",
    b"[" + b"9" * 6000 + b", true]",
]


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.02)


def words(talk, event):
    return [text for said, text in talk if said is event]


# -- routing: one door -------------------------------------------------------------------------------------------------


class Stumbling(Talkative):
    """Raises in `route` or `place`, or answers with what is no place, for what begins with "bad"."""

    def __init__(self, answer, where):
        super().__init__()
        self.answer = answer
        self.where = where

    def bad(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def route(self, payload):
        if payload.startswith(b"bad") and self.where == "route":
            return self.bad()
        return super().route(payload)

    def place(self, key):
        return self.bad() if key == b"bad" else super().place(key)


@pytest.mark.parametrize(
    ("answer", "where", "named"),
    [
        (KeyError("x"), "route", "KeyError: 'x'"),
        (RecursionError("deep"), "route", "RecursionError: deep"),
        (["unhashable"], "route", "TypeError: "),
        (ZeroDivisionError("by the venue"), "place", "ZeroDivisionError: by the venue"),
        (None, "place", "AttributeError: "),
        (Place(["A_B"], "book"), "place", "TypeError: "),
        (Place("A_B", 7), "place", "AttributeError: "),
        (Place("A_B", "book", "no action"), "place", "AttributeError: "),
    ],
)
def test_what_routing_raises_is_kept_counted_and_named_once(store, answer, where, named):
    talk, acted = [], []

    def act(action):
        acted.append(action.frame if isinstance(action, Reply) else action.why)

    options = record_options(Stumbling(answer, where), sync="none")
    ports = Ports(store, options, SystemClock(), lambda event, text: talk.append((event, text)))
    received = ports.receiver(1, act)
    frames = [b"book 1", b"bad 1", b"test 2", b"bad 2", b"bad 3", b"book 2"]
    for frame in frames:
        received(frame, 0)
    ports.close()
    assert (ports.status.records, ports.status.undecodable) == (6, 3)
    (said,) = words(talk, RecorderEvent.UNDECODABLE)
    assert said.startswith(f"talkative: cannot be routed, kept as received: {named}")
    assert [payload for _, _, payload in told(store, "A_B")] == [b"book 1", b"book 2"]
    data = [(stream, payload) for kind, stream, payload in told(store) if kind is Kind.DATA]
    assert data == [("other", b"bad 1"), ("session", b"test 2"), ("other", b"bad 2"), ("other", b"bad 3")]
    (note,) = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.NOTE]
    assert (note["note"], note["what"]) == ("undecodable", "cannot be routed")
    assert acted == ["answer"]


def test_a_plan_that_fails_is_one_line(store):
    class Planless(Talkative):
        def plan(self, symbols, streams):
            raise ZeroDivisionError("no plan")

    with pytest.raises(UsageError, match=r"^talkative: cannot plan book of A_B: ZeroDivisionError: no plan$"):
        Recorder(store, record_options(Planless()), lambda event, text: None)


# -- beside the hot path -----------------------------------------------------------------------------------------------


class Fetched(Talkative):
    """Its whole books are fetched."""

    name = "talkative"

    def snapshot_request(self, symbol, stream=None):
        return HttpRequest("GET", f"/snapshot?{symbol}")

    def snapshot_weight(self, symbol):
        return 0.0

    def decoder(self, stream):
        real = super().decoder("book")
        if stream != "snapshot":
            return real

        def decode(payload):
            (update,) = real(b"book " + payload)
            return (replace(update, in_stream=False),)

        return decode


def test_answers_that_are_no_whole_book_are_kept_and_asked_for_again(store):
    """HTTP 200 with whatever: none of it is a snapshot, none of it ends the run, and the good one is taken."""
    talk = []
    bodies = iter([*HOSTILE, b"[6, true]"])

    async def speak(peer, number, socket):
        await socket.send_str("book [7, false]")

    peer = Peer(speak, lambda request: web.Response(body=next(bodies, b"[6, true]")))

    def done():
        return len(peer.asked) == len(HOSTILE) + 1 and peer.recorder.status.snapshots == 1

    status = run(store, Fetched(), peer, done, talk)
    assert (status.sessions, status.snapshots, status.gaps) == (1, 1, 0)
    answers = [payload for kind, _, payload in told(store, "A_B") if kind is Kind.RESPONSE]
    assert answers == [*HOSTILE, b"[6, true]"]
    failed = words(talk, RecorderEvent.SNAPSHOT_FAILED)
    assert len(failed) == len(HOSTILE)
    assert all(text.startswith("snapshot of A_B: no whole book: ") for text in failed)


def test_frames_of_all_kinds_are_kept_and_what_can_be_read_among_them_is(store):
    talk = []
    frames = [b"book " + body for body in HOSTILE]

    async def speak(peer, number, socket):
        await socket.send_str("book [7, true]")
        for frame in frames:
            await socket.send_bytes(frame)
        await socket.send_str("book [8, false]")
        await socket.send_str("book [10, false]")

    peer = Peer(speak)
    status = run(store, Talkative(), peer, lambda: peer.recorder.status.gaps >= 1, talk)
    assert status.undecodable >= len(frames)
    kept = [payload for kind, _, payload in told(store, "A_B") if kind is Kind.DATA]
    assert kept[: len(frames) + 3] == [b"book [7, true]", *frames, b"book [8, false]", b"book [10, false]"]
    assert [text for text in words(talk, RecorderEvent.UNDECODABLE) if "A_B: cannot be decoded" in text]


class Endless(Talkative):
    """Each of its answers to what is asked of it fails in another way."""

    raised = 0

    def resubscribe(self, symbol, stream):
        Endless.raised += 1
        if Endless.raised < 4:
            raise ZeroDivisionError("cannot say how")
        return ("again",)


def test_mending_that_fails_is_named_and_tried_again(store, monkeypatch):
    from mdtool.capture import mender

    monkeypatch.setattr(mender, "PAUSE", 0.02)
    talk = []
    Endless.raised = 0

    async def speak(peer, number, socket):
        await socket.send_str("book [7, false]")

    peer = Peer(speak)
    status = run(store, Endless(), peer, lambda: (1, "again") in peer.heard, talk)
    assert status.sessions == 1
    failures = words(talk, RecorderEvent.FAILED)
    assert len(failures) == 3
    assert failures[0].startswith("mending A_B failed: ZeroDivisionError: cannot say how; going on in ")


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_answers_to_the_question_where_to_connect(store, body):
    """Whatever the adapter makes of it, the venue is unreachable and asked again."""

    class Trusting(Talkative):
        def endpoint(self, connection, body):
            from mdtool.venues.venue import Endpoint

            return Endpoint(json.loads(body)["url"])

    talk = []
    peer = Peer(None, lambda request: web.Response(body=body))
    venue = Trusting(bootstrap=HttpRequest("POST", "/bullet"))
    status = run(store, venue, peer, lambda: len(peer.asked) >= 3, talk)
    assert peer.connections == 0
    assert status.failures >= 2
    assert [payload for kind, _, payload in told(store) if kind is Kind.RESPONSE][:2] == [body] * 2
    assert [kind for kind, _, _ in told(store)][-1] is Kind.END


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://127.0.0.1:1/x y", "ws://[::1", "ws://127.0.0.1:99999/", "\ud800", 7, None, ["x"]]
)
def test_hostile_addresses_to_connect_to(store, url):
    class Told(Talkative):
        def endpoint(self, connection, body):
            from mdtool.venues.venue import Endpoint

            return Endpoint(url)

    peer = Peer(None, lambda request: web.Response(body=b"{}"))
    status = run(store, Told(bootstrap=HttpRequest("POST", "/bullet")), peer, lambda: len(peer.asked) >= 2)
    assert (peer.connections, status.failures >= 1) == (0, True)
    assert [kind for kind, _, _ in told(store)][-1] is Kind.END


@pytest.mark.parametrize("frame", [7, None, b"bytes", "\ud800", "x" * 1_000_000])
def test_hostile_things_to_say(store, frame):
    """An adapter's reply that cannot be sent is named, and the connection goes on."""

    class Babbling(Talkative):
        def place(self, key):
            return Place(None, "session", Reply(frame)) if key == b"test" else super().place(key)

    async def speak(peer, number, socket):
        await socket.send_str("test")
        await socket.send_str("book [7, true]")

    peer = Peer(speak)
    status = run(store, Babbling(), peer, lambda: peer.recorder.status.records >= 2)
    assert (status.sessions, status.records) == (1, 2)


def test_a_task_that_fails_is_named_and_begun_again_but_a_full_store_ends_it():
    failures, lives = [], []

    async def work():
        lives.append(len(lives))
        raise [ValueError("odd"), KeyError(7), StoreFull("no room")][lives[-1]]

    async def main():
        await tended("digging", work, lambda *told: failures.append(told), Backoff(None))

    with pytest.raises(StoreFull, match="no room"):
        asyncio.run(main())
    assert [(name, str(error), wait) for name, error, wait in failures] == [
        ("digging", "odd", 0.02),
        ("digging", "7", 0.02),
    ]


def test_a_feed_that_cannot_be_synced_keeps_no_other_from_it_and_is_tried_again(store):
    options = record_options(Talkative(), sync="1s")
    ports = Ports(store, options, SystemClock(), lambda event, text: None)
    done = []

    class Full:
        def __init__(self, name, writer, fails):
            self.name, self.writer, self.fails = name, writer, fails

        def prepare(self):
            done.append(("prepare", self.name))
            if "prepare" in self.fails:
                raise StoreFull("no room ahead")

        def sync(self):
            done.append(("sync", self.name))
            if "sync" in self.fails:
                raise OSError(5, "Input/output error", "/data/x")

        def close(self):
            self.writer.close()

    fails = {"_session": {"prepare"}, "A_B": {"sync"}}
    for name in list(ports._writers):
        ports._writers[name] = Full(name, ports._writers[name], fails[name])
    for _ in range(2):
        assert ports.maintain() == {"_session": "no room ahead", "A_B": "[Errno 5] Input/output error: '/data/x'"}
    for name in fails:
        assert [work for work, who in done if who == name] == ["sync", "prepare"] * 2
    fails["_session"].clear()
    assert list(ports.maintain()) == ["A_B"]
    ports.close()


def test_trouble_with_a_feeds_disk_is_told_once_for_as_long_as_it_lasts(store, monkeypatch):
    from mdtool.capture import recorder as recorder_module

    monkeypatch.setattr(recorder_module, "TICK", 0.01)
    rounds = []
    troubles = [{}, {"A_B": "no room"}, {"A_B": "no room"}, {}, {"A_B": "no room", "_session": "no room"}]

    def maintain(self):
        rounds.append(len(rounds))
        return troubles[min(rounds[-1], len(troubles) - 1)]

    monkeypatch.setattr(ports_module.Ports, "maintain", maintain)
    talk = []

    async def silent(peer, number, socket):
        pass

    run(store, Talkative(), Peer(silent), lambda: len(rounds) > 8, talk)
    said = words(talk, RecorderEvent.STORE_FULL)
    assert said == [f"{name}: no room; trying again" for name in ("A_B", "A_B", "_session")]
