"""What is recorded changes while it is: of what stays nothing is lost, what comes is recorded and watched from its
first message on, what leaves has an END behind all else."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter

import pytest
from narrow import Narrow
from patience import until
from test_recorder import Talk, kinds, simulate

from mdtool.audit import audit_store
from mdtool.capture import link as link_module
from mdtool.capture import recorder as recorder_module
from mdtool.capture.backoff import Backoff
from mdtool.capture.recorder import Recorder, RecorderEvent, record_options
from mdtool.errors import FeedLocked, StoreFull, SyncFailed, UsageError
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulator import symbol_names
from mdtool.model import Kind
from mdtool.storage.journal.locks import is_written
from mdtool.storage.journal.writer import Writer
from mdtool.storage.store import Store

A, B, C, D, E = symbol_names(5)
DEPTH = "depth@100ms"


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.05)
    monkeypatch.setattr(link_module, "OVERLAP", 0.2)


class Run:
    """A recorder of some of five symbols, two to a connection."""

    def __init__(self, store, server, symbols):
        self.store = store
        self.server = server
        self.talk = Talk()
        options = record_options(Narrow(), symbols, streams=(DEPTH,), ws_url=server.url, sync="none")
        self.recorder = Recorder(store, options, self.talk)

    def payloads(self, symbol, kind=Kind.DATA):
        return [payload for one, payload in kinds(self.store, f"sim/{symbol}") if one is kind]

    async def comes(self, *symbols, more=5):
        """Until so many more messages of each are on record."""
        before = {symbol: len(self.payloads(symbol)) for symbol in symbols}
        await until(lambda: all(len(self.payloads(one)) >= before[one] + more for one in symbols), self.running)

    async def whole(self, *symbols):
        """Until the sidecar has had the book of each: it has learned its digits."""
        known = lambda: {feed.symbol for feed in self.store.feeds() if feed.scale is not None}  # noqa: E731
        await until(lambda: known() >= set(symbols), self.running)


def recorded(store, symbols, play):
    async def main():
        source = simulate(5, rate=200.0)
        async with Server(source, protocol_for("sim"), ServerOptions(keep_log=True)) as server:
            run = Run(store, server, symbols)
            run.running = asyncio.ensure_future(run.recorder.run())
            try:
                await until(lambda: run.recorder.status.connections, run.running)
                await play(run)
                run.recorder.stop("enough")
                run.status = await run.running
            finally:
                run.recorder.stop()
                await asyncio.wait([run.running])
            return run

    return asyncio.run(main())


def contiguous(payloads):
    """Whether depth updates, each taken once, follow each other from the first to the last."""
    updates = sorted({(data["U"], data["u"]) for data in (json.loads(one)["data"] for one in payloads)})
    return all(later[0] == earlier[1] + 1 for earlier, later in itertools.pairwise(updates))


def served(run, symbol):
    """What the exchange has sent of a symbol, by its own ledger."""
    return {frame for _, stream, frame in run.server.log if stream.startswith(symbol.replace("_", "").lower() + "@")}


def clean(store, *symbols):
    venue = Narrow()
    reports = audit_store(store, lambda name: venue, [f"sim/{symbol}" for symbol in symbols])
    return {report.feed: dict(report.finding_counts) for report in reports} == {f"sim/{one}": {} for one in symbols}


def whole_record(store, run, *symbols):
    """All that was served of them while they were recorded is there, and the audit finds nothing."""
    for symbol in symbols:
        there = set(run.payloads(symbol))
        assert contiguous(run.payloads(symbol)), symbol
        late = served(run, symbol) - there
        # At the very end what is on its way is not waited for.
        last = max(json.loads(payload)["data"]["u"] for payload in there)
        assert all(json.loads(payload)["data"]["U"] > last for payload in late), symbol
    assert clean(store, *symbols)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((A, B, C, D), (A, B, C, D, E), id="one comes"),
        pytest.param((A, B, C, D, E), (B, C, D, E), id="one leaves, and each of the others moves"),
        pytest.param((A, B, C, D), (B, C, D, E), id="one comes and one leaves"),
        pytest.param((A, B), (C, D), id="all others"),
        pytest.param((A, B, C), (C, B, A), id="another order is the same"),
    ],
)
def test_of_what_stays_nothing_is_lost_what_comes_is_watched_what_leaves_has_an_end(store, before, after):
    stays, comes, leaves = set(before) & set(after), set(after) - set(before), set(before) - set(after)

    async def play(run):
        await run.comes(*before)
        await run.whole(*before)
        assert set(await run.recorder.replan(after)) == set(after)
        assert set(run.recorder.symbols) == set(after)
        for symbol in leaves:
            assert kinds(store, f"sim/{symbol}")[-1] == (Kind.END, b'{"reason": "no longer asked for"}')
            assert not is_written(store.feed(f"sim/{symbol}").directory)
        await run.whole(*after)
        await run.comes(*after)

    run = recorded(store, before, play)
    whole_record(store, run, *stays, *comes)
    assert (run.status.gaps, run.status.undecodable, run.status.unknown_lines) == (0, 0, 0)
    for symbol in leaves:
        (*_, last) = kinds(store, f"sim/{symbol}")
        assert last == (Kind.END, b'{"reason": "no longer asked for"}')
        assert Counter(kind for kind, _ in kinds(store, f"sim/{symbol}"))[Kind.END] == 1
    assert clean(store, *leaves)
    for symbol in stays | comes:
        assert kinds(store, f"sim/{symbol}")[-1] == (Kind.END, b'{"reason": "enough"}')
    for symbol in comes:
        first = json.loads(kinds(store, f"sim/{symbol}")[0][1])
        assert first == {"note": "plan", "venue": "sim", "streams": [DEPTH]}
    plans = [note["symbols"] for note in map(json.loads, run.payloads("_session", Kind.NOTE)) if note["note"] == "plan"]
    assert [set(plan) for plan in plans] == [set(before), set(after)][: 1 if not comes | leaves else 2]
    opened = sum(kind is Kind.OPEN for kind, _ in kinds(store, "sim/_session"))
    assert (opened == run.status.sessions) and (comes | leaves or opened == 2)


def test_a_symbol_that_leaves_and_comes_again_is_recorded_as_anew(store):
    async def play(run):
        await run.comes(A, B)
        assert await run.recorder.leave([A]) == (B,)
        assert await run.recorder.replan([A, B]) == (B, A)
        await run.comes(A, B)

    run = recorded(store, (A, B), play)
    whole_record(store, run, B)
    assert Counter(kind for kind, _ in kinds(store, f"sim/{A}"))[Kind.END] == 2
    with store.reader(f"sim/{A}") as reader:
        assert [chunk.epoch for chunk in reader.chunks()] == [1, 2]


def test_bytes_of_what_has_left_still_count(store):
    async def play(run):
        await run.comes(A, B)
        await run.recorder.leave([A])
        await run.recorder._ports.heartbeat()
        before = run.recorder.status.payload_bytes
        await run.comes(B)
        await run.recorder._ports.heartbeat()
        assert run.recorder.status.payload_bytes >= before

    run = recorded(store, (A, B), play)
    with store.reader(f"sim/{A}") as gone, store.reader(f"sim/{B}") as there, store.reader("sim/_session") as session:
        total = sum(chunk.heap_bytes for reader in (gone, there, session) for chunk in reader.chunks())
    assert run.status.payload_bytes == total


@pytest.mark.parametrize(
    ("symbols", "why"),
    [((), "no symbol is left to record; to end all of it: mdtool stop"), (("not/one",), "not/one")],
)
def test_what_cannot_be_recorded_changes_nothing(store, symbols, why):
    async def play(run):
        await run.comes(A, B)
        with pytest.raises(UsageError) as refused:
            await run.recorder.replan(symbols)
        assert why in str(refused.value)
        with pytest.raises(UsageError, match=f"sim/{C} is not recorded by this recorder"):
            await run.recorder.leave([C])
        with pytest.raises(UsageError, match="no symbol is left"):
            await run.recorder.leave([A, B])
        assert run.recorder.symbols == (A, B)
        await run.comes(A, B)

    run = recorded(store, (A, B), play)
    assert run.status.sessions == 1


def test_what_another_recorder_has_changes_nothing(store):
    async def play(run):
        await run.comes(A, B)
        with store.writer(f"sim/{D}"), pytest.raises(FeedLocked, match=f"sim/{D} is being written"):
            await run.recorder.replan([A, B, C, D])
        assert run.recorder.symbols == (A, B)
        assert await run.recorder.replan([A, B, C, D]) == (A, B, C, D)
        await run.comes(C, D)

    whole_record(store, recorded(store, (A, B), play), A, B, C, D)


def test_a_disk_that_refuses_what_has_left_is_said_and_the_change_stands(store, monkeypatch):
    close = Writer.close

    def refuse(self):
        close(self)
        if self.feed.symbol == A:
            raise SyncFailed("see to the device")

    monkeypatch.setattr(Writer, "close", refuse)

    async def play(run):
        await run.comes(A, B)
        with pytest.raises(SyncFailed, match="see to the device"):
            await run.recorder.leave([A])
        assert run.recorder.symbols == (B,)
        await run.comes(B)

    whole_record(store, recorded(store, (A, B), play), B)
    assert not is_written(store.feed(f"sim/{A}").directory)


def test_a_store_that_fills_while_the_plan_changes_leaves_no_feed_locked(store, monkeypatch):
    append_end = Writer.end

    def full(self, recv_ns, reason):
        if reason == "no longer asked for":
            raise StoreFull("no space left")
        append_end(self, recv_ns, reason)

    monkeypatch.setattr(Writer, "end", full)

    async def play(run):
        await run.comes(A, B)
        with pytest.raises(StoreFull):
            await run.recorder.leave([A])
        assert not is_written(store.feed(f"sim/{A}").directory)
        await run.comes(B)

    recorded(store, (A, B), play)


def test_stopped_while_the_plan_changes_it_stops_at_once_and_each_feed_has_its_end(store, monkeypatch):
    """The new connections never come up; nobody waits for them then."""
    monkeypatch.setattr(recorder_module, "SETTLE", 1e6)

    async def play(run):
        await run.comes(A, B)
        monkeypatch.setattr(link_module, "OVERLAP", 1e6)  # never streams for long enough
        monkeypatch.setattr(link_module, "LONGEST_OVERLAP", 1e6)
        changing = asyncio.ensure_future(run.recorder.replan([B, C]))
        await until(lambda: run.recorder.status.sessions == 2, run.running)
        assert not changing.done()
        run.recorder.stop("enough")
        await run.running
        assert await changing == (B, C)
        with pytest.raises(UsageError, match="the recorder is ending"):
            await run.recorder.replan([A])

    recorded(store, (A, B), play)
    for symbol in (A, B, C, "_session"):
        assert kinds(store, f"sim/{symbol}")[-1][0] is Kind.END, symbol
        assert not is_written(store.feed(f"sim/{symbol}").directory)


def test_stopped_while_feeds_are_opened_it_leaves_none_open(store, monkeypatch):
    opening, going = asyncio.Event(), asyncio.Event()
    admit = recorder_module.Ports.admit

    async def slow(self, symbols):
        opening.set()
        await going.wait()
        await admit(self, symbols)

    monkeypatch.setattr(recorder_module.Ports, "admit", slow)

    async def play(run):
        await run.comes(A)
        changing = asyncio.ensure_future(run.recorder.replan([A, C]))
        await opening.wait()
        run.recorder.stop("enough")
        await asyncio.sleep(0)
        going.set()
        await run.running
        with pytest.raises(UsageError, match="the recorder is ending"):
            await changing

    recorded(store, (A,), play)
    for symbol in (A, C, "_session"):
        assert kinds(store, f"sim/{symbol}")[-1][0] is Kind.END
        assert not is_written(store.feed(f"sim/{symbol}").directory)


def test_connections_that_never_stand_hold_up_nobody_that_leaves(store, monkeypatch):
    """The old one goes on being received until the new one is: only the feed that leaves is ended."""
    monkeypatch.setattr(recorder_module, "SETTLE", 0.3)

    async def play(run):
        await run.comes(A, B)
        monkeypatch.setattr(link_module, "OVERLAP", 1e6)
        monkeypatch.setattr(link_module, "LONGEST_OVERLAP", 1e6)
        assert await run.recorder.leave([A]) == (B,)
        await run.comes(B, more=10)

    run = recorded(store, (A, B), play)
    assert kinds(store, f"sim/{A}")[-1][0] is Kind.END
    whole_record(store, run, B)


def test_books_are_asked_for_and_connections_replaced_on_request(store):
    async def play(run):
        with pytest.raises(UsageError, match=f"sim/{D} is not recorded"):
            run.recorder.request_books([D])
        with pytest.raises(UsageError, match=f"sim/{D} is not recorded"):
            run.recorder.reconnect([D])
        await run.whole(A, B, C)
        before = len(run.payloads(A, Kind.RESPONSE)), len(run.payloads(C, Kind.RESPONSE))
        assert run.recorder.request_books(["alphausdt"]) == (A,)
        await until(lambda: len(run.payloads(A, Kind.RESPONSE)) > before[0], run.running)
        assert len(run.payloads(C, Kind.RESPONSE)) == before[1]
        sessions = run.recorder.status.sessions
        assert run.recorder.reconnect([A]) == (A, B)
        await until(lambda: run.recorder.status.sessions == sessions + 1, run.running)
        await until(lambda: run.recorder.status.connections == 2, run.running)
        assert run.recorder.reconnect() == (A, B, C)
        await until(lambda: run.recorder.status.sessions >= sessions + 3, run.running)
        await until(lambda: run.recorder.status.connections == 2, run.running)

    run = recorded(store, (A, B, C), play)
    whole_record(store, run, A, B, C)
    closed = [json.loads(payload)["reason"] for payload in run.payloads("_session", Kind.CLOSE)]
    assert closed[:3] == ["told to reconnect"] * 3


def test_orders_before_it_runs_and_after_are_refused(store):
    async def play(run):
        await run.comes(A)

    run = recorded(store, (A,), play)
    for order in (run.recorder.request_books, run.recorder.reconnect):
        with pytest.raises(UsageError, match="the recorder is ending"):
            order()
    fresh = Recorder(store, record_options(Narrow(), (A,), streams=(DEPTH,)), Talk())
    with pytest.raises(UsageError, match="the recorder is starting: try again"):
        fresh.request_books()
    with pytest.raises(UsageError, match="the recorder is starting: try again"):
        asyncio.run(fresh.replan([B]))
    fresh._ports.close()


def test_the_sidecar_is_replaced_and_says_nothing_twice(store):
    async def play(run):
        await run.whole(A, B)
        await run.recorder.replan([A, B, C])
        await run.whole(C)
        await run.comes(A, B, C)

    run = recorded(store, (A, B), play)
    assert run.talk.count(RecorderEvent.SIDECAR) == 0
    assert (run.status.gaps, run.status.behind) == (0, False)
    assert run.status.snapshots == len([p for s in (A, B, C) for p in run.payloads(s, Kind.RESPONSE)])
