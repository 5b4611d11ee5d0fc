"""A feed with numbers that 64 bits do not hold, wherever it is read: exact, or beyond any bound for all readers."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from mdtool.audit.feed import audit_feed
from mdtool.audit.report import Verdict
from mdtool.books.book import Book
from mdtool.books.events import events
from mdtool.books.sync import BookState
from mdtool.capture import protocol
from mdtool.capture.protocol import Ask, Learned, Mark, Undecodable
from mdtool.capture.watcher import Watcher
from mdtool.clock import ManualClock
from mdtool.errors import TooLarge
from mdtool.exchange.recorded import RecordedFeed
from mdtool.exchange.rendering import ladder
from mdtool.interop.importer import import_files
from mdtool.model import EventKind, Scale, format_decimal
from mdtool.storage.store import Store
from mdtool.venues import catalog

CASES = Path(__file__).parents[3] / "shared" / "cases"
NS = 1_755_000_000_000_000_000
STREAM = "depth@100ms"
BIG = "105000000000.00000000"


def wire(levels):
    return ("[" + ",".join(f'["{price}","{size}"]' for price, size in levels) + "]").encode()


def value(mantissa, exp):
    return Decimal(format_decimal(mantissa, exp))


def decimals(levels, scale):
    return [(value(price, scale.price_exp), value(size, scale.size_exp)) for price, size in levels]


TRADES = "9999999999999999999999"


def feed_of(tmp_path, lines):
    (tmp_path / "feed.hb").write_bytes(b"".join(b"%d %b\n" % (NS + n * 10**8, line) for n, line in enumerate(lines)))
    store = Store.create(tmp_path / "store")
    import_files(store, catalog.get("binance"), [tmp_path / "feed.hb"])
    return store


def snapshot(last, bids, asks):
    return b'{"lastUpdateId":%d,"bids":%b,"asks":%b}' % (last, bids, asks)


def update(last, bids, asks=b"[]"):
    return (
        b'{"stream":"bttcusdt@depth@100ms","data":{"e":"depthUpdate","E":1755000000000,"s":"BTTCUSDT","U":%d,"u":%d,'
        b'"b":%b,"a":%b}}' % (last, last, bids, asks)
    )


def trade(number, price, size):
    return (
        b'{"stream":"bttcusdt@trade","data":{"e":"trade","E":1755000000000,"s":"BTTCUSDT","t":%d,"p":"%b","q":"%b",'
        b'"T":1755000000000,"m":false}}' % (number, price.encode(), size.encode())
    )


FEED = [
    snapshot(100, wire([("0.00000061", BIG), ("1e-30", "2")]), wire([("0.00000062", "1")])),
    update(101, wire([("0.000000615", "9223372036854775808")])),
    trade(1, "0.00000062", TRADES),
    update(102, wire([("1e-30", "0")]), wire([("1e37", "1e-38")])),
    b'{"stream":"bttcusdt@bookTicker","data":{"u":102,"s":"BTTCUSDT","b":"0.00000061500","B":"9223372036854775808.0",'
    b'"a":"0.00000062","A":"1.000"}}',
]
NAME = "binance/BTTC_USDT"
BIDS = [("0.000000615", "9223372036854775808"), ("0.00000061", "105000000000")]
ASKS = [("0.00000062", "1"), ("1e37", "1e-38")]


def audited(store):
    with store.reader(NAME) as reader:
        return audit_feed(reader, catalog.get("binance"))


def watched(store):
    """What the recorder's watcher says of the feed."""
    said = []
    marks = (Mark("BTTC_USDT", 0, 0),)
    watcher = Watcher(store, catalog.get("binance"), (STREAM,), marks, ManualClock(NS), said.extend)
    while watcher.look():
        pass
    return [one for one in said if not isinstance(one, Mark | protocol.Book | protocol.Delays)]


def of(levels):
    return [(Decimal(price), Decimal(size)) for price, size in levels]


