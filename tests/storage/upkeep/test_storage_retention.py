"""Retention: the plan is the effect; nothing that is needed goes; a run that dies is finished by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, HOUR, SECOND
from mdtool.errors import CorruptStore, FeedLocked, RecordsRemoved, StoreError
from mdtool.model import Kind
from mdtool.storage.format.layout import ROW_BITS, ChunkFlag, ChunkState
from mdtool.storage.journal.locks import maintaining
from mdtool.storage.journal.registry import FeedRegistry
from mdtool.storage.parts.archive import own_place
from mdtool.storage.store import Store
from mdtool.storage.upkeep import removal
from mdtool.storage.upkeep.removal import apply_policies, execute, finish
from mdtool.storage.upkeep.retention import RetentionLimits, Why, plan
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
MIDNIGHT = 1_700_006_400 * SECOND  # 2023-11-15
DAYS = 6
NOW = MIDNIGHT + DAYS * DAY
PER_DAY = 40


def fill(store, *, days=DAYS, sealed=None, name=FEED, archive=None, live=False):
    """`days` days of two chunks each; all but the last `days - sealed` of them in parts. Returns the payloads."""
    sent = []
    writer = store.writer(name, chunk_bytes=4096, sync="none")
    if archive is not None:
        store.set(name, archive=str(archive))
    for day in range(days):
        for number in range(PER_DAY):
            payload = b"%d.%03d" % (day, number) + b"." * 150
            writer.append(MIDNIGHT + day * DAY + number * HOUR // 4, Kind.DATA, writer.stream("d"), 1, payload)
            sent.append(payload)
        if day == (days if sealed is None else sealed) - 1 and (sealed is None or sealed):
            writer.close()
            assert seal_feed(store.feed(name), NOW, everything=True).error is None
            writer = store.writer(name, sync="none")
    if live:
        writer.append(NOW, Kind.DATA, writer.stream("d"), 1, b"live")
        sent.append(b"live")
        return sent, writer
    writer.close()
    return sent


def payloads(store, name=FEED):
    with store.reader(name) as reader:
        return [record.payload for record in reader.records()]


def files_of(feed):
    """Every file of the feed that holds records, parts by their names."""
    roots = (feed.directory, own_place(feed).root)
    kept = ((root, path) for root in roots for path in root.rglob("*") if path.suffix in {".idx", ".dat", ".parquet"})
    return sorted(str(path.relative_to(root)) for root, path in kept)


def path_of(feed, name):
    return own_place(feed).path(name) if name.startswith("date=") else feed.directory / name


def run(store, limits, names=(FEED,), now=NOW, needs=None):
    made = plan([store.feed(name) for name in names], limits, now, needs)
    return made, list(execute(made))


def days_left(sent):
    return sorted({payload.partition(b".")[0].decode() for payload in sent if payload != b"live"})


def test_age_takes_whole_parts_that_are_all_older(store):
    sent = fill(store)
    before = files_of(store.feed(FEED))
    made = plan([store.feed(FEED)], RetentionLimits(older_than_ns=3 * DAY), NOW)
    assert files_of(store.feed(FEED)) == before
    assert [(one.unit.name, one.why) for one in made.removals] == [
        ("part 1", Why.AGE),
        ("part 2", Why.AGE),
        ("part 3", Why.AGE),
    ]
    (effect,) = execute(made)
    assert effect.removed == tuple(one.unit for one in made.removals)
    assert (effect.skipped, effect.freed_bytes) == ((), made.feeds[0].freed_bytes)
    assert payloads(store) == sent[3 * PER_DAY :]
    assert files_of(store.feed(FEED)) == before[3:]
    assert not any((own_place(store.feed(FEED)).root / f"date=2023-11-{day}").exists() for day in (15, 16, 17))
    assert list((store.feed(FEED).directory / "trash").iterdir()) == []
    assert plan([store.feed(FEED)], RetentionLimits(older_than_ns=3 * DAY), NOW).removals == ()
    # The third day's last record came 14 h 15 min after its midnight: one nanosecond more and its part stays.
    age = 3 * DAY + 14 * HOUR + HOUR // 4
    assert [one.unit.name for one in plan([store.feed(FEED)], RetentionLimits(older_than_ns=age), NOW).removals] == []


def test_what_is_just_as_old_as_the_limit_stays(store):
    fill(store)
    last_ns = store.reader(FEED).chunks()[-1].max_ns
    now = last_ns + 100 * DAY
    newest = [len(plan([store.feed(FEED)], RetentionLimits(older_than_ns=age), now).removals)
              for age in (100 * DAY, 100 * DAY - 1)]  # fmt: skip
    assert newest[1] == newest[0] + 1


def test_an_entry_of_what_is_gone_says_all_that_it_said_before(store):
    fill(store)
    feed = store.feed(FEED)
    registry = FeedRegistry(feed.directory / "feed.bin")
    before = registry.chunks()
    list(execute(plan([feed], RetentionLimits(older_than_ns=3 * DAY), NOW)))
    after = registry.chunks()
    registry.close()
    gone = [number for number, one in enumerate(after) if one.state == ChunkState.TRASHED]
    assert gone
    for number in gone:
        was = before[number]
        assert was.flags == ChunkFlag.ORDERED
        assert after[number] == replace(was, state=ChunkState.TRASHED, flags=ChunkFlag.ORDERED | ChunkFlag.REMOVED)


def test_closed_chunks_go_only_where_asked_for_and_the_live_one_never(store):
    _, writer = fill(store, sealed=0, live=True)
    assert plan([store.feed(FEED)], RetentionLimits(older_than_ns=1), NOW + DAY).removals == ()
    limits = RetentionLimits(older_than_ns=1, closed_chunks=True)
    made, (effect,) = run(store, limits, now=NOW + 9 * DAY)
    assert len(effect.removed) == 2 * DAYS
    assert made.feeds[0].kept_bytes > 0
    assert payloads(store) == [b"live"]
    writer.append(NOW + 1, Kind.DATA, 0, 1, b"more")
    assert payloads(store) == [b"live", b"more"]
    writer.close()
    run(store, limits, now=NOW + 9 * DAY)
    assert payloads(store) == []
    with store.reader(FEED) as reader:
        assert (reader.chunks(), reader.latest_chunk(), reader.first_ns, reader.last_ns) == ([], None, None, None)
        assert (reader.count(), reader.poll()) == (0, [])
        with store.writer(FEED) as writer:
            writer.append(NOW + DAY, Kind.DATA, 0, 1, b"again")
            assert [record.payload for record in reader.poll()] == [b"again"]
    assert files_of(store.feed(FEED)) != []


def test_an_old_chunk_that_is_not_sealed_does_not_keep_the_parts_behind_it(store):
    fill(store, days=2, sealed=1)  # the second day stays in chunks
    writer = store.writer(FEED, sync="none")
    for number in range(PER_DAY):
        writer.append(MIDNIGHT + 2 * DAY + number, Kind.DATA, 0, 1, b"2.%03d" % number)
    writer.close()
    with closing(FeedRegistry(store.feed(FEED).directory / "feed.bin", writable=True)) as registry:
        first = next(e for e, info in enumerate(registry.chunks()) if info.state == ChunkState.CLOSED)
        kept = registry.chunk(first)
        registry.update_chunk(first, {"state": ChunkState.LIVE})  # so that sealing leaves it
        seal_feed(store.feed(FEED), NOW, everything=True)
        registry.update_chunk(first, {"state": kept.state})
    _, (effect,) = run(store, RetentionLimits(older_than_ns=1))
    assert [unit.name for unit in effect.removed] == ["part 1", "part 2", "part 3"]
    with store.reader(FEED) as reader:
        assert [info.chunk_id for info in reader.chunks()] == [kept.chunk_id]


def test_size_takes_the_oldest_over_all_feeds(store):
    fill(store, days=4)
    fill(store, days=2, name="sim/BRAVO_USDT")
    names = (FEED, "sim/BRAVO_USDT")
    feeds = [store.feed(name) for name in names]
    everything = plan(feeds, RetentionLimits(max_bytes=1), NOW)
    size = {one.unit.path: one.unit.bytes for one in everything.removals}
    assert len(size) == 6
    assert everything.over_bytes == 0
    assert sorted(size.values()) == sorted(path.stat().st_size for path in store.path.rglob("*.parquet"))
    total = sum(size.values())
    made, effects = run(store, RetentionLimits(max_bytes=total - 1), names)
    assert [one.unit.name for one in made.removals] == ["part 1"]
    oldest = [one.unit for one in everything.removals if one.unit.last_ns < MIDNIGHT + 2 * DAY]
    limit = total - sum(unit.bytes for unit in oldest)
    made, effects = run(store, RetentionLimits(max_bytes=limit), names)
    assert [(effect.feed.name, [unit.name for unit in effect.removed]) for effect in effects] == [
        (FEED, ["part 2"]),
        ("sim/BRAVO_USDT", ["part 1", "part 2"]),
    ]
    assert days_left(payloads(store)) == ["2", "3"]
    assert sum(path.stat().st_size for path in store.path.rglob("*.parquet")) == limit


def test_keep_last_stays_whatever_the_limits_say(store):
    fill(store)
    made, _ = run(store, RetentionLimits(older_than_ns=1, keep_last=2))
    assert [one.unit.name for one in made.removals] == ["part 1", "part 2", "part 3", "part 4"]
    assert [(one.unit.name, one.by) for one in made.feeds[0].held] == [
        ("part 5", "keep-last 2"),
        ("part 6", "keep-last 2"),
    ]
    made, _ = run(store, RetentionLimits(max_bytes=1, keep_last=2))
    assert made.removals == ()
    assert made.over_bytes == made.feeds[0].kept_bytes - 1


def test_what_a_leased_cursor_has_yet_to_read_stays_and_the_cursor_is_named(store):
    fill(store)
    limits = RetentionLimits(older_than_ns=1)
    with store.cursor(FEED, "sink") as cursor, store.reader(FEED) as reader:
        reader.seek(MIDNIGHT + 2 * DAY)
        cursor.commit(reader.position)
        now = cursor.updated_ns
        cursor.lease(HOUR)
        made, _ = run(store, limits, now=now)
        assert [one.unit.name for one in made.removals] == ["part 1", "part 2"]
        assert {one.by.partition(",")[0] for one in made.feeds[0].held} == {"cursor sink"}
        got = [record.payload for record in reader.poll(PER_DAY)]
        assert days_left(got) == ["2"]
        cursor.commit(reader.position)  # behind the last record of part 3: all of it is read
        made, _ = run(store, limits, now=now)
        assert [one.unit.name for one in made.removals] == ["part 3"]
        reader.move_to(cursor.position)
        assert (days_left(record.payload for record in reader.poll(PER_DAY)), reader.missed) == (["3"], 0)
        cursor.to_start()
        assert plan([store.feed(FEED)], limits, now).removals == ()
        made, _ = run(store, limits, now=now + 2 * HOUR)  # the lease is over
        assert len(made.removals) == 3
    (store.feed(FEED).directory / "cursors" / "sink").write_bytes(b"?" * 8192)
    with store.writer(FEED) as writer:
        writer.append(NOW, Kind.DATA, 0, 1, b"x")
    made = plan([store.feed(FEED)], RetentionLimits(older_than_ns=1, closed_chunks=True), NOW + DAY)
    assert [one.by for one in made.feeds[0].held] == ["cursor sink, which is damaged: nobody knows what it needs"]


def test_a_lease_taken_after_the_plan_is_respected_and_said(store):
    fill(store)
    made = plan([store.feed(FEED)], RetentionLimits(older_than_ns=1), NOW)
    with store.cursor(FEED, "late") as cursor:
        cursor.lease(HOUR)
    (effect,) = execute(made)
    assert effect.removed == ()
    assert {skipped.why.partition(",")[0] for skipped in effect.skipped} == {"cursor late"}
    store.remove_cursor(FEED, "late")
    (effect,) = execute(made)
    assert len(effect.removed) == DAYS
    (effect,) = execute(made)
    assert {skipped.why for skipped in effect.skipped} == {
        f"chunk {n} is trashed by now" for n in range(1, 2 * DAYS, 2)
    }


def test_what_kept_records_need_stays(store):
    fill(store)
    asked = []

    def needs(reader, position):
        asked.append(position)
        reader.seek(MIDNIGHT + 1 * DAY + HOUR)
        return reader.position

    made, _ = run(store, RetentionLimits(older_than_ns=3 * DAY), needs=needs)
    assert [one.unit.name for one in made.removals] == ["part 1"]
    assert [one.unit.name for one in made.feeds[0].held] == ["part 2", "part 3"]
    assert asked == [7 << ROW_BITS]  # two chunks a day: the fourth day begins with the seventh
    assert days_left(payloads(store)) == ["1", "2", "3", "4", "5"]
    assert plan([store.feed(FEED)], RetentionLimits(older_than_ns=3 * DAY), NOW, needs).removals == ()
    made, _ = run(store, RetentionLimits(older_than_ns=3 * DAY), needs=lambda reader, position: None)
    assert len(made.removals) == 2
    assert (
        run(store, RetentionLimits(older_than_ns=1), needs=needs)[0].feeds[0].held == ()
    )  # nothing is kept that could need it


class Crash(BaseException):
    """Ends a run as a kill would: nothing that comes after it is done."""


STEPS = [(FeedRegistry, "update_chunk"), (FeedRegistry, "sync"), (Path, "rename"), (Path, "unlink")]


@pytest.mark.parametrize("sealed", [0, 3, None])
def test_a_run_that_dies_anywhere_is_finished_by_the_next(tmp_path, monkeypatch, sealed):
    limits = RetentionLimits(older_than_ns=2 * DAY, closed_chunks=True)
    steps = 0
    for after in range(200):
        with Store.create(tmp_path / f"s{after}") as store:
            sent = fill(store, sealed=sealed)
            feed = store.feed(FEED)
            made = plan([feed], limits, NOW)
            count = 0

            def dying(function, after=after):
                def call(*arguments, **named):
                    nonlocal count
                    if count == after:
                        raise Crash
                    count += 1
                    return function(*arguments, **named)

                return call

            with monkeypatch.context() as patch:
                for owner, name in STEPS:
                    patch.setattr(owner, name, dying(getattr(owner, name)))
                try:
                    list(execute(made, batch=2))
                    died = False
                except Crash:
                    died = True
            steps = max(steps, count)
            left = payloads(store)  # readable at every moment: all, or the end of it
            assert left == sent[len(sent) - len(left) :]
            assert len(left) >= len(sent) - 4 * PER_DAY
            finish(feed)
            list(execute(plan([feed], limits, NOW)))
            assert payloads(store) == sent[4 * PER_DAY :]
            assert not any(name.startswith("trash/") for name in files_of(feed))
            with closing(FeedRegistry(feed.directory / "feed.bin")) as registry:
                infos = registry.chunks()
            assert [info.state == ChunkState.TRASHED for info in infos] == [True] * 8 + [False] * 4
            assert all(info.flags & ChunkFlag.REMOVED for info in infos[:8])
            assert len(files_of(feed)) == sum(1 if info.state == ChunkState.SEALED else 2 for info in infos[8:]) - (
                len(infos[8:]) // 2 if infos[-1].state == ChunkState.SEALED else 0
            )
        if not died:
            break
    assert not died
    assert steps > 15


def over_the_gap(reader, records):
    """What is read up to the error that says what was removed, and behind it."""
    got = []
    with pytest.raises(RecordsRemoved, match="were removed by retention before they were read"):
        got.extend(record.payload for record in records)
    return got + [record.payload for record in reader.records()]


def test_a_reader_goes_on_over_what_was_removed_and_says_how_much_it_missed(store):
    sent = fill(store)
    with store.reader(FEED) as reader, store.reader(FEED) as slow:
        first = reader.records()
        assert [next(first).payload for _ in range(10)] == sent[:10]
        slow.seek(MIDNIGHT + DAY)
        position = slow.position
        run(store, RetentionLimits(older_than_ns=3 * DAY))
        with pytest.raises(CorruptStore, match="not kept any more"):
            store.reader(FEED).move_to(position)
        rest = over_the_gap(reader, first)
        assert rest[-3 * PER_DAY :] == sent[3 * PER_DAY :]
        assert reader.missed + 10 + len(rest) == len(sent)
        got = over_the_gap(slow, slow.records())  # the chunk it had open, and what is kept
        opened = len(got) - 3 * PER_DAY
        assert 0 < opened < PER_DAY
        assert got == sent[PER_DAY : PER_DAY + opened] + sent[3 * PER_DAY :]
        assert slow.missed == 2 * PER_DAY - opened
        slow.to_start()
        assert next(slow.records()).payload == sent[3 * PER_DAY]
        slow.seek(0)
        assert next(slow.records()).payload == sent[3 * PER_DAY]


def test_a_reader_in_the_middle_of_a_chunk_reads_it_to_its_end(store):
    sent, writer = fill(store, days=1, sealed=0, live=True)
    writer.close()
    with store.reader(FEED) as reader:
        records = reader.records()
        got = [next(records).payload]
        run(store, RetentionLimits(older_than_ns=1, closed_chunks=True, keep_last=1), now=NOW + DAY)
        got += over_the_gap(reader, records)
        rows = 1 + sum(1 for payload in got[1:] if payload in sent[:PER_DAY])
        assert got == sent[:rows] + sent[rows + reader.missed :]
        assert rows > 10


def test_parts_in_an_archive_directory_go_the_same_way(store, tmp_path):
    sent = fill(store, archive=tmp_path / "archive")
    parts = sorted((tmp_path / "archive").rglob("*.parquet"))
    assert len(parts) == DAYS
    _, (effect,) = run(store, RetentionLimits(older_than_ns=3 * DAY))
    assert [unit.path for unit in effect.removed] == [str(path) for path in parts[:3]]
    assert effect.freed_bytes > 0
    assert sorted((tmp_path / "archive").rglob("*.parquet")) == parts[3:]
    assert payloads(store) == sent[3 * PER_DAY :]


def test_policies_are_applied_feed_by_feed_and_busy_feeds_are_left(store):
    fill(store, days=3)
    fill(store, days=3, name="sim/BRAVO_USDT")
    fill(store, days=3, name="sim/CHARLIE_USDT")
    store.set(FEED, retain_ns=4 * DAY, keep_last=1)
    store.set("sim/BRAVO_USDT", max_bytes=1, keep_last=2)
    with maintaining(store.feed(FEED)):
        done = list(apply_policies(store.feeds(), NOW))
    assert [(made.feed.name, [unit.name for unit in effect.removed]) for made, effect in done] == [
        ("sim/BRAVO_USDT", ["part 1"])
    ]
    done = list(apply_policies(store.feeds(), NOW))
    assert [(made.feed.name, effect and [unit.name for unit in effect.removed]) for made, effect in done] == [
        (FEED, ["part 1", "part 2"]), ("sim/BRAVO_USDT", None),
    ]  # fmt: skip
    assert [len(payloads(store, name)) for name in (FEED, "sim/BRAVO_USDT", "sim/CHARLIE_USDT")] == [40, 80, 120]
    with maintaining(store.feed(FEED)), pytest.raises(FeedLocked):
        finish(store.feed(FEED))


def test_nothing_is_moved_through_a_link_and_foreign_files_stay(store, tmp_path):
    fill(store)
    trash = store.feed(FEED).directory / "trash"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "7.idx").write_bytes(b"mine")
    trash.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="a symbolic link, expected a directory"):
        run(store, RetentionLimits(older_than_ns=1))
    assert [path.name for path in elsewhere.iterdir()] == ["7.idx"]
    trash.unlink()
    trash.mkdir()
    (trash / "notes.txt").write_text("mine")
    finish(store.feed(FEED))
    assert [path.name for path in trash.iterdir()] == ["notes.txt"]
    assert payloads(store) == []


LAYOUT = st.fixed_dictionaries(
    {
        "days": st.integers(0, 5),
        "sealed": st.integers(0, 5),
        "live": st.booleans(),
        "age": st.sampled_from([0, 0, 1, DAY, 2 * DAY, 3 * DAY]),
        "bytes": st.sampled_from([0, 0, 1, 20_000, 60_000]),
        "keep": st.integers(0, 3),
        "closed": st.booleans(),
        "lease": st.none() | st.integers(0, 5 * PER_DAY),
        "need": st.none() | st.integers(0, 5 * PER_DAY),
    }
)


@settings(max_examples=60, deadline=None)
@given(LAYOUT)
def test_what_is_removed_is_what_was_planned_and_never_what_is_needed(tmp_path_factory, case):
    with Store.create(tmp_path_factory.mktemp("s") / "store") as store:
        sealed = min(case["sealed"], case["days"])
        filled = fill(store, days=case["days"], sealed=sealed, live=case["live"])
        sent, writer = filled if case["live"] else (filled, None)
        feed = store.feed(FEED)
        with store.reader(FEED) as reader:
            positions = [record.position for record in reader.records()]
        needs = None
        if case["need"] is not None and case["need"] < len(sent):

            def needs(reader, position):
                return positions[case["need"]] if positions[case["need"]] < position else None

        leased = case["lease"] is not None and case["lease"] < len(sent)
        if leased:
            with store.cursor(FEED, "c") as cursor:
                cursor.commit(positions[case["lease"]])
                cursor.lease(10**18)
        limits = RetentionLimits(case["age"], case["bytes"], case["keep"], case["closed"])

        def contents():
            return {name: path_of(feed, name).read_bytes() for name in files_of(feed)}

        before = contents()
        now = NOW + DAY
        made = plan([feed], limits, now, needs)
        assert contents() == before
        assert plan([feed], limits, now, needs) == made
        effects = list(execute(made))
        # The effect is the plan, and the records that are gone are those of the plan's parts, no more and no less.
        assert [unit for effect in effects for unit in effect.removed] == [one.unit for one in made.removals]
        assert [one for effect in effects for one in effect.skipped] == []
        gone = {chunk for one in made.removals for chunk in one.unit.chunks}
        kept = [n for n, position in enumerate(positions) if position >> ROW_BITS not in gone]
        assert payloads(store) == [sent[n] for n in kept]
        assert plan([feed], limits, now, needs).removals == ()
        # What must stay has stayed.
        if case["live"]:
            assert len(sent) - 1 in kept
        if leased:
            assert set(range(case["lease"], len(sent))) <= set(kept)
        if needs is not None and gone and kept:
            first_gone_behind = [n for n in range(case["need"], len(sent)) if n not in kept]
            assert not [n for n in first_gone_behind if any(k > n for k in kept)] or not case["age"] + case["bytes"]
        if limits.keep_last and not limits.closed_chunks:
            parts = [info.part for info in store.reader(FEED).chunks() if info.state == ChunkState.SEALED]
            assert len(set(parts)) >= min(limits.keep_last, sealed)
        if case["bytes"]:
            left = sum(
                path_of(feed, name).stat().st_blocks * 512
                if "parquet" not in name
                else path_of(feed, name).stat().st_size
                for name in files_of(feed)
            )
            assert made.over_bytes == max(0, left - case["bytes"])
        if writer is not None:
            writer.close()


KILLED = """
import sys, time
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.store import Store
with Store.open(sys.argv[1]) as store:
    made = plan([store.feed("sim/ALPHA_USDT")], RetentionLimits(older_than_ns=1, closed_chunks=True), int(sys.argv[2]))
    print("planned", flush=True)
    list(execute(made, batch=1, pause=3600))
