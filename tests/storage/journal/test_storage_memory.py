"""What a writer and a reader have behind them takes none of their memory, and is still there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.live import LARGEST_STEP

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
MIB = 1 << 20


def resident(path: Path) -> int:
    """Bytes of a file that this process has in memory, over all its mappings of it."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = line.endswith(f" {path}")
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def payload(number: int) -> bytes:
    return b"%08d" % number * 128


@pytest.mark.parametrize("where", ["disk", "shm"])
def test_what_is_written_and_what_is_read_is_not_held(store, where):
    writer = store.writer(FEED, chunk_bytes=32 * MIB, live=where, clock=ManualClock(NOON), sync="none")
    stream, most = writer.stream("d"), 0
    for number in range(16_000):
        writer.append(NOON + number, Kind.DATA, stream, 1, payload(number))
        if number % 500 == 499:
            writer.prepare()
            index, heap = chunk_paths(store.feed(FEED), 1, store.feed(FEED).live)
            most = max(most, resident(heap))
    assert 0 < most < 4 * LARGEST_STEP  # of 16 MiB: twice what came between two calls, and a step
    assert resident(index) < 2 * LARGEST_STEP

    with store.reader(FEED) as reader:
        assert [record.payload for record in reader.records()] == [payload(number) for number in range(16_000)]
        before = resident(heap)
        assert before > 15 * MIB
        reader.release()
        assert resident(heap) <= before - 15 * MIB
        writer.append(NOON + 16_000, Kind.DATA, stream, 1, payload(16_000))
        assert [record.payload for record in reader.records()] == [payload(16_000)]
        reader.move_to(1 << 32)
        assert [record.payload for record in reader.records()] == [payload(number) for number in range(16_001)]
        reader.to_start()
        reader.release()  # nothing is read
    writer.close()
