"""What a sound book never shows."""

from __future__ import annotations

import pytest

from mdtool.books.checks import Contradiction, crossed, top
from mdtool.books.l2 import L2Book
from mdtool.model import Quote, Scale


def book(bids, asks):
    made = L2Book(Scale(-2, -3))
    made.replace([p for p, _ in bids], [s for _, s in bids], [p for p, _ in asks], [s for _, s in asks])
    return made


def test_crossed():
    assert crossed(book([(100, 1)], [(101, 1)])) == crossed(book([], [(1, 1)])) == crossed(L2Book()) == []
    for ask in (100, 99):
        assert crossed(book([(100, 1)], [(ask, 1)])) == [Contradiction("bid 1.00", f"below ask {ask / 100:.2f}")]


@pytest.mark.parametrize(
    ("quote", "findings"),
    [
        (Quote(0, 1, "2.50", "1.5", "2.60000000", "0.25"), []),
        (Quote(0, 1, "2.51", "1.5", "2.6", "0.25"), [Contradiction("bid 2.50 x 1.500", "bid 2.51 x 1.5")]),
        (Quote(0, 1, "2.5", "1.5", "2.6", "0.2501"), [Contradiction("ask 2.60 x 0.250", "ask 2.6 x 0.2501")]),
        (Quote(0, 1, "x", "1.5", "2.6", "0.25"), [Contradiction("bid 2.50 x 1.500", "bid x x 1.5")]),
    ],
)
def test_top(quote, findings):
    assert top(book([(250, 1500), (249, 9000)], [(260, 250)]), quote) == findings


def test_an_empty_side_agrees_with_a_quote_of_nothing():
    assert top(book([], [(260, 250)]), Quote(0, 1, "0.00", "0.000", "2.6", "0.25")) == []
    assert top(book([], []), Quote(0, 1, "1", "1", "0", "0")) == [Contradiction("bid none", "bid 1 x 1")]
