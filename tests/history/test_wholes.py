"""Where the whole books of a feed stand: newest first, each with the position from which reading gives it."""

from __future__ import annotations

import pytest
from lettered import FEED, MIDNIGHT, fill

from mdtool.clock import DAY
from mdtool.history.wholes import LEAD_NS, whole_books
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.store import Store
from mdtool.venues import catalog

SIM = catalog.get("sim")


@pytest.mark.parametrize("sealed", [True, False])
def test_whole_books_are_found_newest_first_and_none_that_failed(tmp_path, sealed):
    with Store.create(tmp_path / "store") as store:
        fill(store, ["su", "uf", "usu", "us"], sealed=sealed)
        with store.reader(FEED) as reader:
            chunks = [info.chunk_id for info in reader.chunks()]
            places = [
                (chunks.index(one.position >> ROW_BITS), one.position & 0xFFFF) for one in whole_books(reader, SIM)
            ]
            assert places == [(3, 1), (2, 1), (0, 0)]
            # What connects to a book that was asked for may stand before it: reading begins earlier, in its own day.
            starts = [one.start & 0xFFFF for one in whole_books(reader, SIM)]
            assert starts == [0, 0, 0]
            assert LEAD_NS < DAY
            before = chunks[2] << ROW_BITS | 1
            assert [one.position for one in whole_books(reader, SIM, before=before)] == [chunks[0] << ROW_BITS]
            until = [one.position >> ROW_BITS for one in whole_books(reader, SIM, until_ns=MIDNIGHT + 2 * DAY + 1)]
            assert until == [chunks[2], chunks[0]]
            assert [*whole_books(reader, SIM, until_ns=MIDNIGHT - 1)] == []
