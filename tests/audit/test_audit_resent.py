"""What a venue sends again to who subscribes anew is no finding; the same within a connection is a duplicate."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mdtool.audit import FeedReport, audit_store
from mdtool.interop import import_files
from mdtool.storage.store import Store
from mdtool.venues import catalog

URL = "wss://venue.invalid/ws"


def book(change_id: int, prev: int | None) -> str:
    kind, before = ("snapshot", "") if prev is None else ("change", f'"prev_change_id":{prev},')
    return (
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":'
        f'{{"type":"{kind}","timestamp":1,{before}"instrument_name":"BTC-PERPETUAL","change_id":{change_id},'
        '"bids":[["new",1.5,2.0]],"asks":[]}}}'
    )


def trades(*ids: int) -> str:
    listed = ",".join(
        f'{{"coin":"BTC","px":"105056.0","side":"B","sz":"0.00219","tid":{tid},"time":{10 + tid}}}' for tid in ids
    )
    return f'{{"channel":"trades","data":[{listed}]}}'


@pytest.fixture
def audit(tmp_path: Path):
    """Audits what two connections brought."""

    def run(venue: str, name: str, *connections: list[str]) -> FeedReport:
        lines, now = [], 1_700_000_000.0
        for frames in connections:
            now += 1
            lines.append(f"{URL} <-> {now}")
            for frame in frames:
                now += 0.1
                lines.append(f"{now:.3f}: {frame}")
        path = tmp_path / "made.ws.cf.gz"
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
        with Store.create(tmp_path / "store") as store:
            import_files(store, catalog.get(venue), [path])
            (report,) = audit_store(store, catalog.get, [name])
            return report

    return run


def stream(report: FeedReport, name: str) -> dict[str, int]:
    return next(found.verdicts for found in report.streams if found.stream == name)


def test_a_book_that_has_not_changed_since(audit):
    report = audit("deribit", "deribit/BTC_USD_PERP", [book(5, None)], [book(5, None), book(9, 5)])
    assert report.findings == ()
    assert stream(report, "book.100ms") == {"apply": 2, "stale": 1}


def test_the_latest_trades(audit):
    report = audit("hyperliquid", "hyperliquid/BTC_USD", [trades(1, 2), trades(3)], [trades(2, 3, 4), trades(5)])
    assert report.findings == ()
    assert stream(report, "trades") == {"apply": 0, "stale": 2, "unverifiable": 5}


def test_within_a_connection_it_is_a_duplicate(audit):
    report = audit("hyperliquid", "hyperliquid/BTC_USD", [trades(1, 2), trades(3), trades(2, 3)])
    assert [finding.kind for finding in report.findings] == ["duplicate", "duplicate"]
