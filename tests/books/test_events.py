"""Messages as rows of model.EVENT, every field."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import numpy as np
import pytest

from mdtool.books.events import EventBuilder, events, rescale
from mdtool.errors import TooLarge, WireError
from mdtool.model import (
    EVENT,
    Action,
    BookUpdate,
    EventKind,
    Funding,
    Liquidation,
    Order,
    OrderUpdate,
    Other,
    Quote,
    Scale,
    Side,
    Status,
    Trade,
    order_number,
)

LEVEL, TRADE, QUOTE, BEGIN, END = (
    EventKind.LEVEL, EventKind.TRADE, EventKind.QUOTE, EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END,
)  # fmt: skip


def told(rows):
    assert rows.dtype == EVENT
    fields = ("recv_ns", "venue_ns", "seq", "prev_seq", "price", "size", "order_id", "feed", "kind", "side", "flags")
    return [tuple(int(row[field]) for field in fields) for row in rows]


def test_a_book_update_bids_before_asks():
    builder = EventBuilder(3, Scale(-2, -3))
    update = BookUpdate(20, 5, 9, 4, b'[["1.5","2"],["1.4","0"]]', b'[["1.6","0.25"]]')
    assert told(builder.rows(update, 10)) == [
        (10, 20, 9, 4, 150, 2000, 0, 3, LEVEL, Side.BID, 0),
        (10, 20, 9, 4, 140, 0, 0, 3, LEVEL, Side.BID, 0),
        (10, 20, 9, 4, 160, 250, 0, 3, LEVEL, Side.ASK, 1),
    ]
    assert told(builder.rows(BookUpdate(20, 5, 9, 4, b"[]", b"[]"), 10)) == [
        (10, 20, 9, 4, 0, 0, 0, 3, EventKind.SEQUENCE, 0, 1)
    ]


def test_a_snapshot_stands_between_its_begin_and_end():
    builder = EventBuilder(1, Scale(0, 0))
    assert told(builder.rows(BookUpdate(0, 9, 9, -1, b'[["1","2"]]', b"[]", True), 7)) == [
        (7, 0, 9, -1, 0, 0, 0, 1, BEGIN, 0, 0),
        (7, 0, 9, -1, 1, 2, 0, 1, LEVEL, Side.BID, 0),
        (7, 0, 9, -1, 0, 0, 0, 1, END, 0, 1),
    ]
    assert [row[8] for row in told(builder.rows(BookUpdate(0, 9, 9, -1, b"[]", b"[]", True), 7))] == [BEGIN, END]


def test_trades_and_quotes():
    builder = EventBuilder(2)
    assert told(builder.rows(Trade(5, 77, "2.5", "3", Side.ASK), 6)) == [
        (6, 5, 77, -1, 25, 3, 0, 2, TRADE, Side.ASK, 1)
    ]
    assert builder.scale == Scale(-1, 0)
    # The ask needs more digits than the bid: both are at the scale of the end.
    assert told(builder.rows(Quote(5, 8, "1", "2", "1.25", "0.5"), 6)) == [
        (6, 5, 8, -1, 100, 20, 0, 2, QUOTE, Side.BID, 0),
        (6, 5, 8, -1, 125, 5, 0, 2, QUOTE, Side.ASK, 1),
    ]
    assert builder.scale == Scale(-2, -1)
    assert len(builder.rows(Other("x"), 6)) == 0
    assert told(builder.rows(Trade(5, 77, "-1.5", "3e1", Side.ASK), 6)) == [
        (6, 5, 77, -1, -150, 300, 0, 2, TRADE, Side.ASK, 1)
    ]
    with pytest.raises(WireError):
        builder.rows(Trade(5, 77, "1", "-3", Side.ASK), 6)


def test_rows_made_before_the_scale_widened_are_expressed_anew():
    builder = EventBuilder(2)
    rows = builder.rows(Trade(5, 77, "25", "3", Side.BID), 6)
    finer = rescale(rows, Scale(0, 0), Scale(-2, -3))
    assert (int(finer["price"][0]), int(finer["size"][0]), int(rows["price"][0])) == (2500, 3000, 25)
    assert len(rescale(np.zeros(0, EVENT), Scale(0, 0), Scale(-2, -3))) == 0
    with pytest.raises(ValueError, match="would round"):
        rescale(rows, Scale(-1, 0), Scale(0, 0))
    with pytest.raises(TooLarge, match="beyond 64 bits"):
        rescale(rows, Scale(0, 0), Scale(-18, 0))
    none = builder.rows(Trade(5, 77, "0", "0", Side.BID), 6)
    assert told(rescale(none, Scale(0, 0), Scale(-38, -38))) == told(none)


def test_orders_at_one_scale_however_late_the_finest_comes():
    builder = EventBuilder(4)
    orders = (
        Order(Action.ADD, 7, Side.BID, "10", "2"),
        Order(Action.EXECUTE, "8", Side.ASK, "", "0.5"),
        Order(Action.MODIFY, "a-b", Side.ASK, "10.25", "1"),
        Order(Action.DELETE, 2**64 - 1, Side.BID, "", ""),
    )
    rows = builder.rows(OrderUpdate(20, 5, 5, 4, orders), 10)
    assert builder.scale == Scale(-2, -1)
    assert told(rows) == [
        (10, 20, 5, 4, 1000, 20, 7, 4, EventKind.ORDER_ADD, Side.BID, 0),
        (10, 20, 5, 4, 0, 5, 8, 4, EventKind.ORDER_EXECUTE, Side.ASK, 0),
        (10, 20, 5, 4, 1025, 10, order_number("a-b"), 4, EventKind.ORDER_MODIFY, Side.ASK, 0),
        (10, 20, 5, 4, 0, 0, 2**64 - 1, 4, EventKind.ORDER_DELETE, Side.BID, 1),
    ]
    assert [int(kind) for kind in builder.rows(OrderUpdate(0, 5, 5, 4, orders[:1], True), 10)["kind"]] == [
        BEGIN, EventKind.ORDER_ADD, END,
    ]  # fmt: skip
    assert told(builder.rows(OrderUpdate(20, 6, 6, 5, ()), 10)) == [
        (10, 20, 6, 5, 0, 0, 0, 4, EventKind.SEQUENCE, 0, 1)
    ]


def test_an_order_id_is_itself_where_it_is_a_number_that_fits():
    assert [order_number(0), order_number("18446744073709551615"), order_number("007")] == [0, 2**64 - 1, 7]
    uuid = "9dcbf11c-b50d-4cd5-a8cf-d1f6ae62dcd5"
    assert order_number(uuid) == order_number(uuid) != order_number(uuid.upper())
    assert all(0 <= order_number(text) < 2**64 for text in (uuid, "", "-1", str(2**64), "\ud800"))


def test_funding_liquidations_and_status():
    builder = EventBuilder(1, Scale(-2, 0))
    funding = Funding(20, mark_price="100.5", rate="-0.0000125", next_ns=77)
    assert told(builder.rows(funding, 10)) == [
        (10, 20, -1, -1, 10050, 0, 0, 1, EventKind.MARK, 0, 0),
        (10, 20, 77, -1, 0, -12_500_000_000_000, 0, 1, EventKind.FUNDING, 0, 1),
    ]
    assert len(builder.rows(Funding(20, index_price="5"), 10)) == 0
    assert told(builder.rows(Funding(20, rate="-1e-9"), 10)) == [
        (10, 20, -1, -1, 0, -(10**9), 0, 1, EventKind.FUNDING, 0, 1)
    ]
    with pytest.raises(WireError):
        builder.rows(Funding(20, rate="1e-19"), 10)
    assert told(builder.rows(Liquidation(20, "1.25", "3", Side.ASK), 10)) == [
        (10, 20, -1, -1, 125, 3, 0, 1, EventKind.LIQUIDATION, Side.ASK, 1)
    ]
    assert told(builder.rows(Status(20, "halt", False), 10)) == [(10, 20, -1, -1, 0, 0, 0, 1, EventKind.STATUS, 0, 1)]
    assert len(builder.rows(Status(20, "whatever"), 10)) == 0


def test_rescaling_leaves_a_rate_alone():
    builder = EventBuilder(1, Scale(0, 0))
    rows = builder.rows(Funding(20, mark_price="100", rate="0.5"), 10)
    finer = rescale(rows, Scale(0, 0), Scale(-1, -3))
    assert [int(price) for price in finer["price"]] == [1000, 0]
    assert [int(size) for size in finer["size"]] == [0, 5 * 10**17]


@pytest.mark.realdata
def test_a_feeds_events_are_what_its_messages_say(realdata, tmp_path):
    """A capture's own trades and quotes, counted and summed by plain decoding of its lines."""
    from mdtool.interop.importer import import_files
    from mdtool.storage.store import Store
    from mdtool.venues import catalog

    path = realdata / "binance_usdm" / "btcusdt_20240808_head3000.hb.gz"
    counts, volume, levels = {"trade": 0, "bookTicker": 0}, Decimal(0), 0
    for line in gzip.decompress(path.read_bytes()).splitlines():
        data = json.loads(line.partition(b" ")[2])
        said = data.get("data", {})
        if said.get("e") == "trade":
            counts["trade"] += 1
            volume += Decimal(said["q"])
        elif said.get("e") == "bookTicker":
            counts["bookTicker"] += 1
        levels += sum(len(half) for source in (data, said) for key in ("b", "a", "bids", "asks")
                      if isinstance(half := source.get(key), list))  # fmt: skip
    with Store.create(tmp_path / "md") as store:
        import_files(store, catalog.get("binance-usdm"), [path])
        with store.reader("binance-usdm/BTC_USDT") as reader:
            parts = list(events(reader, feed=7))
    rows = [row for scale, part in parts for row in rescale(part, scale, parts[-1][0])]
    kinds = [EventKind(row["kind"]) for row in rows]
    assert (kinds.count(TRADE), kinds.count(QUOTE), kinds.count(LEVEL)) == (
        counts["trade"], 2 * counts["bookTicker"], levels)  # fmt: skip
    traded = sum(int(row["size"]) for row in rows if row["kind"] == TRADE)
    assert traded * Decimal(10) ** parts[-1][0].size_exp == volume > 0
    assert {int(row["feed"]) for row in rows} == {7}
