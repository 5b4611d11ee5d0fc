"""Books out of records: in step, as columns after every update, on a grid; whole and disturbed feeds, real ones too."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books import checks, tables, tops
from mdtool.books.book import Book
from mdtool.books.sync import BookState, open_book
from mdtool.errors import TooLarge, UsageError, WireError
from mdtool.kernel.ladder import decimal
from mdtool.model import UNKNOWN, Flag, Kind, Quote, Scale, Side
from mdtool.venues import catalog

STREAMS = ["depth@100ms", "snapshot", "trade", "session"]


class Row(NamedTuple):
    recv_ns: int
    stream: int
    payload: bytes
    kind: int = Kind.DATA
    flags: int = 0


class Feed(NamedTuple):
    venue: str
    scale: Scale | None = None


class Records:
    """A source in memory; as a Reader's, its records are read once."""

    def __init__(self, rows, venue="sim", streams=STREAMS):
        self.feed, self.streams, self._rows = Feed(venue), streams, iter(rows)

    def stream_name(self, number):
        return self.streams[number]

    def records(self):
        return self._rows


def text(price, size, digits):
    return [f"{price // 10**digits}.{price % 10**digits:0{digits}d}" if digits else str(price), str(size)]


def levels(book, digits=0):
    return [text(price, size, digits) for price, size in sorted(book.items())]


@st.composite
def feeds(draw):
    """Records of one feed: contiguous updates, whole books between them, some records lost or broken, times that may
    stand still or step back, prices that need more digits as it goes on; some with numbers that 64 bits do not hold."""
    rows, truth, seq, now = [], ({}, {}), 100, 1_000
    digits, most = 0, draw(st.sampled_from([2, 2, 21]))
    sizes = st.one_of(st.integers(0, 3), st.just(draw(st.sampled_from([3, 10**25]))))
    for number in range(draw(st.integers(0, 40))):
        now += draw(st.sampled_from([0, 1, 5, 30, -3]))
        what = draw(st.sampled_from(["update"] * 8 + ["snapshot"] * 3 + ["lost", "broken", "trade", "failed", "wider"]))
        if what == "wider" and digits < most:
            more = draw(st.integers(1, most - digits))
            digits += more
            truth = tuple({price * 10**more: size for price, size in side.items()} for side in truth)
        if what in ("update", "lost", "broken", "wider"):
            changes = []
            for side, low in zip(truth, (50, 60), strict=True):
                change = {
                    draw(st.integers(low * 10**digits, (low + 9) * 10**digits)): draw(sizes)
                    for _ in range(draw(st.integers(0, 3)))
                }
                side.update(change)
                changes.append([text(price, size, digits) for price, size in change.items()])
            truth = tuple({price: size for price, size in side.items() if size} for side in truth)
            first, seq = seq + 1, seq + draw(st.integers(1, 3))
            payload = {"e": "depthUpdate", "E": now, "s": "X", "U": first, "u": seq, "b": changes[0], "a": changes[1]}
            raw = json.dumps(payload, separators=(",", ":")).encode()
            if what != "lost":
                rows.append(Row(now, 0, raw if what != "broken" else raw[:-1]))
        elif what in ("snapshot", "failed"):
            whole = {"lastUpdateId": seq, "bids": levels(truth[0], digits), "asks": levels(truth[1], digits)}
            raw = json.dumps(whole, separators=(",", ":")).encode()
            rows.append(Row(now, 1, raw, Kind.RESPONSE, Flag.FAILED if what == "failed" else 0))
        else:
            trade = {"e": "trade", "E": now, "s": "X", "t": number, "p": "55.5", "q": "1", "T": now, "m": False}
            rows.append(Row(now, 2, json.dumps(trade, separators=(",", ":")).encode()))
    return rows


class Told(NamedTuple):
    """What a plain walk over the records says, an update at a time."""

    rows: list  # (recv_ns, seq, whole, scale, levels a side) of each update that went in
    states: list  # (recv_ns, state, levels a side, seq) after each record
    sync: object


