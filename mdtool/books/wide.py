"""Books of Python's integers: what the kernel's do, for numbers that 64 bits do not hold.

Rule: every question and every change is answered here as kernel.book answers it, but that nothing is too large; the
kernel's own memory stays empty, and asking it is an error. An update of ten levels a side takes 10 us, eight times the
kernel's, and 20 where the scale itself is beyond 64 bits: this is for a feed that has such numbers, while it has them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any, Self

from mdtool.errors import TooLarge
from mdtool.kernel.book import BID, KEEP_ALWAYS, KEEP_NEVER, Ladder, Orders

if TYPE_CHECKING:
    from mdtool.kernel.book import Column, Ints, Level
    from mdtool.kernel.book import Levels as Kernel
else:
    Kernel = object  # which of the kernel's books it is, the next class says


class WideLevels(Kernel):
    """Sizes by price for each side, bids first, and the prices in order. A bid's key is its price negated, so that the
    best comes first on both sides."""

    _sizes: tuple[dict[int, int], dict[int, int]]
    _keys: tuple[list[int], list[int]]

    def __new__(cls, *args: Any) -> Self:
        self = super().__new__(cls, *args)
        self.keep_elsewhere()
        self._empty()
        return self

    def _empty(self) -> None:
        self._sizes, self._keys = ({}, {}), ([], [])

    def _put(self, ask: int, price: int, size: int) -> None:
        """A level's size is now this; 0 deletes."""
        sizes, keys = self._sizes[ask], self._keys[ask]
        if size:
            if price not in sizes:
                insort(keys, price if ask else -price)
            sizes[price] = size
        elif sizes.pop(price, 0):
            del keys[bisect_left(keys, price if ask else -price)]

    def _best(self, ask: int, count: int | None) -> list[Level]:
        sizes, keys = self._sizes[ask], self._keys[ask]
        if count is not None:
            keys = keys[: max(0, count)]
        return [(key, sizes[key]) for key in keys] if ask else [(-key, sizes[-key]) for key in keys]

    def best_bid(self) -> Level | None:
        return next(iter(self._best(0, 1)), None)

    def best_ask(self) -> Level | None:
        return next(iter(self._best(1, 1)), None)

    def bids(self, count: int | None = None) -> list[Level]:
        return self._best(0, count)

    def asks(self, count: int | None = None) -> list[Level]:
        return self._best(1, count)

    def top(self, count: int | None) -> tuple[list[Level], list[Level]]:
        return self._best(0, count), self._best(1, count)

    def bid_size(self, price: int) -> int:
        return self._sizes[0].get(price, 0)

    def ask_size(self, price: int) -> int:
        return self._sizes[1].get(price, 0)

    def counts(self) -> tuple[int, int]:
        return len(self._sizes[0]), len(self._sizes[1])

    def outside(self) -> tuple[int, int]:
        """All of them: there is no window."""
        return self.counts()

    def __len__(self) -> int:
        return sum(self.counts())

    def volume(self, side: int, count: int | None = None) -> int:
        return sum(size for _, size in self._best(_ask(side), count))

    def volume_to(self, side: int, price: int) -> int:
        ask = _ask(side)
        inside = bisect_right(self._keys[ask], price if ask else -price)
        return sum(size for _, size in self._best(ask, inside))

    def take(self, side: int, size: int) -> tuple[int, int]:
        _check(size, 0)
        notional, left = 0, size
        for price, there in self._best(_ask(side), None):
            taken = min(there, left)
            notional += price * taken
            left -= taken
            if not left:
                break
        return notional, size - left

    def imbalance(self, count: int | None = None) -> tuple[int, int]:
        return self.volume(1, count), self.volume(2, count)

    def columns(self, side: int, prices: Ints, sizes: Ints) -> int:
        """Raises TooLarge where one of them does not fit, and then nothing is written."""
        columns = [_buffer(one).cast("B").cast("q") for one in (prices, sizes)]
        levels = self._best(_ask(side), min(len(column) for column in columns))
        try:
            found = [array("q", [level[at] for level in levels]) for at in (0, 1)]
        except OverflowError:
            raise TooLarge("a level beyond 64 bits: `top`, `bids` and `asks` have it as one of Python's") from None
        for column, values in zip(columns, found, strict=True):
            column[: len(levels)] = memoryview(values)
        return len(levels)


class WideLadder(WideLevels, Ladder):
    """A book by price level."""

    def set(self, side: int, price: int, size: int) -> None:
        ask = _ask(side)
        _check(size, 0)
        self._put(ask, price, size)

    def apply(self, bid_prices: Column, bid_sizes: Column, ask_prices: Column, ask_sizes: Column) -> None:
        self._apply(_levels(bid_prices, bid_sizes, "bids"), _levels(ask_prices, ask_sizes, "asks"))

    def replace(self, bid_prices: Column, bid_sizes: Column, ask_prices: Column, ask_sizes: Column) -> None:
        bids, asks = _levels(bid_prices, bid_sizes, "bids"), _levels(ask_prices, ask_sizes, "asks")
        self.clear()
        self._apply(bids, asks)

    def apply_joined(self, prices: Ints, sizes: Ints, bids: int, count: int, replace: bool = False) -> None:
        columns = [_buffer(one) for one in (prices, sizes)]
        if not 0 <= bids <= count <= min(len(column) for column in columns):
            raise ValueError(f"{bids} bids and {count} in all, in buffers of {len(columns[0])} and {len(columns[1])}")
        levels = _levels(columns[0][:count], columns[1][:count], "levels")
        if replace:
            self.clear()
        self._apply(levels[:bids], levels[bids:])

    def apply_many(
        self, prices: Column, sizes: Column, ends: Column, resets: Column | None = None, out: Ints | None = None
    ) -> None:
        """Of no advantage here, and never asked for: rows of int64 are written by who knows that they fit."""
        raise TooLarge("a book with levels beyond 64 bits takes updates one by one: `apply`")

    def _apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        for price, size in bids:
            self._put(0, price, size)
        for price, size in asks:
            self._put(1, price, size)

    def become(self, other: Ladder) -> None:
        bids, asks = other.top(None)
        self.clear()
        self._apply(bids, asks)

    def truncate(self, count: int) -> tuple[list[int], list[int]]:
        gone = tuple([price for price, _ in side[max(0, count) :]] for side in self.top(None))
        for ask, prices in enumerate(gone):
            for price in prices:
                self._put(ask, price, 0)
        return gone[0], gone[1]

    def clear(self) -> None:
        self._empty()

    def multiply(self, price_factor: int, size_factor: int) -> None:
        _check_factors(price_factor, size_factor)
        finer = [[(price * price_factor, size * size_factor) for price, size in side] for side in self.top(None)]
        self.clear()
        self._apply(*finer)


