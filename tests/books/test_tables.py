"""Prices and sizes as decimals are the mantissas exactly; as floats, the nearest there are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.tops import Tops
from mdtool.errors import UsageError
from mdtool.model import Scale

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def tops(prices, scale):
    fits = all(abs(price) < 2**63 for price in prices if price != -(2**63))
    levels = np.zeros((len(prices), 4, 1), np.int64 if fits else object)
    levels[:, 0, 0], levels[:, 1, 0] = prices, 1
    none = np.zeros(len(prices), np.int64)
    return Tops(scale, none + 1_234_567_891, none, none, none.astype(np.bool_), levels)


@given(st.lists(INT64, max_size=5), st.integers(-38, 19))
def test_a_decimal_is_the_mantissa_exactly(prices, exp):
    column = tops(prices, Scale(exp, 0)).to_arrow(numbers="decimal")["bid_price_1"]
    assert column.type == pa.decimal128(38, max(0, -exp))
    column.validate(full=True)
    assert [Fraction(one) for one in column.to_pylist()] == [price * Fraction(10) ** exp for price in prices]


@given(st.lists(st.one_of(INT64, st.integers(1 - 10**76, 10**76 - 1)), max_size=5), st.integers(-76, 0))
def test_a_decimal_is_as_wide_as_it_needs(prices, exp):
    column = tops(prices, Scale(exp, 0)).to_arrow(numbers="decimal")["bid_price_1"]
    narrow = exp >= -38 and all(abs(price) < 10**38 for price in prices)
    assert column.type == (pa.decimal128(38, -exp) if narrow else pa.decimal256(76, -exp))
    column.validate(full=True)
    assert [Fraction(one) for one in column.to_pylist()] == [price * Fraction(10) ** exp for price in prices]


def test_prices_are_of_one_type_whatever_stands_in_a_column():
    levels = np.zeros((1, 4, 2), object)
    levels[0, :2], levels[0, 2:, 0] = [[10**40, 1], [1, 1]], [5, 1]
    none = np.zeros(1, np.int64)
    table = Tops(Scale(0, 0), none, none, none, none.astype(np.bool_), levels).to_arrow(numbers="decimal")
    assert [str(table.schema.field(at).type) for at in range(4, 12)] == [
        "decimal256(76, 0)",
        "decimal128(38, 0)",
    ] * 4
    assert table.to_pylist()[0]["bid_price_1"] == Decimal(10**40)


@given(st.lists(st.one_of(INT64, st.integers(-(10**76), 10**76)), max_size=5), st.integers(-60, 40))
def test_a_float_is_the_nearest(prices, exp):
    column = tops(prices, Scale(exp, 0)).to_arrow(numbers="float")["bid_price_1"]
    assert column.to_pylist() == [float(price * Fraction(10) ** exp) for price in prices]


def test_a_table_in_each_form():
    table = tops([645, 646], Scale(-1, -3)).to_arrow(numbers="decimal", times="timestamp")
    at = datetime(1970, 1, 1, 0, 0, 1, 234567, UTC)
    assert table.schema.field("recv_ns").type == pa.timestamp("ns", tz="UTC")
    assert table["recv_ns"].cast(pa.int64()).to_pylist() == [1_234_567_891] * 2
    assert [(row.pop("recv_ns").replace(nanosecond=0), row) for row in table.to_pylist()] == [
        (at, {"venue_ns": None, "seq": 0, "whole": False, "bid_price_1": Decimal(price), "bid_size_1": Decimal("0.001"),
              "ask_price_1": None, "ask_size_1": None}) for price in ("64.5", "64.6")
    ]  # fmt: skip
    assert table.schema.metadata == {b"price_exp": b"-1", b"size_exp": b"-3"}
    plain = tops([645], Scale(-1, -3)).to_arrow()
    assert plain.to_pylist() == [
        {"recv_ns": 1_234_567_891, "venue_ns": None, "seq": 0, "whole": False, "bid_price_1": 645, "bid_size_1": 1,
         "ask_price_1": None, "ask_size_1": None}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"numbers": "double"}, "numbers 'double': expected one of mantissa, decimal, float"),
        ({"times": "us"}, "times 'us': expected one of ns, timestamp"),
    ],
)
def test_another_form_is_refused(asked, said):
    with pytest.raises(UsageError, match=said):
        tops([1], Scale(0, 0)).to_arrow(**asked)
    for prices, exp in (([1], -77), ([1], 76), ([10**76], 0)):
        with pytest.raises(UsageError, match="beyond 76 digits"):
            tops(prices, Scale(exp, 0)).to_arrow(numbers="decimal")
