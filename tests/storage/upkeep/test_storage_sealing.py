"""Sealing keeps every byte, whatever ends it; parts read as the chunks did, by us and by anyone who reads Parquet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable, CorruptStore, FeedLocked
from mdtool.kernel.journal import Journal, fill_crcs
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal.chunk import OpenChunk, Run, chunk_paths, open_chunk
from mdtool.storage.journal.locks import maintaining
from mdtool.storage.journal.registry import ChunkInfo
from mdtool.storage.parts.archive import own_place
from mdtool.storage.parts.part import Part
from mdtool.storage.parts.part_writer import ClosedChunk, closed_chunk, write_part
from mdtool.storage.parts.place import LocalPlace, part_name
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND  # 2023-11-15 12:00 UTC
LATER = NOON + 30 * DAY


def write(store, records, *, chunk_bytes=4096, restarts=()):
    """One feed of (recv_ns, stream, payload), closed."""
    writer = store.writer(FEED, chunk_bytes=chunk_bytes, sync="none", clock=ManualClock(NOON))
    for number, (at, stream, payload) in enumerate(records):
        if number in restarts:
            writer.close()
            writer = store.writer(FEED, sync="none", clock=ManualClock(NOON))
        writer.append(at, 1 + number % 8, writer.stream(stream), number % 5, payload, number % 3)
    writer.close()


def two_days(store):
    """Two chunks a day on two days."""
    write(store, [(NOON + day * DAY + n, f"s{n % 3}", b"%d %d " % (day, n) * 450) for day in (0, 1) for n in range(3)])
    assert [info.rows for info in store.reader(FEED).chunks()] == [2, 1, 2, 1]


def seal(store, **options):
    return seal_feed(store.feed(FEED), options.pop("now_ns", LATER), **options)


def everything(reader):
    """All there is to see of a feed."""
    fields = ("position", "recv_ns", "kind", "stream", "session", "flags", "payload")
    records = [tuple(getattr(record, name) for name in fields) for record in reader.records()]
    reader.to_start()
    batched = [
        (batch.position + n, batch.rows[n]["recv_ns"], batch.streams[batch.rows[n]["stream"]], batch.payload(n))
        for batch in reader.batches()
        for n in range(len(batch))
    ]
    return records, batched


def places(reader, times):
    """Where seek() leads to, and what is there."""
    found = []
    for ns in times:
        reader.seek(ns)
        position = reader.position
        found.append((position, [record.payload for record in reader.poll(2)]))
    return found


records_of_some_days = st.lists(
    st.tuples(
        st.integers(0, 3 * DAY // 1000).map(lambda at: NOON + at * 1000),
        st.sampled_from(["depth", "trade", "ünï"]),
        st.binary(max_size=3000),
    ),
    min_size=1,
    max_size=50,
)


@settings(max_examples=40, deadline=None)
@given(records_of_some_days, st.lists(st.integers(0, 50), max_size=3), st.data())
def test_any_feed_reads_the_same_after_sealing_and_sealing_twice_is_once(tmp_path_factory, records, restarts, data):
    with Store.create(tmp_path_factory.mktemp("store") / "s") as store:
        write(store, records, restarts=restarts)
        times = [at + d for at, _, _ in records[:8] for d in (-1, 0, 1)]
        before, found = everything(store.reader(FEED)), places(store.reader(FEED), times)
        figures = [(i.chunk_id, i.epoch, i.flags, i.rows, i.heap_bytes, i.min_ns, i.max_ns)
                   for i in store.reader(FEED).chunks()]  # fmt: skip
        plain = [batch.rows.tolist() for batch in store.reader(FEED).batches()]
        report = seal(store)
        assert report.error is None
        assert sum(part.records for part in report.parts) == len(records)
        reader = store.reader(FEED)
        assert everything(reader) == before
        assert places(reader, times) == found
        position = data.draw(st.sampled_from(before[0]))[0]
        reader.move_to(position)
        assert next(reader.records()).position == position
        assert figures == [(i.chunk_id, i.epoch, i.flags, i.rows, i.heap_bytes, i.min_ns, i.max_ns)
                           for i in store.reader(FEED).chunks()]  # fmt: skip
        assert {(i.state, i.location) for i in reader.chunks()} == {(ChunkState.SEALED, Location.PART)}
        for part in report.parts:  # what a part can prove of its chunks is what their indexes said, to the bit
            opened = Part(LocalPlace(Path(part.where).parent).open(Path(part.where).name), part.where)
            assert opened.damaged() == []
            for number, chunk in enumerate(opened.manifest.chunks):
                assert opened.rows(number).tolist() == plain[chunk.chunk_id - 1]
        files = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
        again = seal(store)
        assert (again.parts, again.waiting, again.foreign, again.error) == ((), 0, (), None)
        assert {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()} == files


def test_a_part_holds_one_day_and_the_chunks_are_gone(store):
    two_days(store)
    report = seal(store)
    feed = store.feed(FEED)
    where = own_place(feed).root
    assert [(part.part, part.first_chunk, part.chunks, part.records) for part in report.parts] == [
        (1, 1, 2, 3), (2, 3, 2, 3),
    ]  # fmt: skip
    assert [part.where for part in report.parts] == [
        str(where / "date=2023-11-15" / "000001.parquet"), str(where / "date=2023-11-16" / "000002.parquet"),
    ]  # fmt: skip
    assert [part.part_bytes for part in report.parts] == [Path(part.where).stat().st_size for part in report.parts]
    assert [path.name for path in (feed.directory / "live").iterdir() if path.suffix in (".idx", ".dat")] == []
    assert [info.part for info in store.reader(FEED).chunks()] == [1, 1, 2, 2]


def test_what_is_not_due_waits(store):
    two_days(store)
    feed = store.feed(FEED)
    second_day = (NOON + DAY) // DAY * DAY
    assert seal(store, now_ns=second_day - 1, dry_run=True).waiting == 4  # its own day is not over
    planned = seal(store, now_ns=second_day, dry_run=True)
    assert [(part.first_chunk, part.records) for part in planned.parts] == [(1, 3)]
    assert planned.waiting == 2
    assert not list(own_place(feed).root.glob("date=*"))
    with Store.create(store.path) as writable:
        registry = writable._registry
        registry.update_feed(feed.feed_id, {"live_window_ns": 3 * DAY})
        assert seal(writable, now_ns=NOON + 2 * DAY).waiting == 4  # closed at noon of the first day
        assert seal(writable, now_ns=NOON + 2 * DAY, everything=True).parts[1].first_chunk == 3


def test_a_live_chunk_and_shared_memory_are_left_alone(store):
    writer = store.writer(FEED, chunk_bytes=4096, sync="none", live="shm")
    for number in range(3):
        writer.append(NOON + number, 1, writer.stream("s"), 1, b"x" * 3000)
    states = [(info.state, info.location) for info in store.reader(FEED).chunks()]
    assert (ChunkState.CLOSED, Location.SHM) in states
    report = seal(store, everything=True)
    assert (report.parts, report.error) == ((), None)
    writer.sync()  # spools what is closed
    report = seal(store, everything=True)
    assert sum(part.records for part in report.parts) == 2
    writer.append(NOON + 9, 1, writer.stream("new"), 1, b"after")
    reader = store.reader(FEED)
    assert [record.payload for record in reader.records()] == [*[b"x" * 3000] * 3, b"after"]
    writer.append(NOON + 10, 1, writer.stream("new"), 1, b"more")
    assert [record.payload for record in reader.poll()] == [b"more"]
    writer.close()


def test_a_reader_inside_a_chunk_reads_on_while_it_is_sealed(store):
    two_days(store)
    whole, _ = everything(store.reader(FEED))
    reader = store.reader(FEED)
    first = reader.poll(1)
    seal(store)
    assert [record.position for record in [*first, *reader.records()]] == [line[0] for line in whole]


KILLED = """
import os, signal, sys
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.storage.store import Store
calls = 0
def step(name):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
with Store.create(sys.argv[1]) as store:
    report = seal_feed(store.feed("sim/ALPHA_USDT"), int(sys.argv[3]), step=step)
    print(calls, report.error)
