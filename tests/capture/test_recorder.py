"""The recorder against the emulator over real sockets: what is served is recorded; what goes wrong is on record."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
from collections import Counter

import pytest
from recording import record_until

from mdtool.audit import audit_store
from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync
from mdtool.capture import link as link_module
from mdtool.capture import ports as ports_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.ports import MOST_STREAMS, Ports
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.clock import SystemClock
from mdtool.errors import ConnectError, FeedLocked, StoreFull, UnknownSymbol, UsageError
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.faults import Cut, Drop, Faults, Refuse
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.model import BookUpdate, Flag, Kind
from mdtool.storage import files
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict

SECOND = 1_000_000_000
START = 1_700_049_600 * SECOND
SIM = catalog.get("sim")


class Talk(list):
    """What the recorder said, as (event, line)."""

    def __call__(self, event, text):
        self.append((event, text))

    def count(self, event):
        return sum(said is event for said, _ in self)


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Come back from a failure at once; the waits themselves are tested with the backoff."""
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.05)


def simulate(count=2, *, rate=200.0, for_s=None, **options):
    simulator = Simulator(symbol_names(count), seed=7, rate=rate, start_ns=START, keep_truth=True)
    return SimulatedSource(simulator, wait=True, for_ns=for_s and int(for_s * SECOND), **options)


def record(store, server, talk, count=2, **options):
    return Recorder(store, record_options(SIM, symbol_names(count), ws_url=server.url, sync="none", **options), talk)


def synced(store, count, gaps=0):
    """Whether the books that the recorded feeds lead to are whole, the first behind so many gaps."""
    found = [books(store, f"sim/{symbol}")[1] for symbol in symbol_names(count)]
    return found[0].gaps == gaps and all(sync.state is BookState.SYNCED for sync in found)


def kinds(store, name):
    """Of each record but those of the clock, which come when their time has come."""
    records = store.reader(name).records()
    return [(Kind(one.kind), one.payload) for one in records if not one.payload.startswith(b'{"note": "clock"')]


def books(store, name):
    """Every (update id, bids, asks, scale) the recorded feed leads to, and the state machine at the end."""
    reader = store.reader(name)
    sync = BookSync(SIM.rule("depth@100ms"), L2Book(), LevelParser())
    seen = []
    for one in reader.records():
        stream = reader.stream_name(one.stream)
        if (
            one.kind not in (Kind.DATA, Kind.RESPONSE)
            or one.flags & Flag.FAILED
            or stream not in ("depth@100ms", "snapshot")
        ):
            continue
        for message in SIM.decoder(stream)(one.payload):
            assert isinstance(message, BookUpdate)
            step = sync.on_message(message, one.recv_ns)
            if step.applied and sync.state is BookState.SYNCED:
                bids, asks = sync.book.top(10**6)
                seen.append((sync.last_seq, dict(bids), dict(asks), sync.book.scale))
    return seen, sync


def at_scale(levels, scale, target):
    """True mantissas at a coarser or finer scale."""
    price, size = 10 ** (scale.price_exp - target.price_exp), 10 ** (scale.size_exp - target.size_exp)
    return {level * price: amount * size for level, amount in levels.items()}


def test_twenty_symbols_are_recorded_whole_and_their_books_are_the_true_ones_at_every_id(store, monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 3600.0)  # closed once, it does not come back
    talk = Talk()
    source = simulate(20, rate=100.0)

    async def main():
        async with Server(source, protocol_for("sim"), ServerOptions(keep_log=True)) as server:
            recorder = record(store, server, talk, 20)

            def enough():
                # A snapshot of each that is known to the watcher, and what bridges it; then the exchange says no more.
                scales = [feed.scale for feed in store.feeds() if feed.symbol != "_session"]
                if None not in scales and synced(store, 20):
                    server.cut(1000)
                return recorder.status.sessions > recorder.status.connections

            status = await record_until(recorder, enough)
            return status, [sent for sent in server.log if sent.client == 1]

    status, sent = asyncio.run(main())
    assert (status.failures, status.gaps, status.snapshots) == (0, 0, 20)
    compared = 0
    for instrument in source.instruments:
        name = f"sim/{instrument.symbol}"
        recorded = [p for kind, p in kinds(store, name) if kind is Kind.DATA]
        served = [frame for _, stream, frame in sent if stream.startswith(instrument.native.lower() + "@")]
        assert recorded == served
        seen, sync = books(store, name)
        assert sync.state is BookState.SYNCED
        assert sync.gaps == 0
        truth = source.simulator.truth(instrument.symbol)
        for last_id, bids, asks, scale in seen:
            true = truth.at(last_id)
            assert bids == at_scale(true.bids, instrument.scale, scale)
            assert asks == at_scale(true.asks, instrument.scale, scale)
            compared += 1
        assert seen
        known = store.feed(name).scale
        assert known is not None
        assert known.price_exp >= instrument.scale.price_exp
    assert compared >= 20


