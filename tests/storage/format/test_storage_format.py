"""mdtool-store(5) is enough to write a reader from: this one is plain Python, knows only that page, reads the same."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.clock import SECOND
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND


# -- a reader of a chunk from the manual page, in 30 lines -----------------------------------------------------------
def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def stream_names(index: bytes) -> dict[int, str]:
    (count,), at, names = struct.unpack_from("<Q", index, 1024), 1032, {}
    for _ in range(count):
        number, length = struct.unpack_from("<HB", index, at)
        name = index[at + 3 : at + 3 + length]
        assert crc32c(index[at : at + 3 + length]) == struct.unpack_from("<I", index, at + 3 + length)[0]
        names[number], at = name.decode(), at + 7 + length
    return names


def read_chunk(index: bytes, heap: bytes):
    assert index[:8] == b"MDTCHUNK"
    assert crc32c(index[:124]) == struct.unpack_from("<I", index, 124)[0]
    names = stream_names(index)
    for number in range(struct.unpack_from("<Q", index, 256)[0]):
        row = index[4096 + 32 * number : 4128 + 32 * number]
        recv_ns, offset, length, crc, stream, kind, flags, session = struct.unpack("<qQIIHBBI", row)
        payload = heap[offset : offset + length]
        assert crc32c(row[:20] + bytes(4) + row[24:] + payload) == crc
        yield recv_ns, kind, names[stream], session, flags, payload


# ---------------------------------------------------------------------------------------------------------------------
record = st.tuples(
    st.integers(0, 10**9),
    st.integers(1, 8),
    st.sampled_from(["depth@100ms", "trade", "snapshot", "ünïcode"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 7),
    st.binary(max_size=60),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(record, max_size=20))
def test_a_reader_written_from_the_manual_page_reads_what_was_recorded(tmp_path_factory, records):
    path: Path = tmp_path_factory.mktemp("format") / "store"
    with Store.create(path) as store, store.writer("sim/ALPHA_USDT", chunk_bytes=4096, sync="none") as writer:
        for at, kind, stream, session, flags, payload in records:
            writer.append(NOON + at, kind, writer.stream(stream), session, payload, flags)
        found = []
        for index in sorted(path.glob("feeds/sim/ALPHA_USDT/live/*.idx")):
            found += read_chunk(index.read_bytes(), index.with_suffix(".dat").read_bytes())
    assert found == [
        (NOON + at, kind, stream, session, flags, payload) for at, kind, stream, session, flags, payload in records
    ]
