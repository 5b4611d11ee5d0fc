"""Numbers as venues may write them, at every venue: exponents, prices below zero, a side without a change."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, open_book
from mdtool.errors import WireError
from mdtool.exchange.samples import SAMPLES
from mdtool.interop import hb
from mdtool.model import Side
from mdtool.venues import catalog
from mdtool.venues.checksum import joined_digits

CASES = Path(__file__).parents[3] / "shared" / "cases"
BIDS = [("-1.50", "5.0"), ("1e-8", "1E+3"), ("1.1E-8", "0e0"), ("37.5", "5.0e-4"), ("-2e0", "12.5e-1")]
ASKS = [("-1.4e1", "1"), ("0.25", "4"), ("1.2e-08", "3")]


def message(name, bids, asks):
    sample = SAMPLES[name]
    texts = [
        ",".join(form.format(p=p, s=s, last=5) for p, s in side)
        for form, side in ((sample.bid, bids), (sample.ask, asks))
    ]
    if name == "bitfinex":  # an ask's amount has the minus already
        assert "-{s}" in sample.ask
    return sample.text.format(
        bids=texts[0], asks=texts[1], first=5, last=5, prev=4, ms=1, us=1000, ms32=1, iso="2024-08-08T00:00:00Z"
    ).encode()


@pytest.mark.parametrize("name", catalog.names())
def test_every_number_is_exact_at_every_venue(name):
    (update,) = catalog.get(name).decoder(SAMPLES[name].stream)(message(name, BIDS, ASKS))
    parser = LevelParser()
    found = parser.parse_update(update)
    scale = found.scale
    for prices, sizes, wanted in (
        (found.bid_prices, found.bid_sizes, BIDS),
        (found.ask_prices, found.ask_sizes, ASKS),
    ):
        assert [Decimal(price).scaleb(scale.price_exp) for price in prices] == [Decimal(price) for price, _ in wanted]
        assert [Decimal(size).scaleb(scale.size_exp) for size in sizes] == [Decimal(size) for _, size in wanted]


@pytest.mark.parametrize("name", catalog.names())
def test_a_size_below_zero_is_no_size(name):
    if name == "bitfinex":  # there the sign of an amount is the side
        return
    with pytest.raises(WireError):
        (update,) = catalog.get(name).decoder(SAMPLES[name].stream)(message(name, [("1", "-2")], ASKS))
        LevelParser().parse_update(update)


def test_a_side_that_is_null_is_a_side_without_a_change():
    venue = catalog.get("gate")
    text = b'{"channel":"spot.order_book_update","event":"update","result":{"s":"A_B","U":5,"u":5,"b":null,"a":[]}}'
    (update,) = venue.decoder("order_book_update")(text)
    assert LevelParser().parse_update(update)[1:] == ([], [], [], [])


def test_a_checksum_over_numbers_in_exponent_form_is_over_their_digits():
    bids, asks = [("1e-7", "2000.25"), ("9e-8", "1.0005e3")], [("0.00000011", "3")]
    assert joined_digits(bids, asks) == joined_digits(
        [("0.00000010", "2000.25"), ("0.00000009", "1000.5")], [("0.00000011", "3")]
    )


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the repository")
@pytest.mark.parametrize(
    ("name", "venue", "stream", "bids", "asks"),
    [
        ("exp", "binance", "depth@100ms", [("1e-8", 500), ("5e-9", 2)], [("1.2e-8", 3)]),
        ("gate_exp", "gate-futures", "order_book_update", [("36541", 100_000)], [("36563", "0.5"), ("36570", 12)]),
        ("neg", "binance", "depth@100ms", [("-1.45", 7), (-2, 2)], [("-1.4", 1), (0, 4), ("0.1", 3)]),
        ("deribit_neg", "deribit", "book.100ms", [("-37.5", 1), ("-37.63", 10)], [(-37, 3)]),
        ("bn_tick", "binance", "depth@100ms", [("100.0005", "1.25000001")], [("100.09", 2)]),
        ("kraken_exp", "kraken", "book-10", [(f"{n}e-8", "2000.25") for n in (11, 10, 9, 8, 7, 6)], None),
    ],
)
def test_cases_of_numbers(name, venue, stream, bids, asks):
    adapter = catalog.get(venue)
    router, book = adapter.router(), open_book(adapter, stream)
    for line in gzip.decompress((CASES / f"{name}.hb.gz").read_bytes()).splitlines():
        item = hb.parse_line(line)
        key = router.route(item.payload)
        place = adapter.place(key) if key is not None else None
        if place is not None and place.symbol is None:
            continue  # an answer
        for update in adapter.decoder(place.stream if place else "snapshot")(item.payload):
            step = book.on_message(update, item.recv_ns)
            assert (step.error, step.mismatch, step.state) == (None, None, BookState.SYNCED)
    scale = book.book.scale
    for side, wanted in ((Side.BID, bids), (Side.ASK, asks)):
        levels = book.book.top(None)[side is Side.ASK]
        found = [(Decimal(p).scaleb(scale.price_exp), Decimal(s).scaleb(scale.size_exp)) for p, s in levels]
        assert wanted is None or found == [(Decimal(price), Decimal(size)) for price, size in wanted]
