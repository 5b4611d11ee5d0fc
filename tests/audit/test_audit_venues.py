"""Every venue's real capture under audit: the truth its README states, and one disturbed message at a time.

A case names one message of the capture: `pick` chooses among the lines those of one feed's stream. What a disturbance
must be reported as, and nothing else, stands beside it by feed.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mdtool.audit import FeedReport, audit_store
from mdtool.interop import import_files
from mdtool.storage.store import Store
from mdtool.venues import catalog

pytestmark = pytest.mark.realdata

Lines = list[bytes]
KRAKEN = ["kraken/2021-04-17_v1.ws.cf.gz"]
OKX = ["okx/2022-05-13.ws.cf.gz"]
BITFINEX = ["bitfinex/2021-04-17.ws.cf.gz"]
DERIBIT = ["deribit/2021-04-05.ws.cf.gz"]
HYPERLIQUID = ["hyperliquid/btcusd_20250126.hb.gz"]
COINBASE = ["coinbase/2021-04-17_level2.ws.cf.gz"]
COINBASE_ADVANCED = ["coinbase_advanced/2026-08-09_head.ws.cf.gz"]
COINBASE_FULL = ["coinbase/2016-03-12_full_l3.pat.gz"]
BITSTAMP = ["bitstamp/2022-01-04.ws.cf.gz", "bitstamp/2022-01-04.http.cf.gz"]
GATE = ["gateio/2021-04-22.ws.cf.gz", "gateio/2021-04-22.http.cf.gz"]
GATE_FUTURES = ["gateio_futures/2023-06-01.ws.cf.gz", "gateio_futures/2023-06-01.http.cf.gz"]
KUCOIN = ["kucoin/2021-07-22.ws.cf.gz", "kucoin/2021-06-08.http.cf.gz"]


@pytest.fixture
def audit(tmp_path: Path, realdata: Path) -> Callable[..., dict[str, FeedReport]]:
    """Imports a venue's captures, the first as `change` leaves its lines, and audits everything."""

    def run(venue: str, files: list[str], change: Callable[[Lines], None] | None = None) -> dict[str, FeedReport]:
        paths = [realdata / file for file in files]
        if change is not None:
            lines = gzip.decompress(paths[0].read_bytes()).splitlines(keepends=True)
            change(lines)
            paths[0] = tmp_path / paths[0].name
            paths[0].write_bytes(gzip.compress(b"".join(lines), 1))
        with Store.create(tmp_path / "store") as store:
            import_files(store, catalog.get(venue), paths)
            names = [feed.name for feed in store.feeds()]
            return {report.feed: report for report in audit_store(store, catalog.get, names)}

    return run


def totals(reports: dict[str, FeedReport], stream: str, field: str) -> dict[str, int]:
    """The sum over all feeds of a stream's counts."""
    summed: dict[str, int] = {}
    for report in reports.values():
        for found in report.streams:
            if found.stream == stream:
                for name, count in getattr(found, field).items():
                    summed[name] = summed.get(name, 0) + count
    return summed


def test_kraken_v1(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: CRC 4269/4269."""
    reports = audit("kraken", KRAKEN)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "book-1000", "checksums") == {"match": 4_269, "mismatch": 0}
    assert totals(reports, "book-1000", "decoded") == {"book_update": 4_269 + 10}
    books = [i for report in reports.values() for i in report.intervals if i.stream == "book-1000"]
    compared = [s.checksums["match"] for report in reports.values() for s in report.streams if s.checksums]
    assert [(i.state.value, i.why) for i in books] == [
        ("top", f"the best 10 levels had the venue's checksum {times:,} times; below them nothing is proven")
        for times in compared
    ]


def test_okx(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: CRC 290/290."""
    reports = audit("okx", OKX)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "books", "checksums") == {"match": 290, "mismatch": 0}
    assert totals(reports, "trades", "verdicts") == {"apply": 74}
    assert totals(reports, "tickers", "decoded") == {"quote": 28}
    # Of before there were numbers: a checksum of 25 levels of 400 proves those and no others.
    books = [i for report in reports.values() for i in report.intervals if i.stream == "books"]
    assert {(i.state.value, i.why.partition(" had ")[0]) for i in books} == {("top", "the best 25 levels")}


