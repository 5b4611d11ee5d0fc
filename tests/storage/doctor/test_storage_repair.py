"""Damage anywhere is named by verify; repaired, the feed is whole, all else where it was, and the loss named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.errors import ChunkUnavailable, FeedLocked, StoreError, UsageError
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor import repair as repair_module
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import chunk
from mdtool.storage.journal.registry import FeedRegistry
from mdtool.storage.parts.archive import own_place
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
OTHER = "sim/BRAVO_USDT"
NOON = 1_700_049_600 * SECOND  # 2023-11-15 12:00 UTC
FAST = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fill(store: Store, name: str = FEED, *, records: int = 250, start: int = NOON, **options: object) -> None:
    with store.writer(name, chunk_bytes=8192, **options) as writer:  # type: ignore[arg-type]
        for number in range(records):
            stream = writer.stream(("depth", "trade")[number % 2])
            writer.append(start + number * SECOND, Kind.DATA, stream, 1, b"%d-" % number * 15)
        writer.end(start + records * SECOND, "done")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sealed parts, closed chunks, two epochs and a second feed."""
    path = tmp_path_factory.mktemp("original") / "store"
    with Store.create(path) as store:
        store.next_session()
        store.next_session()
        fill(store)
        assert seal_feed(store.feed(FEED), NOON + 3 * DAY, everything=True).error is None
        fill(store, start=NOON + DAY)
        fill(store, OTHER, records=20)
        with store.cursor(FEED, "sink") as cursor:
            cursor.to_end()
    return path


@pytest.fixture
def scratch(tmp_path: Path, original: Path) -> Path:
    return shutil.copytree(original, tmp_path / "store")


def everything(path: Path, name: str = FEED) -> dict[int, tuple[object, ...]]:
    with Store.open(path) as store, store.reader(name) as reader:
        return {
            one.position: (one.recv_ns, one.kind, reader.stream_name(one.stream), one.session, one.flags, one.payload)
            for one in reader.records()
        }


def lost_notes(found: dict[int, tuple[object, ...]]) -> list[dict[str, object]]:
    notes = [json.loads(record[5]) for record in found.values() if record[1] == Kind.NOTE]  # type: ignore[arg-type]
    return [note for note in notes if note["note"] == "lost"]


def used_bytes(path: Path) -> list[tuple[Path, int]]:
    """Every file of FEED with how much of it carries meaning."""
    with Store.open(path) as store:
        feed = store.feed(FEED)
        with store.reader(FEED) as reader:
            chunks = reader.chunks()
            streams = len(reader.streams)
    sizes = [(feed.directory / "feed.bin", layout.PAGE + streams * layout.STREAM_SLOT.itemsize)]
    for info in chunks:
        if info.location == Location.DISK:
            index, heap = chunk.chunk_paths(feed, info.chunk_id, Location.DISK)
            sizes += [(index, layout.PAGE + info.rows * layout.ROW.itemsize), (heap, info.heap_bytes)]
    parts = sorted(own_place(feed).root.glob("date=*/*.parquet"))
    assert parts
    return sizes + [(part, part.stat().st_size) for part in parts]


def check_repaired(path: Path, before: dict[int, tuple[object, ...]], *, told: bool = False) -> None:
    """After a repair: whole, nothing else to do, what is not as before is named as lost. `told`: the repair has said
    that something is gone of which nothing tells what it was (a registry and all files of a chunk)."""
    assert verify(path).findings == []
    with Store.open(path) as store:
        assert repair(store.feed(FEED), gone=True) == []
    after = everything(path)
    lost = [position for position, record in before.items() if after.get(position) != record]
    named = [note["rows"] for note in lost_notes(after)]
    assert all(record == before[position] for position, record in after.items() if record[1] != Kind.NOTE)
    assert told or None in named or sum(named) == len(lost)  # type: ignore[arg-type]


