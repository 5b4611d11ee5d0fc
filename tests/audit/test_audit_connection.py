"""Connections numbered across all they carry, over the feeds of a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mdtool.audit import FeedReport, audit_store
from mdtool.audit.findings import Duplicate, Gap, OutOfOrder
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

VENUE = "bitfinex"  # the one whose connections are numbered


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store") as opened:
        yield opened


def filled(store: Store, frames: list[tuple[int, str, int, int]]) -> FeedReport:
    """(receive time, symbol, session, number) each; the report of the session feed."""
    reports = audited(store, frames)
    owners = {owner for _, owner, _, _ in frames}
    for symbol in ("BTC_USD", "ETH_USD"):  # a feed of which there is no frame is no evidence of anything
        assert reports[f"{VENUE}/{symbol}"].finding_counts == ({} if symbol in owners else {"empty": 1})
    return reports[f"{VENUE}/_session"]


def audited(store: Store, frames: list[tuple[int, str, int, int]]) -> dict[str, FeedReport]:
    for symbol in ("BTC_USD", "ETH_USD", "_session"):
        with store.writer(f"{VENUE}/{symbol}", sync="none", chunk_bytes=1 << 20) as writer:
            stream = writer.stream("book-P0" if symbol != "_session" else "other")
            for ns, owner, session, number in frames:
                if owner == symbol:
                    writer.append(ns, int(Kind.DATA), stream, session, b'[1,"hb",%d]' % number, 0)
            writer.end(10**18, "done")
    return {report.feed: report for report in audit_store(store, catalog.get, [f.name for f in store.feeds()])}


def interleaved(numbers: list[int], session: int = 1, start: int = 10**17) -> list[tuple[int, str, int, int]]:
    owners = ("BTC_USD", "ETH_USD", "_session")
    return [(start + i, owners[i % 3], session, number) for i, number in enumerate(numbers)]


def verdicts(report: FeedReport) -> dict[str, int]:
    return next(dict(stream.verdicts) for stream in report.streams if stream.stream == "connection")


def test_whole(store: Store) -> None:
    report = filled(store, interleaved(list(range(1, 31))))
    assert report.clean and verdicts(report) == {"apply": 30}
    (interval,) = [i for i in report.intervals if i.stream == "connection"]
    assert (interval.state.value, interval.from_ns, interval.to_ns) == ("whole", 10**17, 10**17 + 29)


def test_a_frame_of_any_feed_missing(store: Store) -> None:
    frames = interleaved(list(range(1, 31)))
    gone = frames.pop(11)
    report = filled(store, frames)
    (gap,) = report.findings
    assert isinstance(gap, Gap)
    assert (gap.stream, gap.after_seq, gap.next_first_seq) == ("connection", gone[3] - 1, gone[3] + 1)
    assert (gap.after_ns, gap.next_ns) == (gone[0] - 1, gone[0] + 1)
    assert [i.state.value for i in report.intervals if i.stream == "connection"] == ["whole", "broken", "whole"]


def test_a_frame_twice_and_one_late(store: Store) -> None:
    """Each is its own feed's; what came late is not missing, and where it was is told in its place."""
    reports = audited(store, interleaved([1, 2, 2, 3, 5, 4, 6]))
    assert {name: [type(finding) for finding in report.findings] for name, report in reports.items()} == {
        f"{VENUE}/BTC_USD": [], f"{VENUE}/ETH_USD": [], f"{VENUE}/_session": [Duplicate, OutOfOrder]
    }  # fmt: skip
    report = reports[f"{VENUE}/_session"]
    assert verdicts(report) == {"apply": 4, "stale": 1, "gap": 1, "out_of_order": 1}
    assert [(i.state.value, i.why) for i in report.intervals][1] == ("broken", "ids 4 to 4 came late, after 5")


def test_a_late_frame_is_a_finding_of_its_feed_whoever_is_asked(store: Store) -> None:
    reports = audited(store, interleaved([1, 2, 3, 5, 4, 6, 8, 7, 9]))
    late = {name: report.finding_counts for name, report in reports.items()}
    assert late == {f"{VENUE}/BTC_USD": {}, f"{VENUE}/ETH_USD": {"out_of_order": 2}, f"{VENUE}/_session": {}}
    (alone,) = audit_store(store, catalog.get, [f"{VENUE}/ETH_USD"])
    assert alone.findings == reports[f"{VENUE}/ETH_USD"].findings
    assert [finding.text for finding in alone.findings] == [
        "ids 4 to 4 came late, after 5", "ids 7 to 7 came late, after 8"
    ]  # fmt: skip


