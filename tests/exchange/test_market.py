"""The matching engine against a book that is nothing but a sorted list of orders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.exchange.market import Fill, Market, RestingOrder
from mdtool.model import Side


class Heard:
    """What a market told its listener."""

    def __init__(self) -> None:
        self.levels: list[tuple[int, Side, int, int]] = []
        self.fills: list[Fill] = []

    def on_level(self, update_id: int, side: Side, price: int, size: int) -> None:
        self.levels.append((update_id, side, price, size))

    def on_rest(self, order: RestingOrder) -> None:
        pass

    def on_taken(self, order: RestingOrder, size: int, traded: bool) -> None:
        pass

    def on_fill(self, fill: Fill) -> None:
        self.fills.append(fill)


class Reference:
    """All resting orders in one list, looked through from the start every time."""

    def __init__(self) -> None:
        self.resting: list[list[int]] = []  # [order id, side, price, size], oldest first
        self.fills: list[tuple[int, int, int, int]] = []
        self.orders = 0

    def limit(self, side: Side, price: int | None, size: int) -> None:
        self.orders += 1
        taker = self.orders
        while size:
            against = [o for o in self.resting if o[1] != side]
            if price is not None:
                against = [o for o in against if (o[2] <= price if side is Side.BID else o[2] >= price)]
            if not against:
                break
            # min keeps the first of equals, and the list is oldest first: price, then time.
            maker = min(against, key=lambda o: o[2] if side is Side.BID else -o[2])
            filled = min(size, maker[3])
            size -= filled
            maker[3] -= filled
            self.fills.append((maker[0], taker, maker[2], filled))
            self.resting = [o for o in self.resting if o[3]]
        if size and price is not None:
            self.resting.append([taker, side, price, size])

    def take(self, order_id: int, size: int | None) -> None:
        order = next(o for o in self.resting if o[0] == order_id)
        order[3] -= order[3] if size is None else min(size, order[3])
        self.resting = [o for o in self.resting if o[3]]

    def priority(self, side: Side) -> list[tuple[int, int, int]]:
        mine = [o for o in self.resting if o[1] == side]
        mine.sort(key=lambda o: -o[2] if side is Side.BID else o[2])
        return [(o[0], o[2], o[3]) for o in mine]


SIDES = st.sampled_from([Side.BID, Side.ASK])
ACTIONS = st.one_of(
    st.tuples(st.just("limit"), SIDES, st.integers(1, 12), st.integers(1, 20)),
    st.tuples(st.just("market"), SIDES, st.just(0), st.integers(1, 40)),
    st.tuples(st.just("reduce"), SIDES, st.integers(0, 100), st.integers(1, 10)),
    st.tuples(st.just("cancel"), SIDES, st.integers(0, 100), st.just(1)),
)


@given(st.lists(ACTIONS, max_size=60))
def test_orders_fills_and_levels_equal_the_reference(actions: list[tuple[str, Side, int, int]]) -> None:
    heard, reference = Heard(), Reference()
    market = Market(heard, update_id=1000, trade_id=70)
    for what, side, number, size in actions:
        if what == "limit":
            market.limit(side, number, size)
            reference.limit(side, number, size)
        elif what == "market":
            market.market(side, size)
            reference.limit(side, None, size)
        elif live := market.live(side):
            order_id = live[number % len(live)].order_id
            if what == "cancel":
                market.cancel(order_id)
                reference.take(order_id, None)
            else:
                market.reduce(order_id, size)
                reference.take(order_id, size)
        for one in (Side.BID, Side.ASK):
            assert [(o.order_id, o.price, o.size) for o in market.orders(one)] == reference.priority(one)
        bid, ask = market.best(Side.BID), market.best(Side.ASK)
        assert bid is None or ask is None or bid[0] < ask[0]

    assert [(f.maker, f.taker, f.price, f.size) for f in heard.fills] == reference.fills
    assert [f.trade_id for f in heard.fills] == list(range(71, 71 + len(heard.fills)))
    assert [level[0] for level in heard.levels] == list(range(1001, 1001 + len(heard.levels)))
    assert market.update_id == 1000 + len(heard.levels)
    told: dict[Side, dict[int, int]] = {Side.BID: {}, Side.ASK: {}}
    for _, side, price, size in heard.levels:
        told[side][price] = size
    for side in (Side.BID, Side.ASK):
        assert {p: s for p, s in told[side].items() if s} == market.book(side)
        assert {p: market.size(side, p) for p in told[side]} == told[side]


def test_a_level_is_a_queue_and_a_reduction_keeps_the_place() -> None:
    heard = Heard()
    market = Market(heard)
    first = market.limit(Side.ASK, 100, 5)
    second = market.limit(Side.ASK, 100, 7)
    market.reduce(first, 2)
    taker = market.limit(Side.BID, 101, 4)
    assert heard.fills == [
        Fill(1, first, taker, Side.BID, 100, 3),
        Fill(2, second, taker, Side.BID, 100, 1),
    ]
    assert heard.levels == [
        (1, Side.ASK, 100, 5),
        (2, Side.ASK, 100, 12),
        (3, Side.ASK, 100, 10),
        (4, Side.ASK, 100, 7),
        (5, Side.ASK, 100, 6),
    ]


def test_what_cannot_be_is_refused() -> None:
    market = Market(Heard())
    order_id = market.limit(Side.BID, 10, 1)
    with pytest.raises(ValueError, match="size above 0"):
        market.limit(Side.BID, 10, 0)
    with pytest.raises(ValueError, match="size above 0"):
        market.market(Side.BID, -1)
    with pytest.raises(ValueError, match="cannot reduce"):
        market.reduce(order_id, 0)
    market.cancel(order_id)
    with pytest.raises(KeyError):
        market.cancel(order_id)
    assert market.book(Side.BID) == {}