def test_the_life_of_a_session_is_on_record_in_its_feeds(store):
    talk = Talk()

    async def main():
        async with Server(simulate(2), protocol_for("sim"), ServerOptions(keep_log=True)) as server:
            recorder = record(store, server, talk, 2)
            await record_until(recorder, lambda: talk.count(RecorderEvent.SNAPSHOT) == 2, "enough")
            return server.url

    url = asyncio.run(main())
    session = kinds(store, "sim/_session")
    streams = ["depth@100ms", "trade", "bookTicker"]
    plan = {"note": "plan", "venue": "sim", "symbols": ["ALPHA_USDT", "BRAVO_USDT"], "streams": streams}
    assert (session[0][0], json.loads(session[0][1])) == (Kind.NOTE, plan)
    assert session[1] == (Kind.OPEN, json.dumps({"url": url + "/stream"}).encode())
    sent = json.loads(session[2][1])
    assert (session[2][0], sent["method"], sorted(sent["params"])) == (
        Kind.SENT,
        "SUBSCRIBE",
        sorted(f"{n}usdt@{s}" for n in ("alpha", "bravo") for s in ("depth@100ms", "trade", "bookTicker")),
    )
    assert (Kind.DATA, b'{"result":null,"id":1}') in session
    assert [kind for kind, _ in session[-2:]] == [Kind.CLOSE, Kind.END]
    assert json.loads(session[-1][1]) == {"reason": "enough"}
    for symbol in symbol_names(2):
        feed = kinds(store, f"sim/{symbol}")
        assert (feed[0][0], json.loads(feed[0][1])) == (
            Kind.NOTE,
            {"note": "plan", "venue": "sim", "streams": streams},
        )
        assert feed[1] == session[1]
        assert [kind for kind, _ in feed[-2:]] == [Kind.CLOSE, Kind.END]
        counts = Counter(kind for kind, _ in feed)
        assert (counts[Kind.REQUEST], counts[Kind.RESPONSE], counts[Kind.OPEN]) == (1, 1, 1)
        first_update = next(n for n, (kind, p) in enumerate(feed) if b"depthUpdate" in p)
        request = next(n for n, (kind, _) in enumerate(feed) if kind is Kind.REQUEST)
        assert first_update < request  # the stream first, then the snapshot: else updates are missing between them
        assert f"symbol={symbol.replace('_', '')}" in json.loads(feed[request][1])["url"]


def mended(store):
    """Whether both books are whole by what the last connection has brought."""
    for symbol in symbol_names(2):
        feed = kinds(store, f"sim/{symbol}")
        behind = feed[max(n for n, (kind, _) in enumerate(feed) if kind is Kind.OPEN) :]
        if not any(b"depthUpdate" in payload for _, payload in behind):
            return False
    return synced(store, 2, books(store, "sim/ALPHA_USDT")[1].gaps)


def test_the_time_asked_for_ends_it(store):
    async def main():
        async with Server(simulate(1), protocol_for("sim")) as server:
            await record(store, server, Talk(), 1, duration=0.2).run()

    asyncio.run(main())
    for name in ("sim/_session", "sim/ALPHA_USDT"):
        assert kinds(store, name)[-1] == (Kind.END, b'{"reason": "the time asked for is over"}')


def test_a_cut_connection_comes_back_and_the_book_is_whole_again(store):
    talk = Talk()

    async def main():
        faults = Faults(Cut(300), Cut(600, 1001))
        async with Server(simulate(2), protocol_for("sim"), faults=faults) as server:
            recorder = record(store, server, talk, 2)
            return await record_until(recorder, lambda: recorder.status.sessions == 3 and mended(store))

    status = asyncio.run(main())
    assert status.sessions == 3
    closes = [json.loads(p) for kind, p in kinds(store, "sim/_session") if kind is Kind.CLOSE]
    assert [close["code"] for close in closes] == [1006, 1001, 1000]
    for symbol in symbol_names(2):
        opens = [n for n, (kind, _) in enumerate(kinds(store, f"sim/{symbol}")) if kind is Kind.OPEN]
        assert len(opens) == 3
        _, sync = books(store, f"sim/{symbol}")
        assert sync.state is BookState.SYNCED
    assert talk.count(RecorderEvent.DISCONNECTED) == 3
    assert talk.count(RecorderEvent.CONNECTED) == 3


