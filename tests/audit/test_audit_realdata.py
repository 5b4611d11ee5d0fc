"""Real captures under audit: their known truths, and one disturbance at a time."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mdtool.audit import FeedReport, Validity, audit_feed
from mdtool.audit.findings import Duplicate, Gap, OutOfOrder
from mdtool.interop import import_file, import_files
from mdtool.storage.store import Store
from mdtool.venues.catalog import get

pytestmark = pytest.mark.realdata

USDM = "binance_usdm/ethusdt_20240808.hb.gz"
SPOT = "binance/ethusdt_20240808_head3000.hb.gz"
TAIL = "binance/ethusdt_20240808_tail1000.hb.gz"
HEAD = "binance/ethusdt_20240809_head1000.hb.gz"

Lines = list[bytes]


@pytest.fixture
def audit(tmp_path: Path, realdata: Path) -> Callable[..., FeedReport]:
    """Imports captures one after the other, each as `change` leaves its lines, and audits the feed."""

    def run(venue: str, files: Sequence[str], change: Callable[[list[Lines]], object] | None = None) -> FeedReport:
        contents = [gzip.decompress((realdata / name).read_bytes()).splitlines(keepends=True) for name in files]
        if change is not None:
            change(contents)
        with Store.create(tmp_path / "store") as store:
            for number, (name, lines) in enumerate(zip(files, contents, strict=True)):
                path = tmp_path / f"{number}-{Path(name).name}"
                path.write_bytes(gzip.compress(b"".join(lines), 1))
                import_file(store, get(venue), path)
            (name,) = [feed.name for feed in store.feeds()]
            with store.reader(name) as reader:
                return audit_feed(reader, get(venue))

    return run


def at(lines: Lines, stream: str, number: int) -> int:
    """Index of the `number`th line of a stream."""
    return [i for i, line in enumerate(lines) if b"@" + stream.encode() in line[:60]][number]


def ids(line: bytes) -> tuple[int, int, int]:
    """Receive time, first and last id of a depth line."""
    head = line.split(b',"b":', 1)[0]
    return int(line[:19]), int(head.split(b'"U":')[1].split(b",")[0]), int(head.split(b'"u":')[1].split(b",")[0])


def test_usdm(audit: Callable[..., FeedReport]) -> None:
    report = audit("binance-usdm", [USDM])
    assert report.clean
    assert report.totals == {"depth_updates": 6_586, "trades": 14_076, "quotes": 53_992, "snapshots": 1, "other": 0}
    assert report.notes == ()
    assert [(i.stream, i.state.value) for i in report.intervals] == [
        ("bookTicker", "unprovable"),
        ("depth@0ms", "whole"),
        ("trade", "whole"),
    ]
    # The recorder's clock was behind the venue's: said, not hidden.
    assert report.offset is not None
    assert -1_520_000_000 < report.offset.min_ns < report.offset.median_ns < -1_150_000_000
    assert report.offset.count == 74_655


@pytest.mark.parametrize(
    ("venue", "name", "stream", "number"),
    [("binance-usdm", USDM, "depth@0ms", 4_000), ("binance", SPOT, "depth@100ms", 100)],
)
def test_one_depth_update_deleted(
    audit: Callable[..., FeedReport], venue: str, name: str, stream: str, number: int
) -> None:
    removed: dict[str, bytes] = {}

    def delete(contents: list[Lines]) -> None:
        (lines,) = contents
        removed["before"] = lines[at(lines, stream, number - 1)]
        removed["line"] = lines.pop(at(lines, stream, number))
        removed["after"] = lines[at(lines, stream, number)]

    report = audit(venue, [name], delete)
    before_ns, _, before_last = ids(removed["before"])
    after_ns, after_first, _ = ids(removed["after"])
    _, _, removed_last = ids(removed["line"])
    assert report.findings == (
        Gap(
            stream=stream,
            at_ns=after_ns,
            after_seq=before_last,
            next_first_seq=after_first,
            next_prev_seq=removed_last,
            after_ns=before_ns,
            next_ns=after_ns,
            session_changed=False,
            cause="",
        ),
    )
    assert [i.state.value for i in report.intervals if i.stream == stream] == ["whole", "broken", "whole"]


def test_spot(audit: Callable[..., FeedReport]) -> None:
    report = audit("binance", [SPOT])
    assert report.clean
    assert report.totals == {"depth_updates": 280, "trades": 450, "quotes": 2_269, "snapshots": 1, "other": 0}
    assert report.notes == ()


def test_across_midnight(audit: Callable[..., FeedReport]) -> None:
    report = audit("binance", [TAIL, HEAD])
    assert report.clean
    assert report.totals == {"depth_updates": 188, "trades": 383, "quotes": 1_429, "snapshots": 0, "other": 0}
    assert report.epochs == 2
    # One interval over both days: the ids prove that nothing is missing between the two files.
    assert [(i.stream, i.state.value) for i in report.intervals] == [
        ("bookTicker", "unprovable"),
        ("bookTicker", "not_recorded"),  # from the one file to the other: no number says that nothing was between
        ("bookTicker", "unprovable"),
        ("depth@100ms", "whole"),
        ("trade", "whole"),
    ]
    assert [note.kind for note in report.notes] == ["no_snapshot"]


def test_the_last_update_before_midnight_deleted(audit: Callable[..., FeedReport]) -> None:
    report = audit("binance", [TAIL, HEAD], lambda contents: contents[0].pop(at(contents[0], "depth", -1)))
    (gap,) = report.findings
    assert isinstance(gap, Gap)
    assert (gap.next_first_seq, gap.next_prev_seq) == (35_346_671_850, 35_346_671_849)
    assert gap.next_ns == 1_723_161_600_001_233_484
    assert gap.cause == "import"


def test_two_parts_of_a_day_with_a_hole_between_them(audit: Callable[..., FeedReport]) -> None:
    report = audit("binance", [SPOT, TAIL])
    assert [(type(finding), finding.stream) for finding in report.findings] == [(Gap, "trade"), (Gap, "depth@100ms")]


def test_one_trade_twice(audit: Callable[..., FeedReport]) -> None:
    def repeat(contents: list[Lines]) -> None:
        place = at(contents[0], "trade", 50)
        contents[0].insert(place + 1, contents[0][place])

    (finding,) = audit("binance", [SPOT], repeat).findings
    assert isinstance(finding, Duplicate)
    assert finding.stream == "trade"
    assert finding.first_seq == finding.last_seq == finding.after_seq


def test_two_depth_updates_swapped(audit: Callable[..., FeedReport]) -> None:
    def swap(contents: list[Lines]) -> None:
        """The payloads; the receive times stay in order."""
        (lines,) = contents
        one, two = at(lines, "depth", 60), at(lines, "depth", 61)
        lines[one], lines[two] = lines[one][:20] + lines[two][20:], lines[two][:20] + lines[one][20:]

    report = audit("binance", [SPOT], swap)
    (late,) = report.findings
    assert isinstance(late, OutOfOrder)
    assert late.last_seq is not None and late.after_seq is not None and late.last_seq < late.after_seq
    (broken,) = [one.why for one in report.intervals if one.state is Validity.BROKEN]
    assert broken == late.text == f"ids {late.first_seq} to {late.last_seq} came late, after {late.after_seq}"


def test_a_websocket_file_and_its_rest_file(tmp_path: Path, realdata: Path) -> None:
    venue = get("binance")
    store = Store.create(tmp_path / "store")
    import_files(store, venue, [realdata / "binance" / f"2021-10-11.{part}.cf.gz" for part in ("ws", "http")])
    chained = snapshots = 0
    for feed in store.feeds():
        with store.reader(feed.name) as reader:
            report = audit_feed(reader, venue)
        assert report.clean, feed.name
        assert report.notes == (), feed.name  # each snapshot bridges, none is superseded or unused
        for stream in report.streams:
            if stream.stream.startswith("depth"):
                chained += stream.verdicts["apply"] - 1
        snapshots += report.totals["snapshots"]
    assert (chained, snapshots) == (173, 4)
