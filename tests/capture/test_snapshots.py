"""Snapshots over loopback: one that is slow or refused is its own affair, and what the venue asks for is heeded."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import aiohttp
import pytest
from aiohttp import web
from patience import until
from talkative import Peer, Talkative, run, told

from mdtool.capture import snapshot as module
from mdtool.capture.backoff import Backoff
from mdtool.capture.budget import Budget
from mdtool.capture.failures import LONGEST_RETRY_AFTER, retry_after
from mdtool.capture.options import RecorderEvent
from mdtool.capture.snapshot import Snapshots
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues.venue import HttpRequest


class Asked(Talkative):
    def __init__(self, weight=0.0):
        super().__init__()
        self.weight = weight

    def snapshot_request(self, symbol, stream=None):
        if symbol == "RAISES":
            raise ZeroDivisionError("by the venue")
        return HttpRequest("GET", f"/{symbol}")

    def snapshot_weight(self, symbol):
        return self.weight


class Sink:
    def __init__(self):
        self.asked, self.got, self.refusals = [], [], 0

    def requested(self, symbol, request, url):
        self.asked.append(symbol)

    def answered(self, symbol, body, failed):
        self.got.append((symbol, len(body), failed))

    def refused(self, symbol):
        self.refusals += 1


class Waits(Backoff):
    """What it is asked to wait is noted, and short."""

    noted = []  # noqa: RUF012

    def next_wait(self):
        Waits.noted.append(super().next_wait())
        return 0.01


def fetching(handle, play, tmp_path, weight=0.0, clock=time.monotonic_ns):
    """`play(snapshots, sink, talk)` while they are fetched from a server with this handler."""
    Waits.noted.clear()
    talk = []

    async def main():
        app = web.Application()
        app.router.add_get("/{symbol}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base, sink = f"http://127.0.0.1:{runner.addresses[0][1]}", Sink()
        async with aiohttp.ClientSession() as http:
            snapshots = Snapshots(
                http, Asked(weight), base, sink, Budget(tmp_path, "asked", base, clock),
                lambda event, text: talk.append((event, text)), lambda: Waits(Random(1)), ("book",),
            )  # fmt: skip
            running = asyncio.create_task(snapshots.run())
            try:
                await play(snapshots, sink, running)
            finally:
                running.cancel()
                await asyncio.wait([running])
        await runner.cleanup()
        return sink

    return asyncio.run(main()), talk


def test_a_symbol_that_hangs_and_one_that_is_huge_hold_up_no_other(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MAX_BODY", 1 << 20)
    hanging = asyncio.Event()

    async def handle(request):
        symbol = request.match_info["symbol"]
        if symbol == "HANGS":
            hanging.set()
            await asyncio.sleep(10_000)
        if symbol == "HUGE":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
        return web.Response(body=b"book")

    async def play(snapshots, sink, running):
        for symbol in ("HANGS", "HUGE", "RAISES", "A", "B", "C"):
            snapshots.request(symbol)
            snapshots.request(symbol)
        await until(lambda: len(sink.got) == 3, running)
        await hanging.wait()
        await until(lambda: sink.asked.count("HUGE") >= 2, running)  # refused, and asked again

    sink, talk = fetching(handle, play, tmp_path)
    assert sink.got == [("A", 4, False), ("B", 4, False), ("C", 4, False)]
    assert sink.asked[:5] == ["HANGS", "HUGE", "A", "B", "C"]  # in the order in which they were needed
    said = [text for event, text in talk if event is RecorderEvent.SNAPSHOT_FAILED]
    assert "snapshot of RAISES: by the venue; will try again" in said
    assert any("more than 1,048,576 bytes" in text for text in said)


def test_one_that_is_refused_again_and_again_waits_longer_and_the_others_do_not(tmp_path):
    async def handle(request):
        return web.Response(status=500 if request.match_info["symbol"] == "BAD" else 200, body=b"book")

    async def play(snapshots, sink, running):
        snapshots.request("BAD")
        await until(lambda: sink.asked.count("BAD") >= 5, running)
        snapshots.request("GOOD")
        await until(lambda: ("GOOD", 4, False) in sink.got, running)

    fetching(handle, play, tmp_path)
    steps = Waits.noted[:4]
    assert all(0.5 * 0.5 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(steps))


def test_who_asks_for_more_has_no_more_turns_and_who_is_whole_needs_none(tmp_path):
    """Within the venue's weight, one after the other, in the order in which they were needed."""

    async def handle(request):
        return web.Response(body=b"book")

    async def play(snapshots, sink, running):
        asked = 0
        for symbol in ("GREEDY", "A", "B", "C", "WHOLE", "D"):
            snapshots.request(symbol)
        snapshots.had("WHOLE")
        snapshots.had("STRANGER")
        while len(sink.got) < 8:
            await until(lambda: len(sink.got) > asked, running)  # noqa: B023
            asked = len(sink.got)
            snapshots.request("GREEDY")

    sink, _ = fetching(handle, play, tmp_path, weight=0.02)
    assert sink.asked[:8] == ["GREEDY", "A", "B", "C", "D", "GREEDY", "GREEDY", "GREEDY"]


