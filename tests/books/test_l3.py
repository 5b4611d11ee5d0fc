"""The L3 book against lists of orders, step by step, by the ids venues use; and its parser."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books.l3 import L3Book, OrderParser, OrderStep
from mdtool.errors import WireError
from mdtool.kernel.book import KEEP_ALWAYS, KEEP_NEVER, KEEP_ON_REDUCE
from mdtool.model import Action, Order, OrderUpdate, Scale, Side

IDS = ["a", "b", "7c", 0, 1, 7, 2**63 - 1, 2**63, 2**64 - 1, 2**70, -1, "1"]
step = st.builds(
    OrderStep,
    st.sampled_from(Action),
    st.sampled_from(IDS),
    st.sampled_from(Side),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.integers(0, 9)),
)
call = st.one_of(st.lists(step, max_size=6), st.integers(0, 3))  # steps of an update, or a depth to cut to


class Model:
    """Orders in a list, in the order they came to their price."""

    def __init__(self, priority):
        self.priority, self.resting = priority, []

    def take(self, action, order_id, side, price, size):
        found = next(
            (order for order in self.resting if order[0] == order_id and type(order[0]) is type(order_id)), None
        )
        if action is Action.ADD:
            if found:
                self.resting.remove(found)
            if size:
                self.resting.append([order_id, side, price or 0, size])
        elif found and action is Action.DELETE:
            self.resting.remove(found)
        elif found and action is Action.EXECUTE:
            found[3] -= size or 0
            if found[3] <= 0:
                self.resting.remove(found)
        elif found:
            moved = price is not None and price != found[2]
            grew = size is not None and size > found[3]
            found[2] = found[2] if price is None else price
            found[3] = found[3] if size is None else size
            if size == 0 or moved or self.priority == KEEP_NEVER or (self.priority == KEEP_ON_REDUCE and grew):
                self.resting.remove(found)
                if size != 0:
                    self.resting.append(found)

    def prices(self, side):
        return sorted({order[2] for order in self.resting if order[1] is side}, reverse=side is Side.BID)

    def queue(self, side, price):
        return [(order[0], order[3]) for order in self.resting if (order[1], order[2]) == (side, price)]

    def truncate(self, depth):
        gone = tuple(self.prices(side)[depth:] for side in Side)
        for side, prices in zip(Side, gone, strict=True):
            self.resting = [order for order in self.resting if order[1] is not side or order[2] not in prices]
        return gone


@settings(max_examples=300)
@given(st.sampled_from([KEEP_ON_REDUCE, KEEP_ALWAYS, KEEP_NEVER]), st.lists(call, max_size=12))
def test_the_book_is_what_a_list_says(priority, calls):
    book, model = L3Book(Scale(0, 0), priority), Model(priority)
    for steps in calls:
        if isinstance(steps, int):
            assert book.truncate(steps) == model.truncate(steps)
            continue
        book.apply(steps)
        for each in steps:
            model.take(*each)
    book.rescale(Scale(-1, -2))
    for side, levels in ((Side.BID, book.bids()), (Side.ASK, book.asks())):
        queues = [(price, model.queue(side, price)) for price in model.prices(side)]
        assert levels == [(price * 10, sum(size for _, size in queue) * 100) for price, queue in queues]
        flat = [(order_id, price * 10, size * 100) for price, queue in queues for order_id, size in queue]
        assert (book.orders(side), book.orders(side, 2)) == (flat, flat[:2])
        for price, queue in queues:
            assert book.queue(side, price * 10) == [(order_id, size * 100) for order_id, size in queue]
            for number, (order_id, size) in enumerate(queue):
                assert book.order(order_id) == (side, price * 10, size * 100)
                assert book.ahead(order_id) == (number, 100 * sum(size for _, size in queue[:number]))
    assert len(book) == len(model.resting)
    assert {order_id for order_id in IDS if book.order(order_id)} == {order[0] for order in model.resting}
    steps = [
        OrderStep(Action.ADD, order_id, side, price * 10, size * 100) for order_id, side, price, size in model.resting
    ]
    tops = book.top(9)
    book.replace(steps)
    assert (book.top(9), len(book)) == (tops, len(steps))
    book.clear()
    assert (len(book), book.bids(), book.order("a"), book.scale) == (0, [], None, Scale(-1, -2))


def update(*orders):
    return OrderUpdate(0, 1, 1, 0, orders)


def test_the_parser_widens_and_the_book_with_it():
    book, parser = L3Book(), OrderParser()
    parser.put(update(Order(Action.ADD, "x", Side.BID, "412", "4")), book)
    parser.put(
        update(Order(Action.ADD, "y", Side.BID, "412.50", "0.01"), Order(Action.EXECUTE, "x", Side.BID, "", "1.5")),
        book,
    )
    assert (book.scale, book.bids()) == (Scale(-1, -2), [(4125, 1), (4120, 250)])
    assert book.order("x") == (Side.BID, 4120, 250)
    parser.put(update(Order(Action.ADD, "z", Side.ASK, "413", "1")), book, whole=True)
    assert (book.scale, book.bids(), book.asks()) == (Scale(-1, -2), [], [(4130, 100)])
    for price, size in (("", "1e"), ("1.", "1"), ("1", "-1"), ("1e38", "1"), ("1", "1e-39"), ("1]]", "1")):
        with pytest.raises(WireError):
            parser.put(update(Order(Action.MODIFY, "z", Side.ASK, price, size)), book)
    assert book.asks() == [(4130, 100)]


def test_what_64_bits_do_not_hold_a_wide_book_does():
    book, parser = L3Book(), OrderParser()
    most = str(2**63 - 1)
    first = update(Order(Action.ADD, "a", Side.BID, "5", most), Order(Action.ADD, "b", Side.ASK, "6", "1"))
    assert parser.put(first, book) is book
    steps = (
        Order(Action.EXECUTE, "b", Side.ASK, "", "0.5"),
        Order(Action.ADD, "c", Side.BID, "5", "1"),
        Order(Action.ADD, "b", Side.ASK, "6", "99999999999999999999"),
        Order(Action.EXECUTE, "a", Side.BID, "", "7"),
    )
    wide = parser.put(update(*steps), book)
    assert (wide.scale, wide.is_wide, isinstance(wide, L3Book)) == (Scale(0, -1), True, True)
    assert wide.orders(Side.BID) == [("a", 5, 10 * (2**63 - 8)), ("c", 5, 10)]
    assert (wide.orders(Side.ASK), wide.bids()) == ([("b", 6, 999999999999999999990)], [(5, 10 * (2**63 - 7))])
    assert (wide.order("b"), wide.ahead("c")) == ((Side.ASK, 6, 999999999999999999990), (1, 10 * (2**63 - 8)))
    copy = wide.copy()
    assert (copy.is_wide, copy.orders(Side.BID), copy.remove("c")) == (True, wide.orders(Side.BID), True)
    assert (len(copy), len(wide), wide.truncate(0), len(wide)) == (2, 3, ([5], [6]), 0)
    again = parser.put(update(Order(Action.ADD, 3, Side.BID, "5", "0.1")), copy, whole=True)
    assert (again.scale, again.is_wide, again.orders(Side.BID)) == (Scale(0, -1), False, [(3, 5, 1)])


def test_a_book_changed_in_place_says_what_64_bits_do_not_hold():
    book = L3Book()
    steps = [OrderStep(Action.ADD, number, Side.BID, 5, 2**62) for number in (1, 2, 3)]
    with pytest.raises(WireError, match="beyond 64 bits"):
        book.apply(steps)
    assert book.orders(Side.BID) == [(1, 5, 2**62)]