"""
STEPS = ["draft", "verified", "published", "entry", "entry", "registered", "removed", "removed"]


@pytest.mark.parametrize("kill_at", range(1, 2 * len(STEPS) + 1))
def test_kill_9_between_any_two_steps_loses_nothing_and_is_finished_by_the_next_run(tmp_path, kill_at):
    with Store.create(tmp_path / "store") as store:
        two_days(store)
        before = everything(store.reader(FEED))
        done = subprocess.run([sys.executable, "-c", KILLED, str(store.path), str(kill_at), str(LATER)])
        assert done.returncode == -signal.SIGKILL
        assert everything(store.reader(FEED)) == before
        report = seal(store)
        assert (report.error, report.foreign) == (None, ())
        assert everything(store.reader(FEED)) == before
        feed = store.feed(FEED)
        where = own_place(feed).root
        assert sorted(path.relative_to(where).as_posix() for path in where.rglob("*.parquet")) == [
            "date=2023-11-15/000001.parquet", "date=2023-11-16/000002.parquet",
        ]  # fmt: skip
        assert not list(feed.directory.rglob("*.sealing"))
        assert not list((feed.directory / "live").glob("0*"))
        assert [info.part for info in store.reader(FEED).chunks()] == [1, 1, 2, 2]
        step = STEPS[(kill_at - 1) % len(STEPS)]
        second_entry = (kill_at - 1) % len(STEPS) == 4  # all entries are there
        adopted = [part.part for part in report.parts if part.adopted]
        begun = step == "published" or (step == "entry" and not second_entry)
        assert adopted == ([1 + (kill_at - 1) // len(STEPS)] if begun else [])
        assert seal(store).parts == ()


def test_every_step_is_told(store):
    two_days(store)
    told = []
    seal(store, step=told.append)
    assert told == [*STEPS, *STEPS]


def stop_at(name):
    def step(told):
        if told == name:
            raise KeyboardInterrupt

    return step


def test_a_foreign_file_under_a_parts_name_is_left_and_the_next_number_taken(store):
    two_days(store)
    before = everything(store.reader(FEED))
    taken = own_place(store.feed(FEED)).path(part_name(1, NOON))
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody's")
    report = seal(store)
    assert report.error is None
    assert report.foreign == (str(taken),)
    assert [one.part for one in report.parts] == [2, 3]
    assert taken.read_bytes() == b"somebody's"
    assert everything(store.reader(FEED)) == before
    assert (seal(store).parts, seal(store).foreign) == ((), ())


def test_a_run_that_died_behind_a_foreign_file_is_finished(store):
    two_days(store)
    before = everything(store.reader(FEED))
    taken = own_place(store.feed(FEED)).path(part_name(1, NOON))
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody's")
    with pytest.raises(KeyboardInterrupt):
        seal(store, step=stop_at("published"))
    report = seal(store)
    assert [(one.part, one.adopted) for one in report.parts] == [(2, True), (3, False)]
    assert report.foreign == (str(taken),)
    assert everything(store.reader(FEED)) == before


def test_a_published_part_that_is_damaged_is_left_and_sealed_again_under_the_next_number(store):
    two_days(store)
    before = everything(store.reader(FEED))
    with pytest.raises(KeyboardInterrupt):
        seal(store, step=stop_at("published"))
    part = own_place(store.feed(FEED)).path(part_name(1, NOON))
    flip_payload(part)
    damaged = part.read_bytes()
    report = seal(store)
    assert report.error is None
    assert report.foreign == (str(part),)
    assert [(one.part, one.adopted) for one in report.parts] == [(2, False), (3, False)]
    assert part.read_bytes() == damaged
    assert everything(store.reader(FEED)) == before


def test_chunks_stay_while_the_part_that_is_named_for_them_is_missing(store):
    two_days(store)
    with pytest.raises(KeyboardInterrupt):
        seal(store, step=stop_at("registered"))
    (own_place(store.feed(FEED)).path(part_name(1, NOON))).unlink()
    report = seal(store)
    assert "its files are kept" in report.error
    assert all(path.exists() for path in chunk_paths(store.feed(FEED), 1, Location.DISK))


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_payload(path):
    """A bit of the payload column's first page."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    payload = next(column for column in columns if column.path_in_schema == "payload")
    flip(path, payload.data_page_offset + payload.total_compressed_size - 5)