def test_a_ban_is_everybodys_and_heeded_for_as_long_as_it_says(tmp_path):
    """By the clock of the loop, and the budget's, which are made to run ahead."""
    ahead = 0.0

    asked = []

    async def handle(request):
        asked.append(request.match_info["symbol"])
        headers = {"Retry-After": "7"} if len(asked) == 1 else {}
        return web.Response(status=429 if len(asked) == 1 else 200, headers=headers, body=b"book")

    async def play(snapshots, sink, running):
        nonlocal ahead
        real = snapshots._clock
        snapshots._clock = lambda: real() + ahead
        snapshots.request("FIRST")
        await until(lambda: sink.got, running)
        snapshots.request("SECOND")
        _, wait = snapshots._next()
        assert 6.0 < wait <= 7.0
        ahead = 8.0
        snapshots._changed.set()
        await until(lambda: len(sink.got) == 3, running)

    sink, talk = fetching(handle, play, tmp_path, clock=lambda: time.monotonic_ns() + int(ahead * 1e9))
    assert sorted(sink.got[1:]) == [("FIRST", 4, False), ("SECOND", 4, False)]
    assert talk[0][1] == "snapshot of FIRST: HTTP 429, too many requests: book; will try again"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (451, b"Service unavailable from a restricted location", "HTTP 451, the venue refuses this region"),
        (403, b"The distribution is configured to block access from your country.", "HTTP 403"),
    ],
)
def test_a_venue_that_refuses_the_region_is_asked_once_an_hour_and_that_is_said_once(tmp_path, status, body, words):
    """By all recorders together: another one of the same store does not ask either."""
    asked, outside = [], [True]
    ahead = 0.0

    async def handle(request):
        asked.append(request.match_info["symbol"])
        return web.Response(status=status if outside[0] else 200, body=body)

    async def play(snapshots, sink, running):
        nonlocal ahead
        real = snapshots._clock
        snapshots._clock = lambda: real() + ahead
        another = Budget(tmp_path, "asked", snapshots._base_url, lambda: time.monotonic_ns() + int(ahead * 1e9))
        snapshots.request("FIRST")
        snapshots.request("SECOND")
        for hour in (1, 2):
            await until(lambda hour=hour: len(sink.got) == hour, running)
            wait = 0.0
            while wait < 3500.0:  # until it is in the file
                wait = await another.take(0.0)
            assert wait <= module.REGION_PAUSE
            assert 3500.0 < snapshots._next()[1] <= module.REGION_PAUSE
            outside[0] = hour == 1
            ahead += module.REGION_PAUSE + 1.0
            snapshots._changed.set()
        await until(lambda: len(sink.got) == 3, running)
        ahead += 61.0
        snapshots._changed.set()
        await until(lambda: len(sink.got) == 4, running)

    sink, talk = fetching(handle, play, tmp_path, 60.0, lambda: time.monotonic_ns() + int(ahead * 1e9))
    assert [failed for _, _, failed in sink.got] == [True, True, False, False]
    assert [text for event, text in talk if event is RecorderEvent.SNAPSHOT_FAILED] == [
        f"snapshot of FIRST: {words}: {body.decode()}; books come from the stream alone; asked again once an hour"
    ]


def test_an_answer_that_leads_elsewhere_is_not_followed_and_says_where_to(tmp_path):
    async def handle(request):
        return web.Response(status=301, headers={"Location": "https://elsewhere.example/x"}, body=b"moved")

    async def play(snapshots, sink, running):
        snapshots.request("A")
        await until(lambda: sink.got, running)

    sink, talk = fetching(handle, play, tmp_path)
    assert sink.got[0] == ("A", 5, True)
    assert talk[0][1] == (
        "snapshot of A: HTTP 301, redirected to https://elsewhere.example/x, which is not followed: moved; "
        "will try again"
    )


def test_what_a_venue_may_ask_for():
    assert [retry_after(header) for header in (None, "", "7", "soon", "-1", "²", "9" * 400)] == [
        0.0, 0.0, 7.0, 0.0, 0.0, 0.0, LONGEST_RETRY_AFTER,
    ]  # fmt: skip
    soon = datetime.now(UTC) + timedelta(seconds=1000)
    assert 900.0 < retry_after(format_datetime(soon, usegmt=True)) <= 1000.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("Fri, 21 Oct 2185 07:28:00 GMT") == LONGEST_RETRY_AFTER


# -- the same of connections -------------------------------------------------------------------------------------------


