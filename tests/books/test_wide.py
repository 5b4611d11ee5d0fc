"""Numbers that 64 bits do not hold, in books, checks and events: exact, or refused in words."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books import checks
from mdtool.books.events import EventBuilder
from mdtool.books.l2 import L2Book
from mdtool.books.l3 import L3Book, OrderParser
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, open_book
from mdtool.errors import TooLarge
from mdtool.model import (
    EVENT,
    WIDE_EVENT,
    Action,
    BookUpdate,
    EventKind,
    Funding,
    Order,
    OrderUpdate,
    Quote,
    Scale,
    Side,
    Trade,
)
from mdtool.venues import catalog
from mdtool.venues.checksum import joined_digits

EXACT = Context(prec=200, traps=[Inexact])

plain = st.from_regex(r"\A(0|[1-9][0-9]{0,4})(\.[0-9]{1,4})?\Z")
large = st.one_of(
    st.from_regex(r"\A[1-9][0-9]{17,37}(\.[0-9]{1,8})?\Z"),
    st.from_regex(r"\A[0-9]{1,6}\.[0-9]{19,38}\Z"),
    st.from_regex(r"\A[1-9](\.[0-9]{1,9})?[eE](\+?[12][0-9]|-[12][0-9])\Z"),
    st.sampled_from(["9223372036854775807", "9223372036854775808", "1e37", "1e-38", "0e99", "9" * 38 + "." + "9" * 38]),
)
few = st.sampled_from(["1", "2.50", "3e0", "0.000000001", "99999999999999999999", "7e-20"])  # prices that meet again
zeros = st.sampled_from(["0", "0.00", "0e5"])
SIZES = {False: st.one_of(plain, zeros), True: st.one_of(plain, large, zeros)}
PRICES = {False: st.one_of(few.filter(lambda text: len(text) < 6), plain), True: st.one_of(few, plain, large)}


def signed(texts):
    return st.tuples(st.sampled_from(["", "", "-"]), texts).map("".join)


def side(wide):
    return st.lists(st.tuples(signed(PRICES[wide]), SIZES[wide]), max_size=5)


@st.composite
def updates(draw):
    """(whole, bids, asks), some with plain numbers only."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        wide = draw(st.booleans())
        found.append((draw(st.sampled_from([False, False, True])), draw(side(wide)), draw(side(wide))))
    return found


def wire(levels):
    return ("[" + ",".join(f'["{price}","{size}"]' for price, size in levels) + "]").encode()


def value(mantissa, exp):
    return EXACT.scaleb(Decimal(mantissa), exp)


def decimals(levels, scale):
    return [(value(price, scale.price_exp), value(size, scale.size_exp)) for price, size in levels]


def fits(book):
    return all(-(2**63) <= number < 2**63 for levels in book.top(None) for level in levels for number in level)


@settings(max_examples=300)
@given(updates())
def test_a_book_is_what_a_dict_of_decimals_says(changes):
    book, parser, truth = L2Book(), LevelParser(), ({}, {})
    for whole, *sides in changes:
        before = parser.scale
        book = parser.put(BookUpdate(0, 1, 1, 0, *map(wire, sides)), book, whole=whole)
        if whole:
            truth = ({}, {})
        for half, levels in zip(truth, sides, strict=True):
            for price, size in levels:
                if Decimal(size):
                    half[Decimal(price)] = Decimal(size)
                else:
                    half.pop(Decimal(price), None)
        wanted = sorted(truth[0].items(), reverse=True), sorted(truth[1].items())
        assert tuple(decimals(levels, book.scale) for levels in book.top(None)) == wanted
        assert book.scale == parser.scale == parser.scale.finest(before)
        assert book.is_wide or fits(book)
        if whole:  # it is only as wide as its numbers need
            wide = any(
                not -(2**63) <= EXACT.scaleb(Decimal(text), -exp) < 2**63
                for levels in sides
                for level in levels
                for text, exp in zip(level, book.scale, strict=True)
            )
            assert book.is_wide is wide
        copy = book.copy()
        assert (copy == book, copy.is_wide, book.widened() == book) == (True, book.is_wide, True)
        for number, levels in enumerate(wanted):
            total = sum((Fraction(size) for _, size in levels), Fraction(0))
            assert book.volume(number + 1) == total / Fraction(10) ** book.scale.size_exp


steps = st.lists(
    st.tuples(
        st.sampled_from([Action.ADD, Action.ADD, Action.MODIFY, Action.DELETE, Action.EXECUTE]),
        st.sampled_from(["a", "b", "c", 4, 5]),
        st.sampled_from(Side),
        st.sampled_from(["1", "2.5", "-3", "1e25", "4e-20"]),
        st.sampled_from(["1", "0.5", "9223372036854775807", "1e20", "2e-19"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), steps), max_size=6))
