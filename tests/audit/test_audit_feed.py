"""What an audit finds, note for note: each disturbance of a feed gives its own finding and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mdtool.audit import FeedReport, Interval, Validity, audit_feed, audit_store, reading
from mdtool.audit.anchors import LONG_NS
from mdtool.audit.findings import (
    Absent,
    ClockStep,
    Corrupt,
    Crossed,
    Duplicate,
    Gap,
    Lost,
    NotAnchored,
    OutOfOrder,
    QuoteMismatch,
    UnbridgedSnapshot,
    UncleanEnd,
    Undecodable,
)
from mdtool.audit.report import Note, Offset, Reconnection
from mdtool.clock import ManualClock
from mdtool.errors import CorruptStore
from mdtool.model import Flag, Kind
from mdtool.storage.doctor.repair import repair
from mdtool.storage.store import Store
from mdtool.venues.catalog import get

USDM = get("binance-usdm")
T0 = 1_723_161_255_000_000_000
NAME = "binance-usdm/ETH_USDT"
DEPTH = "depth@0ms"
WHOLE = "every message follows the one before"
UNKNOWN_LOSS = "the venue's numbers do not show a loss here"


def depth(prev: int, last: int, *, venue_ms: int = 1_723_161_256_000) -> bytes:
    return (
        f'{{"stream":"ethusdt@depth@0ms","data":{{"e":"depthUpdate","E":{venue_ms},"T":1,"s":"ETHUSDT","U":{prev + 1},'
        f'"u":{last},"pu":{prev},"b":[],"a":[]}}}}'
    ).encode()


def trade(number: int) -> bytes:
    return (
        f'{{"stream":"ethusdt@trade","data":{{"e":"trade","E":0,"T":0,"s":"ETHUSDT","t":{number},"p":"1.0","q":"2.0",'
        f'"X":"MARKET","m":true}}}}'
    ).encode()


def quote(seq: int) -> bytes:
    return (
        f'{{"stream":"ethusdt@bookTicker","data":{{"e":"bookTicker","u":{seq},"s":"ETHUSDT","b":"1.0","B":"2.0",'
        f'"a":"3.0","A":"4.0","T":0,"E":0}}}}'
    ).encode()


def book(seq: int) -> bytes:
    return f'{{"lastUpdateId":{seq},"E":0,"T":0,"bids":[],"asks":[]}}'.encode()


@dataclass
class Feed:
    """Records one after the other, a nanosecond apart unless a time is given."""

    store: Store
    name: str = NAME
    now_ns: int = T0
    session: int = 1
    flags: int = 0
    streams: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.writer = self.store.writer(self.name, clock=ManualClock(T0))

    def add(self, stream: str, *payloads: bytes, kind: Kind = Kind.DATA, at: int | None = None, flags: int = 0) -> None:
        for payload in payloads:
            self.now_ns = self.now_ns + 1 if at is None else T0 + at
            number = self.writer.stream(stream)
            self.writer.append(self.now_ns, kind, number, self.session, payload, self.flags | flags)

    def end(self) -> None:
        self.add("session", b'{"reason":"stop"}', kind=Kind.END)
        self.writer.close()

    def audit(self, **span: int) -> FeedReport:
        """The report of what there is, a second later."""
        self.writer.close()
        with self.store.reader(self.name) as reader:
            report = audit_feed(reader, USDM, now_ns=self.now_ns + 10**9, **span)
        text = json.loads(json.dumps(report.to_json()))
        assert text["clean"] == report.clean == (not report.findings)
        assert [finding["kind"] for finding in text["findings"]] == [finding.kind for finding in report.findings]
        assert all(finding["text"] and "\n" not in finding["text"] for finding in text["findings"])
        return report


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(Store.create(tmp_path / "store"))


def intervals(report: FeedReport, stream: str = DEPTH) -> list[tuple[Validity, int, int]]:
    return [(i.state, i.from_ns - T0, i.to_ns - T0) for i in report.intervals if i.stream == stream]


def test_a_whole_feed(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10), depth(10, 12))
    feed.add("snapshot", book(12), kind=Kind.RESPONSE)
    feed.add("bookTicker", quote(7))
    feed.add(DEPTH, depth(12, 15))
    feed.add("trade", trade(1), trade(2))
    feed.end()
    report = feed.audit()
    assert report.clean
    assert (report.feed, report.from_ns, report.to_ns, report.records) == (NAME, T0 + 1, T0 + 8, 8)
    assert (report.epochs, report.sessions) == (1, 1)
    assert report.totals == {"depth_updates": 3, "trades": 2, "quotes": 1, "snapshots": 1, "other": 0}
    assert {s.stream: (s.records, dict(s.kinds), dict(s.decoded), dict(s.verdicts)) for s in report.streams} == {
        "bookTicker": (1, {"data": 1}, {"quote": 1}, {"apply": 1}),
        DEPTH: (3, {"data": 3}, {"book_update": 3}, {"apply": 3}),
        "session": (1, {"end": 1}, {}, {}),
        "snapshot": (1, {"response": 1}, {"snapshot": 1}, {}),
        "trade": (2, {"data": 2}, {"trade": 2}, {"apply": 2}),
    }
    assert report.intervals == (
        Interval("bookTicker", Validity.UNPROVABLE, T0 + 4, T0 + 4, UNKNOWN_LOSS),
        Interval(DEPTH, Validity.WHOLE, T0 + 1, T0 + 5, WHOLE),
        Interval("trade", Validity.WHOLE, T0 + 6, T0 + 7, WHOLE),
    )
    assert report.notes == ()
    assert report.reconnects == ()
    behind = T0 - 1_723_161_256_000_000_000
    assert report.offset == Offset(behind + 1, behind + 2, behind + 5, 3, 3)


def test_a_missing_update_is_one_gap(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10), depth(12, 15), depth(15, 16))
    feed.end()
    report = feed.audit()
    gap = Gap(
        stream=DEPTH, at_ns=T0 + 2, after_seq=10, next_first_seq=13, next_prev_seq=12, after_ns=T0 + 1, next_ns=T0 + 2,
        session_changed=False, cause="",
    )  # fmt: skip
    assert report.findings == (gap,)
    assert gap.to_json() == {
        "kind": "gap",
        "stream": DEPTH,
        "at_ns": T0 + 2,
        "after_seq": 10,
        "next_first_seq": 13,
        "next_prev_seq": 12,
        "after_ns": T0 + 1,
        "next_ns": T0 + 2,
        "session_changed": False,
        "cause": "",
        "text": "gap after id 10: the next message begins at 13 and follows 12",
    }
    assert intervals(report) == [(Validity.WHOLE, 1, 1), (Validity.BROKEN, 1, 2), (Validity.WHOLE, 2, 3)]
    assert dict(report.streams[0].verdicts) == {"apply": 2, "gap": 1}
    assert report.finding_counts == {"gap": 1}


def test_a_missing_trade_is_one_gap(feed: Feed) -> None:
    feed.add("trade", trade(1), trade(3))
    feed.end()
    (gap,) = feed.audit().findings
    assert isinstance(gap, Gap)
    assert (gap.after_seq, gap.next_first_seq, gap.next_prev_seq) == (1, 3, 2)


def test_a_repeat_and_a_late_message(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10), depth(0, 10), depth(12, 15), depth(10, 12), depth(15, 16))
    feed.end()
    assert feed.audit().findings == (
        Duplicate(stream=DEPTH, at_ns=T0 + 2, first_seq=1, last_seq=10, after_seq=10, session_changed=False),
        OutOfOrder(stream=DEPTH, at_ns=T0 + 4, first_seq=11, last_seq=12, after_seq=15, session_changed=False),
    )


def test_a_gap_of_two_of_which_one_comes_late_is_a_gap(feed: Feed) -> None:
    feed.add("trade", trade(1), trade(4), trade(2), trade(5))
    feed.end()
    assert [type(finding) for finding in feed.audit().findings] == [Gap, OutOfOrder]
    feed.add("trade", trade(3))
    assert feed.audit().finding_counts["out_of_order"] == 2
    assert "gap" not in feed.audit().finding_counts


def test_updates_before_the_snapshot_are_no_repeats(feed: Feed) -> None:
    feed.add("snapshot", book(12), kind=Kind.RESPONSE)
    feed.add(DEPTH, depth(0, 10), depth(10, 12), depth(12, 15))
    feed.end()
    report = feed.audit()
    assert report.clean
    assert report.notes == ()


def test_a_reconnect_is_listed_and_a_loss_across_it_named(feed: Feed) -> None:
    feed.add("trade", trade(1))
    feed.add(DEPTH, depth(0, 10))
    feed.add("session", b'{"code":1006,"reason":"cut"}', kind=Kind.CLOSE)
    feed.session = 2
    feed.add("session", b'{"url":"ws://x"}', kind=Kind.OPEN)
    feed.add("trade", trade(2))
    feed.add(DEPTH, depth(20, 30))
    feed.end()
    report = feed.audit()
    assert report.findings == (
        Gap(
            stream=DEPTH, at_ns=T0 + 6, after_seq=10, next_first_seq=21, next_prev_seq=20, after_ns=T0 + 2,
            next_ns=T0 + 6, session_changed=True, cause="reconnect",
        ),
    )  # fmt: skip
    assert report.reconnects == (Reconnection(T0 + 1, T0 + 5, 1, 2, "1006 cut"),)
    assert report.sessions == 2


def test_two_connections_side_by_side_are_no_reconnects(feed: Feed) -> None:
    for number in range(3):
        feed.session = 1
        feed.add("trade", trade(number))
        feed.session = 2
        feed.add(DEPTH, depth(number, number + 1))
    feed.end()
    report = feed.audit()
    assert report.clean
    assert (report.sessions, report.reconnects) == (2, ())


def test_what_was_missed_while_stopped_is_no_finding(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10))
    feed.add("bookTicker", quote(1))
    feed.end()
    feed.begin()
    feed.session = 2
    feed.add(DEPTH, depth(20, 30), depth(30, 31))
    feed.add("bookTicker", quote(2))
    feed.end()
    report = feed.audit()
    assert report.clean
    assert (report.epochs, report.sessions, report.reconnects) == (2, 2, ())
    assert intervals(report) == [(Validity.WHOLE, 1, 1), (Validity.NOT_RECORDED, 1, 4), (Validity.WHOLE, 4, 5)]
    assert intervals(report, "bookTicker") == [
        (Validity.UNPROVABLE, 2, 2),
        (Validity.NOT_RECORDED, 2, 6),
        (Validity.UNPROVABLE, 6, 6),
    ]


def test_a_stop_that_missed_nothing_is_whole(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10))
    feed.end()
    feed.begin()
    feed.add(DEPTH, depth(10, 11), depth(20, 21))
    feed.end()
    report = feed.audit()
    assert intervals(report) == [(Validity.WHOLE, 1, 3), (Validity.BROKEN, 3, 4), (Validity.WHOLE, 4, 4)]
    assert [finding.kind for finding in report.findings] == ["gap"]  # the later one is not excused by the stop


def test_between_two_imports_a_loss_is_a_finding(feed: Feed) -> None:
    feed.flags = Flag.IMPORTED
    feed.add(DEPTH, depth(0, 10))
    feed.end()
    feed.begin()
    feed.add(DEPTH, depth(20, 30))
    feed.end()
    (gap,) = feed.audit().findings
    assert isinstance(gap, Gap)
    assert (gap.after_seq, gap.next_prev_seq, gap.cause) == (10, 20, "import")


def test_a_writer_that_died(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10))
    feed.add("bookTicker", quote(1))
    feed.writer.close()
    feed.begin()
    feed.add(DEPTH, depth(20, 30))
    feed.add("bookTicker", quote(2))
    report = feed.audit()
    assert report.findings == (
        UncleanEnd(stream="", at_ns=T0 + 2, epoch=1, next_ns=T0 + 3),
        Gap(
            stream=DEPTH, at_ns=T0 + 3, after_seq=10, next_first_seq=21, next_prev_seq=20, after_ns=T0 + 1,
            next_ns=T0 + 3, session_changed=False, cause="writer died",
        ),
        UncleanEnd(stream="", at_ns=T0 + 4, epoch=2, next_ns=None),
    )  # fmt: skip
    assert intervals(report, "bookTicker") == [
        (Validity.UNPROVABLE, 2, 2),
        (Validity.BROKEN, 2, 4),
        (Validity.UNPROVABLE, 4, 4),
    ]


def test_a_feed_being_written_has_not_died(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10))
    with feed.store.reader(NAME) as reader:
        feed.writer.heartbeat(T0)
        report = audit_feed(reader, USDM, now_ns=T0 + 10**9)
        assert report.clean
        assert [note.kind for note in report.notes] == ["being_written", "no_snapshot"]
        later = audit_feed(reader, USDM, now_ns=T0 + 60 * 10**9)
    assert [finding.kind for finding in later.findings] == ["unclean_end"]


def test_snapshots_before_behind_and_apart(feed: Feed) -> None:
    feed.add("snapshot", book(5), kind=Kind.RESPONSE)  # asked too early
    feed.add(DEPTH, depth(10, 12), depth(12, 15))
    feed.add("snapshot", book(12), kind=Kind.RESPONSE)  # behind the update that bridges it
    feed.add("snapshot", book(99), kind=Kind.RESPONSE)  # newer than everything
    feed.end()
    report = feed.audit()
    assert report.clean
    assert report.notes == (
        Note(
            "superseded_snapshot", DEPTH, T0 + 1,
            "the snapshot of id 5 came too early; another one anchors the updates",
        ),
        Note("unused_snapshot", DEPTH, T0 + 5, "no update newer than the snapshot of id 99 is recorded"),
    )  # fmt: skip


@pytest.mark.parametrize(("last", "kinds"), [(15, ["unused_snapshot"]), (16, [])])
def test_only_a_newer_update_makes_use_of_a_snapshot(feed: Feed, last: int, kinds: list[str]) -> None:
    feed.add("snapshot", book(15), kind=Kind.RESPONSE)
    feed.add(DEPTH, depth(10, 12), depth(12, last))
    feed.end()
    assert [note.kind for note in feed.audit().notes] == kinds


def test_a_snapshot_that_nothing_continues(feed: Feed) -> None:
    feed.add("snapshot", book(5), kind=Kind.RESPONSE)
    feed.add(DEPTH, depth(10, 12), depth(12, 15))
    feed.end()
    assert feed.audit().findings == (UnbridgedSnapshot(stream=DEPTH, at_ns=T0 + 1, snapshot_seq=5, next_first_seq=11),)


def test_a_snapshot_for_each_side_of_a_hole(feed: Feed) -> None:
    feed.add("snapshot", book(5), kind=Kind.RESPONSE)
    feed.add(DEPTH, depth(4, 6), depth(20, 25))
    feed.add("snapshot", book(15), kind=Kind.RESPONSE)
    feed.end()
    assert [finding.kind for finding in feed.audit().findings] == ["gap", "unbridged_snapshot"]


def test_a_snapshot_that_reaches_over_a_hole_anchors_what_is_behind_it(feed: Feed) -> None:
    """The update behind the hole is no proof that the snapshot is too old."""
    feed.add(DEPTH, depth(4, 6), depth(8, 10))
    feed.add("snapshot", book(12), kind=Kind.RESPONSE)
    feed.add(DEPTH, depth(11, 13), depth(13, 14))
    feed.end()
    report = feed.audit()
    assert [(finding.kind, finding.at_ns - T0) for finding in report.findings] == [("gap", 2), ("gap", 4)]
    assert report.notes == ()
    assert report.streams[0].anchored is False  # what was before the first hole


@pytest.mark.parametrize(("longer", "kinds"), [(0, ["gap"]), (1, ["gap", "unbridged_snapshot"])])
def test_a_run_that_is_over_soon_was_asked_for_too_early_and_no_more(feed: Feed, longer: int, kinds: list[str]) -> None:
    feed.add("snapshot", book(5), kind=Kind.RESPONSE, at=1)
    feed.add(DEPTH, depth(10, 12), at=2)
    feed.add(DEPTH, depth(12, 15), at=2 + LONG_NS + longer)
    feed.add(DEPTH, depth(20, 25))
    feed.add("snapshot", book(22), kind=Kind.RESPONSE)
    feed.end()
    assert sorted(finding.kind for finding in feed.audit().findings) == kinds


def test_a_failed_answer_is_no_snapshot(feed: Feed) -> None:
    feed.add("snapshot", b"<html>", kind=Kind.RESPONSE, flags=Flag.FAILED)
    feed.add(DEPTH, depth(10, 12))
    feed.end()
    report = feed.audit()
    assert report.finding_counts == {"not_anchored": 1}  # it was asked for
    assert [note.kind for note in report.notes] == ["no_snapshot"]


def test_messages_that_do_not_decode(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 10), b'{"stream":"ethusdt@depth@0ms","data":{"U":1}}', depth(10, 11))
    feed.add(DEPTH, b'{"stream":"ethusdt@depth@0ms","data":{"U":22}}', b"\xff\x00")
    feed.add("snapshot", b"[]", kind=Kind.RESPONSE)
    feed.end()
    report = feed.audit()
    found = [f for f in report.findings if isinstance(f, Undecodable)]
    # What was asked for came as no book; and more was strange than not.
    assert report.finding_counts == {"not_anchored": 1, "not_understood": 1, "undecodable": 3}
    assert [(type(f), f.stream, f.at_ns - T0, f.count) for f in found] == [
        (Undecodable, DEPTH, 2, 2),
        (Undecodable, DEPTH, 5, 1),
        (Undecodable, "snapshot", 6, 1),
    ]
    with feed.store.reader(NAME) as reader:
        reader.move_to(found[0].position)
        assert next(reader.records()).payload == b'{"stream":"ethusdt@depth@0ms","data":{"U":1}}'


def test_a_clock_that_steps_back(feed: Feed) -> None:
    feed.add("trade", trade(1), at=100)
    feed.add("trade", trade(2), at=40)
    feed.end()
    assert feed.audit().findings == (ClockStep(stream="", at_ns=T0 + 40, before_ns=T0 + 100, writer_changed=False),)


def test_the_session_feed_may_hold_imports_side_by_side(tmp_path: Path) -> None:
    feed = Feed(Store.create(tmp_path / "store"), name="binance-usdm/_session", flags=Flag.IMPORTED)
    feed.add("session", b"{}", at=100)
    feed.end()
    feed.begin()
    feed.add("session", b"{}", at=40)
    feed.end()
    assert feed.audit().clean


def test_damaged_records_are_told_and_left_out(feed: Feed) -> None:
    for number in range(6):
        feed.add("trade", trade(number))
    feed.end()
    feed.writer.close()
    (heap,) = (feed.store.feed(NAME).directory / "live").glob("*.dat")
    content = heap.read_bytes()
    for number in (2, 3):
        content = content.replace(trade(number), trade(number)[:-1] + b"!")
    heap.write_bytes(content)
    report = feed.audit()
    assert [finding.kind for finding in report.findings] == ["corrupt", "corrupt", "gap"]
    gap = report.findings[-1]
    assert isinstance(gap, Gap)
    assert (gap.after_seq, gap.next_first_seq) == (1, 4)
    damaged = report.findings[0]
    assert isinstance(damaged, Corrupt)
    assert "crc" in damaged.reason.lower()
    assert report.records == 5


def test_so_many_damaged_records_in_a_row_are_left_out_and_no_more(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a row: each good one between them begins the count anew."""
    monkeypatch.setattr(reading, "MAX_DAMAGED", 2)
    for number in range(9):
        feed.add("trade", trade(number))
    feed.end()
    feed.writer.close()
    (heap,) = (feed.store.feed(NAME).directory / "live").glob("*.dat")
    whole = heap.read_bytes()

    def damage(*numbers: int) -> None:
        content = whole
        for number in numbers:
            content = content.replace(trade(number), trade(number)[:-1] + b"!")
        heap.write_bytes(content)

    damage(1, 2, 4, 5, 7)
    assert feed.audit().finding_counts == {"corrupt": 5, "gap": 3}
    damage(1, 2, 3, 5)
    with pytest.raises(CorruptStore, match=r"crc|checksum"):
        feed.audit()