@FAST
@given(st.data())
def test_a_bit_flipped_anywhere_is_named_and_repaired(original, tmp_path_factory, data):
    path = shutil.copytree(original, tmp_path_factory.mktemp("flip") / "store")
    before = everything(path)
    file, used = data.draw(st.sampled_from(used_bytes(path)))
    at, bit = data.draw(st.integers(0, used - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(file.read_bytes())
    damaged[at] ^= 1 << bit
    file.write_bytes(damaged)
    findings = verify(path).findings
    assert findings, f"{file.name} byte {at}"
    assert {finding.feed for finding in findings} == {FEED}
    with Store.open(path) as store:
        feed = store.feed(FEED)
        planned = repair(feed, dry_run=True)
        assert [str(one) for one in verify(path).findings] == [str(one) for one in findings]  # nothing has changed
        assert repair(feed) == planned != []
    check_repaired(path, before)
    kept = [one.read_bytes() for one in feed.directory.glob("repaired/*/**/*") if one.name == file.name]
    assert bytes(damaged) in kept
    shutil.rmtree(path.parent)


@FAST
@given(st.data())
def test_any_garbage_is_survived_and_repaired(original, tmp_path_factory, data):
    path = shutil.copytree(original, tmp_path_factory.mktemp("garbage") / "store")
    before = everything(path)
    for _ in range(data.draw(st.integers(1, 2))):
        file = data.draw(st.sampled_from([name for name, _ in used_bytes(original)]))
        file = path / file.relative_to(original)
        content = bytearray(file.read_bytes()) if file.exists() else bytearray()
        how = data.draw(st.sampled_from(["page", "cut", "more", "random", "gone"]))
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        if how == "page":
            start = at - at % layout.PAGE
            content[start : start + layout.PAGE] = bytes(len(content[start : start + layout.PAGE]))
        elif how == "cut":
            del content[at:]
        elif how == "more":
            content += data.draw(st.binary(min_size=1, max_size=200)) * 50
        else:
            content = bytearray(data.draw(st.binary(max_size=300)) * 40)
        file.write_bytes(content)
        if how == "gone":
            file.unlink()
    assert verify(path).findings or everything(path) == before
    with Store.open(path) as store:
        feed = store.feed(FEED)
        planned = repair(feed, gone=True, dry_run=True)
        assert repair(feed, gone=True) == planned
    check_repaired(path, before, told=any(action.lost is None for action in planned))
    shutil.rmtree(path.parent)


@FAST
@given(st.data())
def test_registries_are_rebuilt_whatever_happened_to_them(original, tmp_path_factory, data):
    path = shutil.copytree(original, tmp_path_factory.mktemp("rebuild") / "store")
    names = ["registry.bin", f"feeds/{FEED}/feed.bin", f"feeds/{OTHER}/feed.bin"]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)):
        how = data.draw(st.sampled_from(["gone", "empty", "random", "flip", "slot"]))
        content = bytearray((path / name).read_bytes())
        if how == "flip":
            content[data.draw(st.integers(0, layout.PAGE - 1))] ^= 1
        elif how == "slot":
            at = (layout.PAGE if name == "registry.bin" else layout.CHUNKS_AT) + data.draw(st.integers(0, 300))
            content[at] ^= 128
        else:
            content = bytearray(b"" if how == "empty" else data.draw(st.binary(max_size=9000)))
        (path / name).write_bytes(content)
        if how == "gone":
            (path / name).unlink()
    planned = rebuild(path, dry_run=True)
    assert rebuild(path) == planned
    assert rebuild(path) == []
    assert verify(path).findings == []
    for name in (FEED, OTHER):
        assert everything(path, name) == everything(original, name)
    with Store.open(path) as again, Store.open(original) as was:
        assert again.id == was.id
        assert [feed.name for feed in again.feeds()] == [FEED, OTHER]
    with Store.create(path) as again:
        assert again.next_session() >= 2  # above the highest any record carries
    shutil.rmtree(path.parent)


def test_settings_and_scales_survive_the_loss_of_the_registry(scratch):
    with Store.open(scratch, writable=True) as store:
        before = store.set(FEED, live="shm", chunk_bytes=1 << 20, retain_ns=7 * DAY, max_bytes=1 << 30, keep_last=3,
                           live_window_ns=SECOND, archive="")  # fmt: skip
    (scratch / "registry.bin").unlink()
    with pytest.raises(StoreError, match="registry verify --rebuild"):
        Store.open(scratch)
    assert {finding.what for finding in verify(scratch).findings} == {FlawKind.MISSING, FlawKind.ORPHAN}
    actions = [str(action) for action in rebuild(scratch)]
    assert any("entered, with its settings" in text for text in actions)
    with Store.open(scratch) as store:
        assert store.feed(FEED) == before


