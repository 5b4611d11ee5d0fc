"""The counters that one process writes are read by any other as they are, and nothing else is taken for them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.capture.options import FeedCounters, RecordStatus
from mdtool.errors import CorruptStore, StoreFull
from mdtool.service import page as module
from mdtool.service.page import BUCKETS, HEADER, HEADER_BYTES, SIZE, STEP, TOTALS, Page, PageReader, summed
from mdtool.storage import files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sim.page"


@pytest.fixture
def page(path):
    made = Page(path, "sim", 7, 1_000)
    yield made
    made.remove()


def status(**counters):
    made = RecordStatus()
    for name, value in counters.items():
        setattr(made, name, value)
    return made


def test_what_is_written_is_what_is_read(page, path):
    reader = PageReader(path)
    assert (reader.pid, reader.started_ns, reader.beat_ns, reader.feeds()) == (7, 1_000, 1_000, {})
    assert reader.totals() == dict.fromkeys(TOTALS, 0)
    run = status(records=2**40, payload_bytes=5, connections=1, behind=True)
    run.of("A_B").gaps = 3
    run.of("C_D").book = 2
    page.beat(run, 2_000)
    assert reader.beat_ns == 2_000
    assert reader.totals() == dict.fromkeys(TOTALS, 0) | {
        "records": 2**40,
        "payload_bytes": 5,
        "connections": 1,
        "behind": 1,
    }
    assert reader.feeds() == {"sim/A_B": asdict(FeedCounters(gaps=3)), "sim/C_D": asdict(FeedCounters(book=2))}
    run.of("A_B").snapshots = 4
    page.beat(run, 3_000)
    assert (run.changed, reader.feeds()["sim/A_B"]) == (set(), asdict(FeedCounters(gaps=3, snapshots=4)))


def test_the_histogram_is_shared(page, path):
    page.commit_ns.cast("Q")[10] += 5
    assert list(PageReader(path).commit_ns()) == [0] * 10 + [5] + [0] * (BUCKETS - 11)


def test_another_process_reads_while_this_one_writes(page, path):
    """Each number is whole: one that grows is never seen to shrink, nor beyond what was written."""
    code = (
        "import sys; from pathlib import Path; from mdtool.service.page import PageReader\n"
        "reader, before, looks = PageReader(Path(sys.argv[1])), 0, 0\n"
        "print('reading', flush=True)\n"
        "while before < 2**40:\n"
        "    now, gaps = reader.totals()['records'], reader.feeds().get('sim/A_B', {'gaps': 0})['gaps']\n"
        "    assert before <= now and now % 2**20 == 0 and gaps % 2**20 == 0, (before, now, gaps)\n"
        "    before, looks = now, looks + 1\n"
        "print(looks)\n"
    )
    reading = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert reading.stdout is not None
    assert reading.stdout.readline() == "reading\n"
    run = status()
    for number in range(1, 20_001):
        run.records = number * 2**20
        run.of("A_B").gaps = number * 2**20
        page.beat(run, number)
    run.records = 2**40
    page.beat(run, 0)
    assert int(reading.communicate()[0]) > 0
    assert reading.returncode == 0


def test_storage_is_taken_as_feeds_come(page, path):
    assert os.stat(path).st_size == SIZE
    taken = os.stat(path).st_blocks * 512
    assert taken <= 2 * HEADER_BYTES
    run = status()
    for number in range(STEP + 1):
        run.of(f"S{number}_USDT").gaps = number
    page.beat(run, 1)
    assert os.stat(path).st_blocks * 512 > taken
    assert len(PageReader(path).feeds()) == STEP + 1


def test_without_room_for_a_feed_the_rest_is_written_and_it_is_once_there_is(page, path, monkeypatch):
    def refuse(fd, start, stop, where):
        raise StoreFull("no space left")

    run = status(records=9)
    run.of("A_B").gaps = 1
    with monkeypatch.context() as patch:
        patch.setattr(files, "reserve", refuse)
        page.beat(run, 2)
    reader = PageReader(path)
    assert (reader.totals()["records"], reader.beat_ns, reader.feeds()) == (9, 2, {})
    page.beat(run, 3)
    assert reader.feeds()["sim/A_B"]["gaps"] == 1


def test_more_feeds_than_a_page_has_rows_are_left_out(page, path, monkeypatch):
    monkeypatch.setattr(module, "MOST_FEEDS", 2)
    run = status()
    for symbol in ("A_B", "C_D", "E_F"):
        run.of(symbol).gaps = 1
    page.beat(run, 2)
    assert len(PageReader(path).feeds()) == 2


def test_a_new_one_takes_the_place_of_an_old_one_whose_readers_keep_it(page, path):
    old = PageReader(path)
    page.beat(status(records=1), 2)
    other = Page(path, "sim", 8, 5)
    assert (old.pid, old.totals()["records"], PageReader(path).pid) == (7, 1, 8)
    other.remove()
    assert not path.exists()


def test_none_is_left_where_it_has_no_room(path, monkeypatch):
    def refuse(fd, start, stop, where):
        raise StoreFull("no space left")

    monkeypatch.setattr(files, "reserve", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreFull):
        Page(path, "sim", 7, 1)
    assert not path.exists()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, expected a recorder's page"),
        (b"MDTPAGE\n", "8 bytes, expected"),
        (bytes(SIZE), "no recorder's page of version 2"),
        (
            b"MDTPAGE\n" + (3).to_bytes(4, "little") + bytes(SIZE - 12),
            "no recorder's page of version 2; use the mdtool",
        ),
    ],
)
def test_what_is_no_page_of_this_version_is_said(path, data, why):
    path.write_bytes(data)
    with pytest.raises(CorruptStore) as refused:
        PageReader(path)
    assert why in str(refused.value)


def test_what_stands_in_its_place_is_not_followed_and_not_waited_for(path, tmp_path):
    os.mkfifo(path)
    with pytest.raises(CorruptStore):
        PageReader(path)
    path.unlink()
    (tmp_path / "real").write_bytes(bytes(SIZE))
    path.symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="symbolic link"):
        PageReader(path)


@given(st.binary(min_size=HEADER.itemsize - 12, max_size=HEADER.itemsize - 12), st.binary(max_size=600))
def test_whatever_its_bytes_are_they_are_read_as_numbers_and_names(tmp_path_factory, header, rows):
    path = tmp_path_factory.mktemp("p") / "page"
    start = b"MDTPAGE\n" + (2).to_bytes(4, "little") + header
    path.write_bytes(start.ljust(HEADER_BYTES, b"\0") + rows.ljust(SIZE - HEADER_BYTES, b"\xff"))
    reader = PageReader(path)
    assert set(reader.totals()) == set(TOTALS)
    assert all(isinstance(value, int) for value in reader.totals().values())
    for name, counters in reader.feeds().items():
        assert isinstance(name, str)
        assert set(counters) == set(asdict(FeedCounters()))
    assert len(reader.commit_ns()) == BUCKETS
    assert reader.delays_ns().keys() == reader.feeds().keys()
    assert all(len(counts) == BUCKETS for counts in reader.delays_ns().values())


def test_sums():
    one, two = dict.fromkeys(TOTALS, 1), dict.fromkeys(TOTALS, 2)
    assert summed([one, two]) == dict.fromkeys(TOTALS, 3)
    assert summed([]) == dict.fromkeys(TOTALS, 0)


def test_delays_and_signs_of_life(page, path):
    status = RecordStatus()
    status.of("A_B").gaps = 1
    page.beat(status, 1_000 + 1)
    reader = PageReader(path)
    assert (reader.watched_ns, reader.delays_ns()) == (None, {"sim/A_B": (0,) * BUCKETS})
    status.signs += 1
    status.delayed("A_B", ((3, 7), (63, 1)))
    page.beat(status, 1_000 + 2)
    page.beat(status, 1_000 + 3)
    expected = (0,) * 3 + (7,) + (0,) * (BUCKETS - 5) + (1,)
    assert (reader.watched_ns, reader.delays_ns(), reader.beat_ns) == (1_000 + 2, {"sim/A_B": expected}, 1_000 + 3)
    assert reader.feeds()["sim/A_B"]["gaps"] == 1
