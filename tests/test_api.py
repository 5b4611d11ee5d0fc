"""The Python API: feeds by any name the command line takes, times in any form, and nothing imported unasked."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas
import pytest

import mdtool
from mdtool.clock import SECOND, ManualClock
from mdtool.errors import FeedNotFound, MdtoolError, UsageError
from mdtool.storage.upkeep.sealing import seal_feed

START = 1_760_000_000 * SECOND
NAMES = ["binance/ETH_USDT", "bybit/ETH_USDT", "sim/ALPHA_USDT"]


@pytest.fixture
def store(tmp_path):
    with mdtool.Store.create(tmp_path / "md") as made:
        for name in NAMES:
            with made.writer(name, clock=ManualClock(START)) as writer:
                for number in range(4):
                    writer.append(START + number * SECOND, mdtool.Kind.DATA, writer.stream("trade"), 1, b"%d" % number)
        yield made


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sim/ALPHA_USDT", "sim/ALPHA_USDT"),
        ("ALPHA_USDT", "sim/ALPHA_USDT"),
        ("alphausdt", "sim/ALPHA_USDT"),
        ("bybit/ETHUSDT", "bybit/ETH_USDT"),
        ("bybit/*", "bybit/ETH_USDT"),
    ],
)
def test_a_feed_is_found_by_what_the_command_line_takes(store, given, meant):
    assert given in store
    assert store.feed(given).name == meant
    with store.reader(given) as reader:
        assert reader.feed.name == meant
    with store.cursor(given, "c") as cursor:
        assert cursor.position == 0
    assert [cursor.name for cursor in store.cursors(meant)] == ["c"]


def test_several_and_none_are_said(store):
    assert "ETH_USDT" in store
    with pytest.raises(UsageError) as several:
        store.reader("ETH_USDT")
    assert str(several.value) == "ETH_USDT is recorded more than once; name one of binance/ETH_USDT, bybit/ETH_USDT"
    assert "BETA_USDT" not in store
    with pytest.raises(FeedNotFound):
        store.reader("BETA_USDT")
    assert store.writer("sim/ALPHAUSDT").feed.name == "sim/ALPHAUSDT"  # a new one: only a reader guesses


def test_a_store_is_its_feeds(store):
    assert [feed.name for feed in store] == NAMES
    assert list(store) == store.feeds()
    assert all(feed in store for feed in store)
    assert 7 not in store
    feed = store.feed("ALPHA_USDT")
    store.remove(feed.name)
    assert (feed in store, feed.name in store) == (False, False)


@pytest.mark.parametrize(
    "when",
    [
        START + 2 * SECOND,
        np.int64(START + 2 * SECOND),
        datetime(2025, 10, 9, 8, 53, 22, tzinfo=UTC),
        datetime(2025, 10, 9, 10, 53, 22, tzinfo=timezone(timedelta(hours=2))),
        pandas.Timestamp(START + SECOND + 1, tz="UTC"),
        "2025-10-09T08:53:22Z",
        "1760000002",
        "first+2s",
        "last-1s",
    ],
)
def test_a_time_is_given_in_any_form(store, when):
    reader = store.reader("ALPHA_USDT")
    reader.seek(when)
    assert [record.payload for record in reader.records()] == [b"2", b"3"]
    assert reader.has_data_since(when)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (datetime(2025, 10, 9, 8), r"does not say its zone; .* datetime\(2025, 10, 9, tzinfo=UTC\)"),
        ("tomorrow", "no time: 'tomorrow'"),
        (1.76e18, r"no time: 1.76e\+18 \(float\)"),
        (None, r"no time: None \(NoneType\)"),
        (1 << 63, "out of range"),
    ],
)
def test_what_is_no_time_is_refused(store, when, said):
    reader = store.reader("ALPHA_USDT")
    before = reader.position
    for ask in (reader.seek, reader.has_data_since):
        with pytest.raises(MdtoolError, match=said):
            ask(when)
    assert reader.position == before


NO_PANDAS = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            import traceback
            traceback.print_stack(file=sys.stderr)
            sys.exit("pandas was asked for")
sys.meta_path.insert(0, Finder())
import mdtool
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.storage.doctor.verify import verify
from mdtool.history.columns import decoding
from mdtool.venues import catalog
with mdtool.Store.open(sys.argv[1], writable=True) as store:
    for feed in store:
        report = seal_feed(feed, 1 << 62, decoding=decoding(catalog.get(feed.venue)), everything=True)
        assert report.error is None and len(report.parts) == 1
    for feed in store:
        with store.reader(feed.name) as reader:
            for when in ("first", reader.first_ns, "last"):
                reader.seek(when)
            reader.to_start()
            assert len(list(reader.records())) == 5
            reader.to_start()
            assert sum(len(batch.rows) for batch in reader.batches()) == 5
            reader.to_start()
            assert mdtool.FanIn([reader]).poll()
            reader.to_start()
            for _ in mdtool.Book(reader):
                pass
            reader.to_start()
            mdtool.events(reader)
            for numbers in ("mantissa", "decimal", "float"):
                for times in ("ns", "timestamp"):
                    reader.to_start()
                    tops = mdtool.Book(reader).tops(2)
                    assert tops.to_arrow(numbers=numbers, times=times).num_rows == 3
                    reader.to_start()
                    start = reader.first_ns
                    table = mdtool.Book(reader).grid(10**8, 2, start_ns=start, stop_ns=start + 10**9, numbers=numbers,
                                                     times=times)
                    assert table.num_rows == 10
    assert verify(store.path).parts == 1
assert not {"pandas"} & set(sys.modules)
"""


def test_pandas_is_not_imported_unless_asked(tmp_path):
    from test_api_examples import add_book

    with mdtool.Store.create(tmp_path / "md") as made:
        add_book(made)
    done = subprocess.run([sys.executable, "-c", NO_PANDAS, str(tmp_path / "md")], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_sealed_feed_is_found_by_time_too(store):
    assert seal_feed(store.feed("ALPHA_USDT"), 1 << 62, everything=True).error is None
    reader = store.reader("ALPHA_USDT")
    reader.seek("first+3s")
    assert [record.payload for record in reader.records()] == [b"3"]
