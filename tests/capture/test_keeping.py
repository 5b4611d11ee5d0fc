"""The worker applies the feeds' own policies."""

from __future__ import annotations

import asyncio
import json

import pytest
from lettered import FEED, MIDNIGHT, SNAPSHOT, UPDATE, fill
from patience import until
from recording import record_until

from mdtool.capture import keeping
from mdtool.capture.keeping import Keeper, main
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.recorder import Recorder
from mdtool.clock import DAY, ManualClock, SystemClock
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.history.needs import needs
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.venues import catalog


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


def keeper_of(store, asked, told, clock):
    return Keeper(
        store, catalog.get("sim"), ["ALPHA_USDT", "_session"], ["depth@100ms"], asked.append, told.append, clock
    )


def test_the_worker_applies_policies_and_says_what_it_did(store, capsys):
    fill(store, ["suu", "uu", "suu", "uu"])
    keeper = keeper_of(store, [], [], SystemClock())
    assert asyncio.run(keeper.round([])) == []
    store.set(FEED, retain_ns=DAY)
    (said,) = asyncio.run(keeper.round([store.feed(FEED)]))
    assert said["removed"] == ["part 1", "part 2", "part 3", "part 4"]  # all is years old
    assert said["freed_bytes"] > 0
    with store.reader(FEED) as reader:
        assert reader.count() == 0
    assert asyncio.run(keeper.round([store.feed(FEED)])) == []
    (store.feed(FEED).directory / "feed.bin").write_bytes(b"no registry")
    (failed,) = asyncio.run(keeper.round([store.feed(FEED)]))
    assert "feed.bin" in failed["error"]
    assert main([str(store.path), FEED]) == 2
    assert "feed.bin" in capsys.readouterr().err


def test_what_is_due_is_sealed_and_what_is_beyond_a_limit_goes_with_it(store, capsys):
    """A store left alone stays within its limits: nothing but the worker runs, and a day is added a round."""
    with store.writer(FEED, sync="none", chunk_bytes=4096) as writer:
        depth, answers = writer.stream("depth@100ms"), writer.stream("snapshot")
        sizes = []
        for day in range(30):
            at = MIDNIGHT + day * DAY
            writer.append(at, Kind.RESPONSE, answers, 1, SNAPSHOT)
            for number in range(1, 200):
                writer.append(at + number, Kind.DATA, depth, 1, UPDATE)
            if day == 0:
                store.set(FEED, max_bytes=20 * 1024)
            assert main([str(store.path), FEED]) == 0
            sizes.append(sum(path.stat().st_size for path in store.feed(FEED).directory.rglob("*.parquet")))
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    sealed = sum(part["records"] for one in said for part in one.get("sealed", ()))
    assert 28 * 200 <= sealed <= 30 * 200
    assert max(sizes) <= 24 * 1024
    assert sum(len(one.get("removed", ())) for one in said) > 20


def test_a_closed_day_is_sealed_where_no_limit_is_set(store):
    fill(store, ["suu", "uu"], sealed=False)
    said = asyncio.run(keeper_of(store, [], [], SystemClock()).round([store.feed(FEED)]))
    assert [[part["records"] for part in one["sealed"]] for one in said] == [[3, 2]]
    with store.reader(FEED) as reader:
        assert reader.count() == 5
    assert asyncio.run(keeper_of(store, [], [], SystemClock()).round([store.feed(FEED)])) == []


def test_while_recording_news_are_told_once_and_a_book_asked_for_once_a_day(store, monkeypatch):
    fill(store, ["suu", "uu"])
    asked, told, clock = [], [], ManualClock(MIDNIGHT)
    monkeypatch.setattr(keeping, "EVERY", 0.01)

    async def rounds(condition):
        task = asyncio.create_task(keeper_of(store, asked, told, clock).run())
        await until(condition, task)
        clock.advance(DAY)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(rounds(lambda: True))
    assert (asked, told) == ([], [])  # no feed has a policy
    store.set(FEED, retain_ns=DAY)
    with store.cursor(FEED, "sink") as cursor:
        cursor.lease(DAY)
        asyncio.run(rounds(lambda: told))
        assert asked == ["ALPHA_USDT"]
        assert [(said["removed"], len(said["held"])) for said in told] == [([], 2)]
        cursor.lease(0)
    told.clear()
    asyncio.run(rounds(lambda: told))
    assert [said["removed"] for said in told] == [["part 1", "part 2"]]


def test_the_worker_names_what_holds(store, capsys):
    fill(store, ["suu", "uu"])
    store.set(FEED, retain_ns=DAY)
    with store.cursor(FEED, "sink") as cursor:
        cursor.lease(DAY)
    assert main([str(store.path), FEED]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["feed"], said["removed"], len(said["held"])) == (FEED, [], 2)
    assert said["held"][0].startswith("part 1: cursor sink, leased until ")
    assert len(list(store.path.rglob("*.parquet"))) == 2
    assert list(execute(plan([store.feed(FEED)], RetentionLimits(1), MIDNIGHT, needs))) == []


def test_a_recorder_has_the_policies_of_its_feeds_applied(tmp_path, monkeypatch):
    """Over real sockets: an old part goes while the feed is being recorded, and what went is on record."""
    monkeypatch.setattr(keeping, "EVERY", 0.2)
    talk = []

    async def recorded(store):
        simulator = Simulator(symbol_names(1), seed=7, rate=200.0, start_ns=MIDNIGHT)
        async with Server(SimulatedSource(simulator, wait=True), protocol_for("sim")) as server:
            chosen = record_options(catalog.get("sim"), symbol_names(1), ws_url=server.url, sync="none")
            recorder = Recorder(store, chosen, lambda event, text: talk.append((event, text)))
            await record_until(
                recorder,
                lambda: recorder.status.records > 10 and any(event is RecorderEvent.RETENTION for event, _ in talk),
            )

    with Store.create(tmp_path / "store") as store:
        fill(store, ["suu", "ug"])  # the simulator's numbers begin again: a gap
        store.set(FEED, retain_ns=DAY)
        asyncio.run(recorded(store))
        assert [text for event, text in talk if event is RecorderEvent.RETENTION] == [
            f"retention: {FEED}: removed part 1, part 2"
        ]
        assert list(store.feed(FEED).directory.rglob("*.parquet")) == []
        with store.reader(FEED) as reader:
            assert reader.first_ns > MIDNIGHT + 2 * DAY
            assert reader.count() > 10
        notes = [json.loads(one.payload) for one in store.reader("sim/_session").records() if one.kind == Kind.NOTE]
        (said,) = [note for note in notes if note["note"] == "retention"]
        assert (said["feed"], said["removed"], said["held"]) == (FEED, ["part 1", "part 2"], [])
