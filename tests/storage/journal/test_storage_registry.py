"""The store's registry: a feed is found by its name without reading all the others."""

from __future__ import annotations

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import FeedNotFound
from mdtool.storage.journal.table import Table
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND


@pytest.fixture
def reads(monkeypatch):
    """How many slots have been read."""
    seen = []
    read = Table.read
    monkeypatch.setattr(Table, "read", lambda table, number: seen.append(number) or read(table, number))
    return seen


def test_a_feed_is_found_by_name_with_one_look_at_each_slot(tmp_path, reads):
    with Store.create(tmp_path / "store") as store:
        for number in range(50):
            store.writer(f"sim/F{number}").close()
        names = [feed.name for feed in store.feeds()]
        with Store.open(tmp_path / "store") as other:
            reads.clear()
            assert [other.feed(name).name for name in names] == names
            assert len(reads) == 2 * 50  # once for the index, once for the feed itself
            store.writer("sim/LATER").close()
            reads.clear()
            assert other.feed("sim/LATER").feed_id == 51
            assert reads == [50, 50]


def test_opening_a_feed_again_reads_a_few_slots_however_many_there_are(tmp_path, reads):
    with Store.create(tmp_path / "store") as store:
        for number in range(50):
            store.writer(f"sim/F{number}").close()
        reads.clear()
        store.writer("sim/F7").close()
        assert len(reads) < 5


def test_a_name_that_was_removed_is_not_found_and_found_again_when_it_comes_again(tmp_path):
    clock = ManualClock(NOON)
    with Store.create(tmp_path / "store") as store, Store.open(tmp_path / "store") as other:
        store.writer("sim/A").close()
        assert other.feed("sim/A").feed_id == 1
        store.remove("sim/A", clock)
        for one in (store, other):
            with pytest.raises(FeedNotFound, match=r"has no feed 'sim/A'"):
                one.feed("sim/A")
        store.writer("sim/A").close()
        assert (store.feed("sim/A").feed_id, other.feed("sim/A").feed_id) == (2, 2)


def test_a_slot_that_is_put_right_in_place_is_not_found_by_its_old_name(tmp_path):
    with Store.create(tmp_path / "store") as store, Store.open(tmp_path / "store") as other:
        store.writer("sim/A").close()
        assert other.feed("sim/A").feed_id == 1
        store._registry.update_feed(1, {"symbol": b"B"})
        with pytest.raises(FeedNotFound):
            other.feed("sim/A")
        assert other.feed("sim/B").feed_id == 1
