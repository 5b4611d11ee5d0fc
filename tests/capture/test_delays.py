"""How long updates took from the venue: counted once each, whoever dies in between, and what came early apart."""

from __future__ import annotations

import pytest

from mdtool.books.phases import BookState
from mdtool.capture.options import BUCKETS, RecordStatus
from mdtool.capture.protocol import LONGEST_LINE, MOST_GROWN, Delays, Lines, Mark, line
from mdtool.capture.watcher import Watcher
from mdtool.clock import SECOND, ManualClock
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

SIM = catalog.get("sim")
NOW = 1_700_049_600 * SECOND
MS = 1_000_000


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


def update(number, sent_ms):
    return (
        b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":%d,"s":"ALPHAUSDT","U":%d,"u":%d,'
        b'"b":[["1.5","2"]],"a":[]}}' % (sent_ms, number, number)
    )


def looked(store, mark):
    """What a watcher that begins at a mark says, at the end of what is there."""
    said = []
    watcher = Watcher(store, SIM, ("depth@100ms",), (mark,), ManualClock(NOW), said.extend)
    while watcher.look():
        pass
    said.extend(watcher.marks())
    return said


def test_each_update_is_counted_once_with_the_mark_before_which_it_was(store):
    with store.writer("sim/ALPHA_USDT", sync="none") as writer:

        def put(payload, recv_ns, kind=Kind.DATA, stream="depth@100ms"):
            writer.append(recv_ns, kind, writer.stream(stream), 1, payload, 0)

        put(b'{"lastUpdateId":6,"bids":[["1.25","2"]],"asks":[]}', NOW, Kind.RESPONSE, "snapshot")
        sent_ms = NOW // MS
        put(update(7, sent_ms), NOW)  # at once
        put(update(8, sent_ms), NOW + 3)  # 2 to 4 ns
        put(update(9, sent_ms), NOW + MS)
        put(update(10, sent_ms + 1), NOW)  # before it was sent
        said = looked(store, Mark("ALPHA_USDT", 0, 0))
        counts = [one for one in said if isinstance(one, Delays)]
        assert counts == [Delays("ALPHA_USDT", ((0, 1), (1, 1), (19, 1)), early=1)]
        at = said.index(counts[0])
        mark = said[-1]
        assert said[at + 1] == mark == Mark("ALPHA_USDT", 1 << 32, (1 << 32) + 5, book=BookState.SYNCED)
        put(update(11, sent_ms), NOW + 2 * SECOND)
        again = [one for one in looked(store, mark) if isinstance(one, Delays)]
    assert again == [Delays("ALPHA_USDT", ((30, 1),))]


def test_they_add_up():
    status = RecordStatus()
    status.delayed("A_B", ((0, 2), (63, 1)))
    status.delayed("A_B", ((63, 4),))
    assert {symbol: list(counts) for symbol, counts in status.delays.items()} == {
        "A_B": [2] + [0] * (BUCKETS - 2) + [5]
    }
    assert status.changed == {"A_B"}


HOSTILE = [
    b'{"type":"delays","symbol":"A_B","counts":[[64,1]]}',
    b'{"type":"delays","symbol":"A_B","counts":[[-1,1]]}',
    b'{"type":"delays","symbol":"A_B","counts":[[1,0]]}',
    b'{"type":"delays","symbol":"A_B","counts":[[1,%d]]}' % (MOST_GROWN + 1),
    b'{"type":"delays","symbol":"A_B","counts":[[1]]}',
    b'{"type":"delays","symbol":"A_B","counts":[],"early":-1}',
    b'{"type":"delays","symbol":"A_B","counts":[' + b",".join([b"[1,1]"] * (BUCKETS + 1)) + b"]}",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_count_is_none(hostile):
    lines = Lines()
    assert (lines.take(hostile + b"\n"), lines.unknown) == ([], 1)


def test_the_longest_fits_a_line():
    longest = Delays("A" * 90, tuple((bucket, MOST_GROWN) for bucket in range(BUCKETS)), MOST_GROWN)
    assert len(line(longest)) < LONGEST_LINE
    assert Lines().take(line(longest)) == [longest]
