"""What a venue wants to hear from a client, over loopback: heartbeats, answers, another connection, a token before the
first; and what is recorded of it."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from patience import until
from talkative import Peer, Talkative, run, told

from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues.venue import Heartbeat, HttpRequest


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as opened:
        yield opened


def test_heartbeats_go_out_in_their_interval_and_are_recorded(store):
    async def silent(peer, number, socket):
        pass

    peer = Peer(silent)
    run(store, Talkative(heartbeat=Heartbeat(0.03, "ping!")), peer, lambda: len(peer.heard) >= 5)
    assert peer.heard[:5] == [(1, "subscribe"), *[(1, "ping!")] * 4]
    sent = [payload for kind, _, payload in told(store) if kind is Kind.SENT]
    assert sent[:5] == [b"subscribe", *[b"ping!"] * 4]


def test_what_the_venue_asks_is_answered_each_time_after_it_is_recorded(store):
    async def ask(peer, number, socket):
        for i in range(3):
            await socket.send_str(f"test {i}")
            await until(lambda i=i: peer.heard.count((number, "answer")) == i + 1)

    peer = Peer(ask)
    run(store, Talkative(), peer, lambda: peer.heard.count((1, "answer")) == 3)
    records = [(kind, payload) for kind, stream, payload in told(store) if payload != b"subscribe"]
    talk = [record for record in records if record[0] in (Kind.DATA, Kind.SENT)]
    assert talk == [entry for i in range(3) for entry in ((Kind.DATA, b"test %d" % i), (Kind.SENT, b"answer"))]


def test_a_notice_that_the_connection_ends_brings_another(store):
    async def bye(peer, number, socket):
        if number == 1:
            await socket.send_str("bye now")

    peer = Peer(bye)
    status = run(store, Talkative(), peer, lambda: peer.heard.count((2, "subscribe")) == 1)
    assert status.sessions == 2
    closes = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.CLOSE]
    assert len(closes) == 2 and (Kind.DATA, "session", b"bye now") in told(store)


def test_nothing_is_sent_before_the_greeting_where_the_venue_greets(store):
    order = []

    async def greet(peer, number, socket):
        await asyncio.sleep(0.1)
        order.extend(peer.heard)
        await socket.send_str("welcome")

    peer = Peer(greet)
    run(store, Talkative(greeted=True), peer, lambda: (1, "subscribe") in peer.heard)
    assert order == []
    kinds = [kind for kind, _, _ in told(store)]
    assert kinds.index(Kind.DATA) < kinds.index(Kind.SENT)


def test_a_token_is_fetched_before_each_connection_and_recorded(store):
    async def bye(peer, number, socket):
        if number == 1:
            await socket.send_str("bye")

    def token(request):
        return web.json_response({"url": peer.url + f"?token={len(peer.asked)}"})

    peer = Peer(bye, token)
    venue = Talkative(bootstrap=HttpRequest("POST", "/bullet"))
    run(store, venue, peer, lambda: (2, "beat from the token") in peer.heard)
    assert peer.asked == [("POST", "/bullet")] * 2
    records = told(store)
    asked = [json.loads(payload)["method"] for kind, stream, payload in records if kind is Kind.REQUEST]
    answers = [payload for kind, stream, payload in records if (kind, stream) == (Kind.RESPONSE, "bootstrap")]
    opened = [json.loads(payload)["url"] for kind, _, payload in records if kind is Kind.OPEN]
    assert asked == ["POST", "POST"] and len(answers) == 2
    assert opened == [f"{peer.url}?token=1", f"{peer.url}?token=2"]


@pytest.mark.parametrize(
    "token",
    [lambda request: web.Response(status=500), lambda request: web.Response(text="[1")],
    ids=["500", "nonsense"],
)
def test_without_a_token_there_is_no_connection_and_another_attempt(store, token):
    peer = Peer(None, token)
    status = run(store, Talkative(bootstrap=HttpRequest("POST", "/bullet")), peer, lambda: len(peer.asked) == 2)
    assert peer.connections == 0 and status.failures >= 1
    notes = [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.NOTE]
    assert [note["note"] for note in notes[:2]] == ["plan", "unreachable"]


class Resubscribing(Talkative):
    def resubscribe(self, symbol, stream):
        return ("unsubscribe", "subscribe again")


@pytest.mark.parametrize("venue", [Resubscribing(), Talkative()], ids=["resubscribing", "reconnecting"])
def test_a_gap_is_mended_by_a_whole_book_on_the_stream(store, venue):
    async def talk(peer, number, socket):
        await until(lambda: (number, "subscribe") in peer.heard)
        await socket.send_str(f"book [{10 * number}, true]")
        if number == 1:
            await socket.send_str("book [11, false]")
            await socket.send_str("book [13, false]")
            await until(lambda: (1, "subscribe again") in peer.heard)
            await socket.send_str("book [20, true]")

    peer = Peer(talk)
    status = run(store, venue, peer, lambda: b"book [20, true]" in [payload for _, _, payload in told(store, "A_B")])
    assert status.gaps == 1
    again = [text for _, text in peer.heard]
    if isinstance(venue, Resubscribing):
        assert again == ["subscribe", "unsubscribe", "subscribe again"] and peer.connections == 1
    else:
        assert again == ["subscribe", "subscribe"] and peer.connections == 2