def test_a_book_by_order_is_what_a_dict_of_decimals_says(changes):
    book, parser, truth = L3Book(), OrderParser(), {}
    for whole, some in changes:
        if whole:
            truth = {}
            some = [(Action.ADD, *rest) for _, *rest in some]
        book = parser.put(OrderUpdate(0, 1, 1, 0, tuple(Order(*one) for one in some)), book, whole=whole)
        for action, order_id, of, price, size in some:
            price, size = Decimal(price), Decimal(size)
            at = truth.get(order_id)
            if action is Action.ADD:
                truth.pop(order_id, None)
                truth[order_id] = of, price, size
            elif action is Action.DELETE or at is None:
                truth.pop(order_id, None)
            elif action is Action.MODIFY:
                if at[1] != price or size > at[2]:
                    del truth[order_id]  # to the back
                truth[order_id] = at[0], price, size
            elif at[2] > size:
                truth[order_id] = at[0], at[1], EXACT.subtract(at[2], size)
            else:
                del truth[order_id]
        for of in Side:
            wanted = [(one, *rest) for one, (there, *rest) in truth.items() if there is of]
            wanted.sort(key=lambda order: order[1], reverse=of is Side.BID)
            found = [(one, *decimals([rest], book.scale)[0]) for one, *rest in book.orders(of)]
            assert found == wanted
        assert book.is_wide or fits(book)


def kraken(kind, bids, asks, checksum):
    def rows(levels):
        return ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in levels)

    text = (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/USD","bids":[{rows(bids)}],"asks":[{rows(asks)}],'
        f'"checksum":{checksum},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
    )
    return text.encode()


def test_a_checksum_is_over_the_digits_however_many():
    adapter = catalog.get("kraken")
    book, decode = open_book(adapter, "book-10"), adapter.decoder("book-10")
    bids, asks = [("0.00000061", "105000000000.00000000")], [("0.00000062", "99999999999999999999.5")]
    messages = [
        kraken("snapshot", bids, asks, joined_digits(bids, asks)),
        kraken("update", [("0.000000615", "1")], [], joined_digits([("0.000000615", "1"), *bids], asks)),
        kraken("update", [], [("0.00000062", "0")], joined_digits([("0.000000615", "1"), *bids], [])),
    ]
    for payload in messages:
        (update,) = decode(payload)
        step = book.on_message(update, 1)
        assert (step.error, step.mismatch, step.applied, step.state) == (None, None, 1, BookState.SYNCED)
    assert (book.check.matched, book.book.is_wide) == (3, True)


def test_a_quote_of_the_top_is_compared_exactly():
    book = LevelParser().put(BookUpdate(0, 1, 1, 0, b'[["1","99999999999999999999"]]', b'[["2","1"]]'), L2Book())
    assert checks.top(book, Quote(0, 1, "1.0", "99999999999999999999.00", "2", "1")) == []
    assert [one.expected for one in checks.top(book, Quote(0, 1, "1", "99999999999999999998", "2", "1"))] == [
        "bid 1 x 99999999999999999998"
    ]
    assert checks.crossed(book) == []
    crossed = LevelParser().put(BookUpdate(0, 1, 1, 0, b'[["1e30","1"]]', b"[]"), book)
    assert [one.found for one in checks.crossed(crossed)] == ["bid 1" + "0" * 30]


BIG = "105000000000.00000000"
BIG_UPDATE = BookUpdate(20, 5, 9, 4, f'[["0.00000061","{BIG}"]]'.encode(), b'[["0.00000062","0"]]')
MANTISSA = 105 * 10**17


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (BIG_UPDATE, [(EventKind.LEVEL, 61, MANTISSA), (EventKind.LEVEL, 62, 0)]),
        (Trade(5, 77, "0.00000061", BIG, Side.BID), [(EventKind.TRADE, 61, MANTISSA)]),
        (
            Quote(5, 77, "0.00000061", BIG, "0.00000062", "1"),
            [(EventKind.QUOTE, 61, MANTISSA), (EventKind.QUOTE, 62, 10**8)],
        ),
        (Funding(5, "105000000000.5", "", "-99.5"), [(EventKind.MARK, 105_000_000_000_50000000, 0),
                                                     (EventKind.FUNDING, 0, -995 * 10**17)]),
        (
            OrderUpdate(5, 1, 1, 0, (Order(Action.ADD, "x", Side.BID, "0.00000061", BIG),)),
            [(EventKind.ORDER_ADD, 61, MANTISSA)],
        ),
    ],
)  # fmt: skip
def test_events_are_exact_or_refused(message, wanted):
    rows = EventBuilder(1, Scale(-8, -8), wide=True).rows(message, 10)
    assert rows.dtype == WIDE_EVENT
    assert [(int(row["kind"]), row["price"], row["size"]) for row in rows] == wanted
    assert {type(number) for name in ("price", "size") for number in rows[name].tolist()} == {int}
    with pytest.raises(TooLarge, match=r"10 ns has a number beyond 64 bits.*wide=True"):
        EventBuilder(1, Scale(-8, -8)).rows(message, 10)


def test_events_that_fit_are_the_same_in_both_widths():
    message = BookUpdate(20, 5, 9, 4, b'[["1.5","2"],["1.4","0"]]', b'[["1.6","0.25"]]', True)
    narrow, wide = EventBuilder(3).rows(message, 10), EventBuilder(3, wide=True).rows(message, 10)
    assert narrow.dtype == EVENT
    assert {name: narrow[name].tolist() for name in EVENT.names} == {name: wide[name].tolist() for name in EVENT.names}