def test_what_repair_could_not_save_is_found_where_no_number_shows_it(feed: Feed) -> None:
    for number in range(6):
        feed.add("bookTicker", quote(10 * number))
    feed.end()
    (heap,) = (feed.store.feed(NAME).directory / "live").glob("*.dat")
    heap.write_bytes(heap.read_bytes().replace(quote(30), quote(30)[:-1] + b"!"))
    assert [action.lost for action in repair(feed.store.feed(NAME))] == [1]
    report = feed.audit()
    lost = Lost(stream="", at_ns=T0 + 4, rows=1, reason="its bytes contradict their checksum", position=1 << 32 | 3)
    assert report.findings == (lost,)
    assert lost.text == "1 record is lost, as repair has noted: its bytes contradict their checksum"


def test_a_note_of_another_kind_is_no_finding(feed: Feed) -> None:
    feed.add("session", b'{"note":"clock stepped"}', b"[1]", b"{", kind=Kind.NOTE)
    feed.add("trade", trade(1))
    feed.end()
    assert feed.audit().clean


def test_a_span(feed: Feed) -> None:
    feed.add(DEPTH, depth(0, 1), depth(5, 6), depth(6, 7), depth(7, 8), depth(10, 11))
    feed.end()
    report = feed.audit(from_ns=T0 + 2, to_ns=T0 + 5)
    assert report.clean
    assert (report.from_ns, report.to_ns, report.records) == (T0 + 2, T0 + 4, 3)
    empty = feed.audit(from_ns=T0 + 100)
    assert (empty.records, empty.from_ns, empty.finding_counts) == (0, None, {"empty": 1})  # nothing is no evidence


