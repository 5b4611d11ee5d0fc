"""A book by order, in exact integers: on the compiled queues, or wide; and the parser of its updates.

Rule: orders at one price stand in the order they came. What is done to an order that is not in the book changes nothing
(it was never resting, or the book began later); whether an update may be applied is decided in sync.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from mdtool.books.ladders import LevelParser
from mdtool.books.scaled import Scaled
from mdtool.books.wide import WideOrders
from mdtool.errors import WireError
from mdtool.kernel.book import KEEP_ON_REDUCE, Levels, Orders
from mdtool.kernel.ladder import LadderError, NeedsDigits, decimal
from mdtool.model import Action, OrderUpdate, Scale, Side

OrderId = int | str

# The kernel knows orders by 64-bit numbers: ids below this are their own, all others get one from here up.
FIRST_GIVEN = 1 << 63


class OrderStep(NamedTuple):
    """One step of an order's life; price and size None where the venue does not say."""

    action: Action
    order_id: OrderId
    side: Side
    price: int | None
    size: int | None


class OrderSteps(NamedTuple):
    """The steps of an update as mantissas at `scale`."""

    scale: Scale
    steps: list[OrderStep]


class OrderParser:
    """Reads the decimals of OrderUpdates. `scale` widens as a LevelParser's."""

    def __init__(self, scale: Scale | None = None) -> None:
        self.scale = scale or Scale(0, 0)

    def parse_update(self, update: OrderUpdate) -> OrderSteps:
        """Raises WireError, and the scale may have widened even so."""
        while True:
            scale = self.scale
            try:
                return OrderSteps(scale, [self._step(*order) for order in update.orders])
            except NeedsDigits:
                levels = LevelParser(scale)
                for order in update.orders:
                    levels.decimal(order.price or "0", order.size or "0")
                self.scale = levels.scale
            except LadderError as error:
                raise WireError(f"order: {error}") from error

    def _step(self, action: Action, order_id: OrderId, side: Side, price: str, size: str) -> OrderStep:
        price_exp, size_exp = self.scale
        return OrderStep(
            action,
            order_id,
            side,
            decimal(price, price_exp) if price else None,
            decimal(size, size_exp, signed=False) if size else None,
        )

    def put(self, update: OrderUpdate, book: L3Book, *, whole: bool = False) -> L3Book:
        """Into the book it goes: as changes, or as all there is; the book that has it. Raises WireError before anything
        changed where the update cannot be read."""
        steps = self.parse_update(update).steps
        if whole:
            book = book.emptied()
        return book.at_scale(self.scale).taking(steps)