@pytest.mark.parametrize(("damaged", "sealed"), [(1, [3]), (3, [1])])
def test_what_is_damaged_is_not_sealed_and_the_other_day_is(store, damaged, sealed):
    two_days(store)
    _, heap = chunk_paths(store.feed(FEED), damaged, Location.DISK)
    flip(heap, 100)
    report = seal(store)
    assert [part.first_chunk for part in report.parts] == sealed
    assert f"{damaged:08}.idx row 0: crc" in report.error
    assert heap.exists()
    states = {info.chunk_id: info.state for info in store.reader(FEED).chunks()}
    assert (states[damaged], states[damaged + 1]) == (ChunkState.CLOSED, ChunkState.CLOSED)


def test_a_published_part_serves_though_its_chunk_was_damaged_since(store):
    two_days(store)
    before = everything(store.reader(FEED))
    with pytest.raises(KeyboardInterrupt):
        seal(store, step=stop_at("published"))
    flip(chunk_paths(store.feed(FEED), 1, Location.DISK)[1], 100)
    report = seal(store)
    assert (report.error, [part.adopted for part in report.parts]) == (None, [True, False])
    assert everything(store.reader(FEED)) == before


def test_a_draft_that_does_not_read_back_is_not_published(store):
    two_days(store)
    feed = store.feed(FEED)

    def step(told):
        if told == "draft":
            (draft,) = feed.directory.glob(".*.sealing")
            flip_payload(draft)

    report = seal(store, step=step)
    assert report.parts == ()
    assert ".000001.sealing" in report.error
    assert not list(store.path.rglob("*.parquet")) + list(feed.directory.glob(".*.sealing"))
    assert [info.location for info in store.reader(FEED).chunks()] == [Location.DISK] * 4