def test_stream_names_nobody_knows_are_numbers_and_said_so(tmp_path):
    with Store.create(tmp_path / "s") as store:
        fill(store, records=5)
        feed = store.feed(FEED)
    index, _ = chunk.chunk_paths(feed, 1, Location.DISK)
    content = bytearray(index.read_bytes())
    content[layout.NAMES_AT : layout.PAGE] = bytes(layout.PAGE - layout.NAMES_AT)
    index.write_bytes(content)
    (feed.directory / "feed.bin").unlink()
    said = [str(action) for action in rebuild(tmp_path / "s")]
    assert any("stream 0: its name is lost; called 'stream-0', as nothing says" in text for text in said)
    assert {record[2] for record in everything(tmp_path / "s").values()} == {"stream-0", "stream-1", "stream-2"}


def test_a_name_that_feed_bin_has_lost_is_read_beside_a_damaged_head(tmp_path):
    """Each name in a chunk's header page proves itself: damage elsewhere in the page costs none."""
    with Store.create(tmp_path / "s") as store:
        fill(store, records=5)
        feed = store.feed(FEED)
    before = everything(tmp_path / "s")
    index, _ = chunk.chunk_paths(feed, 1, Location.DISK)
    for path, at in ((index, 3), (feed.directory / "feed.bin", layout.PAGE + 2)):
        content = bytearray(path.read_bytes())
        content[at] ^= 0x20
        path.write_bytes(content)
    with Store.open(tmp_path / "s", writable=True) as store:
        said = [str(action) for action in repair(store.feed(FEED))]
    assert any("stream 0: its name is lost" in text and text.endswith("as its chunks say") for text in said)
    assert everything(tmp_path / "s") == before


def test_a_running_writer_is_no_finding(tmp_path):
    for live in ("disk", "shm"):
        with Store.create(tmp_path / live) as store:
            assert [store.next_session(), store.next_session()] == [1, 2]
            fill(store, records=100)
            writer = store.writer(FEED, live=live, chunk_bytes=8192)
            for number in range(300):
                writer.append(NOON + 200 * SECOND + number, Kind.DATA, writer.stream("depth"), 0, b"x" * 50)
            writer.prepare()
            checked = verify(tmp_path / live)
            assert (checked.findings, checked.records) == ([], 401)
            with pytest.raises(FeedLocked):
                repair(store.feed(FEED))
            with pytest.raises(FeedLocked):
                repair(store.feed(FEED), dry_run=True)
            with pytest.raises(FeedLocked):
                store.remove(FEED)
            writer.close()
            assert verify(tmp_path / live).findings == []


