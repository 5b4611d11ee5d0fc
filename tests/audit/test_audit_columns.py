"""What a sealed part says of a feed beside its bytes: a column scan proves what an audit of the payloads proves."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from mdtool.history.columns import decoding
from mdtool.interop.importer import import_files
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict

NOON = 1_700_049_600 * 10**9
LATER = 1 << 62


def depth(first, last, ms=5):
    return b'{"e":"depthUpdate","E":%d,"s":"ETHUSDT","U":%d,"u":%d,"b":[],"a":[]}' % (ms, first, last)


def trade(number):
    return b'{"e":"trade","E":7,"T":7,"s":"ETHUSDT","t":%d,"p":"1.0","q":"2","m":true}' % number


def quote(number):
    return b'{"u":%d,"s":"ETHUSDT","b":"1","B":"2","a":"3","A":"4"}' % number


BOOK = b'{"lastUpdateId":11,"bids":[],"asks":[]}'


def sealed(tmp_path, name, records):
    with Store.create(tmp_path / "store") as store:
        writer = store.writer(name, sync="none")
        for number, (stream, kind, payload, flags) in enumerate(records):
            writer.append(NOON + number, kind, writer.stream(stream), 1, payload, flags)
        writer.close()
        feed = store.feed(name)
        (part,) = seal_feed(feed, LATER, decoding=decoding(catalog.get(feed.venue))).parts
        table = pq.read_table(part.where)
        numbers = table.set_column(5, "venue_ns", table["venue_ns"].cast("int64"))
        return numbers.to_pydict()


def test_columns_of_one_feed(tmp_path):
    records = [
        ("depth@100ms", Kind.DATA, depth(10, 12), 0),
        ("depth@100ms", Kind.DATA, depth(13, 15, 6), 0),
        ("snapshot", Kind.RESPONSE, BOOK, 0),
        ("snapshot", Kind.RESPONSE, BOOK, Flag.FAILED),
        ("trade", Kind.DATA, trade(100), 0),
        ("trade", Kind.DATA, trade(102), 0),
        ("bookTicker", Kind.DATA, quote(7), 0),
        ("bookTicker", Kind.DATA, quote(6), 0),
        ("depth@100ms", Kind.DATA, depth(13, 15), 0),
        ("depth@100ms", Kind.DATA, b"not json", 0),
        ("session", Kind.NOTE, b'{"note":"x"}', 0),
        ("depth@100ms", Kind.SENT, depth(16, 17), 0),
    ]
    read = sealed(tmp_path, "binance/ETH_USDT", records)
    none = None
    ms = 10**6
    assert read["venue_ns"] == [5 * ms, 6 * ms, none, none, 7 * ms, 7 * ms, none, none, 5 * ms, none, none, none]
    assert read["first_seq"] == [10, 13, none, none, none, none, none, none, 13, none, none, none]
    assert read["last_seq"] == [12, 15, 11, none, 100, 102, none, none, 15, none, none, none]
    assert read["prev_seq"] == [9, 12, none, none, none, none, none, none, 12, none, none, none]
    verdicts = [Verdict(one).name if one else "" for one in read["verdict"]]
    assert verdicts == [
        "APPLY", "APPLY", "", "", "APPLY", "GAP", "APPLY", "OUT_OF_ORDER", "STALE", "", "", "",
    ]  # fmt: skip
    assert read["payload"] == [payload for _, _, payload, _ in records]


@pytest.mark.realdata
def test_a_capture_sealed_is_smaller_than_gzip_and_a_column_scan_proves_it(tmp_path, realdata):
    source = realdata / "binance_usdm" / "ethusdt_20240808.hb.gz"
    name = "binance-usdm/ETH_USDT"
    with Store.create(tmp_path / "store") as store:
        import_files(store, catalog.get("binance-usdm"), [source])
        before = [(r.position, r.recv_ns, r.payload) for r in store.reader(name).records()]
        (part,) = seal_feed(store.feed(name), LATER, decoding=decoding(catalog.get("binance-usdm"))).parts
        assert [(r.position, r.recv_ns, r.payload) for r in store.reader(name).records()] == before
    packed = len(gzip.compress(gzip.decompress(source.read_bytes()), 9))
    assert part.part_bytes <= 0.90 * packed
    table = pq.read_table(part.where, columns=["stream", "kind", "last_seq", "prev_seq", "verdict"]).to_pydict()
    stream, kind = np.array(table["stream"]), np.array(table["kind"])
    depths = np.flatnonzero((stream == "depth@0ms") & (kind == Kind.DATA))
    last = np.array([table["last_seq"][n] for n in depths])
    prev = np.array([table["prev_seq"][n] for n in depths])
    assert len(depths) == 6586
    assert (prev[1:] == last[:-1]).all()
    trades = np.array([table["last_seq"][n] for n in np.flatnonzero(stream == "trade")])
    assert (np.diff(trades) == 1).all()
    assert len(trades) == 14076
    verdict = np.array([one or 0 for one in table["verdict"]])
    judged = {name: sorted(set(verdict[stream == name])) for name in ("depth@0ms", "trade", "bookTicker")}
    assert judged == {name: [Verdict.APPLY] for name in judged}