class Refusing(Peer):
    """Refuses the handshake, or redirects it."""

    def __init__(self, respond):
        super().__init__(None)
        self.respond = respond
        self.attempts = 0

    async def websocket(self, request):
        self.attempts += 1
        return self.respond(request)


def notes(store):
    import json

    return [json.loads(payload) for kind, _, payload in told(store) if kind is Kind.NOTE]


def test_a_handshake_that_is_refused_for_a_while_is_not_tried_before(tmp_path):
    talk = []
    peer = Refusing(lambda request: web.Response(status=429, headers={"Retry-After": "90"}))
    with Store.create(tmp_path / "store") as store:
        run(store, Talkative(), peer, lambda: peer.recorder.status.failures == 1, talk)
    assert peer.attempts == 1
    assert talk[0][1].endswith("/ws: HTTP 429, too many requests; trying again in 90.0 s")


def test_a_handshake_that_is_redirected_says_where_to(tmp_path):
    for number, (target, said) in enumerate(
        (
            ("wss://elsewhere.example/ws", "redirected to wss://elsewhere.example/ws, which is not followed; "
             "to connect there give it with --url"),
            ("/page", "HTTP 200 from ws://127.0.0.1:{port}/page, where it redirects to"),
            ("/ws", "redirected in a circle, last from "),
        )
    ):  # fmt: skip
        peer = Refusing(lambda request, target=target: web.Response(status=302, headers={"Location": target}))
        peer.token = lambda request: web.Response(text="<html>moved</html>")
        with Store.create(tmp_path / f"store-{number}") as store:
            run(store, Talkative(), peer, lambda peer=peer: peer.recorder.status.failures >= 1)
            port = peer.url.rpartition(":")[2].removesuffix("/ws")
            found = next(note for note in notes(store) if note["note"] == "unreachable")
            assert found["why"].startswith(said.format(port=port)), found


# -- renewal -----------------------------------------------------------------------------------------------------------


def test_a_connection_is_replaced_without_a_gap(tmp_path, monkeypatch):
    """The next one streams before the last one is closed, so the numbers join without anything missing."""
    from mdtool.capture import link

    monkeypatch.setattr(link, "SETTLED", 0.0)
    monkeypatch.setattr(link, "OVERLAP", 0.1)
    at = [0]
    heard = asyncio.Event()

    async def speak(peer, number, socket):
        await until(lambda: (number, "subscribe") in peer.heard)
        mine = at[0]
        await socket.send_str(f"book [{mine}, true]")
        while True:
            if number == 1 and at[0] < 15:  # and no more once it may be closing: what it says then may be lost
                at[0] += 1
                if at[0] == 10:
                    await socket.send_str("bye now")
            elif number == 2 and len(peer.closed) == 1:
                at[0] += 1
                heard.set()
            while mine < at[0]:  # each number on each connection, whichever is quicker
                mine += 1
                await socket.send_str(f"book [{mine}, false]")
            await asyncio.sleep(0.01)

    peer = Peer(speak)
    peer.closed = []
    with Store.create(tmp_path / "store") as store:

        def done():
            peer.closed = [1 for kind, _, _ in told(store) if kind is Kind.CLOSE]
            return heard.is_set() and at[0] > 30

        status = run(store, Talkative(), peer, done)
        life = [kind for kind, _, _ in told(store, "A_B") if kind in (Kind.OPEN, Kind.CLOSE)]
        assert life == [Kind.OPEN, Kind.OPEN, Kind.CLOSE, Kind.CLOSE]
        assert (status.sessions, status.gaps, status.failures) == (2, 0, 0)
        closes = [payload for kind, _, payload in told(store) if kind is Kind.CLOSE]
        assert closes == [b'{"code": 1000, "reason": "it said bye"}', b'{"code": 1000, "reason": "stopped"}']


def test_what_nobody_wants_any_more_is_not_asked_for_again(tmp_path):
    """Neither what waits, nor what is on its way, nor what was refused and would be tried again."""
    hanging = asyncio.Event()

    async def handle(request):
        if request.match_info["symbol"] == "HANGS":
            hanging.set()
            await asyncio.sleep(10_000)
        if request.match_info["symbol"] == "GONE":
            return web.Response(status=400)
        return web.Response(body=b"book")

    async def play(snapshots, sink, running):
        for symbol in ("HANGS", "GONE"):
            snapshots.request(symbol)
        await until(lambda: hanging.is_set() and sink.asked.count("GONE") > 2, running)
        snapshots.forget(["HANGS", "GONE", "NEVER"])
        before = len(sink.asked)
        for _ in range(3):
            answered = len(sink.got)
            snapshots.request("A")
            await until(lambda answered=answered: len(sink.got) > answered, running)
        assert sink.asked[before:] == ["A"] * 3
        assert set(snapshots._under_way) <= {"A"}
        snapshots.request("GONE")  # wanted again
        await until(lambda: sink.asked[-1] == "GONE", running)

    fetching(handle, play, tmp_path)
