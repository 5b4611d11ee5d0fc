"""Aggregated trades: the ids of the aggregates may follow each other where those of the executions in them do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdtool.audit import FeedReport, audit_store
from mdtool.audit.findings import Gap
from mdtool.audit.report import Note
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

T0 = 1_700_000_000_000_000_000


def audited(path: Path, venue: str, spans: list[str]) -> FeedReport:
    """Aggregates of the ids a, of the executions f to l each."""
    symbol = "BTC_USD_PERP" if venue == "binance-coinm" else "BTC_USDT"
    with Store.create(path / "store") as store:
        with store.writer(f"{venue}/{symbol}", sync="none") as writer:
            for at, span in enumerate(spans):
                payload = f'{{"e":"aggTrade","E":{T0 // 10**6},"s":"X","p":"1.5","q":"2",{span},"m":true}}'.encode()
                writer.append(T0 + at, int(Kind.DATA), writer.stream("aggTrade"), 1, payload, 0)
            writer.end(T0 + len(spans), "done")
        (report,) = audit_store(store, catalog.get, [f"{venue}/{symbol}"])
        return report


JUMP = ['"a":7,"f":100,"l":105', '"a":8,"f":106,"l":106', '"a":9,"f":110,"l":111', '"a":10,"f":112,"l":112']


def test_a_jump_of_the_executions_is_a_gap(tmp_path: Path) -> None:
    report = audited(tmp_path, "binance", JUMP)
    assert report.findings == (
        Gap(
            stream="aggTrade", at_ns=T0 + 2, after_seq=106, next_first_seq=110, next_prev_seq=109, after_ns=T0 + 1,
            next_ns=T0 + 2, session_changed=False, cause="",
        ),
    )  # fmt: skip
    assert [(one.state.value, one.from_ns - T0, one.to_ns - T0) for one in report.intervals] == [
        ("whole", 0, 1), ("broken", 1, 2), ("whole", 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("venue", ["binance-usdm", "binance-coinm"])
def test_what_a_venue_leaves_out_of_its_aggregates_is_said_and_no_finding(tmp_path: Path, venue: str) -> None:
    report = audited(tmp_path, venue, JUMP)
    text = (
        "3 executions are in no aggregate: the venue leaves out those by its insurance fund and by deleveraging, so "
        "whether any is missing cannot be proven"
    )
    assert report.clean
    assert report.notes == (Note("left_out", "aggTrade", T0 + 3, text),)


@pytest.mark.parametrize("venue", ["binance", "binance-usdm", "binance-coinm"])
def test_a_missing_aggregate_is_one_gap(tmp_path: Path, venue: str) -> None:
    (gap,) = audited(tmp_path, venue, [JUMP[0], JUMP[2]]).findings
    assert isinstance(gap, Gap)
    assert (gap.after_seq, gap.next_first_seq, gap.next_prev_seq) == (7, 9, 8)


@pytest.mark.parametrize("odd", ['"f":-1,"l":-1', '"f":null', '"f":"7","l":7', '"f":9,"l":7', '"x":1'])
def test_spans_that_cannot_be_meant_cost_no_trade(tmp_path: Path, odd: str) -> None:
    report = audited(tmp_path, "binance", [JUMP[0], f'"a":8,{odd}', '"a":9,"f":106,"l":111'])
    assert report.clean
    assert next(dict(stream.verdicts) for stream in report.streams if stream.verdicts) == {"apply": 3}
