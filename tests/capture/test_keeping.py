"""What book updates need is kept with them, and the worker applies the feeds' own policies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import until
from recording import record_until

from mdtool.capture import keeping
from mdtool.capture.keeping import Keeper, main
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.recorder import Recorder
from mdtool.clock import DAY, SECOND, ManualClock, SystemClock
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.history import needs as dependence
from mdtool.history.needs import needs
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.venues import catalog

FEED = "sim/ALPHA_USDT"
MIDNIGHT = 1_700_006_400 * SECOND
UPDATE = (
    b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":2,"u":3,"b":[],"a":[]}}'
)
AFTER_A_GAP = UPDATE.replace(b'"U":2,"u":3', b'"U":8,"u":9')
TRADE = b'{"stream":"alphausdt@trade","data":{"e":"trade","E":1,"s":"ALPHAUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
SNAPSHOT = b'{"lastUpdateId":1,"bids":[],"asks":[]}'
RECORDS = {
    "u": (Kind.DATA, "depth@100ms", UPDATE, 0),
    "g": (Kind.DATA, "depth@100ms", AFTER_A_GAP, 0),
    "t": (Kind.DATA, "trade", TRADE, 0),
    "s": (Kind.RESPONSE, "snapshot", SNAPSHOT, 0),
    "f": (Kind.RESPONSE, "snapshot", b"{}", Flag.FAILED),
    "x": (Kind.DATA, "depth@100ms", b"not a message", 0),
}


def fill(store, days, *, sealed=True):
    """A feed with one chunk (or part) a day; `days` as words of the letters above, one record each."""
    with store.writer(FEED, sync="none") as writer:
        for day, word in enumerate(days):
            for number, letter in enumerate(word):
                kind, stream, payload, flags = RECORDS[letter]
                writer.append(MIDNIGHT + day * DAY + number, kind, writer.stream(stream), 1, payload, flags)
    if sealed:
        assert seal_feed(store.feed(FEED), MIDNIGHT + 99 * DAY, everything=True).error is None


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


def removed(store, days, *, keep, sealed=True):
    """Which days go when only the last `keep` are within the limit."""
    limits = RetentionLimits(older_than_ns=keep * DAY, closed_chunks=not sealed)
    made = plan([store.feed(FEED)], limits, MIDNIGHT + len(days) * DAY, needs)
    with store.reader(FEED) as reader:
        first = {info.chunk_id: day for day, info in enumerate(reader.chunks())}
    return [first[chunk] for one in made.removals for chunk in one.unit.chunks]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    ("days", "keep", "gone"),
    [
        (["suu", "uu", "uu", "uu"], 2, []),  # the only snapshot, and all that came since
        (["suu", "suu", "uu", "uu"], 2, [0]),
        (["suu", "uu", "usu", "uu"], 2, []),  # the first update kept comes before its snapshot
        (["suu", "uu", "suu", "uu"], 2, [0, 1]),  # the kept ones start with their own
        (["suu", "uu", "tfxsu", "uu"], 2, [0, 1]),  # what builds no book does not count
        (["suu", "uuf", "uu", "uu"], 2, []),  # a failed answer is no snapshot
        (["uu", "uu", "uu", "uu"], 2, [0, 1]),  # nothing was ever whole
        (["stt", "tt", "tt", "tt"], 2, [0, 1]),  # no update is kept
        (["suu", "uu", "tt", "uu"], 2, []),  # none in the first chunk: the next decides
        (["suu", "uu", "tt", "su"], 2, [0, 1]),
        (["suu", "ususu", "uu"], 1, [0]),
        (["suu", "uu", "suu"], 9, []),
        (["suu", "uu", "gu", "uu"], 2, [0, 1]),  # a gap at the cut: what stands behind it is of no use
        (["suu", "ug", "uu", "uu"], 2, [0, 1]),  # numbers that begin anew: no book from before them is of use
    ],
)
def test_a_kept_update_keeps_its_snapshot_and_what_came_since(tmp_path, days, keep, gone, sealed):
    with Store.create(tmp_path / "store") as store:
        fill(store, days, sealed=sealed)
        assert removed(store, days, keep=keep, sealed=sealed) == gone


WORDS = st.lists(st.text("utsfx", min_size=1, max_size=5), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.integers(1, 5))
def test_a_book_that_could_be_built_from_the_whole_can_be_built_from_what_is_kept(tmp_path_factory, days, keep):
    """The law, by the letters: of the records within the limit, every update that stood behind a snapshot in the whole
    stands behind the same one in what is kept, with all between."""
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        fill(store, days, sealed=False)
        gone = removed(store, days, keep=keep, sealed=False)
    assert gone == list(range(len(gone)))  # oldest first, and no hole
    whole = "".join(days)
    cut = sum(len(word) for word in days[: len(gone)])
    within = sum(len(word) for word in days[: max(0, len(days) - keep)])
    for at in range(within, len(whole)):
        if whole[at] == "u" and (snapshot := whole.rfind("s", 0, at)) >= 0:
            # Its snapshot is kept, unless it is the first of all that is kept which has one of its own before it.
            assert snapshot >= cut


def test_in_stream_snapshots_are_found_where_a_session_opens_and_among_the_largest(store, monkeypatch):
    from mdtool.venues.venue import Adapter

    class InStream(Adapter):
        name = "sim"

        def is_book(self, stream):
            return stream.startswith("depth")

        def rule(self, stream):
            return None

        def decoder(self, stream):
            from mdtool.model import BookUpdate

            return lambda payload: (BookUpdate(0, 1, 1, 0, b"[]", b"[]", snapshot=payload.startswith(b"S")),)

    monkeypatch.setattr(dependence.catalog, "get", lambda name: InStream())
    with store.writer(FEED, sync="none") as writer:
        depth = writer.stream("depth")
        for day, words in enumerate([b"S u u u", b"u u u u", b"u S......................... u u", b"u u u", b"u u"]):
            for number, word in enumerate(words.split()):
                session = 1 if day < 2 else 2
                writer.append(MIDNIGHT + day * DAY + number, Kind.DATA, depth, session, word)
    with store.reader(FEED) as reader:
        chunks = [info.chunk_id for info in reader.chunks()]
        assert needs(reader, chunks[4] << 32) == (chunks[2] << 32) + 1
        assert needs(reader, chunks[2] << 32) == chunks[0] << 32
        assert needs(reader, chunks[0] << 32) is None


def test_feeds_of_unknown_venues_and_without_books_need_nothing(store):
    for name in ("nowhere/ALPHA_USDT", "sim/_session"):
        with store.writer(name) as writer:
            writer.append(MIDNIGHT, Kind.DATA, writer.stream("depth@100ms" if "nowhere" in name else "ping"), 1, UPDATE)
        with store.reader(name) as reader:
            assert needs(reader, 1 << 32) is None


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
    assert len(list(Path(store.feed(FEED).directory).rglob("*.parquet"))) == 2
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
