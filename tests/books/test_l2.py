"""The L2 book against a dict, step by step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.l2 import L2Book
from mdtool.model import Scale

level = st.tuples(st.integers(0, 30), st.integers(0, 5))
change = st.tuples(
    st.lists(level, max_size=8), st.lists(level, max_size=8), st.sampled_from(["apply", "apply", "replace"])
)


def columns(bids, asks):
    return [p for p, _ in bids], [s for _, s in bids], [p for p, _ in asks], [s for _, s in asks]


@given(st.lists(change, max_size=8))
def test_the_book_is_what_a_dict_says(changes):
    book, model = L2Book(), ({}, {})
    for bids, asks, how in changes:
        if how == "replace":
            model = ({}, {})
            book.replace(*columns(bids, asks))
        else:
            book.apply(*columns(bids, asks))
        for half, levels in zip(model, (bids, asks), strict=True):
            half.update(levels)
        wanted_bids = sorted(((p, s) for p, s in model[0].items() if s), reverse=True)
        wanted_asks = sorted((p, s) for p, s in model[1].items() if s)
        assert (book.bids(), book.asks()) == (wanted_bids, wanted_asks)
        assert book.best_bid() == (wanted_bids[0] if wanted_bids else None)
        assert book.best_ask() == (wanted_asks[0] if wanted_asks else None)
        assert book.top(3) == (wanted_bids[:3], wanted_asks[:3])
        assert len(book) == len(wanted_bids) + len(wanted_asks)
        assert [book.bid_size(price) for price in range(31)] == [dict(wanted_bids).get(p, 0) for p in range(31)]
        assert [book.ask_size(price) for price in range(31)] == [dict(wanted_asks).get(p, 0) for p in range(31)]


def test_rescaling_is_exact_and_only_finer():
    book = L2Book(Scale(-1, 0))
    book.apply([25, 24], [3, 4], [26], [5])
    book.rescale(Scale(-3, -2))
    assert (book.scale, book.bids(), book.asks()) == (Scale(-3, -2), [(2500, 300), (2400, 400)], [(2600, 500)])
    book.apply([2500], [0], [], [])
    assert book.best_bid() == (2400, 400)
    with pytest.raises(ValueError, match="would round"):
        book.rescale(Scale(-2, -2))
    book.clear()
    assert (book.scale, book.bids(), book.top(5), len(book)) == (Scale(-3, -2), [], ([], []), 0)
    assert book.top(0) == ([], [])


def test_equality_is_by_levels_and_scale():
    one, other = L2Book(), L2Book()
    one.apply([1, 2], [1, 1], [], [])
    other.replace([2, 1], [1, 1], [], [])
    assert one == other and one != L2Book() and one != L2Book(Scale(-1, 0)) and one != 5
    with pytest.raises(ValueError, match="prices and"):
        one.apply([1], [], [], [])