def told(rows, depth):
    venue = catalog.get("sim")
    sync, decoders, written, states, now = open_book(venue, STREAMS[0]), {}, [], [], 0

    def padded(levels):
        return [side + [(0, 0)] * (depth - len(side)) for side in levels.top(depth)]

    sync.observer = lambda update, levels, *, whole: written.append(
        (now, update.last_seq, whole, levels.scale, padded(levels))
    )
    for row in rows:
        now = row.recv_ns
        if row.stream != 2 and not row.flags & Flag.FAILED:
            try:
                for message in decoders.setdefault(row.stream, venue.decoder(STREAMS[row.stream]))(row.payload):
                    sync.on_message(message, now)
            except WireError:
                if row.stream == 0:
                    sync.lose(now)
        states.append((now, sync.state, padded(sync.book), sync.book.scale, sync.last_seq))
    return Told(written, states, sync)


def finer(sides, old, new):
    price, size = 10 ** (old.price_exp - new.price_exp), 10 ** (old.size_exp - new.size_exp)
    return [[(at * price, amount * size) for at, amount in side] for side in sides]


def sides_of(row):
    """The two lists of levels in a row of Tops.levels."""
    bid_prices, bid_sizes, ask_prices, ask_sizes = row.tolist()
    return [list(zip(bid_prices, bid_sizes, strict=True)), list(zip(ask_prices, ask_sizes, strict=True))]


