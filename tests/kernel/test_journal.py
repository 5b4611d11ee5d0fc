"""The compiled journal against a plain-Python one, known CRC vectors, and hostile bytes."""

from __future__ import annotations

import gc
import mmap
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_reference import COMMITTED_AT, HEADER, ROW, TIMES_AT, ReferenceAppender, read
from journal_reference import crc32c as crc32c_reference

from mdtool.kernel import journal
from mdtool.storage.format import layout

# RFC 3720, appendix B.4 (iSCSI), and the check value of the CRC catalogue.
VECTORS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]

record = st.tuples(
    st.integers(-(2**62), 2**62),
    st.integers(0, 255),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300),
    st.integers(0, 255),
)


def appender(index: bytearray | mmap.mmap, heap: bytearray | mmap.mmap) -> journal.Appender:
    def no_room(recv_ns: int, length: int) -> None:
        raise BufferError(f"no room at {recv_ns} for {length}")

    fresh = journal.Appender(no_room)
    fresh.attach(index, heap, -(2**63), 2**63 - 1)
    fresh.allow((len(index) - HEADER) // ROW.size, len(heap))
    return fresh


def fields(found: journal.Record) -> tuple[int, int, int, int, int, bytes]:
    return found.recv_ns, found.kind, found.stream, found.session, found.flags, found.payload


@pytest.mark.parametrize("crc", [journal.crc32c, journal.crc32c_software, crc32c_reference])
def test_crc_of_known_vectors(crc):
    assert [crc(data) for data, _ in VECTORS] == [expected for _, expected in VECTORS]


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_crc_hardware_software_and_definition_agree_and_continue(first, second):
    whole = crc32c_reference(first + second)
    assert journal.crc32c(first + second) == journal.crc32c_software(first + second) == whole
    assert journal.crc32c(second, journal.crc32c(first)) == whole
    assert journal.crc32c_software(second, journal.crc32c_software(first)) == whole


def test_the_kernel_and_the_layout_mean_the_same_bytes():
    assert journal.ROW_SIZE == layout.ROW.itemsize == ROW.size
    assert journal.HEADER_SIZE == layout.PAGE == HEADER
    assert journal.COMMITTED_OFFSET == layout.COMMITTED_AT == COMMITTED_AT
    assert journal.TIMES_OFFSET == layout.TIMES_AT == TIMES_AT


@given(st.lists(record, max_size=20))
def test_append_writes_and_reads_what_the_reference_does(records):
    index, heap = bytearray(HEADER + 32 * ROW.size), bytearray(8192)
    expected_index, expected_heap = bytearray(len(index)), bytearray(len(heap))
    writer, reference = appender(index, heap), ReferenceAppender(expected_index, expected_heap)
    for recv_ns, kind, stream, session, payload, flags in records:
        writer.append(recv_ns, kind, stream, session, payload, flags)
        reference.append(recv_ns, kind, stream, session, payload, flags)
    times = [one[0] for one in records]
    assert (writer.count_committed, writer.heap_used) == (len(records), reference.used)
    assert writer.time_range == ((min(times), max(times)) if times else (0, 0))
    assert writer.ordered == (times == sorted(times))
    writer.detach()
    assert index == expected_index
    assert heap == expected_heap
    found = journal.Journal(bytes(index), bytes(heap))
    assert [fields(one) for one in found.records(0, found.committed)] == read(index, heap)
    assert found.check(0, found.committed) is None


@settings(max_examples=200)
@given(st.lists(record, min_size=1, max_size=6), st.data())
def test_one_flipped_bit_in_a_row_or_payload_is_found_where_it_is(records, data):
    index, heap = bytearray(HEADER + 16 * ROW.size), bytearray(4096)
    writer = appender(index, heap)
    for recv_ns, kind, stream, session, payload, flags in records:
        writer.append(recv_ns, kind, stream, session, payload, flags)
    used = writer.heap_used
    writer.detach()
    bit = data.draw(st.integers(0, (len(records) * ROW.size + used) * 8 - 1))
    byte = bit // 8
    if byte < len(records) * ROW.size:
        index[HEADER + byte] ^= 1 << bit % 8
        damaged = byte // ROW.size
    else:
        at = byte - len(records) * ROW.size
        heap[at] ^= 1 << bit % 8
        ends, end = [], 0
        for one in records:
            end += len(one[4])
            ends.append(end)
        damaged = next(number for number, end in enumerate(ends) if at < end)
    found = journal.Journal(bytes(index), bytes(heap))
    assert found.check(0, len(records)) == damaged
    cursor = found.records(0, len(records))
    with pytest.raises(journal.CrcError) as error:
        list(cursor)
    assert (error.value.row, cursor.next_row) == (damaged, damaged)


@given(st.binary(max_size=5 * ROW.size), st.binary(max_size=64), st.integers(0, 2**64 - 1))
def test_arbitrary_bytes_never_lead_outside_the_buffers(rows, heap, committed):
    hostile = bytearray(HEADER) + rows
    hostile[COMMITTED_AT : COMMITTED_AT + 8] = committed.to_bytes(8, "little")
    found = journal.Journal(bytes(hostile), heap)
    assert found.committed <= len(rows) // ROW.size
    for number in range(found.committed):
        try:
            assert len(found.record(number, verify=False).payload) <= len(heap)
        except journal.CrcError:
            pass  # outside the heap: refused
    with pytest.raises(IndexError):
        found.record(found.committed)


def test_make_room_is_asked_when_rows_bytes_or_the_day_run_out():
    index, heap = bytearray(HEADER + 3 * ROW.size), bytearray(100)
    asked: list[tuple[int, int]] = []
    writer = journal.Appender(lambda recv_ns, length: asked.append((recv_ns, length)))
    with pytest.raises(RuntimeError, match="made no room"):
        writer.append(5, 1, 0, 0, b"nothing attached")
    writer.attach(index, heap, 0, 1000)
    writer.allow(3, 10)
    writer.append(5, 1, 0, 0, b"12345")
    with pytest.raises(RuntimeError):
        writer.append(6, 1, 0, 0, b"123456")  # 11 bytes of 10
    writer.append(7, 1, 0, 0, b"12345")
    for recv_ns in (-1, 1000):
        with pytest.raises(RuntimeError):
            writer.append(recv_ns, 1, 0, 0, b"")
    writer.append(999, 1, 0, 0, b"")
    with pytest.raises(RuntimeError):
        writer.append(999, 1, 0, 0, b"")  # the fourth row of three
    assert asked == [(5, 16), (6, 6), (-1, 0), (1000, 0), (999, 0)]
    assert writer.count_committed == 3
    with pytest.raises(ValueError, match="more room"):
        writer.allow(4, 10)
    with pytest.raises(ValueError, match="more room"):
        writer.allow(3, 101)


def test_a_failing_make_room_loses_only_the_record_it_was_asked_for():
    index, heap = bytearray(HEADER + 8 * ROW.size), bytearray(8)
    writer = appender(index, heap)
    writer.append(1, 1, 0, 0, b"1234")
    with pytest.raises(BufferError, match="no room at 2 for 5"):
        writer.append(2, 1, 0, 0, b"12345")
    writer.append(3, 1, 0, 0, memoryview(b"abcd"))
    writer.detach()
    assert [one[-1] for one in read(index, heap)] == [b"1234", b"abcd"]


def test_a_record_outlives_its_reader_and_its_mapping_s_name(tmp_path):
    path = tmp_path / "index"
    path.write_bytes(bytes(HEADER + ROW.size))
    heap = bytearray(16)
    with path.open("r+b") as file:
        index = mmap.mmap(file.fileno(), 0)
    writer = appender(index, heap)
    writer.append(1, 1, 2, 3, b"kept")
    found = journal.Journal(index, heap).record(0)
    path.unlink()
    writer.detach()
    del writer, index, heap
    gc.collect()
    assert (found.payload, found.position) == (b"kept", 0)


def test_release_and_acquire_refuse_what_is_not_an_aligned_word():
    buffer = mmap.mmap(-1, 4096)
    journal.store_release(buffer, 256, 2**64 - 1)
    assert journal.load_acquire(buffer, 256) == 2**64 - 1
    for offset, error in ((-8, IndexError), (4089, IndexError), (3, ValueError)):
        with pytest.raises(error):
            journal.store_release(buffer, offset, 1)
        with pytest.raises(error):
            journal.load_acquire(buffer, offset)


def test_take_goes_on_with_what_is_committed_since_and_drops_nothing_before_damage():
    index, heap = bytearray(HEADER + 8 * ROW.size), bytearray(80)
    writer = appender(index, heap)
    found = journal.Journal(index, heap)
    cursor = found.records(0, 0)
    assert cursor.take(10) == []
    for number in range(5):
        writer.append(number, 1, 2, 3, b"%d" % number, 4)
    assert [one.payload for one in cursor.take(2)] == [b"0", b"1"]
    assert [one.payload for one in cursor.take(0)] == []
    heap[4] ^= 1
    assert [one.payload for one in cursor.take(10)] == [b"2", b"3"]
    for _ in range(2):
        with pytest.raises(journal.CrcError) as error:
            cursor.take(10)
        assert (error.value.row, cursor.next_row) == (4, 4)
    heap[4] ^= 1
    (last,) = cursor.take(10)
    assert (last.payload, cursor.next_row, list(cursor)) == (b"4", 5, [])
    assert last.tag == 3 << 32 | 4 << 24 | 1 << 16 | 2
    writer.detach()


def test_a_word_follows_what_is_published():
    buffer = mmap.mmap(-1, 4096)
    word = journal.Word(buffer, 256)
    journal.store_release(buffer, 256, 2**63 + 1)
    assert word.value == 2**63 + 1
    with pytest.raises(IndexError):
        journal.Word(buffer, 4096)
    with pytest.raises(ValueError, match="aligned"):
        journal.Word(buffer, 1)


def test_the_time_to_the_commit_is_measured() -> None:
    """One append of `SAMPLED_OF` is counted, under the power of two of its nanoseconds."""
    index, heap = bytearray(journal.HEADER_SIZE + 32 * 1000), bytearray(100_000)
    histogram = np.zeros(64, "<u8")
    appender = journal.Appender(lambda recv_ns, length: None)
    appender.measure(histogram)
    appender.attach(index, heap, 0, 1 << 62)
    appender.allow(1000, 100_000)
    each = journal.SAMPLED_OF
    for _ in range(each * 3):
        appender.append(time.time_ns() - (1 << 40), 0, 0, 0, b"x")  # a bit over 18 minutes ago
    assert histogram.tolist() == [0] * 40 + [3] + [0] * 23
    for _ in range(each):
        appender.append(time.time_ns() + (1 << 50), 0, 0, 0, b"x")  # in the future: the clock was stepped back
    assert (histogram[0], int(histogram.sum())) == (1, 4)
    with pytest.raises(ValueError, match="given once"):
        appender.measure(histogram)
    with pytest.raises(ValueError, match="64 aligned words"):
        journal.Appender(lambda recv_ns, length: None).measure(bytearray(100))
