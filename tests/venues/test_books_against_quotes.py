"""Books rebuilt from real captures, through import and store, against what the venue itself says of them: the best
quotes it sent beside the updates, wherever both have the same id, and a book that somebody else kept of the same
messages.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from mdtool.books.sync import BookState, open_book
from mdtool.interop.importer import import_files
from mdtool.model import SESSION_SYMBOL, Kind, Quote, Side
from mdtool.storage.store import Store
from mdtool.venues import catalog

pytestmark = pytest.mark.realdata


def level(price, size, scale):
    return Decimal(price).scaleb(scale.price_exp), Decimal(size).scaleb(scale.size_exp)


def played(store, feed, book, quotes):
    """The book at the end, its best levels by id, and the quotes by id."""
    venue = catalog.get(feed.venue)
    sync = open_book(venue, book)
    tops, said = {}, {}
    with store.reader(feed.name) as reader:
        for record in reader.records():
            stream = reader.stream_name(record.stream)
            if record.kind == Kind.DATA and stream == quotes:
                said.update({m.seq: m for m in venue.decoder(stream)(record.payload) if isinstance(m, Quote)})
            elif record.kind == Kind.RESPONSE or (record.kind == Kind.DATA and stream == book):
                for message in venue.decoder(stream)(record.payload):
                    sync.on_message(message, record.recv_ns)
                if quotes and sync.state is BookState.SYNCED:
                    tops[sync.last_seq] = [level(*best, sync.book.scale) for half in sync.book.top(1) for best in half]
    return sync, tops, said


@pytest.mark.parametrize(
    ("name", "files", "book", "quotes", "compared"),
    [
        ("kucoin", ["kucoin/2021-07-22.ws.cf.gz", "kucoin/2021-06-08.http.cf.gz"], "level2", "ticker", 819),
        (
            "gate-futures",
            ["gateio_futures/2023-06-01.ws.cf.gz", "gateio_futures/2023-06-01.http.cf.gz"],
            "order_book_update",
            "book_ticker",
            18,
        ),
    ],
)
def test_the_best_levels_are_the_quotes_of_the_same_id(tmp_path, realdata, name, files, book, quotes, compared):
    both = 0
    with Store.create(tmp_path / "store") as store:
        import_files(store, catalog.get(name), [realdata / file for file in files])
        for feed in store.feeds():
            if feed.symbol == SESSION_SYMBOL:
                continue
            sync, tops, said = played(store, feed, book, quotes)
            assert sync.gaps == 0
            for seq in tops.keys() & said.keys():
                quote = said[seq]
                bid = Decimal(quote.bid_price), Decimal(quote.bid_size)
                assert tops[seq] == [bid, (Decimal(quote.ask_price), Decimal(quote.ask_size))], (feed.name, seq)
                both += 1
    assert both == compared


def test_the_orders_of_coinbase_end_in_the_book_another_tool_kept(tmp_path, realdata):
    kept = json.loads(
        (realdata / "coinbase/2016-03-12_full_l3.expected_book.json").read_text(),
        parse_float=Decimal,
        parse_int=Decimal,
    )
    with Store.create(tmp_path / "store") as store:
        import_files(store, catalog.get("coinbase"), [realdata / "coinbase/2016-03-12_full_l3.pat.gz"])
        sync, _, _ = played(store, store.feed("coinbase/BTC_USD"), "full", "")
    assert (sync.state, sync.gaps, sync.last_seq) == (BookState.SYNCED, 0, kept["sequence"])
    for half, side, found in zip(("bids", "asks"), Side, sync.book.top(50), strict=True):
        assert [list(level(*one, sync.book.scale)) for one in found] == kept[half]
        assert len(found) == 50
        orders = sync.book.orders(side)
        assert len({order_id for order_id, _, _ in orders}) == len(orders) > 3_000
        assert orders[0][1] == found[0][0]
    # 7,109 orders stood at first, 792 came, and 789 of them or of those before were canceled; one was executed in part.
    assert len(sync.book) == 7_109 + 792 - 789