class L3Book(Scaled, Orders):
    """Resting orders and the levels they make, as mantissas at `scale`: a kernel.book.Orders that knows the venue's ids
    and what its integers mean."""

    __slots__ = ("_given", "_names", "_next", "_priority", "_scale")

    def __init__(self, scale: Scale | None = None, priority: int = KEEP_ON_REDUCE) -> None:
        self._scale = scale or Scale(0, 0)
        self._given: dict[OrderId, int] = {}
        self._names: dict[int, OrderId] = {}
        self._next = FIRST_GIVEN
        self._priority = priority

    def __new__(cls, scale: Scale | None = None, priority: int = KEEP_ON_REDUCE) -> L3Book:
        """The kernel is made with the priority alone."""
        return super().__new__(cls, priority)

    @property
    def levels(self) -> Levels:
        """The same book by price level."""
        return self

    def __len__(self) -> int:
        """Orders on both sides."""
        return self.order_count()

    def replace(self, steps: Iterable[OrderStep]) -> None:
        """The whole book is now this. Raises WireError."""
        self.clear()
        self.apply(steps)

    def apply(self, steps: Iterable[OrderStep]) -> None:
        """Take the steps of one update. An order added again is another one; nothing rests with a size of 0, or after
        all of it was executed. Raises WireError where a level's total is beyond 64 bits, with the steps before it
        applied."""
        if self.taking(steps) is not self:
            raise WireError(f"a level's total beyond 64 bits at {self._scale}")

    def taking(self, steps: Iterable[OrderStep]) -> L3Book:
        """The same book after these steps: this one, or a wide one where 64 bits do not hold a level's total."""
        rest = iter(steps)
        for action, order_id, side, price, size in rest:
            try:
                if action is Action.ADD:
                    self.remove(order_id)
                    if size:
                        self.add(self._give(order_id), side, price or 0, size)
                elif action is Action.DELETE:
                    self.remove(order_id)
                else:
                    self._change(action, order_id, price, size)
            except OverflowError:  # nothing was done, or an order taken out that this step adds anew
                step = OrderStep(action, order_id, side, price, size)
                return self.widened().taking(chain((step,), rest))
        return self

    def _change(self, action: Action, order_id: OrderId, price: int | None, size: int | None) -> None:
        found = self.order(order_id)
        if found is None:
            return
        _, at, resting = found
        if action is Action.EXECUTE:
            left = resting - (size or 0)
            if left <= 0:
                self.remove(order_id)
            elif left < resting:
                self.execute(self._number(order_id), resting - left)
        elif size == 0:
            self.remove(order_id)
        else:
            self.modify(self._number(order_id), at if price is None else price, resting if size is None else size)

    def remove(self, order_id: OrderId) -> bool:
        """Take an order out, by the venue's id. False if there was none."""
        number = self._number(order_id)
        if number >= FIRST_GIVEN:
            self._given.pop(order_id, None)
            self._names.pop(number, None)
        return number >= 0 and self.delete(number)

    def clear(self) -> None:
        """Empty; the scale stays."""
        super().clear()
        self._given.clear()
        self._names.clear()

    def truncate(self, depth: int) -> tuple[list[int], list[int]]:
        """Keep the orders of the best `depth` levels a side; the prices of the bid and ask levels that went."""
        counts = self.counts()
        gone: tuple[list[int], list[int]] = ([], [])
        for side, count, prices in zip((Side.BID, Side.ASK), counts, gone, strict=True):
            if count > depth:
                levels = self.bids() if side is Side.BID else self.asks()
                prices += [price for price, _ in levels[depth:]]
                for price in prices:
                    for order_id, _ in self.queue(side, price):
                        self.remove(order_id)
        return gone

    def order(self, order_id: OrderId) -> tuple[Side, int, int] | None:
        """Side, price and size of a resting order, by the venue's id."""
        number = self._number(order_id)
        found = super().order(number) if number >= 0 else None
        return None if found is None else (Side(found[0]), found[1], found[2])

    def ahead(self, order_id: OrderId) -> tuple[int, int] | None:
        """(orders, size) that stand before an order at its price, by the venue's id."""
        number = self._number(order_id)
        return super().ahead(number) if number >= 0 else None

    def queue(self, side: int, price: int) -> list[tuple[OrderId, int]]:  # type: ignore[override]
        """The orders at a price, first come first, with their sizes."""
        names = self._names
        return [(names.get(number, number), size) for number, size in super().queue(side, price)]

    def orders(self, side: Side, count: int | None = None) -> list[tuple[OrderId, int, int]]:
        """(id, price, size) of the best `count` orders (all: None), best price first, then first come first."""
        found: list[tuple[OrderId, int, int]] = []
        for price, _ in self.bids(count) if side is Side.BID else self.asks(count):  # no level is without an order
            found += [(order_id, price, size) for order_id, size in self.queue(side, price)]
            if count is not None and len(found) >= count:
                break
        return found[:count]

    def _other(self, *, wide: bool) -> L3Book:
        return (WideL3Book if wide else L3Book)(self._scale, self._priority)

    def _take(self, other: L3Book) -> None:
        self._given, self._names, self._next = other._given.copy(), other._names.copy(), other._next
        for side in Side:
            for order_id, price, size in other.orders(side):
                self.add(other._number(order_id), side, price, size)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._scale} {len(self)} orders>"

    def _number(self, order_id: OrderId) -> int:
        """The kernel's number of an order, -1 for one that never got one."""
        if isinstance(order_id, int) and 0 <= order_id < FIRST_GIVEN:
            return order_id
        return self._given.get(order_id, -1)

    def _give(self, order_id: OrderId) -> int:
        """A number for an order that is about to rest."""
        if isinstance(order_id, int) and 0 <= order_id < FIRST_GIVEN:
            return order_id
        number, self._next = self._next, self._next + 1
        self._given[order_id] = number
        self._names[number] = order_id
        return number


class WideL3Book(L3Book, WideOrders):  # type: ignore[misc]  # the ids of a queue are the venue's, as L3Book says
    """The same of integers of any size."""

    is_wide = True