@settings(max_examples=200)
@given(feeds(), st.integers(1, 4))
def test_the_columns_are_the_book_in_step(rows, depth):
    want = told(rows, depth)
    for batch_rows, batch_levels in ((tops.BATCH_ROWS, tops.BATCH_LEVELS), (2, tops.BATCH_LEVELS), (100, 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tops, "BATCH_ROWS", batch_rows)
            patch.setattr(tops, "BATCH_LEVELS", batch_levels)
            got = Book(Records(rows)).tops(depth)
        assert got.recv_ns.tolist() == [row[0] for row in want.rows]
        assert got.seq.tolist() == [row[1] for row in want.rows]
        assert got.whole.tolist() == [row[2] for row in want.rows]
        assert [sides_of(row) for row in got.exact] == [finer(row[4], row[3], got.scale) for row in want.rows]


@settings(max_examples=200)
@given(feeds())
def test_the_book_goes_in_step_with_its_messages(rows):
    want = told(rows, 3)
    book = Book(Records(rows))
    seen = [(event.recv_ns, event.stream) for event, same in book if same is book]
    trades = sum(row.stream == 2 for row in rows)
    assert sum(stream == "trade" for _, stream in seen) == trades
    assert (book.records, book.figures().day.trades) == (len(rows), trades)
    if book.levels is None:
        assert (
            not any(row.stream < 2 and not row.flags & Flag.FAILED for row in rows)
            or want.sync.state is BookState.WAITING
        )
        assert (book.state, book.top(3), book.last_seq) == (BookState.WAITING, ([], []), UNKNOWN)
    else:
        _, state, sides, scale, seq = want.states[-1]
        assert (book.state, book.scale, book.last_seq, book.gaps) == (state, scale, seq, want.sync.gaps)
        assert [side + [(0, 0)] * (3 - len(side)) for side in book.top(3)] == sides


@settings(max_examples=200)
@given(feeds(), st.data())
def test_the_book_of_any_prefix_is_the_live_one_at_that_moment(rows, data):
    """Read from the beginning to a moment, or from any record before it: wherever the rebuilt book is whole, it is the
    book that was kept live."""
    want = told(rows, 10)
    stop = data.draw(st.integers(0, len(rows)))
    start = data.draw(st.integers(0, stop))
    book = Book(Records(rows[start:stop]))
    for _ in book:
        pass
    if stop and book.state is BookState.SYNCED and want.states[stop - 1][1] is BookState.SYNCED:
        _, _, sides, scale, seq = want.states[stop - 1]
        assert book.last_seq == seq or seq < book.last_seq  # begun later, it may have taken a younger whole book
        if book.last_seq == seq:
            finest = scale.finest(book.scale)
            mine = [side + [(0, 0)] * (10 - len(side)) for side in book.top(10)]
            assert finer(mine, book.scale, finest) == finer(sides, scale, finest)
    if start == 0 and stop:
        assert (book.state, book.last_seq) == (want.states[stop - 1][1], want.states[stop - 1][4])


@settings(max_examples=200)
@given(feeds(), st.integers(1, 3), st.integers(980, 1_300), st.integers(1, 50), st.integers(0, 12))
def test_a_grid_is_the_book_as_of_its_times(rows, depth, start, every, count):
    times = [start + every * number for number in range(count)]
    # The grid stops reading at its end, whatever comes after; a time that steps back does not go on before it.
    until = next((number for number, row in enumerate(rows) if row.recv_ns > start + every * count), len(rows))
    want = told(rows[:until], depth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tops, "BATCH_ROWS", 3)
        table = Book(Records(rows)).grid(every, depth, start_ns=start, stop_ns=start + every * count, numbers="decimal")
    assert table["time_ns"].to_pylist() == times
    scale = Scale(*(int(table.schema.metadata[name]) for name in (b"price_exp", b"size_exp")))
    newest, clock = 0, []
    for recv_ns, *_ in want.states:
        newest = max(newest, recv_ns)
        clock.append(newest)
    last = start + every * count if until < len(rows) else newest
    for row, time in zip(table.to_pylist(), times, strict=True):
        if time > last:  # after all there is
            assert set(row.values()) == {time, None}
            continue
        at = sum(recv_ns <= time for recv_ns in clock) - 1
        state, sides, old, seq = want.states[at][1:] if at >= 0 else (BookState.WAITING, None, None, None)
        assert row["state"] == state.name
        flat = [
            tuple(
                None if value is None else Fraction(value) / Fraction(10) ** exp
                for name, exp in zip(tables.COLUMNS, 2 * scale, strict=True)
                for value in [row[f"{name}_{n}"]]
            )
            for n in range(1, depth + 1)
        ]
        if state is not BookState.SYNCED:
            assert (row["seq"], row["recv_ns"], set(sum(flat, ()))) == (None, None, {None})
            continue
        assert row["seq"] == seq
        bids, asks = finer(sides, old, scale)
        assert flat == [
            tuple(None if not size else value for price, size in pair for value in (price, size))
            for pair in zip(bids, asks, strict=True)
        ]


def test_reading_on_in_time():
    rows = [
        Row(10, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":5,"u":6,"b":[["1","1"]],"a":[]}'),
        Row(20, 1, b'{"lastUpdateId":4,"bids":[["0.5","2"],["0.25","8"]],"asks":[["3","7"]]}', Kind.RESPONSE),
        Row(20, 3, b"{}", Kind.CLOSE),
        Row(30, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":7,"u":7,"b":[["2","4"]],"a":[]}'),
        Row(40, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":9,"u":9,"b":[["2","5"]],"a":[]}'),
    ]
    book = Book(Records(rows))
    assert book.advance_to(10).state is BookState.PARTIAL
    assert (book.best_bid(), book.best_ask(), book.vwap(Side.BID, 1), book.volume_to(Side.BID, 0)) == (
        (1, 1), None, Fraction(1), 1)  # fmt: skip
    assert book.advance_to(29).top() == ([(100, 1), (50, 2), (25, 8)], [(300, 7)])
    assert (book.scale, book.last_seq, book.recv_ns) == (Scale(-2, 0), 6, 20)
    assert (book.vwap(Side.BID, 2), book.vwap(Side.BID, 12), book.volume_to(Side.BID, 50)) == (Fraction(75), None, 3)
    (event, _), *rest = list(book)
    assert (event.recv_ns, event.stream, event.step.applied) == (30, "depth@100ms", 1)
    assert (len(rest), book.state, book.gaps, book.figures().state_since_ns) == (1, BookState.DIRTY, 1, 40)
    assert list(book) == []
    again = Book(Records(rows))
    again.advance_to(5)
    assert again.tops(1, until_ns=20).seq.tolist() == [4, 6]
    assert [event.recv_ns for event, _ in again] == [30, 40]  # what a stop has read too much of is not lost


@settings(max_examples=100)
@given(feeds())
def test_a_book_stream_may_come_later(rows):
    """The names of streams not seen yet are not known: what came before is taken in then."""
    known = Records(rows)
    unknown = Records(rows)
    unknown.streams = []
    unknown.stream_name = STREAMS.__getitem__
    got, want = Book(unknown).tops(2), Book(known).tops(2)
    first = next((number for number, row in enumerate(rows) if row.stream == 0), len(rows))
    if any(row.stream < 2 and not row.flags & Flag.FAILED and row.payload.endswith(b"}") for row in rows[first:]):
        assert (got.seq.tolist(), got.recv_ns.tolist()) == (want.seq.tolist(), want.recv_ns.tolist())
        assert got.exact.tolist() == want.exact.tolist()


def test_columns_of_a_book_that_no_longer_fits_64_bits():
    """Nothing is lost and nothing rounded: rows are of Python's integers while a level needs them."""

    def update(last, bids):
        return Row(last, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":%d,"u":%d,"b":%b,"a":[]}' % (last, last, bids))

    def whole(last, bids):
        return Row(last, 1, b'{"lastUpdateId":%d,"bids":%b,"asks":[]}' % (last, bids), Kind.RESPONSE)

    huge, fine = b'[["9000000000000000000","1"]]', b'[["1.5","1"]]'
    rows = [whole(10, huge), update(11, b'[["7","3"]]'), update(12, fine), update(14, b"[]"), whole(14, fine)]
    rows += [update(15, b'[["2","2"]]'), update(16, huge), update(17, huge.replace(b'"1"', b'"0"'))]
    parts = list(Book(Records(rows)).batches(1))
    assert [(part.scale.price_exp, part.seq.tolist(), part.exact[:, 0, 0].tolist()) for part in parts] == [
        (0, [10, 11], [9 * 10**18, 9 * 10**18]),
        (-1, [12, 14, 15], [9 * 10**19, 15, 20]),
        (-1, [16, 17], [9 * 10**19, 20]),
    ]
    whole = Book(Records(rows)).tops(1)
    assert (whole.scale, whole.exact[:, :, 0].tolist()) == (
        Scale(-1, 0),
        [[price, size, 0, 0] for price, size in [*[(9 * 10**19, 1)] * 3, (15, 1), (20, 2), (9 * 10**19, 1), (20, 2)]],
    )
    for call in (lambda: whole.levels, lambda: whole.column("bid_price"), whole.to_arrow):
        with pytest.raises(TooLarge, match=r"beyond 64 bits.*numbers='decimal'"):
            call()
    assert parts[0].levels is parts[0].exact
    assert whole.last().levels.tolist() == [[[20], [2], [0], [0]]]
    column = whole.to_arrow(numbers="decimal")["bid_price_1"]
    assert (column.type, column.to_pylist()[-2:]) == (pa.decimal128(38, 1), [Decimal("9e18"), Decimal(2)])
    with pytest.raises(TooLarge, match="numbers='decimal'"):
        Book(Records(rows)).grid(1, 1, start_ns=12, stop_ns=16)
    table = Book(Records(rows[4:])).grid(1, 1, start_ns=12, stop_ns=16, numbers="decimal")
    assert table["state"].to_pylist() == ["WAITING", "WAITING", "SYNCED", "SYNCED"]
    after = Book(Records(rows[4:])).grid(1, 1, start_ns=15, stop_ns=19, numbers="decimal")
    assert after["state"].to_pylist() == ["SYNCED", "SYNCED", "SYNCED", None]  # none behind the last record
    assert after["bid_price_1"].to_pylist() == [2, Decimal("9e18"), 2, None]
    assert table["bid_price_1"].to_pylist() == [None, None, Decimal("1.5"), 2]


def test_what_makes_no_sense_is_said():
    with pytest.raises(UsageError, match="no stream that a book is built of"):
        Book(Records([]), stream="trade")
    with pytest.raises(UsageError, match="depth 0"):
        Book(Records([Row(1, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":5,"u":6,"b":[],"a":[]}')])).tops(0)
    for every, stop in ((0, 10), (1, 10**12)):
        with pytest.raises(UsageError, match="a grid of every"):
            Book(Records([])).grid(every, start_ns=0, stop_ns=stop)


class Capture(Records):
    """A real .hb capture as a source."""

    def __init__(self, path, venue):
        self.streams = []
        super().__init__(self._read(path, catalog.get(venue)), venue, self.streams)

    def _read(self, path, venue):
        router = venue.router()
        with gzip.open(path) as file:
            for line in file:
                recv_ns, payload = line.rstrip(b"\n").split(b" ", 1)
                whole = payload.startswith(b'{"lastUpdateId"')
                name = "snapshot" if whole else venue.place(router.route(payload)).stream
                if name not in self.streams:
                    self.streams.append(name)
                yield Row(int(recv_ns), self.streams.index(name), payload, Kind.RESPONSE if whole else Kind.DATA)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("venue", "name", "applied", "coincide"),
    [
        ("binance-usdm", "binance_usdm/ethusdt_20240808.hb.gz", 6582, 551),
        ("binance-usdm", "binance_usdm/btcusdt_20240808_head3000.hb.gz", 231, 23),
        ("binance", "binance/ethusdt_20240808_head3000.hb.gz", 279, 46),
    ],
)
def test_a_real_day_by_columns_is_the_book_in_step_and_the_venues_quotes(realdata, venue, name, applied, coincide):
    path = realdata / name
    whole = Book(Capture(path, venue)).tops(5)
    assert (len(whole), int(whole.whole.sum())) == (applied, 1)
    book, quotes, row, compared = Book(Capture(path, venue)), {}, 0, 0
    for event, _ in book:
        if isinstance(event.message, Quote):
            quotes[event.message.seq] = event.message
        if event.step is None or not event.step.applied:
            continue
        row += event.step.applied
        sides = book.top(5)
        assert finer(sides, book.scale, whole.scale) == sides_of(whole.levels[row - 1])
        assert (whole.recv_ns[row - 1], whole.seq[row - 1]) == (event.recv_ns, book.last_seq)
        assert checks.crossed(book.levels) == []
    assert row == applied
    ids = {seq: number for number, seq in enumerate(whole.seq.tolist())}
    del ids[int(whole.seq[whole.whole][0])]  # the quotes' ids are the updates'
    for seq in set(ids) & set(quotes):
        compared += 1
        best = [tuple(side[0]) for side in sides_of(whole.levels[ids[seq]])]
        quote = quotes[seq]
        assert best == [
            (decimal(price, whole.scale.price_exp), decimal(size, whole.scale.size_exp))
            for price, size in ((quote.bid_price, quote.bid_size), (quote.ask_price, quote.ask_size))
        ]
    assert compared == coincide
    start, stop = int(whole.recv_ns[0]), int(whole.recv_ns[-1])
    every = (stop - start) // 97
    table = Book(Capture(path, venue)).grid(every, 5, start_ns=start - every, stop_ns=stop)
    at = np.searchsorted(whole.recv_ns, table["time_ns"].to_numpy(), "right") - 1
    assert table["seq"].to_pylist() == [int(whole.seq[i]) if i >= 0 else None for i in at]
    assert table["bid_price_3"].to_pylist() == [int(whole.levels[i, 0, 2]) if i >= 0 else None for i in at]
    arrow = whole.to_arrow()
    assert arrow["ask_size_5"].to_pylist() == whole.column("ask_size")[:, 4].tolist()
    assert arrow.schema.metadata == {b"price_exp": b"%d" % whole.scale[0], b"size_exp": b"%d" % whole.scale[1]}


LOST = b'{"note": "lost", "rows": 1, "why": "its bytes contradict their checksum", "chunk": 1, "row": 2}'


def test_a_loss_that_repair_has_noted_ends_a_book_without_numbers():
    change = b'{"type":"l2update","product_id":"X-USD","time":"2021-04-17T00:00:0%d.0Z","changes":[["buy","1","%d"]]}'
    rows = [
        Row(10, 0, b'{"type":"snapshot","product_id":"X-USD","bids":[["1","1"]],"asks":[["2","1"]]}'),
        Row(20, 0, change % (1, 4)),
        Row(30, 1, LOST, Kind.NOTE),
        Row(40, 0, change % (2, 5)),
    ]
    book = Book(Records(rows, "coinbase", ["level2", "session"]))
    assert [(book.recv_ns, book.state) for _ in book] == [
        (10, BookState.SYNCED),
        (20, BookState.SYNCED),
        (40, BookState.DIRTY),
    ]
    assert book.gaps == 1
    table = Book(Records(rows, "coinbase", ["level2", "session"])).grid(10, 1, start_ns=10, stop_ns=50)
    assert table["state"].to_pylist() == ["SYNCED", "SYNCED", "DIRTY", "DIRTY"]
    rows[2] = Row(30, 1, b'{"note": "clock stepped"}', Kind.NOTE)
    assert [book.state for _, book in Book(Records(rows, "coinbase", ["level2", "session"]))] == [BookState.SYNCED] * 3


def test_a_loss_that_repair_has_noted_is_left_to_numbers_where_there_are_any():
    rows = [
        Row(10, 1, b'{"lastUpdateId":4,"bids":[["1","2"]],"asks":[["3","7"]]}', Kind.RESPONSE),
        Row(20, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":5,"u":6,"b":[["1","1"]],"a":[]}'),
        Row(30, 3, LOST, Kind.NOTE),
        Row(40, 0, b'{"e":"depthUpdate","E":1,"s":"X","U":7,"u":7,"b":[["2","4"]],"a":[]}'),
    ]
    book = Book(Records(rows))
    assert [event.recv_ns for event, _ in book] == [10, 20, 40]
    assert (book.state, book.gaps, book.last_seq) == (BookState.SYNCED, 0, 7)
