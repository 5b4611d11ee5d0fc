"""Books out of a store, of every venue whose capture has one: the columns, the grid and the book of any moment are the
book in step, whether it is kept by sequence, checksum, depth or orders."""

from __future__ import annotations

import random

import pytest

from mdtool.books.book import Book
from mdtool.books.checks import crossed
from mdtool.books.sync import BookState
from mdtool.interop.importer import import_files
from mdtool.kernel.ladder import decimal
from mdtool.model import SESSION_SYMBOL, UNKNOWN, Quote
from mdtool.storage.store import Store
from mdtool.venues import catalog

pytestmark = pytest.mark.realdata

# Quotes whose id is that of a book, and checksums: all of them agree. By the capture's first file.
COINCIDE = {
    "binance/2021-10-11.ws.cf.gz": 26,
    "binance/ethusdt_20240808_head3000.hb.gz": 46,
    "binance_usdm/btcusdt_20240808_head3000.hb.gz": 23,
    "binance_usdm/ethusdt_20240808.hb.gz": 551,
    "gateio_futures/2023-06-01.ws.cf.gz": 18,
}
CHECKSUMS = {"kraken/2021-04-17_v1.ws.cf.gz": 4269, "okx/2022-05-13.ws.cf.gz": 290}

CAPTURES = [
    ("binance", ["binance/2021-10-11.ws.cf.gz", "binance/2021-10-11.http.cf.gz"]),
    ("binance-usdm", ["binance_usdm/btcusdt_20240808_head3000.hb.gz"]),
    ("kraken", ["kraken/2021-04-17_v1.ws.cf.gz"]),
    ("okx", ["okx/2022-05-13.ws.cf.gz"]),
    ("bitfinex", ["bitfinex/2021-04-17.ws.cf.gz"]),
    ("deribit", ["deribit/2021-04-05.ws.cf.gz"]),
    ("gate", ["gateio/2021-04-22.ws.cf.gz", "gateio/2021-04-22.http.cf.gz"]),
    ("gate-futures", ["gateio_futures/2023-06-01.ws.cf.gz", "gateio_futures/2023-06-01.http.cf.gz"]),
    ("bitstamp", ["bitstamp/2022-01-04.ws.cf.gz", "bitstamp/2022-01-04.http.cf.gz"]),
    ("hyperliquid", ["hyperliquid/btcusd_20250126.hb.gz"]),
    ("coinbase", ["coinbase/2021-04-17_level2.ws.cf.gz"]),
    ("coinbase-advanced", ["coinbase_advanced/2026-08-09_head.ws.cf.gz"]),
    ("coinbase", ["coinbase/2016-03-12_full_l3.pat.gz"]),
]


def padded(levels, depth):
    return [side + [(0, 0)] * (depth - len(side)) for side in levels.top(depth)]


def finer(sides, old, new):
    price, size = 10 ** (old.price_exp - new.price_exp), 10 ** (old.size_exp - new.size_exp)
    return [[(at * price, amount * size) for at, amount in side] for side in sides]


QUOTED = [*CAPTURES, ("binance", ["binance/ethusdt_20240808_head3000.hb.gz"])]
QUOTED.append(("binance-usdm", ["binance_usdm/ethusdt_20240808.hb.gz"]))


def ids(captures):
    return [f"{venue}-{files[0][-20:]}" for venue, files in captures]


def as_levels(quote, scale):
    """Both sides of a quote as a book of that scale would have them."""
    return [
        (decimal(price, scale.price_exp), decimal(size, scale.size_exp))
        for price, size in ((quote.bid_price, quote.bid_size), (quote.ask_price, quote.ask_size))
    ]


@pytest.mark.parametrize(("venue", "files"), QUOTED, ids=ids(QUOTED))
def test_no_book_is_crossed_and_all_quotes_and_checksums_agree(realdata, tmp_path, venue, files):
    coincide, checked = 0, 0
    with Store.create(tmp_path / "md") as store:
        import_files(store, catalog.get(venue), [realdata / name for name in files])
        for feed in store.feeds():
            quotes, touches = {}, {}
            with store.reader(feed.name) as reader:
                book = Book(reader)
                for event, _ in book:
                    if isinstance(event.message, Quote) and event.message.seq != UNKNOWN:
                        quotes[event.message.seq] = event.message
                    if event.step is not None and event.step.applied and book.state is BookState.SYNCED:
                        assert crossed(book.levels) == []
                        touches[book.last_seq] = [book.best_bid(), book.best_ask()], book.scale
                assert book.gaps == 0
                if book.sync is not None and book.sync.check is not None:
                    checked += book.sync.check.matched
                    assert book.sync.check.mismatched == 0
            for seq in quotes.keys() & touches.keys():
                touch, scale = touches[seq]
                assert touch == as_levels(quotes[seq], scale)
                coincide += 1
    assert (coincide, checked) == (COINCIDE.get(files[0], 0), CHECKSUMS.get(files[0], 0))


@pytest.mark.parametrize(("venue", "files"), CAPTURES, ids=ids(CAPTURES))
def test_every_way_to_a_book_is_the_same_book(realdata, tmp_path, venue, files):
    chance, whole = random.Random(3), 0
    with Store.create(tmp_path / "md") as store:
        import_files(store, catalog.get(venue), [realdata / name for name in files])
        for feed in store.feeds():
            if feed.symbol == SESSION_SYMBOL:
                continue
            with store.reader(feed.name) as reader:
                book, seen, states = Book(reader), [], []
                for event, _ in book:
                    if event.step is not None and event.step.applied:
                        seen.append(
                            (event.recv_ns, book.last_seq, event.step.applied, padded(book.levels, 3), book.scale)
                        )
                    if book.levels is None:  # a feed of trades alone
                        continue
                    states.append((event.recv_ns, book.state, book.last_seq, padded(book.levels, 3), book.scale))
                reader.to_start()
                tops = Book(reader).tops(3)
                assert book.undecodable == 0
            whole += len(seen)
            ends = [sum(row[2] for row in seen[: number + 1]) - 1 for number in range(len(seen))]
            assert len(tops) == (ends[-1] + 1 if ends else 0)
            assert tops.seq[ends].tolist() == [row[1] for row in seen]
            assert tops.recv_ns[ends].tolist() == [row[0] for row in seen]
            columns = [tops.column(name) for name in ("bid_price", "bid_size", "ask_price", "ask_size")]
            for at, (_, _, _, sides, scale) in zip(ends, seen, strict=True):
                row = [column[at].tolist() for column in columns]
                got = [list(zip(*row[:2], strict=True)), list(zip(*row[2:], strict=True))]
                assert got == finer(sides, scale, tops.scale)
            for _ in range(4 if states else 0):
                moment = chance.randint(states[0][0] - 1, states[-1][0] + 1)
                with store.reader(feed.name) as reader:
                    then = Book(reader).advance_to(moment)
                    reader.to_start()
                    table = Book(reader).grid(1, 1, start_ns=moment, stop_ns=moment + 1)
                before = [state for state in states if state[0] <= moment]
                if not before:
                    assert then.state is BookState.WAITING
                    continue
                _, state, seq, sides, scale = before[-1]
                assert (then.state, then.last_seq, padded(then.levels, 3)) == (
                    state,
                    seq,
                    finer(sides, scale, then.scale),
                )
                last = moment > states[-1][0] and book.recv_ns < moment
                assert table["state"].to_pylist() == [None if last else state.name]
    assert whole