def test_the_chain_holds_over_a_chunks_end(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    with store.writer(NAME, chunk_bytes=4096, clock=ManualClock(T0)) as writer:
        number = writer.stream("trade")
        for i in range(500):
            writer.append(T0 + i, Kind.DATA, number, 1, trade(i))
        writer.end(T0 + 500, "stop")
    with store.reader(NAME) as reader:
        assert len(reader.chunks()) > 10
        report = audit_feed(reader, USDM)
    assert report.clean
    assert report.epochs == 1
    assert report.totals["trades"] == 500


def test_findings_are_listed_up_to_a_number_and_all_counted(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdtool.audit.feed.MAX_FINDINGS", 3)
    monkeypatch.setattr("mdtool.audit.ledger.MAX_INTERVALS", 4)
    feed.add("trade", *(trade(2 * number) for number in range(10)))
    feed.end()
    report = feed.audit()
    assert len(report.findings) == 3
    assert report.finding_counts == {"gap": 9}
    assert [note.kind for note in report.notes] == ["findings_cut"]
    assert len(report.intervals) == 4
    assert report.intervals[-1].to_ns == T0 + 10
    assert report.intervals[-1].why == "more holes than are listed"


def test_one_feed_that_cannot_be_audited_costs_no_other(feed: Feed) -> None:
    feed.add("trade", trade(1))
    feed.end()
    Feed(feed.store, name="mtgox/BTC_USD").end()
    first, second, third = audit_store(feed.store, get, ["mtgox/BTC_USD", NAME, "sim/NOT_THERE"])
    assert first.error is not None
    assert "unknown venue 'mtgox'" in first.error
    assert not first.clean
    assert second.clean
    assert third.error is not None


def test_what_two_connections_that_overlap_bring_twice_is_no_finding(feed: Feed) -> None:
    """The new one a little behind the old; a late message of one connection alone is one as ever."""
    feed.add("session", b"{}", kind=Kind.OPEN)
    feed.add("bookTicker", quote(9), quote(10))
    feed.session = 2
    feed.add("session", b"{}", kind=Kind.OPEN)
    feed.add("bookTicker", quote(9), quote(10))
    feed.session = 1
    feed.add("bookTicker", quote(11))
    feed.session = 2
    feed.add("bookTicker", quote(11))
    feed.session = 1
    feed.add("session", b'{"code":1000}', kind=Kind.CLOSE)
    feed.session = 2
    feed.add("bookTicker", quote(12))
    feed.end()
    report = feed.audit()
    assert report.clean
    assert [i[0] for i in intervals(report, "bookTicker")] == [Validity.UNPROVABLE]  # and nothing between them
    feed.begin()
    feed.session = 3
    feed.add("bookTicker", quote(20), quote(15), quote(21))
    feed.end()
    assert feed.audit().finding_counts == {"out_of_order": 1}


def test_between_two_connections_of_an_unnumbered_stream_nothing_is_recorded(feed: Feed) -> None:
    feed.add("bookTicker", quote(1), quote(2))
    feed.add("session", b'{"code":1006,"reason":"cut"}', kind=Kind.CLOSE)
    feed.session = 2
    feed.add("bookTicker", quote(30))
    feed.end()
    report = feed.audit()
    assert intervals(report, "bookTicker") == [
        (Validity.UNPROVABLE, 1, 2),
        (Validity.NOT_RECORDED, 2, 4),
        (Validity.UNPROVABLE, 4, 4),
    ]


def test_changes_without_a_whole_book_are_contiguous_and_not_anchored(feed: Feed) -> None:
    refusal = b'{"code":0,"msg":"restricted location"}'
    feed.add("snapshot", refusal, kind=Kind.RESPONSE, flags=Flag.FAILED)
    feed.add(DEPTH, depth(0, 10))
    feed.add("snapshot", refusal, kind=Kind.RESPONSE, flags=Flag.FAILED)
    feed.add(DEPTH, depth(10, 12), depth(12, 13))
    feed.end()
    report = feed.audit()
    assert report.findings == (NotAnchored(stream=DEPTH, at_ns=T0 + 2, until_ns=T0 + 5, updates=3, refusals=2),)
    assert [i.why for i in report.intervals] == [f"{WHOLE}; no whole book anchors them"]
    unasked = Feed(feed.store, name="binance-usdm/BTC_USDT")
    unasked.add(DEPTH, depth(0, 10), depth(10, 12))
    unasked.end()
    report = unasked.audit()
    assert (report.findings, report.verdict.value) == ((), "not_anchored")  # nobody asked: no finding, and not clean


def test_a_crossed_book_is_told_once_until_it_is_sound(feed: Feed) -> None:
    def move(prev: int, last: int, bids: str, asks: str) -> bytes:
        return depth(prev, last).replace(b'"b":[],"a":[]', f'"b":{bids},"a":{asks}'.encode())

    whole = b'{"lastUpdateId":10,"E":0,"T":0,"bids":[["1.0","5"]],"asks":[["1.1","4"]]}'
    feed.add("snapshot", whole, kind=Kind.RESPONSE)
    feed.add(DEPTH, move(10, 11, '[["1.2","3"]]', "[]"), move(11, 12, "[]", '[["1.15","1"]]'))
    feed.add(DEPTH, move(12, 13, '[["1.2","0"]]', '[["1.15","0"]]'), depth(13, 14))
    feed.end()
    assert feed.audit().findings == (
        Crossed(stream=DEPTH, at_ns=T0 + 2, found="bid 1.2, expected below ask 1.1", last_seq=11),
    )


def test_a_quote_that_the_book_denies_is_a_finding(feed: Feed) -> None:
    whole = b'{"lastUpdateId":10,"E":0,"T":0,"bids":[["1.0","2.0"]],"asks":[["3.0","4.0"]]}'
    feed.add("snapshot", whole, kind=Kind.RESPONSE)
    feed.add("bookTicker", quote(10))  # 1.0 x 2.0, 3.0 x 4.0: so it is
    feed.add(DEPTH, depth(10, 11).replace(b'"b":[]', b'"b":[["1.0","9"]]'))
    feed.add("bookTicker", quote(11), quote(12))  # of another id: nothing to compare
    feed.end()
    assert feed.audit().findings == (
        QuoteMismatch(
            stream=DEPTH, at_ns=T0 + 4, found="bid 1 x 9", expected="bid 1.0 x 2.0", seq=11,
        ),
    )  # fmt: skip


def test_a_planned_book_of_which_nothing_came_is_a_finding(feed: Feed) -> None:
    plan = b'{"note":"plan","streams":["depth@0ms","trade","bookTicker"]}'
    feed.add("session", plan, kind=Kind.NOTE)
    feed.add("bookTicker", quote(1))
    feed.end()
    report = feed.audit()
    reason = "it was to be recorded, and no message of it is there"
    assert report.findings == (Absent(stream=DEPTH, at_ns=T0 + 3, reason=reason),)
    assert [(note.kind, note.stream) for note in report.notes] == [("silent", "trade")]


def test_a_frame_that_is_no_text_and_one_that_is_no_json(feed: Feed) -> None:
    """Where nobody looks at a field, its bytes count all the same; and what no adapter knows is at least JSON."""
    feed.add("trade", trade(1), trade(2).replace(b'"MARKET"', b'"MARK\xff\xfe"'), trade(3))
    feed.end()
    report = feed.audit()
    assert [(f.kind, f.stream) for f in report.findings] == [("undecodable", "trade"), ("gap", "trade")]
    assert "not UTF-8 at byte" in report.findings[0].text
    log = Feed(feed.store, name="binance-usdm/_session")
    log.add("other", b'{"a":1}', b"<<<<<<< HEAD", b'{"cut":', b"[1]")
    log.end()
    report = log.audit()
    assert [(f.kind, f.stream) for f in report.findings] == [("undecodable", "other")] * 2