def test_bitfinex(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: sequence 1669/1669, which is the number of steps between 1670 numbered frames."""
    reports = audit("bitfinex", BITFINEX)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "connection", "verdicts") == {"apply": 1_669 + 1}
    assert totals(reports, "book-P0", "decoded") == {"book_update": 1_600, "heartbeat": 12}
    (connection,) = [i for i in reports["bitfinex/_session"].intervals if i.stream == "connection"]
    assert connection.state.value == "whole"


def test_deribit(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: ticker 273, book 187, prev_change_id 177/177: ten books begin with the whole of it."""
    reports = audit("deribit", DERIBIT)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "book.raw", "verdicts") == {"apply": 177 + 10}
    assert totals(reports, "book.raw", "decoded") == {"book_update": 187}
    assert totals(reports, "ticker.raw", "decoded") == {"quote": 273, "funding": 273}
    books = {(i.state.value) for report in reports.values() for i in report.intervals if i.stream == "book.raw"}
    assert books == {"whole"}
    assert len(reports) == 10 + 1


def test_hyperliquid(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: l2Book 46, trades 9, time rises. The first book comes twice: on subscribing, and with the first push."""
    (report,) = [report for name, report in audit("hyperliquid", HYPERLIQUID).items() if "_session" not in name]
    assert report.clean
    by_name = {stream.stream: stream for stream in report.streams}
    assert by_name["l2Book"].verdicts == {"apply": 0, "keepalive": 1, "unverifiable": 45}
    assert (by_name["trades"].kinds, by_name["trades"].decoded) == ({"data": 9}, {"trade": 64})
    assert by_name["trades"].verdicts == {"apply": 0, "unverifiable": 64}
    assert {(i.stream, i.state.value) for i in report.intervals} == {("l2Book", "unprovable"), ("trades", "unprovable")}


def test_coinbase_by_level(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: trade_id 97/97: of ten products each begins with the last trade before the subscription."""
    reports = audit("coinbase", COINBASE)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "matches", "verdicts") == {"apply": 97, "keepalive": 10}
    assert totals(reports, "level2", "decoded") == {"book_update": 9_719 + 10}
    assert totals(reports, "level2", "verdicts") == {"apply": 0, "unverifiable": 9_719 + 10}
    assert totals(reports, "ticker", "verdicts") == {"apply": 107}
    states = {
        (i.stream, i.state.value) for report in reports.values() for i in report.intervals if i.stream != "session"
    }
    assert states == {("level2", "unprovable"), ("matches", "whole"), ("ticker", "unprovable")}