def test_a_lost_update_is_noticed_and_mended_while_recording(store):
    talk = Talk()

    async def main():
        faults = Faults(Drop("alphausdt@depth@100ms", 12))
        async with Server(simulate(2), protocol_for("sim"), faults=faults) as server:
            return await record_until(
                record(store, server, talk, 2),
                lambda: talk.count(RecorderEvent.SNAPSHOT) == 3 and synced(store, 2, gaps=1),
            )

    status = asyncio.run(main())
    assert (status.gaps, status.snapshots) == (1, 3)
    assert talk.count(RecorderEvent.GAP) == 1
    assert "ALPHA_USDT: gap before update" in next(text for event, text in talk if event is RecorderEvent.GAP)
    for symbol, gaps in (("ALPHA_USDT", 1), ("BRAVO_USDT", 0)):
        _, sync = books(store, f"sim/{symbol}")
        assert (sync.state, sync.gaps) == (BookState.SYNCED, gaps)


def test_two_recorders_of_a_store_keep_to_one_ban_and_to_no_other_venues(store, tmp_path):
    """Both stream on meanwhile. What is recorded in another store of a venue that did not ban is whole."""
    talk = Talk()

    async def main():
        faults = Faults(Refuse("rest", 418, times=1_000, retry_after=3000))
        with Store.create(tmp_path / "other") as other:
            async with (
                Server(simulate(2), protocol_for("sim"), faults=faults) as banning,
                Server(simulate(1), protocol_for("sim")) as good,
            ):
                first, second = (
                    Recorder(store, record_options(SIM, (symbol,), ws_url=banning.url, sync="none"), talk)
                    for symbol in symbol_names(2)
                )
                third = Recorder(other, record_options(SIM, symbol_names(1), ws_url=good.url, sync="none"), talk)
                await record_until(first, lambda: talk.count(RecorderEvent.SNAPSHOT_FAILED) == 1)
                asked = banning.counts.requests
                banned = asyncio.create_task(record_until(second, lambda: second.status.records > 200))
                await record_until(third, lambda: third.status.snapshots and synced(other, 1))
                return asked, banning.counts.requests, await banned

    asked, asked_after, status = asyncio.run(main())
    assert (asked, asked_after) == (1, 1)
    assert (status.sessions, status.failures, status.snapshots) == (1, 0, 0)


def test_a_venue_that_refuses_the_region_is_recorded_and_its_book_is_what_the_stream_tells(store):
    talk = Talk()

    async def main():
        faults = Faults(Refuse("rest", 451, times=1_000, body=b"a restricted location"))
        async with Server(simulate(1), protocol_for("sim"), faults=faults) as server:
            recorder = record(store, server, talk, 1)
            status = await record_until(
                recorder, lambda: talk.count(RecorderEvent.SNAPSHOT_FAILED) and recorder.status.records > 200
            )
            return status, server.counts.requests

    status, asked = asyncio.run(main())
    assert (asked, status.snapshots, status.sessions) == (1, 0, 1)
    (said,) = [text for event, text in talk if event is RecorderEvent.SNAPSHOT_FAILED]
    assert said == (
        "snapshot of ALPHA_USDT: HTTP 451, the venue refuses this region: a restricted location; "
        "books come from the stream alone; asked again once an hour"
    )
    _, sync = books(store, "sim/ALPHA_USDT")
    assert sync.state is BookState.PARTIAL


def test_a_refused_snapshot_is_kept_and_asked_for_again(store):
    talk = Talk()

    async def main():
        faults = Faults(Refuse("rest", 429, times=2, retry_after=0))
        async with Server(simulate(1), protocol_for("sim"), faults=faults) as server:
            return await record_until(
                record(store, server, talk, 1), lambda: talk.count(RecorderEvent.SNAPSHOT) and synced(store, 1)
            )

    status = asyncio.run(main())
    assert status.snapshots == 1
    reader = store.reader("sim/ALPHA_USDT")
    answers = [(bool(r.flags & Flag.FAILED), r.payload[:14]) for r in reader.records() if r.kind == Kind.RESPONSE]
    assert answers == [(True, b'{"code":-1003,'), (True, b'{"code":-1003,'), (False, b'{"lastUpdateId')]
    assert talk.count(RecorderEvent.SNAPSHOT_FAILED) == 2
    assert "HTTP 429, too many requests" in next(text for event, text in talk if event is RecorderEvent.SNAPSHOT_FAILED)
    _, sync = books(store, "sim/ALPHA_USDT")
    assert sync.state is BookState.SYNCED