class WideOrders(WideLevels, Orders):
    """A book by order. A queue is a dict of sizes by order, which keeps the order in which they came."""

    _priority: int  # kept by who inherits: the kernel has it at its making, and does not tell
    _queues: tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]]
    _places: dict[int, tuple[int, int]]  # ask and price

    def _empty(self) -> None:
        super()._empty()
        self._queues, self._places = ({}, {}), {}

    def add(self, order_id: int, side: int, price: int, size: int) -> bool:
        ask = _ask(side)
        _check(size, 1)
        if order_id in self._places:
            return False
        self._places[order_id] = ask, price
        self._queues[ask].setdefault(price, {})[order_id] = size
        self._put(ask, price, self._sizes[ask].get(price, 0) + size)
        return True

    def modify(self, order_id: int, price: int, size: int) -> bool:
        _check(size, 1)
        place = self._places.get(order_id)
        if place is None:
            return False
        ask, at = place
        before = self._queues[ask][at][order_id]
        keeps = self._priority == KEEP_ALWAYS or (self._priority != KEEP_NEVER and size <= before)
        if price == at and keeps:
            self._queues[ask][at][order_id] = size
            self._put(ask, at, self._sizes[ask][at] + size - before)
        else:
            self.delete(order_id)
            self.add(order_id, ask + 1, price, size)
        return True

    def delete(self, order_id: int) -> bool:
        place = self._places.pop(order_id, None)
        if place is None:
            return False
        ask, price = place
        queue = self._queues[ask][price]
        self._put(ask, price, self._sizes[ask][price] - queue.pop(order_id))
        if not queue:
            del self._queues[ask][price]
        return True

    def execute(self, order_id: int, size: int) -> bool:
        _check(size, 1)
        place = self._places.get(order_id)
        if place is None:
            return False
        ask, price = place
        left = self._queues[ask][price][order_id] - size
        if left < 0:
            raise ValueError("an execution of more than the order holds")
        if not left:
            return self.delete(order_id)
        self._queues[ask][price][order_id] = left
        self._put(ask, price, self._sizes[ask][price] - size)
        return True

    def clear(self) -> None:
        self._empty()

    def multiply(self, price_factor: int, size_factor: int) -> None:
        _check_factors(price_factor, size_factor)
        orders = [
            (order_id, ask + 1, price * price_factor, size * size_factor)
            for ask in (0, 1)
            for price, queue in self._queues[ask].items()
            for order_id, size in queue.items()
        ]
        self._empty()
        for order in orders:
            self.add(*order)

    def order_count(self) -> int:
        return len(self._places)

    def order(self, order_id: int) -> tuple[int, int, int] | None:
        place = self._places.get(order_id)
        return None if place is None else (place[0] + 1, place[1], self._queues[place[0]][place[1]][order_id])

    def ahead(self, order_id: int) -> tuple[int, int] | None:
        place = self._places.get(order_id)
        if place is None:
            return None
        count = total = 0
        for other, size in self._queues[place[0]][place[1]].items():
            if other == order_id:
                break
            count, total = count + 1, total + size
        return count, total

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        return list(self._queues[_ask(side)].get(price, {}).items())


def _ask(side: int) -> int:
    if side not in (1, 2):
        raise ValueError(f"side {side}, expected 1 (bid) or 2 (ask)")
    return side - BID


def _check(size: int, least: int) -> None:
    if size < least:
        raise ValueError(f"size {size}, expected at least {least}")


def _check_factors(price_factor: int, size_factor: int) -> None:
    if price_factor < 1 or size_factor < 1:
        raise ValueError(f"factors {price_factor} and {size_factor}, expected at least 1")


def _levels(prices: Column, sizes: Column, name: str) -> list[Level]:
    """As pairs of Python's integers."""
    found = [index(price) for price in _items(prices)], [index(size) for size in _items(sizes)]
    if len(found[0]) != len(found[1]):
        raise ValueError(f"{name}: {len(found[0])} prices and {len(found[1])} sizes, expected as many of each")
    if found[1] and min(found[1]) < 0:
        raise ValueError("a negative size, expected at least 0")
    return list(zip(*found, strict=True))


def _items(column: Column) -> Iterable[Any]:
    return column if isinstance(column, Iterable) else _buffer(column)


def _buffer(column: Any) -> memoryview:
    return memoryview(column)