KILLED = """
import os, signal, sys
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store:
    writer = store.writer("sim/ALPHA_USDT", chunk_bytes=8192, live=sys.argv[2])
    for number in range(500):
        writer.append(1_700_049_600_000_000_000 + number, 1, writer.stream("depth"), 0, b"%d-" % number * 10)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path: Path, live: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), live], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("live", ["disk", "shm"])
def test_what_a_dead_writer_left_is_closed(tmp_path, live):
    path = tmp_path / "s"
    killed(path, live)
    before = everything(path)
    assert {finding.what for finding in verify(path).findings} == {FlawKind.UNFINISHED}
    with Store.open(path) as store:
        feed = store.feed(FEED)
        assert repair(feed, dry_run=True) == repair(feed)
        last = store.reader(FEED).chunks()[-1]
    assert (last.state, last.location) == (ChunkState.CLOSED, Location.DISK)
    assert last.flags == ChunkFlag.ORDERED | ChunkFlag.UNCLEAN
    assert everything(path) == before
    assert verify(path).findings == []


@pytest.mark.parametrize("rebooted", [True, False])
def test_shared_memory_that_is_gone(tmp_path, monkeypatch, rebooted):
    path = tmp_path / "s"
    killed(path, "shm")
    with Store.open(path) as store:
        feed = store.feed(FEED)
        infos = store.reader(FEED).chunks()
    shutil.rmtree(layout.shm_directory(feed.store_id, feed.feed_id).parent)
    if rebooted:
        monkeypatch.setattr(files, "boot_id", lambda: b"another boot id.")
    (missing, *_) = verify(path).findings
    assert missing.what == FlawKind.MISSING
    assert ("went with a boot" in missing.found) == rebooted
    assert ("--ipc=host" in missing.todo) != rebooted
    (first, *_) = repair(feed)
    assert first.left != rebooted
    if not rebooted:  # it may be there and only not be seen from here
        with Store.open(path) as store, pytest.raises(ChunkUnavailable):
            everything(path)
        repair(feed, gone=True)
    notes = lost_notes(everything(path))
    assert [note["rows"] for note in notes] == [
        info.rows if info.state == ChunkState.CLOSED else None for info in infos
    ]
    assert verify(path).findings == []
    with Store.create(path) as store:
        fill(store, records=10, start=NOON + DAY // 4)  # and a reader reads on past it
    assert [record[1] for record in everything(path).values()][len(notes) :] == [Kind.DATA] * 10 + [Kind.END]


def test_a_torn_tail_is_cut_and_named(tmp_path):
    path = tmp_path / "s"
    with Store.create(path) as store:
        store.next_session()
        store.next_session()
        fill(store, records=120)
        feed = store.feed(FEED)
        info = store.reader(FEED).chunks()[-1]
    before = everything(path)
    index, _ = chunk.chunk_paths(feed, info.chunk_id, Location.DISK)
    content = bytearray(index.read_bytes())
    content[layout.PAGE + 9 * 32 : layout.PAGE + info.rows * 32] = bytes((info.rows - 9) * 32)
    index.write_bytes(content)
    repair(feed)
    after = everything(path)
    (note,) = lost_notes(after)
    at = (info.chunk_id << 32) | 9
    assert (note["rows"], note["chunk"], note["row"]) == (info.rows - 9, info.chunk_id, 9)
    assert after[at][1:3] == (Kind.NOTE, "session")
    assert after == {position: record for position, record in before.items() if position < at} | {at: after[at]}
    assert (feed.directory / "live").is_dir()
    (kept,) = feed.directory.glob(f"repaired/*/live/{index.name}")
    assert kept.read_bytes() == bytes(content)
    said = json.loads((kept.parent.parent / "note.json").read_text())
    assert said["actions"][0]["lost"] == info.rows - 9


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_repair_cut_short_is_finished_by_the_next(scratch, monkeypatch, steps):
    before = everything(scratch)
    with Store.open(scratch) as store:
        feed = store.feed(FEED)
    disk = [name for name, _ in used_bytes(scratch) if name.suffix in (".idx", ".dat", ".parquet")]
    for file in disk[:2] + disk[-1:]:
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 4
        content[layout.PAGE - 100 if file.suffix == ".idx" else 50] ^= 4
        file.write_bytes(content)
    made = repair_module.plan(feed)
    left = steps

    class Cut(Exception):
        pass

    def cut(*arguments, real=repair_module.plan, **more):
        plan = real(*arguments, **more)
        plan.steps = [counting(step) for step in plan.steps]
        return plan

    def counting(step):
        def run(quarantine):
            nonlocal left
            left -= 1
            if not left:
                raise Cut
            step(quarantine)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(repair_module, "plan", cut)
        if steps <= len(made.steps):
            with pytest.raises(Cut):
                repair(feed)
        else:
            repair(feed)
    repair(feed)
    check_repaired(scratch, before)


def test_records_behind_the_count_are_found_again(scratch):
    before = everything(scratch)
    with Store.open(scratch) as store:
        feed, info = store.feed(FEED), store.reader(FEED).chunks()[-1]
    index, _ = chunk.chunk_paths(feed, info.chunk_id, Location.DISK)
    content = bytearray(index.read_bytes())
    content[layout.COMMITTED_AT] = 1
    index.write_bytes(content)
    slots = bytearray((feed.directory / "feed.bin").read_bytes())
    slots[layout.COMMITTED_AT] -= 1  # and its entry is behind the count of chunks
    (feed.directory / "feed.bin").write_bytes(slots)
    assert {finding.what for finding in verify(scratch).findings} >= {FlawKind.COUNT}
    repair(feed)
    assert everything(scratch) == before
    assert verify(scratch).findings == []


def test_orphans_with_records_are_entered_and_others_put_aside(scratch):
    before = everything(scratch)
    with Store.open(scratch) as store:
        feed = store.feed(FEED)
    (feed.directory / "live" / "00000099.idx").write_bytes(bytes(8192))
    (feed.directory / "live" / "00000098.dat").write_bytes(b"payload")
    (feed.directory / "live" / ".00000097.idx.4711").write_bytes(b"half")
    (feed.directory / "live" / "notes.txt").write_text("mine")
    found = {(finding.what, Path(finding.where).name) for finding in verify(scratch).findings}
    assert found == {
        (FlawKind.ORPHAN, "00000099.idx"), (FlawKind.ORPHAN, "00000098.dat"),
        (FlawKind.UNFINISHED, ".00000097.idx.4711"), (FlawKind.FOREIGN, "notes.txt"),
    }  # fmt: skip
    repair(feed)
    assert [finding.what for finding in verify(scratch).findings] == [FlawKind.FOREIGN]  # not ours to touch
    assert (feed.directory / "live" / "notes.txt").read_text() == "mine"
    aside = {one.name for one in feed.directory.glob("repaired/*/live/*")}
    assert aside == {"00000099.idx", "00000098.dat", ".00000097.idx.4711"}
    assert everything(scratch) == before


def test_a_cursor_that_points_nowhere(scratch):
    with Store.open(scratch) as store:
        feed, last = store.feed(FEED), store.reader(FEED).chunks()[-1]
        with store.cursor(FEED, "beyond") as cursor:
            cursor.commit((last.chunk_id << 32) | last.rows)
            assert verify(scratch).findings == []  # behind the last record is where it belongs
            cursor.commit((last.chunk_id << 32) | last.rows + 1)
        with store.cursor(FEED, "lost") as cursor:
            cursor.commit(77 << 32)
    (feed.directory / "cursors" / "broken").write_bytes(b"x" * 8192)
    found = [(finding.what, Path(finding.where).name) for finding in verify(scratch).findings]
    assert found == [(FlawKind.CURSOR, "beyond"), (FlawKind.CURSOR, "broken"), (FlawKind.CURSOR, "lost")]
    repair(feed)
    assert verify(scratch).findings == []
    with Store.open(scratch) as store:
        end = (last.chunk_id << 32) | last.rows
        assert {info.name: info.position for info in store.cursors(FEED)} == {"beyond": end, "lost": end, "sink": end}


def test_a_chunk_of_another_feed_is_not_taken_for_ours(scratch):
    with Store.open(scratch) as store:
        feed, other = store.feed(FEED), store.feed(OTHER)
        last = store.reader(FEED).chunks()[-1]
    for mine, theirs in zip(
        chunk.chunk_paths(feed, last.chunk_id, Location.DISK), chunk.chunk_paths(other, 1, Location.DISK), strict=True
    ):
        shutil.copyfile(theirs, mine)
    assert FlawKind.HEADER in {finding.what for finding in verify(scratch).findings}
    assert repair(feed)[0].left
    repair(feed, gone=True)
    (note,) = lost_notes(everything(scratch))
    assert note["rows"] == last.rows
    assert verify(scratch).findings == []


def test_a_session_number_is_never_given_twice(scratch):
    content = bytearray((scratch / "registry.bin").read_bytes())
    content[layout.NEXT_SESSION_AT] = 1
    (scratch / "registry.bin").write_bytes(content)
    assert [finding.what for finding in verify(scratch).findings] == [FlawKind.FIGURES]
    rebuild(scratch)
    with Store.create(scratch) as store:
        assert store.next_session() == 2


def test_no_registry_is_replaced_under_a_writer(scratch):
    with Store.create(scratch) as store, store.writer(OTHER) as writer:
        writer.append(NOON + DAY, Kind.DATA, writer.stream("depth"), 0, b"x")
        (scratch / "registry.bin").unlink()
        with pytest.raises(FeedLocked, match="sim/BRAVO_USDT is being written"):
            rebuild(scratch)
    rebuild(scratch)
    assert verify(scratch).findings == []


def test_a_removed_feed_is_in_the_trash_and_can_come_back(scratch):
    before = everything(scratch)
    with Store.open(scratch, writable=True) as store:
        directory = store.feed(FEED).directory
        trashed = store.remove(FEED, ManualClock(NOON))
        assert trashed == scratch / "trash" / "sim-ALPHA_USDT-20231115T120000Z"
        assert [feed.name for feed in store.feeds()] == [OTHER]
        assert not directory.exists()
        assert verify(scratch).findings == []
        assert rebuild(scratch) == []
        trashed.rename(directory)
    assert [finding.what for finding in verify(scratch).findings] == [FlawKind.ORPHAN]
    rebuild(scratch)
    assert everything(scratch) == before
    assert verify(scratch).findings == []


def test_a_device_that_refuses_to_read_is_said_and_left(scratch, monkeypatch):
    from mdtool.storage.doctor import chunk_evidence

    monkeypatch.setattr(chunk_evidence, "probe", lambda path, size: "Input/output error at byte 4,096")
    findings = verify(scratch).findings
    assert {finding.what for finding in findings} == {FlawKind.UNREADABLE}
    with Store.open(scratch) as store:
        assert all(action.left for action in repair(store.feed(FEED), gone=True))


def test_no_file_that_is_none_stops_it(scratch):
    with Store.open(scratch) as store:
        feed, last = store.feed(FEED), store.reader(FEED).chunks()[-1]
    index, heap = chunk.chunk_paths(feed, last.chunk_id, Location.DISK)
    index.unlink()
    os.mkfifo(index)  # opening it would wait for ever
    heap.unlink()
    heap.mkdir()
    (feed.directory / "live" / "00000077.idx").symlink_to("/etc/passwd")
    assert len(verify(scratch).findings) >= 3
    assert all(action.left for action in repair(feed))


RACING = """
import sys
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.storage.store import Store
with Store.create(sys.argv[1]) as store:
    for number in range(12):
        with store.writer("sim/ALPHA_USDT", chunk_bytes=16384, live=("shm", "disk")[number % 2]) as writer:
            for turn in range(10):
                session = store.next_session()
                for n in range(100):
                    at = 1_700_049_600_000_000_000 + number * 100_000 + turn * 1000 + n
                    writer.append(at, 1, writer.stream(f"s{number}"), session, b"x" * 150)
                writer.prepare()
                writer.sync()
        if number % 4 == 3:
            seal_feed(store.feed("sim/ALPHA_USDT"), 1 << 62, everything=True)