def test_a_frame_that_came_late_breaks_the_book_it_was_of_and_no_other(store: Store) -> None:
    whole, change = b"[1,[[4000,1,1],[4060,1,-1]],%d]", b"[1,[4010,2,1],%d]"
    frames = [
        ("BTC_USD", whole, 1), ("ETH_USD", whole, 2), ("BTC_USD", change, 3), ("ETH_USD", change, 4),
        ("BTC_USD", change, 6), ("ETH_USD", change, 5), ("BTC_USD", change, 7),
    ]  # fmt: skip
    for symbol in ("BTC_USD", "ETH_USD"):
        with store.writer(f"{VENUE}/{symbol}", sync="none") as writer:
            number = writer.stream("book-P0")
            for at, (owner, text, seq) in enumerate(frames):
                if owner == symbol:
                    writer.append(10**17 + at, int(Kind.DATA), number, 1, text % seq, 0)
            writer.end(10**18, "done")
    reports = {report.feed: report for report in audit_store(store, catalog.get, [f.name for f in store.feeds()])}
    assert {name: report.finding_counts for name, report in reports.items()} == {
        f"{VENUE}/BTC_USD": {}, f"{VENUE}/ETH_USD": {"out_of_order": 1}
    }  # fmt: skip
    broken = {name: [i.why for i in report.intervals if i.state.value == "broken"] for name, report in reports.items()}
    assert broken == {
        f"{VENUE}/BTC_USD": [],
        f"{VENUE}/ETH_USD": ["a frame of its connection is missing between 4 and 6, and came late"],
    }


def test_each_session_counts_for_itself(store: Store) -> None:
    second = interleaved([1, 2, 3, 4], session=2, start=10**17 + 100)
    report = filled(store, interleaved([1, 2, 3, 4, 5]) + second)
    assert report.clean and verdicts(report) == {"apply": 9}
    assert len([i for i in report.intervals if i.stream == "connection"]) == 2


def test_frames_of_two_feeds_received_in_one_nanosecond_are_ordered_by_their_numbers(store: Store) -> None:
    frames = [
        (10**17, "ETH_USD", 1, 1),
        (10**17, "BTC_USD", 1, 2),
        (10**17, "ETH_USD", 1, 3),
        (10**17 + 1, "_session", 1, 4),
    ]
    assert filled(store, frames).clean


def test_unnumbered_frames_leave_the_report_as_it_is(store: Store) -> None:
    report = filled(store, [])
    assert "connection" not in {stream.stream for stream in report.streams}


def test_a_stretch_of_time(store: Store) -> None:
    filled(store, interleaved(list(range(1, 31))))
    (report,) = audit_store(store, catalog.get, [f"{VENUE}/_session"], from_ns=10**17 + 10, to_ns=10**17 + 20)
    assert verdicts(report) == {"apply": 10}


def test_a_missing_frame_breaks_every_book_of_its_connection_to_its_next_whole_one(store: Store) -> None:
    """Two books on one connection; the frame that is missing is nobody knows whose."""
    whole, change = b"[1,[[4000,1,1],[4060,1,-1]],%d]", b"[1,[4010,2,1],%d]"
    frames = [
        ("BTC_USD", whole), ("ETH_USD", whole), ("BTC_USD", change), ("ETH_USD", change),
        None, ("BTC_USD", change), ("ETH_USD", change), ("BTC_USD", whole), ("BTC_USD", change),
    ]  # fmt: skip
    for symbol in ("BTC_USD", "ETH_USD", "_session"):
        with store.writer(f"{VENUE}/{symbol}", sync="none") as writer:
            for at, frame in enumerate(frames):
                if frame is not None and frame[0] == symbol:
                    number = writer.stream("book-P0")
                    writer.append(10**17 + at, int(Kind.DATA), number, 1, frame[1] % (at + 1), 0)
            writer.end(10**18, "done")
    reports = {report.feed: report for report in audit_store(store, catalog.get, [f.name for f in store.feeds()])}
    why = "a frame of its connection is missing between 4 and 6"
    told = {
        name: [(i.state.value, i.from_ns - 10**17, i.to_ns - 10**17) for i in report.intervals if i.why == why]
        for name, report in reports.items()
    }
    assert told == {
        f"{VENUE}/BTC_USD": [("broken", 2, 7)],  # to the whole one
        f"{VENUE}/ETH_USD": [("broken", 3, 6)],  # to the end: none came
        f"{VENUE}/_session": [],
    }
    assert reports[f"{VENUE}/_session"].finding_counts == {"gap": 1}