def test_every_reader_of_a_feed_says_the_same_exact_numbers(tmp_path):
    store = feed_of(tmp_path, FEED)
    with store.reader(NAME) as reader:
        book = Book(reader)
        assert [event.step.error for event, _ in book if event.step] == [None] * 3
        assert [decimals(levels, book.scale) for levels in book.top()] == [of(BIDS), of(ASKS)]
        assert (book.state, book.scale, book.gaps, book.undecodable) == (BookState.SYNCED, Scale(-30, -38), 0, 0)
        day = book.figures().day
        assert (day.trades, value(day.volume, -38), book.figures().bad_trades) == (1, Decimal(TRADES), 0)
        row = book.stats.tape[0]
        assert decimals([(row.price, row.size)], book.figures().scale) == of([("0.00000062", TRADES)])
    with store.reader(NAME) as reader:
        tops = Book(reader).tops(2)
    assert tops.scale == Scale(-30, -38)
    assert [decimals(zip(*tops.exact[-1, at : at + 2].tolist(), strict=True), tops.scale) for at in (0, 2)] == [
        of(BIDS),
        of(ASKS),
    ]
    row = tops.to_arrow(numbers="decimal").to_pylist()[-1]
    names = [[(f"{side}_price_{n}", f"{side}_size_{n}") for n in (1, 2)] for side in ("bid", "ask")]
    assert [[(row[price], row[size]) for price, size in some] for some in names] == [of(BIDS), of(ASKS)]
    assert row["ask_price_2"] == Decimal("1e37")
    floats = tops.to_arrow(numbers="float").to_pylist()[-1]
    assert [floats[price] for some in names for price, _ in some] == [6.15e-7, 6.1e-7, 6.2e-7, 1e37]
    with store.reader(NAME) as reader:
        grid = Book(reader).grid(10**8, 2, start_ns=NS, stop_ns=NS + 4 * 10**8, numbers="decimal").to_pylist()
    assert [(grid[-1][price], grid[-1][size]) for price, size in names[0]] == of(BIDS)
    assert (grid[0]["bid_price_1"], grid[0]["bid_size_1"]) == (Decimal("0.00000061"), Decimal(105_000_000_000))
    with store.reader(NAME) as reader, pytest.raises(TooLarge, match="wide=True"):
        list(events(reader))
    with store.reader(NAME) as reader:
        told = [
            (EventKind(row["kind"]).name, *decimals([(row["price"], row["size"])], scale)[0])
            for scale, rows in events(reader, wide=True)
            for row in rows
            if row["size"]
        ]
    assert told == [
        ("LEVEL", Decimal("6.1e-7"), Decimal(BIG)),
        ("LEVEL", Decimal("1e-30"), Decimal(2)),
        ("LEVEL", Decimal("6.2e-7"), Decimal(1)),
        ("LEVEL", Decimal("6.15e-7"), Decimal(2**63)),
        ("TRADE", Decimal("6.2e-7"), Decimal(TRADES)),
        ("LEVEL", Decimal("1e37"), Decimal("1e-38")),
        ("QUOTE", Decimal("6.15e-7"), Decimal(2**63)),
        ("QUOTE", Decimal("6.2e-7"), Decimal(1)),
    ]


def test_the_audit_the_watcher_and_the_emulator_read_it_too(tmp_path):
    store = feed_of(tmp_path, FEED)
    report = audited(store)
    assert (report.findings, [stream.undecodable for stream in report.streams]) == ((), [0] * len(report.streams))
    assert watched(store) == []  # no gap, no snapshot asked for, no digits learned
    feed = RecordedFeed(store, NAME, catalog.get("binance"))
    feed.start_at(NS + 10**9)
    view = feed.depth(10)
    assert [decimals(levels, view.scale) for levels in (view.bids, view.asks)] == [of(BIDS), of(ASKS)]
    served = [json.loads(f"[{ladder(levels, view.scale)}]") for levels in (view.bids, view.asks)]
    assert [of(levels) for levels in served] == [of(BIDS), of(ASKS)]
    feed.close()


HOSTILE = [
    snapshot(100, wire([("1", "1")]), wire([("2", "1")])),
    update(101, wire([("1", "2")])),
    update(102, wire([("1", "1e38")])),
    update(103, wire([("1", "4")])),
]


def test_what_is_beyond_any_bound_is_undecodable_for_all_of_them(tmp_path):
    store = feed_of(tmp_path, HOSTILE)
    with store.reader(NAME) as reader:
        book = Book(reader)
        errors = [event.step.error for event, _ in book if event.step and event.step.error]
        assert errors == ["ladder: a number of more than 38 digits before the point, at byte 7"]
        assert (book.state, book.gaps) == (BookState.DIRTY, 1)
    report = audited(store)
    assert "38 digits before the point" in "; ".join(finding.text for finding in report.findings)
    assert [type(one) for one in watched(store)] == [Learned, Undecodable, Ask]


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the repository")
@pytest.mark.parametrize(
    ("case", "size"), [("big_a", BIG), ("big_e", "9223372036854775807"), ("big_i", "9223372036854775808")]
)
def test_cases_of_more_than_19_digits(tmp_path, case, size):
    lines = gzip.decompress((CASES / f"{case}.hb.gz").read_bytes()).splitlines()
    store = feed_of(tmp_path, [line.partition(b" ")[2] for line in lines])
    with store.reader(NAME) as reader:
        book = Book(reader)
        list(book)
        assert [decimals(levels, book.scale) for levels in book.top()] == [
            of([("0.00000061", size), ("0.00000060", "1")]),
            of([("0.00000062", "0.00000001")]),
        ]
        assert (book.state, book.gaps) == (BookState.SYNCED, 0)
        assert (
            format_decimal(book.top()[0][0][1], book.scale.size_exp)
            == format(Decimal(size), "f").partition(".")[0] + ".00000000"
        )
    report = audited(store)
    assert (report.findings, report.verdict) == ((), Verdict.CLEAN)
    assert watched(store) == []
