"""The journal in plain Python: what mdtool/kernel/journal.pyx must agree with, byte for byte."""

from __future__ import annotations

import struct

ROW = struct.Struct("<qQIIHBBI")
HEADER = 4096
COMMITTED_AT = 256
TIMES_AT = 320


def crc32c(data: bytes, crc: int = 0) -> int:
    """Bit by bit from the definition: reflected Castagnoli polynomial, inverted before and after."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class ReferenceAppender:
    """Writes the same bytes as the compiled Appender."""

    def __init__(self, index: bytearray, heap: bytearray) -> None:
        self.index, self.heap, self.count, self.used = index, heap, 0, 0

    def append(self, recv_ns: int, kind: int, stream: int, session: int, payload: bytes, flags: int = 0) -> None:
        self.heap[self.used : self.used + len(payload)] = payload
        plain = ROW.pack(recv_ns, self.used, len(payload), 0, stream, kind, flags, session)
        row = ROW.pack(recv_ns, self.used, len(payload), crc32c(plain + payload), stream, kind, flags, session)
        at = HEADER + self.count * ROW.size
        self.index[at : at + ROW.size] = row
        self.used += len(payload)
        self.count += 1
        low, high, disordered = struct.unpack_from("<qqQ", self.index, TIMES_AT)
        if self.count == 1:
            low = high = recv_ns
        times = (min(low, recv_ns), max(high, recv_ns), disordered or recv_ns < high)
        struct.pack_into("<qqQ", self.index, TIMES_AT, *times)
        self.index[COMMITTED_AT : COMMITTED_AT + 8] = struct.pack("<Q", self.count)


def read(index: bytes, heap: bytes) -> list[tuple[int, int, int, int, int, bytes]]:
    """Every committed record as (recv_ns, kind, stream, session, flags, payload); ValueError where a CRC fails."""
    (committed,) = struct.unpack_from("<Q", index, COMMITTED_AT)
    records = []
    for number in range(committed):
        recv_ns, offset, length, crc, stream, kind, flags, session = ROW.unpack_from(index, HEADER + number * ROW.size)
        payload = bytes(heap[offset : offset + length])
        plain = ROW.pack(recv_ns, offset, length, 0, stream, kind, flags, session)
        if crc32c(plain + payload) != crc:
            raise ValueError(f"row {number}")
        records.append((recv_ns, kind, stream, session, flags, payload))
    return records
