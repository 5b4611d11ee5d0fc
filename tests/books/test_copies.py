"""A copy of a book stands where the book stood, and from there each goes its own way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.l2 import L2Book
from mdtool.books.l3 import L3Book, OrderStep
from mdtool.books.sync import BookState, open_book
from mdtool.model import Action, BookUpdate, Scale, Side
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict

levels = st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**9)), max_size=40, unique_by=lambda pair: pair[0])
orders = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 9), st.sampled_from(["a", "b", "c"])),
        st.sampled_from(list(Side)),
        st.integers(1, 5),
        st.integers(1, 100),
    ),
    max_size=40,
)


@given(bids=levels, asks=levels)
def test_levels(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
    book = L2Book(Scale(-2, -3))
    book.replace(*[[pair[at] for pair in side] for side in (bids, asks) for at in (0, 1)])
    before, twin = book.top(None), book.copy()
    assert twin == book
    twin.set(Side.BID, 10**7, 1)
    assert book.top(None) == before and twin != book


@given(orders)
def test_orders_in_their_queues(added: list[tuple[int | str, Side, int, int]]) -> None:
    book = L3Book(Scale(-2, -3))
    book.apply(OrderStep(Action.ADD, *order) for order in added)
    twin = book.copy()
    for side in Side:
        assert twin.orders(side) == book.orders(side)
    assert len(twin) == len(book)
    for order_id, *_ in added:
        assert twin.ahead(order_id) == book.ahead(order_id)
    was = {side: book.orders(side) for side in Side}
    twin.apply([OrderStep(Action.ADD, "new", Side.BID, 9, 1)])
    twin.apply(OrderStep(Action.DELETE, order_id, Side.BID, None, None) for order_id, *_ in added)
    assert {side: book.orders(side) for side in Side} == was
    assert twin.orders(Side.BID) == [("new", 9, 1)] and twin.orders(Side.ASK) == []


def update(first: int, last: int, price: str) -> BookUpdate:
    return BookUpdate(0, first, last, first - 1, b'[["%b","1"]]' % price.encode(), b"[]")


def test_a_sequence_goes_on_in_both() -> None:
    sync = open_book(catalog.get("sim"), "depth@100ms")
    assert sync is not None
    sync.on_message(BookUpdate(0, 10, 10, 9, b'[["1","1"]]', b'[["9","1"]]', snapshot=True), 1)
    sync.on_message(update(11, 12, "2"), 2)
    twin = sync.copy()
    assert (twin.state, twin.last_seq, twin.gaps) == (BookState.SYNCED, 12, 0)
    assert twin.on_message(update(15, 16, "3"), 3).verdict is Verdict.GAP
    assert (twin.state, sync.state) == (BookState.DIRTY, BookState.SYNCED)
    assert sync.on_message(update(13, 14, "4"), 3).verdict is Verdict.APPLY
    assert (sync.book.best_bid(), twin.book.best_bid()) == ((4, 1), (2, 1))