def test_what_cannot_be_reached_is_said_and_tried_again_or_fails_at_once(store):
    talk = Talk()

    async def main(**options):
        url = f"ws://127.0.0.1:{holder.getsockname()[1]}"
        chosen = record_options(SIM, ("ALPHA_USDT",), ws_url=url, sync="none", **options)
        recorder = Recorder(store, chosen, talk)
        return url, await record_until(recorder, lambda: recorder.status.failures == 3)

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # taken, so that nobody else gets it, and not listened on
        url, _ = asyncio.run(main())
        with pytest.raises(ConnectError, match=r"cannot reach ws://127\.0\.0\.1:\d+/stream: Connection refused"):
            asyncio.run(main(fail_fast=True))
    unreachable = f"cannot reach {url}/stream: Connection refused; trying again in 0.1 s"
    assert talk[0] == (RecorderEvent.UNREACHABLE, unreachable)
    notes = [json.loads(p) for kind, p in kinds(store, "sim/_session") if kind is Kind.NOTE]
    assert [note["note"] for note in notes[:2]] == ["plan", "unreachable"]
    assert notes[1] == {"note": "unreachable", "url": f"{url}/stream", "why": "Connection refused"}


@pytest.mark.parametrize(("status", "words"), [(451, "HTTP 451, the venue refuses this region"), (503, "HTTP 503")])
def test_a_refused_handshake_says_why(store, status, words):
    async def main():
        async with Server(simulate(1), protocol_for("sim"), faults=Faults(Refuse("connect", status))) as server:
            await record(store, server, Talk(), 1, fail_fast=True).run()

    with pytest.raises(ConnectError, match=words):
        asyncio.run(main())


