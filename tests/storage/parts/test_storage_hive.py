"""The parts of a store are a folder that other tools take as it is; parts of before are read where and as they were."""

from __future__ import annotations

import json

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from mdtool.clock import DAY, SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.parts import part, part_writer
from mdtool.storage.parts.archive import own_place
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute
from mdtool.storage.upkeep.retention import RetentionLimits, plan
from mdtool.storage.upkeep.sealing import seal_feed

NOON = 1_700_049_600 * SECOND
FEEDS = ("binance/ETH_USDT", "bybit/ETH_USDT", "bybit/_session")
LATER = NOON + 9 * DAY


def record(store, days=2):
    """Two records a day in each feed, times to the ns; what a tool should see of them."""
    rows = []
    for name in FEEDS:
        with store.writer(name, clock=ManualClock(NOON), sync="none") as writer:
            for number in range(2 * days):
                recv_ns = NOON + number // 2 * DAY + number % 2 * 1_234_567_890 + 1
                writer.append(recv_ns, Kind.DATA, writer.stream("d"), 0, b"%s %d" % (name.encode(), number))
                day = f"2023-11-{15 + number // 2}"
                rows.append((*name.split("/"), day, recv_ns, f"{name} {number}".encode()))
    return sorted(rows)


def seal(store):
    for feed in store.feeds():
        report = seal_feed(feed, LATER)
        assert (report.error, report.foreign) == (None, ())


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


COLUMNS = ("venue", "symbol", "date", "recv_ns", "payload")


def by_duckdb(folder):
    with duckdb.connect() as db:
        wanted = "venue, symbol, date::varchar, epoch_ns(recv_ns), payload"
        return db.sql(f"select {wanted} from read_parquet('{folder}/**/*.parquet', hive_partitioning=true)").fetchall()


def by_polars(folder):
    frame = polars.scan_parquet(folder, hive_partitioning=True).select(COLUMNS)
    return frame.with_columns(polars.col("date").cast(str), polars.col("recv_ns").dt.epoch("ns")).collect().rows()


def by_pandas(folder):
    frame = pandas.read_parquet(folder, columns=list(COLUMNS))
    assert str(frame["recv_ns"].dtype) == "datetime64[ns, UTC]"
    rows = frame.astype({"venue": str, "symbol": str, "date": str}).itertuples(index=False)
    return [(row.venue, row.symbol, row.date, row.recv_ns.value, row.payload) for row in rows]


def by_pyarrow(folder):
    table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=list(COLUMNS))
    table = table.set_column(3, "recv_ns", table["recv_ns"].cast(pa.int64()))
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pandas, by_pyarrow])
def test_the_folder_of_a_whole_store_is_read_as_it_is(store, read):
    rows = record(store)
    seal(store)
    folder = store.path / "parts"
    # What a run that died leaves, and what retention has put away, is not in the reader's way.
    (store.feed(FEEDS[0]).directory / ".000003.sealing").write_bytes(b"PAR1")
    assert sorted(read(folder)) == rows
    list(execute(plan(store.feeds(), RetentionLimits(older_than_ns=8 * DAY), LATER)))
    assert sorted(read(folder)) == [row for row in rows if row[2] == "2023-11-16"]


def test_times_are_timestamps_and_the_numbers_have_a_legend(store):
    record(store, days=1)
    seal(store)
    (where, *_) = sorted(store.path.rglob("*.parquet"))
    schema = pq.read_schema(where)
    assert {schema.field(name).type for name in ("recv_ns", "venue_ns")} == {pa.timestamp("ns", tz="UTC")}
    assert json.loads(schema.metadata[b"mdtool.legend"]) == {
        "kind": {"1": "DATA", "2": "SENT", "3": "OPEN", "4": "CLOSE", "5": "REQUEST", "6": "RESPONSE", "7": "NOTE",
                 "8": "END"},
        "flags": {"1": "BINARY", "2": "FAILED", "4": "IMPORTED"},
        "verdict": {"1": "APPLY", "2": "STALE", "3": "GAP", "4": "RESET", "5": "KEEPALIVE", "6": "OUT_OF_ORDER",
                    "7": "UNVERIFIABLE"},
    }  # fmt: skip