def test_what_a_crash_left_of_a_draft_goes(store):
    two_days(store)
    draft = store.feed(FEED).directory / ".000007.sealing"
    draft.write_bytes(b"half")
    assert seal(store).error is None
    assert not draft.exists()


def test_no_two_maintainers_at_once(store):
    two_days(store)
    code = "import sys; from mdtool.storage.store import Store; from mdtool.storage.journal.locks import maintaining\n"
    code += (
        "with Store.open(sys.argv[1]) as s, maintaining(s.feed('sim/ALPHA_USDT')): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code, store.path], stdin=-1, stdout=-1)
    other.stdout.readline()
    with pytest.raises(FeedLocked), maintaining(store.feed(FEED), wait=False):
        pass
    other.communicate(b"")
    assert seal(store).error is None


def test_damage_to_a_part_is_found_where_it_is_read(store):
    write(store, [(NOON + n, "s", os.urandom(1000)) for n in range(3)], chunk_bytes=1 << 20)
    where = Path(seal(store).parts[0].where)
    data = where.read_bytes()
    flip_payload(where)
    with pytest.raises(CorruptStore, match=r"000001\.parquet: .*run: mdtool verify"):
        list(store.reader(FEED).records())
    assert store.reader(FEED).first_ns == NOON
    where.write_bytes(data[:-10])
    with pytest.raises(CorruptStore, match=r"000001\.parquet"):
        list(store.reader(FEED).records())
    where.unlink()
    with pytest.raises(ChunkUnavailable, match=r"000001\.parquet"):
        list(store.reader(FEED).records())
    other = store.path / "other"
    with Store.create(other) as elsewhere:
        write(elsewhere, [(NOON, "s", b"x")])
        where.write_bytes(Path(seal(elsewhere).parts[0].where).read_bytes())
    with pytest.raises(CorruptStore, match="not this feed's"):
        list(store.reader(FEED).records())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A store with one sealed part, and all there is to see of it."""
    with Store.create(tmp_path_factory.mktemp("small") / "s") as store:
        write(store, [(NOON + n * 7, f"s{n % 3}", b'{"n":%d}' % n * 10) for n in range(60)])
        where = Path(seal(store).parts[0].where)
        yield store, where, where.read_bytes(), seen(store)


def seen(store):
    return everything(store.reader(FEED)), places(store.reader(FEED), [NOON, NOON + 100, NOON + 7 * 59])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_part_is_read_as_something_else(small, data):
    store, where, good, before = small
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    where.write_bytes(bad)
    try:
        assert seen(store) == before  # a bit that is not read, of a statistic or of a decoded column
    except CorruptStore as error:
        assert where.name in str(error)


def test_stream_names_decide_not_their_numbers(store):
    write(store, [(NOON, "depth", b"d"), (NOON + 1, "trade", b"t")])
    seal(store)
    registry = store.feed(FEED).directory / "feed.bin"
    data = bytearray(registry.read_bytes())
    size, at = layout.STREAM_SLOT.itemsize, layout.PAGE
    data[at : at + 2 * size] = data[at + size : at + 2 * size] + data[at : at + size]  # as a rebuild may number them
    registry.write_bytes(data)
    reader = store.reader(FEED)
    assert [(reader.stream_name(r.stream), r.payload) for r in reader.records()] == [("depth", b"d"), ("trade", b"t")]
    assert [batch.rows["stream"].tolist() for batch in store.reader(FEED).batches()] == [[1, 0]]


def test_row_groups_are_read_one_at_a_time(store):
    payload = os.urandom(1 << 20)
    write(store, [(NOON + n, "s", payload[n:] + payload[:n]) for n in range(20)], chunk_bytes=6 << 20)
    before = everything(store.reader(FEED))
    where = Path(seal(store).parts[0].where)
    groups = pq.ParquetFile(where).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [8, 8, 4]
    stated = [groups.row_group(n).column(0).statistics for n in range(groups.num_row_groups)]
    assert [(one.min_raw - NOON, one.max_raw - NOON) for one in stated] == [(0, 7), (8, 15), (16, 19)]
    reader = store.reader(FEED)
    assert everything(reader) == before
    for n in (0, 5, 7, 8, 15, 19):
        reader.seek(NOON + n)
        assert reader.poll(1)[0].payload == payload[n:] + payload[:n]
        reader.move_to(before[0][n][0])
        assert [record.recv_ns for record in reader.records()] == [NOON + k for k in range(n, 20)]
    reader.to_end()
    assert reader.poll() == []
    assert reader.position == before[0][-1][0] + 1


WRITING = """
import sys
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store, store.writer("sim/ALPHA_USDT", chunk_bytes=16384, live=sys.argv[2]) as writer:
    stream = writer.stream("s")
    for number in range(20_000):
        writer.append(1_700_049_600_000_000_000 + number, 1, stream, 1, b"%d" % number * 9)
        if number % 500 == 0:
            writer.sync()
            print(number, flush=True)
"""


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_sealing_behind_a_writer_and_before_readers_disturbs_neither(store, live):
    write(store, [])
    arguments = [sys.executable, "-c", WRITING, str(store.path), live]
    writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    writer.stdout.readline()
    reader, found, parts = store.reader(FEED), [], 0
    while writer.poll() is None:
        report = seal(store, everything=True)
        assert report.error is None
        parts += len(report.parts)
        found += [int(record.payload[: len(record.payload) // 9]) for record in reader.poll(700)]
        started = store.reader(FEED)  # one that comes while files go
        times = [record.recv_ns for record in started.poll(50)]
        assert times == [NOON + n for n in range(len(times))] != []
        started.close()
    assert writer.returncode == 0
    assert parts > 1
    report = seal(store, everything=True)
    found += [int(record.payload[: len(record.payload) // 9]) for record in reader.records()]
    assert found == list(range(20_000))
    whole = store.reader(FEED)
    assert [record.recv_ns for record in whole.records()] == [NOON + n for n in range(20_000)]
    assert {info.location for info in whole.chunks()} == {Location.PART}


FULL = """
import resource, sys
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    print(seal_feed(store.feed("sim/ALPHA_USDT"), int(sys.argv[2])).error)
"""


def test_no_room_for_a_part_costs_nothing(store):
    two_days(store)
    before = everything(store.reader(FEED))
    arguments = [sys.executable, "-c", FULL, str(store.path), str(LATER)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert not list(store.feed(FEED).directory.rglob("*.parquet"))
    assert not list(store.feed(FEED).directory.glob(".*.sealing"))
    assert everything(store.reader(FEED)) == before
    assert seal(store).error is None
    assert everything(store.reader(FEED)) == before


def test_parts_read_through_are_let_go(store):
    write(store, [(NOON + day * DAY, "s", b"x") for day in range(40)])
    assert len(seal(store, now_ns=NOON + 365 * DAY).parts) == 40
    reader = store.reader(FEED)
    open_before = len(os.listdir("/proc/self/fd"))
    assert len(list(reader.records())) == 40
    assert len(os.listdir("/proc/self/fd")) <= open_before + 2
    reader.close()
    assert len(os.listdir("/proc/self/fd")) <= open_before


def test_chunks_without_a_record_have_their_place_in_a_part(store, tmp_path):
    write(store, [(NOON, "s", b"x")])
    feed = store.feed(FEED)
    info = store.reader(FEED).chunks()[0]
    source = closed_chunk(open_chunk(feed, info))
    empty = ClosedChunk(replace(info, chunk_id=2, rows=0), source.rows[:0], b"")
    for number, sources in enumerate(([empty], [empty, source, empty])):
        path = tmp_path / f"{number}"
        write_part(path, feed, 1, sources, ["s"], None)
        part = Part(pa.OSFile(str(path)), str(path))
        assert part.damaged() == []
        assert [part.rows(n).tolist() for n in range(len(sources))] == [one.rows.tolist() for one in sources]
        part.close()


def test_holes_in_a_heap_are_not_kept(store, tmp_path):
    """A heap need not be without holes: a repaired chunk's is not."""
    rows = np.zeros(2, layout.ROW)
    rows["offset"], rows["length"] = [3, 1], [2, 1]
    fill_crcs(rows, b"?a?bc?")
    info = ChunkInfo(1, 1, ChunkState.CLOSED, Location.DISK, ChunkFlag(0), 0, 2, 6, 0, 0, 0, 0)
    index = bytearray(layout.PAGE) + rows.tobytes()
    index[layout.COMMITTED_AT] = 2
    path = tmp_path / "index"
    path.write_bytes(index)
    with path.open("rb") as file:
        mapped = files.map_file(file.fileno())
    journal = Journal(mapped, b"?a?bc?", 1 << 32)
    whole, heap = Run(0, journal, memoryview(mapped), memoryview(b"?a?bc?")), memoryview(b"?a?bc?")
    source = closed_chunk(OpenChunk(info, memoryview(mapped), heap, journal, whole))
    assert bytes(source.heap) == b"bca"
    assert source.rows["offset"].tolist() == [0, 2]
    assert [record.payload for record in Journal(source.rows, source.heap, 0, False).records(0, 2)] == [b"bc", b"a"]


COLUMNS = ["recv_ns", "kind", "stream", "session", "flags", "payload"]


def rows_of(store):
    reader = store.reader(FEED)
    return [(r.recv_ns, r.kind, reader.stream_name(r.stream), r.session, r.flags, r.payload) for r in reader.records()]


def sealed_example(store):
    write(store, [(NOON + n * DAY // 50, f"s{n % 4}", bytes([n]) * n) for n in range(100)])
    before = rows_of(store)
    assert len(seal(store).parts) == 3
    assert rows_of(store) == before
    return before, str(own_place(store.feed(FEED)).root / "date=*" / "*.parquet")


def test_duckdb_sees_the_same_rows(store):
    before, parts = sealed_example(store)
    with duckdb.connect() as db:
        query = (
            f"select epoch_ns(recv_ns), {', '.join(COLUMNS[1:])} from read_parquet('{parts}', file_row_number=true) "
        )
        assert db.sql(query + "order by filename, file_row_number").fetchall() == before
        days = db.sql(f"select date::varchar, count(*) from read_parquet('{parts}') group by 1 order by 1").fetchall()
        assert days == [("2023-11-15", 25), ("2023-11-16", 50), ("2023-11-17", 25)]


def test_polars_sees_the_same_rows(store):
    before, parts = sealed_example(store)
    frame = polars.scan_parquet(parts).select(COLUMNS).with_columns(polars.col("recv_ns").dt.epoch("ns")).collect()
    assert frame.rows() == before
    assert frame.schema["payload"] == polars.Binary


def test_decoded_columns_are_what_the_function_says(store):
    write(store, [(NOON + n, "s", b"%d" % n) for n in range(5)])

    def decode(batch):
        from mdtool.storage.parts.part_writer import Decoded

        numbers = np.array([int(batch.payload(n)) for n in range(len(batch))])
        return Decoded(numbers, numbers - 1, numbers, numbers - 2, numbers.astype(np.uint8))

    where = seal(store, decoding=lambda: decode).parts[0].where
    read = pq.read_table(where).to_pydict()
    assert [time and time.value for time in read["venue_ns"]] == [None, 1, 2, 3, 4]
    assert read["first_seq"] == [None, 0, 1, 2, 3]
    assert read["last_seq"] == [0, 1, 2, 3, 4]
    assert read["prev_seq"] == [-2, None, 0, 1, 2]
    assert read["verdict"] == [None, 1, 2, 3, 4]


def test_an_archive_elsewhere_is_a_setting(store, tmp_path):
    two_days(store)
    before = everything(store.reader(FEED))
    store._registry.update_feed(store.feed(FEED).feed_id, {"archive": str(tmp_path / "shelf").encode()})
    report = seal(store)
    assert report.error is None
    below = f"recorder={store.id}/venue=sim/symbol=ALPHA_USDT/date=2023-11-15/000001.parquet"
    assert report.parts[0].where == str(tmp_path / "shelf" / below)
    assert everything(store.reader(FEED)) == before


def test_parts_stay_where_they_were_when_an_archive_is_set(store, tmp_path):
    two_days(store)
    before = everything(store.reader(FEED))
    assert len(seal(store, now_ns=(NOON + DAY) // DAY * DAY).parts) == 1
    store._registry.update_feed(store.feed(FEED).feed_id, {"archive": f"file://{tmp_path}/shelf".encode()})
    report = seal(store)
    assert [(part.part, part.where) for part in report.parts] == [
        (2, f"{tmp_path}/shelf/recorder={store.id}/venue=sim/symbol=ALPHA_USDT/date=2023-11-16/000002.parquet")
    ]
    assert everything(store.reader(FEED)) == before


UNREAD = """
import sys
from mdtool.storage.store import Store
with Store.open(sys.argv[1]) as store, store.reader("sim/ALPHA_USDT") as reader:
    print(reader.first_ns, reader.last_ns, reader.count(), reader.has_data_since(reader.last_ns))
    reader.to_end()
    print("pyarrow" in sys.modules)
    reader.to_start()
    reader.poll(1)
    print("pyarrow" in sys.modules)
"""


def test_no_part_is_opened_before_it_is_read(store):
    two_days(store)
    seal(store)
    done = subprocess.run([sys.executable, "-c", UNREAD, str(store.path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(NOON), str(NOON + DAY + 2), "6", "True", "False", "True"]


def test_any_kind_is_kept(store):
    writer = store.writer(FEED)
    for kind in Kind:
        writer.append(NOON + kind, kind, writer.stream("s"), 2**32 - 1, b"", 255)
    writer.close()
    seal(store)
    found = [(r.recv_ns, r.kind, r.session, r.flags) for r in store.reader(FEED).records()]
    assert found == [(NOON + kind, kind, 2**32 - 1, 255) for kind in Kind]
