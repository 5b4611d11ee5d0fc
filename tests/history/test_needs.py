"""What book updates need is kept with them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lettered import FEED, MIDNIGHT, UPDATE, fill

from mdtool.clock import DAY
from mdtool.history import needs as dependence
from mdtool.history.needs import needs
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.retention import RetentionLimits, plan


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