def as_before(store, monkeypatch):
    """Seal as before there was a folder of parts, with times as plain numbers."""
    fields = [field.with_type(pa.int64()) if field.type == part.TIME else field for field in part.SCHEMA]
    with monkeypatch.context() as patched:
        for module in (part, part_writer):
            patched.setattr(module, "SCHEMA", pa.schema(fields))
        seal(store)
    for feed in store.feeds():
        own_place(feed).gather()
    assert not list((store.path / "parts").rglob("*.parquet"))
    assert len(list(store.path.glob("feeds/*/*/date=*/*.parquet"))) == 2 * len(FEEDS)


def read(store):
    found = []
    for feed in store.feeds():
        with store.reader(feed.name) as reader:
            found += [(record.recv_ns, record.payload) for record in reader.records()]
    return found


def test_a_store_of_before_is_read_checked_sealed_on_and_cleaned(store, monkeypatch):
    rows = record(store)
    as_before(store, monkeypatch)
    assert read(store) == [row[3:] for row in rows]
    name = FEEDS[0]
    with store.reader(name) as reader:
        reader.seek(NOON + DAY)
        assert next(reader.records()).payload == f"{name} 2".encode()
    with store.writer(name, clock=ManualClock(NOON + 3 * DAY), sync="none") as writer:
        writer.append(NOON + 3 * DAY, Kind.DATA, writer.stream("d"), 0, b"new")
    before = read(store)
    seal(store)
    assert [path.name for path in (store.path / "parts").rglob("*.parquet")] == ["000003.parquet"]
    assert read(store) == before
    assert verify(store.path).findings == []
    assert all(repair(feed) == [] for feed in store.feeds())
    list(execute(plan(store.feeds(), RetentionLimits(older_than_ns=1), LATER)))
    assert (read(store), list(store.path.rglob("*.parquet"))) == ([], [])


def test_a_removed_feed_takes_its_parts_along_and_can_come_back(store):
    rows = record(store)
    seal(store)
    name = FEEDS[0]
    directory = store.feed(name).directory
    trashed = store.remove(name)
    assert sorted(path.relative_to(trashed).as_posix() for path in trashed.rglob("*.parquet")) == [
        "date=2023-11-15/000001.parquet", "date=2023-11-16/000002.parquet",
    ]  # fmt: skip
    assert not list((store.path / "parts" / "venue=binance").rglob("*.parquet"))
    assert verify(store.path).findings == []
    trashed.rename(directory)
    rebuild(store.path)
    assert read(store) == [row[3:] for row in rows]
    assert verify(store.path).findings == []


def test_a_feed_that_is_removed_and_begun_anew_has_nothing_of_the_other(store):
    rows = record(store)
    seal(store)
    store.remove(FEEDS[0])
    with store.writer(FEEDS[0], clock=ManualClock(NOON)) as writer:
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"another")
    seal(store)
    assert read(store) == [(NOON, b"another"), *(row[3:] for row in rows if row[0] != "binance")]
    assert verify(store.path).findings == []


def test_parts_of_no_feed_are_named(store):
    record(store)
    seal(store)
    stray = store.path / "parts" / "venue=okx"
    for symbol in (stray / "symbol=X", stray.with_name("venue=bybit") / "symbol=X"):
        symbol.mkdir(parents=True)
        assert verify(store.path).findings == []  # nothing is nobody's
    for symbol in (stray / "symbol=X", stray.with_name("venue=bybit") / "symbol=X"):
        (symbol / "000001.parquet").write_bytes(b"")
    assert [(one.where, one.found) for one in verify(store.path).findings] == [
        (str(stray.with_name("venue=bybit") / "symbol=X"), "parts of no feed"), (str(stray), "parts of no feed"),
    ]  # fmt: skip