"""


def test_kill_9_in_the_middle_leaves_what_the_next_run_finishes(store):
    fill(store, sealed=0)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store.path), str(NOW + DAY)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "planned\n"
    feed = store.feed(FEED)
    while not any((feed.directory / "trash").glob("*")):
        os.sched_yield()
    child.kill()
    child.wait()
    assert any(name.startswith("trash/") for name in files_of(feed))
    assert payloads(store) == []
    assert finish(feed) > 0  # the lock went with the process
    assert files_of(feed) == []
    assert finish(feed) == 0


def test_small_batches_with_pauses(store, monkeypatch):
    fill(store, sealed=0)
    slept = []
    monkeypatch.setattr(removal.time, "sleep", slept.append)
    made = plan([store.feed(FEED)], RetentionLimits(older_than_ns=1, closed_chunks=True), NOW + DAY)
    list(execute(made, pause=0.5, batch=8))
    assert slept == [0.5] * (2 * 2 * DAYS // 8)


def test_an_archive_of_a_relative_path_is_where_it_was_meant(store, tmp_path, monkeypatch):
    """And not below whatever directory a later command is run in."""
    monkeypatch.chdir(tmp_path)
    store.writer(FEED).close()
    assert store.set(FEED, archive="shelf").archive == str(tmp_path / "shelf")
    assert store.set(FEED, archive="").archive == ""
