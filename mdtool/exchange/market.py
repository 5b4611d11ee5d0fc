"""A price-time-priority matching engine for one instrument: the truth behind the synthetic exchange.

Every order has an id and its place in its level's queue; every change of a level's size advances the update id by one;
every execution has a trade id. Integers only, no clock, no randomness. The book is never crossed between two changes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from mdtool.model import Side


class RestingOrder:
    """A resting order. Sizes and prices are mantissas."""

    __slots__ = ("order_id", "price", "side", "size", "slot")

    def __init__(self, order_id: int, side: Side, price: int, size: int, slot: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price = price
        self.size = size
        self.slot = slot  # index in its market's list of live orders of that side


class Fill(NamedTuple):
    """One execution: the resting order `maker` met the incoming order `taker` of side `side`."""

    trade_id: int
    maker: int
    taker: int
    side: Side
    price: int
    size: int


class Listener(Protocol):
    """Hears of every change, in order."""

    def on_level(self, update_id: int, side: Side, price: int, size: int) -> None: ...

    def on_fill(self, fill: Fill) -> None: ...

    def on_rest(self, order: RestingOrder) -> None:
        """An order is in the book now; before the change of its level is told."""
        ...

    def on_taken(self, order: RestingOrder, size: int, traded: bool) -> None:
        """`size` is off a resting order, by an execution or by its owner; none left: it is gone."""
        ...


class _Level:
    __slots__ = ("orders", "size")

    def __init__(self) -> None:
        self.size = 0
        self.orders: dict[int, RestingOrder] = {}  # insertion order is priority; a cancel keeps it


class _Half:
    """One side of the book."""

    __slots__ = ("levels", "live", "prices", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.levels: dict[int, _Level] = {}
        self.prices: list[int] = []  # ascending
        self.live: list[RestingOrder] = []  # in no order: what a uniform choice picks from

    def best(self) -> int | None:
        if not self.prices:
            return None
        return self.prices[-1] if self.side is Side.BID else self.prices[0]

    def best_first(self) -> Iterator[int]:
        return reversed(self.prices) if self.side is Side.BID else iter(self.prices)


class Market:
    """The book of one instrument."""

    def __init__(self, listener: Listener, *, update_id: int = 0, trade_id: int = 0, order_id: int = 0) -> None:
        self.update_id = update_id  # of the last level change
        self.trade_id = trade_id  # of the last execution
        self._order_id = order_id
        self._listener = listener
        self._halves = {Side.BID: _Half(Side.BID), Side.ASK: _Half(Side.ASK)}
        self._orders: dict[int, RestingOrder] = {}

    def limit(self, side: Side, price: int, size: int) -> int:
        """A limit order: executes against what it crosses, the rest rests. Returns its order id."""
        order_id = self._next_order(size)
        left = self._match(order_id, side, size, price)
        if left:
            self._rest(order_id, side, price, left)
        return order_id

    def market(self, side: Side, size: int) -> int:
        """A market order: executes against the other side; what finds no counterpart is gone. Returns its order id."""
        order_id = self._next_order(size)
        self._match(order_id, side, size, None)
        return order_id

    def reduce(self, order_id: int, size: int) -> None:
        """Takes `size` off a resting order, which keeps its place; all of it or more cancels. KeyError if not live."""
        order = self._orders[order_id]
        if size <= 0:
            raise ValueError(f"cannot reduce order {order_id} by {size}")
        self._take(order, min(size, order.size))

    def cancel(self, order_id: int) -> None:
        """Removes a resting order. KeyError if it is not live."""
        order = self._orders[order_id]
        self._take(order, order.size)

    def best(self, side: Side) -> tuple[int, int] | None:
        """Price and size of the best level of a side."""
        half = self._halves[side]
        price = half.best()
        return None if price is None else (price, half.levels[price].size)

    def size(self, side: Side, price: int) -> int:
        """Size resting at a price, 0 where there is none."""
        level = self._halves[side].levels.get(price)
        return level.size if level else 0

    def book(self, side: Side) -> dict[int, int]:
        """Price to size, best first."""
        half = self._halves[side]
        return {price: half.levels[price].size for price in half.best_first()}

    def orders(self, side: Side) -> Iterator[RestingOrder]:
        """Resting orders in priority: best price first, within a price the oldest first."""
        half = self._halves[side]
        for price in half.best_first():
            yield from half.levels[price].orders.values()

    def live(self, side: Side) -> list[RestingOrder]:
        """Resting orders of a side in no meaningful but a reproducible order. Not to be changed."""
        return self._halves[side].live

    def _next_order(self, size: int) -> int:
        if size <= 0:
            raise ValueError(f"an order needs a size above 0, not {size}")
        self._order_id += 1
        return self._order_id

    def _match(self, taker: int, side: Side, size: int, price: int | None) -> int:
        other = self._halves[Side.ASK if side is Side.BID else Side.BID]
        while size:
            best = other.best()
            if best is None:
                break
            if price is not None and (best > price if side is Side.BID else best < price):
                break
            maker = next(iter(other.levels[best].orders.values()))
            filled = min(size, maker.size)
            size -= filled
            self.trade_id += 1
            self._listener.on_fill(Fill(self.trade_id, maker.order_id, taker, side, best, filled))
            self._take(maker, filled, traded=True)
        return size

    def _rest(self, order_id: int, side: Side, price: int, size: int) -> None:
        half = self._halves[side]
        level = half.levels.get(price)
        if level is None:
            level = half.levels[price] = _Level()
            insort(half.prices, price)
        order = RestingOrder(order_id, side, price, size, len(half.live))
        half.live.append(order)
        level.orders[order_id] = order
        self._orders[order_id] = order
        level.size += size
        self._listener.on_rest(order)
        self._changed(side, price, level.size)

    def _take(self, order: RestingOrder, size: int, *, traded: bool = False) -> None:
        half = self._halves[order.side]
        level = half.levels[order.price]
        level.size -= size
        order.size -= size
        if not order.size:
            del level.orders[order.order_id]
            del self._orders[order.order_id]
            last = half.live.pop()
            if last is not order:  # the last one takes the freed slot: removal in constant time
                half.live[order.slot] = last
                last.slot = order.slot
            if not level.orders:
                del half.levels[order.price]
                del half.prices[bisect_left(half.prices, order.price)]
        self._listener.on_taken(order, size, traded)
        self._changed(order.side, order.price, level.size)

    def _changed(self, side: Side, price: int, size: int) -> None:
        self.update_id += 1
        self._listener.on_level(self.update_id, side, price, size)
