"""Rows made of a part's columns get the CRCs an appender gives; a table's torn slot is found wherever it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.kernel.journal import Journal, crc32c, fill_crcs, first_torn
from mdtool.storage.format import layout


def plain_crc(row, payload):
    bare = row.copy()
    bare["crc32c"] = 0
    return crc32c(bare.tobytes() + payload)


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(0, 100), st.integers(0, 1 << 40))
def test_filled_rows_are_those_of_a_journal(payloads, before, start):
    rows = np.zeros(len(payloads), layout.ROW)
    heap = bytes(before) + b"".join(payloads)
    at = start + before
    for number, payload in enumerate(payloads):
        rows[number] = (number, at, len(payload), 0xFFFFFFFF, 3, 1, 2, number)
        at += len(payload)
    fill_crcs(rows, heap, start)
    assert rows["crc32c"].tolist() == [plain_crc(rows[n], payload) for n, payload in enumerate(payloads)]
    rows["offset"] -= np.uint64(start)
    fill_crcs(rows, heap)
    journal = Journal(rows, heap, 0, False)
    assert journal.check(0, len(payloads)) is None
    assert [record.payload for record in journal.records(0, len(payloads))] == payloads


@pytest.mark.parametrize(("offset", "length", "start"), [(0, 4, 0), (3, 1, 0), (2**64 - 1, 2, 0), (5, 1, 6), (9, 1, 6)])
def test_a_payload_outside_its_heap_is_refused(offset, length, start):
    rows = np.zeros(2, layout.ROW)
    rows[1]["offset"], rows[1]["length"] = offset, length
    rows[0]["offset"] = start
    with pytest.raises(IndexError, match="row 1 lies outside a heap of 3 bytes"):
        fill_crcs(rows, b"abc", start)


@given(st.integers(0, 30), st.data())
def test_the_first_torn_slot(count, data):
    slots = bytearray(b"".join(layout.sealed(layout.CHUNK_SLOT, chunk_id=number) for number in range(count)))
    size = layout.CHUNK_SLOT.itemsize
    assert first_torn(slots, size) is None
    if count:
        torn = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
        for number in torn:
            slots[number * size + data.draw(st.integers(0, size - 1))] ^= data.draw(st.integers(1, 255))
        assert first_torn(slots, size) == torn[0]


def test_bytes_that_are_no_slots_are_refused():
    for size in (0, 3, 7):
        with pytest.raises(ValueError, match="are no slots"):
            first_torn(bytes(8), size)
