"""A book by order, in exact integers, and the parser of its updates.

Rule: orders at one price stand in the order they came. What is taken off an order that is not in the book changes
nothing (it was never resting, or the book began later); whether an update may be applied is decided in sync.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mdtool.books.l2 import L2Book, Level
from mdtool.books.ladders import LevelParser
from mdtool.model import Action, OrderUpdate, Scale, Side

OrderId = int | str


class OrderSteps(NamedTuple):
    """The steps of an update as mantissas at `scale`; price and size None where the venue does not say."""

    scale: Scale
    steps: list[tuple[Action, OrderId, Side, int | None, int | None]]


class OrderParser:
    """Reads the decimals of OrderUpdates. `scale` widens as a LevelParser's."""

    def __init__(self, scale: Scale | None = None) -> None:
        self._levels = LevelParser(scale)

    @property
    def scale(self) -> Scale:
        return self._levels.scale

    @scale.setter
    def scale(self, scale: Scale) -> None:
        self._levels.scale = scale

    def parse_update(self, update: OrderUpdate) -> OrderSteps:
        """Raises WireError, and the scale may have widened even so."""
        decimal = self._levels.decimal
        while True:
            before = self._levels.scale
            steps = []
            for action, order_id, side, price, size in update.orders:
                price_mantissa, size_mantissa = decimal(price or "0", size or "0")
                steps.append(
                    (action, order_id, side, price_mantissa if price else None, size_mantissa if size else None)
                )
            if self._levels.scale == before:
                return OrderSteps(before, steps)


class L3Book:
    """Resting orders, and the levels they make. `levels` is the same book by price."""

    def __init__(self, scale: Scale | None = None) -> None:
        self.levels = L2Book(scale)
        self._orders: dict[OrderId, tuple[Side, int, int]] = {}  # side, price, size
        self._queues: dict[tuple[Side, int], dict[OrderId, None]] = {}

    @property
    def scale(self) -> Scale:
        return self.levels.scale

    def __len__(self) -> int:
        """Orders on both sides."""
        return len(self._orders)

    def replace(self, steps: Iterable[tuple[Action, OrderId, Side, int | None, int | None]]) -> None:
        """The whole book is now this."""
        self.clear()
        self.apply(steps)

    def apply(self, steps: Iterable[tuple[Action, OrderId, Side, int | None, int | None]]) -> None:
        """Take the steps of one update."""
        for action, order_id, side, price, size in steps:
            if action is Action.ADD:
                self._remove(order_id)
                self._add(order_id, side, price or 0, size or 0)
                continue
            found = self._orders.get(order_id)
            if found is None:
                continue
            side, at, resting = found
            if action is Action.DELETE:
                self._remove(order_id)
            elif action is Action.EXECUTE:
                self._resize(order_id, resting - (size or 0))
            elif price is not None and price != at:
                self._remove(order_id)
                self._add(order_id, side, price, resting if size is None else size)
            elif size is not None:
                self._resize(order_id, size)

    def clear(self) -> None:
        """Empty; the scale stays."""
        self.levels.clear()
        self._orders.clear()
        self._queues.clear()

    def rescale(self, scale: Scale) -> None:
        """Express every mantissa at a finer scale, exactly. Raises ValueError for a coarser one."""
        old = self.levels.scale
        self.levels.rescale(scale)
        price_factor, size_factor = 10 ** (old.price_exp - scale.price_exp), 10 ** (old.size_exp - scale.size_exp)
        self._orders = {
            order_id: (side, price * price_factor, size * size_factor)
            for order_id, (side, price, size) in self._orders.items()
        }
        self._queues = {(side, price * price_factor): queue for (side, price), queue in self._queues.items()}

    def order(self, order_id: OrderId) -> tuple[Side, int, int] | None:
        """Side, price and size of a resting order."""
        return self._orders.get(order_id)

    def queue(self, side: Side, price: int) -> list[tuple[OrderId, int]]:
        """The orders at a price, first come first, with their sizes."""
        return [(order_id, self._orders[order_id][2]) for order_id in self._queues.get((side, price), ())]

    def orders(self, side: Side, count: int | None = None) -> list[tuple[OrderId, int, int]]:
        """(id, price, size) of the best `count` orders (all: None), best price first, then first come first."""
        found: list[tuple[OrderId, int, int]] = []
        for price, _ in self.levels.bids() if side is Side.BID else self.levels.asks():
            found += [(order_id, price, size) for order_id, size in self.queue(side, price)]
            if count is not None and len(found) >= count:
                break
        return found[:count]

    def best_bid(self) -> Level | None:
        """(price, size) of the highest bid level."""
        return self.levels.best_bid()

    def best_ask(self) -> Level | None:
        """(price, size) of the lowest ask level."""
        return self.levels.best_ask()

    def bids(self, count: int | None = None) -> list[Level]:
        """The best `count` bid levels (all: None), best first."""
        return self.levels.bids(count)

    def asks(self, count: int | None = None) -> list[Level]:
        """The best `count` ask levels (all: None), best first."""
        return self.levels.asks(count)

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        """The best `count` bid and ask levels, best first."""
        return self.levels.top(count)

    def __repr__(self) -> str:
        return f"<L3Book {self.scale} {len(self)} orders>"

    def _add(self, order_id: OrderId, side: Side, price: int, size: int) -> None:
        if size <= 0:
            return
        self._orders[order_id] = (side, price, size)
        self._queues.setdefault((side, price), {})[order_id] = None
        self._change(side, price, size)

    def _remove(self, order_id: OrderId) -> None:
        found = self._orders.pop(order_id, None)
        if found is None:
            return
        side, price, size = found
        queue = self._queues[side, price]
        del queue[order_id]
        if not queue:
            del self._queues[side, price]
        self._change(side, price, -size)

    def _resize(self, order_id: OrderId, size: int) -> None:
        if size <= 0:
            self._remove(order_id)
            return
        side, price, before = self._orders[order_id]
        self._orders[order_id] = (side, price, size)
        self._change(side, price, size - before)

    def _change(self, side: Side, price: int, by: int) -> None:
        levels = self.levels
        if side is Side.BID:
            levels.apply((price,), (levels.bid_size(price) + by,), (), ())
        else:
            levels.apply((), (), (price,), (levels.ask_size(price) + by,))
