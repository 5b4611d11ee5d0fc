"""Ladders at a scale that widens and never rounds."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import FIRST_ROOM, LevelParser
from mdtool.errors import TooLarge, WireError
from mdtool.model import BookUpdate, Scale, format_decimal

text = st.from_regex(r"\A(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?\Z")
side = st.lists(st.tuples(text, text), max_size=6)


def wire(levels):
    return ("[" + ",".join(f'["{price}","{size}"]' for price, size in levels) + "]").encode()


def update(bids, asks):
    return BookUpdate(0, 1, 1, 0, wire(bids), wire(asks))


@given(st.lists(st.tuples(side, side), max_size=5))
def test_what_comes_out_is_what_the_wire_says(messages):
    parser = LevelParser()
    for bids, asks in messages:
        before = parser.scale
        ladders = parser.parse_update(update(bids, asks))
        assert ladders.scale == parser.scale == parser.scale.finest(before)
        for levels, prices, sizes in ((bids, *ladders[1:3]), (asks, *ladders[3:5])):
            found = [
                (
                    Decimal(format_decimal(p, ladders.scale.price_exp)),
                    Decimal(format_decimal(s, ladders.scale.size_exp)),
                )
                for p, s in zip(prices, sizes, strict=True)
            ]
            assert found == [(Decimal(price), Decimal(size)) for price, size in levels]
        columns = parser.columns(update(bids, asks))
        assert (columns.scale, *(column.tolist() for column in columns[1:])) == tuple(ladders)


def test_the_scale_widens_in_the_middle_of_an_update():
    parser = LevelParser(Scale(-1, 0))
    ladders = parser.parse_update(update([("2.5", "1")], [("2.75", "0.001")]))
    assert ladders == (Scale(-2, -3), [250], [1000], [275], [1])
    assert parser.parse(b'[["3","4.10000"]]') == ([300], [4100])
    assert parser.scale == Scale(-2, -3)


def test_a_ladder_larger_than_any_before():
    levels = [(str(price), "1") for price in range(3 * FIRST_ROOM)]
    ladders = LevelParser().parse_update(update(levels, levels[:5]))
    assert (ladders.bid_prices, ladders.ask_prices) == (list(range(3 * FIRST_ROOM)), list(range(5)))
    assert LevelParser().parse(wire(levels))[0] == list(range(3 * FIRST_ROOM))
    smallest = b"[" + b",".join([b'["0","0"]'] * 5000) + b"]"
    assert len(LevelParser().parse(smallest)[0]) == 5000


@pytest.mark.parametrize(
    "bad", [b"5", b"nul", b"", b'[["1"]]', b'[["1","-1"]]', b'[["1e-39","1"]]', b'[["1","1e38"]]', b'[["1e","1"]]']
)
def test_what_is_no_ladder_is_a_wire_error(bad):
    parser = LevelParser()
    for call in (parser.parse, lambda raw: parser.parse_update(BookUpdate(0, 1, 1, 0, b"[]", raw))):
        with pytest.raises(WireError, match="byte"):
            call(bad)


def test_one_price_and_size():
    parser = LevelParser(Scale(-2, -3))
    assert parser.decimal("2681.62", "1.165") == (268162, 1165)
    assert parser.decimal("2681.6255", "1") == (26816255, 1000)
    assert parser.decimal("-1.5e-2", "1e-4") == (-150, 1)
    for price in ("", "--1", "1e", '1","2"],["3', "\ud800", " 1"):
        with pytest.raises(WireError):
            parser.decimal(price, "1")


def test_numbers_beyond_64_bits_are_pythons():
    parser = LevelParser()
    assert parser.parse(b'[["9223372036854775807","1"],["0.1","1e20"]]') == ([92233720368547758070, 1], [1, 10**20])
    assert parser.scale == Scale(-1, 0)
    wide = update([("105000000000", "1")], [("1e-38", "2")])
    assert parser.parse_update(wide) == (Scale(-38, 0), [105 * 10**47], [1], [1], [2])
    assert parser.decimal("-1.5", "99999999999999999999") == (-15 * 10**37, 99999999999999999999)
    with pytest.raises(TooLarge, match="`parse_update` has it"):
        parser.columns(wide)
    assert parser.columns(update([("1e-38", "1")], [])).bid_prices.tolist() == [1]
    before = LevelParser()
    for hostile in (update([("1e37", "1")], [("1", "1e38")]), update([("1e-38", "1")], [("1e20", "1e-39")])):
        for call in (before.parse_update, before.columns, lambda one: before.put(one, L2Book())):
            with pytest.raises(WireError, match="digits"):
                call(hostile)