def test_coinbase_advanced(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: sequence_num 0 to 323, one more each, over all channels of the connection: 324 numbered frames."""
    reports = audit("coinbase-advanced", COINBASE_ADVANCED)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "connection", "verdicts") == {"apply": 324}
    assert totals(reports, "level2", "decoded") == {"book_update": 119 + 115 + 2}
    assert totals(reports, "market_trades", "verdicts") == {"apply": 26 + 2 * 99, "keepalive": 2}
    (connection,) = [i for i in reports["coinbase-advanced/_session"].intervals if i.stream == "connection"]
    assert connection.state.value == "whole"


def test_coinbase_by_order(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: sequence +1, no gap: 2,376 messages behind a whole book of 7,109 orders."""
    reports = audit("coinbase", COINBASE_FULL)
    (report,) = [report for report in reports.values() if report.streams and report.records]
    assert report.clean and report.notes == ()
    assert totals(reports, "full", "decoded") == {"order_update": 7_109 + 2_376, "trade": 1}
    assert totals(reports, "full", "verdicts") == {"apply": 7_109 + 2_376 + 1}
    assert [i.state.value for i in report.intervals if i.stream == "full"] == ["whole"]


def test_bitstamp(audit: Callable[..., dict[str, FeedReport]]) -> None:
    """README: microtimestamp rises 708/708; loss cannot be seen. Nine of ten markets have changes."""
    reports = audit("bitstamp", BITSTAMP)
    assert all(report.clean for report in reports.values())
    assert totals(reports, "diff_order_book", "verdicts") == {"apply": 0, "unverifiable": 708 + 9}
    assert totals(reports, "live_trades", "verdicts") == {"apply": 10}
    assert totals(reports, "snapshot", "decoded") == {"snapshot": 10}
    books = {i.state.value for report in reports.values() for i in report.intervals if i.stream == "diff_order_book"}
    assert books == {"unprovable"}


@pytest.mark.parametrize(
    ("venue", "files", "stream", "steps", "books"),
    [
        ("gate", GATE, "order_book_update", 162, 10),
        ("gate-futures", GATE_FUTURES, "order_book_update", 342, 10),
        ("kucoin", KUCOIN, "level2", 3_844, 9),
    ],
)
def test_books_that_continue_a_rest_answer(
    audit: Callable[..., dict[str, FeedReport]], venue: str, files: list[str], stream: str, steps: int, books: int
) -> None:
    """README: gate 162/162, gate futures 342/342, kucoin 3844/3844; and every answer is bridged by the updates, where
    there are any behind it."""
    reports = audit(venue, files)
    assert all(report.clean for report in reports.values())
    assert totals(reports, stream, "verdicts") == {"apply": steps + books}
    assert totals(reports, "snapshot", "decoded") == {"snapshot": books}
    states = [i.state.value for report in reports.values() for i in report.intervals if i.stream == stream]
    assert states == ["whole"] * books
    assert {note.kind for report in reports.values() for note in report.notes} <= {"unused_snapshot"}


@dataclass(frozen=True)
class Case:
    venue: str
    files: list[str]
    pick: bytes  # a regular expression of the lines of one stream
    number: int  # which of them
    feed: str
    removed: dict[str, dict[str, int]]  # finding counts by feed
    duplicated: dict[str, dict[str, int]]
    swapped: dict[str, dict[str, int]]
    broken: tuple[bytes, bytes]  # what is turned into what is no JSON
    altered: tuple[bytes, bytes] | None = None  # what is changed into what
    corrupted: dict[str, dict[str, int]] | None = None
    besides: dict[str, int] = field(default_factory=dict)  # what a message that is no JSON is reported as besides

    def __str__(self) -> str:
        return f"{self.venue}-{self.number}"


ETH_CALL = "deribit/ETH_USD_210409_1950_C"
HYPER = "hyperliquid/BTC_USD"
SKL, L3, STAMP = "coinbase/SKL_USD", "coinbase/BTC_USD", "bitstamp/ETH_USD"
GATE_OMG, FUTURES_OMG, SNX = "gate/OMG_USDT", "gate-futures/OMG_USDT", "kucoin/SNX_BTC"
XMR, DOG, UNI = "kraken/XMR_USD", "bitfinex/DOG_USD", "okx/BTC_USDT"
CASES = [
    Case(
        "kraken",
        KRAKEN,
        rb'\[992,\{"[ab]":',
        40,
        XMR,
        {XMR: {"checksum": 1}},
        {XMR: {"duplicate": 1}},
        {XMR: {"checksum": 1, "out_of_order": 1}},
        (rb'","', rb'",,"'),
        (rb'","[1-9]', rb'","7'),
        {XMR: {"checksum": 1}},
    ),
    Case(
        "okx",
        OKX,
        rb'"channel":"books","instId":"BTC-USDT"\},"action":"update"',
        30,
        UNI,
        {UNI: {"checksum": 1}},
        {UNI: {"duplicate": 1}},
        {UNI: {"checksum": 1, "out_of_order": 1}},
        (rb'"ts"', rb'"ts",'),
        (rb'"asks":\[\["3', rb'"asks":[["2'),
        {UNI: {"checksum": 1}},
    ),
    Case(
        "okx",
        OKX,
        rb'"channel":"trades","instId":"BTC-USDT"\},"data"',
        20,
        UNI,
        {UNI: {"gap": 1}},
        {UNI: {"duplicate": 1}},
        {UNI: {"out_of_order": 1}},
        (rb'"px"', rb'"px",'),
        besides={"gap": 1},
    ),
    Case(
        "bitfinex",
        BITFINEX,
        rb"\[225206,\[[\d.]+,",
        100,
        DOG,
        {"bitfinex/_session": {"gap": 1}},
        {DOG: {"duplicate": 1}},
        {DOG: {"out_of_order": 1}},
        (rb"225206,", rb"225206,,"),
    ),
    Case(
        "coinbase-advanced",
        COINBASE_ADVANCED,
        rb'"type":"update","product_id":"ETH-USD","updates"',
        50,
        "coinbase-advanced/ETH_USD",
        {"coinbase-advanced/_session": {"gap": 1}},
        {"coinbase-advanced/ETH_USD": {"duplicate": 1}},
        {"coinbase-advanced/ETH_USD": {"out_of_order": 1}},
        (rb'"updates"', rb'"updates",'),
    ),
    Case(
        "deribit",
        DERIBIT,
        rb'"book\.ETH-9APR21-1950-C\.raw","data":\{"type":"change"',
        30,
        ETH_CALL,
        {ETH_CALL: {"gap": 1}},
        {ETH_CALL: {"duplicate": 1}},
        {ETH_CALL: {"out_of_order": 1}},
        (rb'"bids"', rb'"bids",'),
        (rb'"prev_change_id":(\d+)\d\d,', rb'"prev_change_id":\g<1>00,'),
        {ETH_CALL: {"gap": 1}},
        besides={"gap": 1},
    ),
    Case(
        "deribit",
        DERIBIT,
        rb'"channel":"ticker\.ETH-9APR21-1950-C\.raw"',
        20,
        ETH_CALL,
        {},  # nothing numbers tickers
        {ETH_CALL: {"duplicate": 1}},
        {ETH_CALL: {"out_of_order": 1}},
        (rb'"state"', rb'"state",'),
        (rb'"timestamp":16', rb'"timestamp":15'),
        {ETH_CALL: {"odd_time": 1}},
    ),
    Case(
        "hyperliquid",
        HYPERLIQUID,
        rb'"channel":"l2Book"',
        10,
        HYPER,
        {},  # nothing numbers books
        {HYPER: {"duplicate": 1}},
        {HYPER: {"out_of_order": 1}},
        (rb'"time"', rb'"time",'),
        (rb'"time":17', rb'"time":16'),
        {HYPER: {"odd_time": 1}},
    ),
    Case(
        "hyperliquid",
        HYPERLIQUID,
        rb'"channel":"trades"',
        2,
        HYPER,
        {},  # an id is a hash
        {HYPER: {"duplicate": 1}},
        {HYPER: {"out_of_order": 1}},
        (rb'"px"', rb'"px",'),
        (rb'"time":17', rb'"time":16'),
        {HYPER: {"odd_time": 1}},
    ),
    Case(
        "coinbase",
        COINBASE,
        rb'"type":"match".*"product_id":"SKL-USD"',
        20,
        SKL,
        {SKL: {"gap": 1}},
        {SKL: {"duplicate": 1}},
        {SKL: {"out_of_order": 1}},
        (rb'"side"', rb'"side",'),
        (rb'"trade_id":15', rb'"trade_id":14'),
        {SKL: {"gap": 2}},
        besides={"gap": 1},
    ),
    Case(
        "coinbase",
        COINBASE,
        rb'"type":"l2update","product_id":"SKL-USD"',
        20,
        SKL,
        {},  # nothing numbers the book by level
        {SKL: {"duplicate": 1}},
        {SKL: {"out_of_order": 1}},
        (rb'"time"', rb'"time",'),
        (rb'"time":"2021', rb'"time":"2020'),
        {SKL: {"odd_time": 1}},
    ),
    Case(
        "coinbase",
        COINBASE_FULL,
        rb'"type":"(received|open|done|match)",',
        1_000,
        L3,
        {L3: {"gap": 1}},
        {L3: {"duplicate": 1}},
        {L3: {"out_of_order": 1}},
        (rb'"time"', rb'"time",'),
        (rb'"sequence":76', rb'"sequence":75'),
        {L3: {"gap": 2}},  # its time is not the older number's: the numbers jump back, and on again
        besides={"gap": 1},
    ),
    Case(
        "bitstamp",
        BITSTAMP,
        rb'"channel":"diff_order_book_ethusd","event":"data"',
        40,
        STAMP,
        {},  # nothing numbers anything
        {STAMP: {"duplicate": 1}},
        {STAMP: {"out_of_order": 1}},
        (rb'"bids"', rb'"bids",'),
        (rb'"microtimestamp":"16', rb'"microtimestamp":"15'),
        {STAMP: {"odd_time": 1}},
    ),
    Case(
        "gate",
        GATE,
        rb'"event":"update","result":\{"t":.*"s":"OMG_USDT"',
        20,
        GATE_OMG,
        {GATE_OMG: {"gap": 1}},
        {GATE_OMG: {"duplicate": 1}},
        {GATE_OMG: {"out_of_order": 1}},
        (rb'"b":', rb'"b",:'),
        (rb'"U":(\d+)\d\d,', rb'"U":\g<1>,'),
        {GATE_OMG: {"gap": 1}},
        besides={"gap": 1},
    ),
    Case(
        "gate-futures",
        GATE_FUTURES,
        rb'"futures.order_book_update","event":"update".*"s":"OMG_USDT"',
        40,
        FUTURES_OMG,
        {FUTURES_OMG: {"gap": 1}},
        {FUTURES_OMG: {"duplicate": 1}},
        {FUTURES_OMG: {"out_of_order": 1}},
        (rb'"b":', rb'"b",:'),
        (rb'"U":(\d+)\d\d,', rb'"U":\g<1>,'),
        {FUTURES_OMG: {"gap": 1}},
        besides={"gap": 1},
    ),
    Case(
        "kucoin",
        KUCOIN,
        rb'"topic":"/market/level2:SNX-BTC"',
        100,
        SNX,
        {SNX: {"gap": 1}},
        {SNX: {"duplicate": 1}},
        {SNX: {"out_of_order": 1}},
        (rb'"changes"', rb'"changes",'),
        (rb'"sequenceStart":(\d+)\d,', rb'"sequenceStart":\g<1>9,'),
        {SNX: {"undecodable": 1, "gap": 1}},
        besides={"gap": 1},
    ),
]


def picked(case: Case, lines: Lines) -> list[int]:
    return [i for i, line in enumerate(lines) if re.search(case.pick, line)]


def findings(reports: dict[str, FeedReport]) -> dict[str, dict[str, int]]:
    return {name: dict(report.finding_counts) for name, report in reports.items() if report.finding_counts}


def split(line: bytes) -> tuple[bytes, bytes]:
    """The receive time with what parts it from the payload, and the payload."""
    stamp = re.match(rb"(\d{4}-\S+ )?\S+ ", line)
    assert stamp is not None
    return stamp[0], line[stamp.end() :]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_message_removed(audit: Callable[..., dict[str, FeedReport]], case: Case) -> None:
    def change(lines: Lines) -> None:
        del lines[picked(case, lines)[case.number]]

    assert findings(audit(case.venue, case.files, change)) == case.removed


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_message_twice(audit: Callable[..., dict[str, FeedReport]], case: Case) -> None:
    def change(lines: Lines) -> None:
        at = picked(case, lines)[case.number]
        lines.insert(at, lines[at])

    assert findings(audit(case.venue, case.files, change)) == case.duplicated


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_messages_swapped(audit: Callable[..., dict[str, FeedReport]], case: Case) -> None:
    """Payloads change places; the receive times stay where they are."""

    def change(lines: Lines) -> None:
        first, second = picked(case, lines)[case.number : case.number + 2]
        (early, one), (late, other) = split(lines[first]), split(lines[second])
        lines[first], lines[second] = early + other, late + one

    assert findings(audit(case.venue, case.files, change)) == case.swapped


@pytest.mark.parametrize("case", [case for case in CASES if case.altered], ids=str)
def test_one_digit_altered(audit: Callable[..., dict[str, FeedReport]], case: Case) -> None:
    def change(lines: Lines) -> None:
        assert case.altered is not None
        at = picked(case, lines)[case.number]
        stamp, payload = split(lines[at])
        changed = re.sub(case.altered[0], case.altered[1], payload, count=1)
        assert changed != payload
        lines[at] = stamp + changed

    assert findings(audit(case.venue, case.files, change)) == case.corrupted


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_message_that_is_no_json(audit: Callable[..., dict[str, FeedReport]], case: Case) -> None:
    """It is told once, and not again by every checksum that follows."""

    def change(lines: Lines) -> None:
        at = picked(case, lines)[case.number]
        stamp, payload = split(lines[at])
        changed = re.sub(*case.broken, payload, count=1)
        assert changed != payload
        lines[at] = stamp + changed

    found = findings(audit(case.venue, case.files, change))
    assert found == {case.feed: {"undecodable": 1, **case.besides}}


@pytest.mark.parametrize(
    ("venue", "files", "pick", "feed"),
    [
        ("kraken", KRAKEN, rb'\[992,\{"as":', "kraken/XMR_USD"),
        ("okx", OKX, rb'"instId":"BTC-USDT"\},"action":"snapshot"', "okx/BTC_USDT"),
        ("deribit", DERIBIT, rb'"book\.ETH-9APR21-1950-C\.raw","data":\{"type":"snapshot"', ETH_CALL),
    ],
)
def test_a_whole_book_removed(
    audit: Callable[..., dict[str, FeedReport]], venue: str, files: list[str], pick: bytes, feed: str
) -> None:
    def change(lines: Lines) -> None:
        (at,) = [i for i, line in enumerate(lines) if re.search(pick, line)]
        del lines[at]

    assert findings(audit(venue, files, change)) == {feed: {"unanchored": 1}}