"""


def test_a_store_at_work_has_no_findings(tmp_path):
    path = tmp_path / "s"
    with subprocess.Popen([sys.executable, "-c", RACING, str(path)]) as child:
        while child.poll() is None:
            if (path / "registry.bin").exists():
                assert verify(path).findings == []
    checked = verify(path)
    assert (child.returncode, checked.records, checked.findings) == (0, 12_000, [])


@pytest.mark.parametrize("whole", [True, False])
def test_a_copy_out_of_shared_memory_whose_entry_was_not_renewed_is_taken_for_what_it_has(tmp_path, whole):
    """The power went between the copy and its entry: nothing is lost with the memory but what the copy lacks."""
    with Store.create(tmp_path / "store") as store:
        with store.writer(FEED, live="shm", clock=ManualClock(NOON)) as writer:
            for number in range(10):
                writer.append(NOON + number, Kind.DATA, writer.stream("d"), 1, b"%d" % number)
        feed = store.feed(FEED)
        registry = FeedRegistry(feed.directory / "feed.bin", writable=True)
        registry.update_chunk(0, {"location": Location.SHM, "boot": b"\1" * 16})
        registry.close()
        if not whole:
            heap = feed.directory / "live" / "00000001.dat"
            heap.write_bytes(b"!" + heap.read_bytes()[1:])
        assert [action.lost for action in repair(feed)] == [0 if whole else 1]
        assert repair(feed) == []
        payloads = [record.payload for record in store.reader(FEED).records()]
        assert payloads[1:] == [b"%d" % number for number in range(1, 10)]
        assert (payloads[0] == b"0") is whole


def test_an_archive_nothing_can_be_kept_in_is_refused_and_changes_nothing(scratch):
    with Store.open(scratch, writable=True) as store:
        with pytest.raises(UsageError, match=r"archive 'ftp://x/y': expected a directory, or a URI of one of file, s3"):
            store.set(FEED, archive="ftp://x/y", keep_last=9)
        assert (store.feed(FEED).archive, store.feed(FEED).keep_last) == ("", 0)