def test_a_server_that_falls_silent_is_found_out(store, monkeypatch):
    """Recorders that die silently while connected are why this exists: a peer that neither talks nor pongs is left."""
    monkeypatch.setattr(link_module, "HEARTBEAT", 0.4)
    talk = Talk()

    async def mute(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await reader.read()

    async def main():
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        chosen = record_options(SIM, ("ALPHA_USDT",), ws_url=f"ws://127.0.0.1:{port}", sync="none")
        recorder = Recorder(store, chosen, talk)
        await record_until(recorder, lambda: recorder.status.sessions == 2)
        server.close()

    asyncio.run(main())
    closes = [json.loads(p) for kind, p in kinds(store, "sim/_session") if kind is Kind.CLOSE]
    assert closes[0]["code"] == 1006
    assert "No PONG received" in closes[0]["reason"]


def test_hostile_frames_are_kept_as_they_are_and_change_nothing_else(store):
    """Binary where text is due, invalid UTF-8, unknown symbols and streams, junk: recorded raw, never fatal."""
    from aiohttp import web

    frames = [
        b"\xff\xfe not utf-8",
        b"",
        b"{",
        b"[" * 100_000,
        b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","U":1e99,"u":[],"b":{},"a":null}}',
        b'{"stream":"' + b"x" * 5000 + b'","data":{}}',
        b'{"stream":"\xff\xff@\x00","data":{}}',
        b'{"stream":"../../etc@passwd","data":{}}',
        b'{"stream":"zzzusdt@trade","data":{}}',
        b'{"stream":"alphausdt@brandNew","data":{"x":1}}',
        b"\x00" * 64,
    ]

    async def main():
        async def handle(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            for frame in frames:
                await socket.send_frame(frame, 1)
            for frame in frames:
                await socket.send_bytes(frame)
            async for _ in socket:
                pass
            return socket

        app = web.Application()
        app.router.add_get("/stream", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        chosen = record_options(SIM, ("ALPHA_USDT",), ws_url=f"ws://127.0.0.1:{runner.addresses[0][1]}", sync="none")
        recorder = Recorder(store, chosen, Talk())
        status = await record_until(recorder, lambda: recorder.status.records == 2 * len(frames))
        await runner.cleanup()
        return status

    status = asyncio.run(main())
    assert (status.sessions, status.records) == (1, 2 * len(frames))
    found = []
    for name in ("sim/_session", "sim/ALPHA_USDT"):
        reader = store.reader(name)
        found += [
            (bool(r.flags & Flag.BINARY), r.payload) for r in reader.records() if r.kind == Kind.DATA and r.session == 1
        ]
    assert Counter(found) == Counter([(False, f) for f in frames] + [(True, f) for f in frames])
    streams = store.reader("sim/ALPHA_USDT").streams
    assert {"depth@100ms", "brandNew"} <= set(streams)


def test_a_full_disk_ends_the_run_with_what_was_committed(store, monkeypatch):
    real, reserved = files.reserve, 0

    def reserve(fd, start, stop, where):
        nonlocal reserved
        reserved += stop - start
        if reserved > 400_000:
            raise StoreFull(f"{where}: no space left")
        real(fd, start, stop, where)

    monkeypatch.setattr(files, "reserve", reserve)
    talk = Talk()

    async def main():
        async with Server(simulate(1, rate=3000.0), protocol_for("sim")) as server:
            await record(store, server, talk, 1).run()

    with pytest.raises(StoreFull, match="no space left"):
        asyncio.run(main())
    recorded = [p for kind, p in kinds(store, "sim/ALPHA_USDT") if kind is Kind.DATA]
    assert len(recorded) > 100
    monkeypatch.undo()
    store.writer("sim/ALPHA_USDT").close()  # the lock was let go


def test_two_recorders_of_one_feed(store):
    writer = store.writer("sim/BRAVO_USDT")

    async def main():
        async with Server(simulate(2), protocol_for("sim")) as server:
            await record(store, server, Talk(), 2).run()

    with pytest.raises(FeedLocked, match="sim/BRAVO_USDT is being written"):
        asyncio.run(main())
    writer.close()
    store.writer("sim/ALPHA_USDT").close()


def test_recorders_of_one_venue_have_a_session_feed_each(store):
    """Of different symbols, into one store. Which feeds are taken is the locks' to say: -2 is, by yet another."""

    async def main():
        async with Server(simulate(2), protocol_for("sim")) as server:
            chosen = [
                record_options(SIM, (symbol,), ws_url=server.url, sync="none", live=live)
                for symbol, live in (("ALPHA_USDT", "disk"), ("BRAVO_USDT", "shm"))
            ]
            first, second = (Recorder(store, options, Talk()) for options in chosen)

            def done():
                return all(one.status.records > 20 and one.status.acknowledged == 3 for one in (first, second))

            await asyncio.gather(record_until(first, done), record_until(second, done))

    with store.writer("sim/_session-2"):
        asyncio.run(main())
    feeds = {feed.name: feed.live.name for feed in store.feeds()}
    assert feeds == {
        "sim/ALPHA_USDT": "DISK", "sim/BRAVO_USDT": "SHM",
        "sim/_session": "DISK", "sim/_session-2": "DISK", "sim/_session-3": "SHM",
    }  # fmt: skip
    for name, native in (("sim/_session", "alpha"), ("sim/_session-3", "bravo")):
        (sent,) = [json.loads(payload) for kind, payload in kinds(store, name) if kind is Kind.SENT]
        assert sent["params"] == [f"{native}usdt@{stream}" for stream in SIM.default_streams]
        assert kinds(store, name)[-1][0] is Kind.END
        (report,) = audit_store(store, catalog.get, [name])
        assert (report.verdict.name, report.findings) == ("LOG", ())


def test_a_recorder_that_cannot_have_its_feeds_leaves_no_session_feed_behind(store):
    options = record_options(SIM, ("ALPHA_USDT",), sync="none")
    with store.writer("sim/_session"), store.writer("sim/ALPHA_USDT"), pytest.raises(FeedLocked, match="sim/ALPHA_USD"):
        Ports(store, options, SystemClock(), Talk())
    assert [feed.name for feed in store.feeds()] == ["sim/ALPHA_USDT", "sim/_session"]


def test_options_fill_in_what_is_not_said_and_refuse_what_makes_no_sense():
    chosen = record_options(SIM, ("alphausdt", "ALPHA_USDT", "BRAVOUSDT"), ws_url="ws://127.0.0.1:1234/")
    assert chosen.symbols == ("ALPHA_USDT", "BRAVO_USDT")
    assert (chosen.ws_url, chosen.rest_url) == ("ws://127.0.0.1:1234", "http://127.0.0.1:1234")
    real = record_options(catalog.get("binance"))
    assert (real.ws_url, real.rest_url) == ("wss://stream.binance.com:9443", "https://api.binance.com")
    assert real.symbols == catalog.get("binance").default_symbols
    for bad in ("http://x", "nonsense", "ws://", "ws://host:99999"):
        with pytest.raises(UsageError, match="expected ws://host"):
            record_options(SIM, ws_url=bad)
    with pytest.raises(UsageError, match="expected http://host"):
        record_options(SIM, rest_url="ws://x")
    with pytest.raises(UnknownSymbol):
        record_options(SIM, ("no such thing",))


def test_the_verdicts_of_a_recording_are_all_apply(store):
    async def main():
        async with Server(simulate(1), protocol_for("sim")) as server:
            recorder = record(store, server, Talk(), 1)
            await record_until(recorder, lambda: recorder.status.records > 300)

    asyncio.run(main())
    reader = store.reader("sim/ALPHA_USDT")
    rules = {stream: SIM.rule(stream) for stream in SIM.default_streams}
    verdicts = Counter()
    for one in reader.records():
        stream = reader.stream_name(one.stream)
        if one.kind == Kind.DATA and stream in rules:
            for message in SIM.decoder(stream)(one.payload):
                verdicts[stream, rules[stream].judge(message)] += 1
    assert set(verdicts) == {(stream, Verdict.APPLY) for stream in SIM.default_streams}


def test_a_session_is_numbered_where_the_loop_does_not_wait_for_it(store, monkeypatch):
    """The number is drawn under a lock of the store, which another process may hold; one that was drawn for an attempt
    that failed is the next one's."""
    drawn, real = [], Store.next_session

    def next_session(self):
        drawn.append((threading.current_thread() is threading.main_thread(), real(self)))
        return drawn[-1][1]

    monkeypatch.setattr(Store, "next_session", next_session)

    async def main():
        async with Server(simulate(1), protocol_for("sim"), faults=Faults(Refuse("connect", 503, times=2))) as server:
            recorder = record(store, server, Talk(), 1)
            return await record_until(recorder, lambda: recorder.status.records > 10)

    status = asyncio.run(main())
    assert (status.failures, status.sessions, drawn) == (2, 1, [(False, 1)])


def test_feeds_are_brought_to_disk_several_at_a_time(store, monkeypatch):
    """What a sync waits for takes along all who wait: one after the other, a thousand feeds take seconds."""
    ports = Ports(store, record_options(SIM, symbol_names(5)), SystemClock(), Talk())
    met = threading.Barrier(6)  # the five and the session's: passed once all are at it
    monkeypatch.setattr(Writer, "sync", lambda self: f"met {met.wait(60) >= 0}")
    assert ports.maintain() == dict.fromkeys(("_session", *symbol_names(5)), "met True")
    monkeypatch.undo()
    ports.close()


def test_the_loop_goes_on_between_a_few_heartbeats(store, monkeypatch):
    monkeypatch.setattr(ports_module, "HEARTBEATS", 2)
    ports = Ports(store, record_options(SIM, symbol_names(4)), SystemClock(), Talk())
    order = []
    monkeypatch.setattr(Writer, "heartbeat", lambda self, now_ns: order.append("beat"))

    async def main():
        beating = asyncio.create_task(ports.heartbeat())
        while not beating.done():
            await asyncio.sleep(0)
            order.append("loop")

    asyncio.run(main())
    assert order == ["beat", "beat", "loop", "beat", "beat", "loop", "beat", "loop"]
    monkeypatch.undo()
    ports.close()


def test_a_venue_that_makes_up_streams_leaves_room_for_the_recorders_own(store):
    ports = Ports(store, record_options(SIM, symbol_names(1)), SystemClock(), Talk())
    received = ports.receiver(1, lambda action: None)
    for number in range(MOST_STREAMS + 100):
        received(b'{"stream":"alphausdt@made%d","data":{}}' % number, 0)
    received(b'{"stream":"alphausdt@made7","data":{}}', 0)
    ports.note({"note": "still here"}, "ALPHA_USDT")
    ports.close()
    with store.reader("sim/ALPHA_USDT") as reader:
        names = [reader.stream_name(record.stream) for record in reader.records()]
    made = [f"made{number}" for number in range(MOST_STREAMS - 1)]  # and the session's is one of them
    assert names == [*made, *["other"] * 101, "made7", "session"]
