"""What mdtool.kernel.book does, in plain Python: dicts, lists and sorting. What is `limited` holds 64 bits."""

from __future__ import annotations

BID, ASK = 1, 2
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)
KEEP_ON_REDUCE, KEEP_ALWAYS, KEEP_NEVER = range(3)


class Levels:
    """Two dicts of price to size."""

    limited = True

    def fits(self, *values):
        for value in values:
            if self.limited and not INT64_MIN <= value <= INT64_MAX:
                raise OverflowError(value)

    def __init__(self):
        self.sizes = {BID: {}, ASK: {}}

    def side(self, side, count=None):
        levels = sorted(self.sizes[side].items(), reverse=side == BID)
        return levels if count is None else levels[: max(0, count)]

    def volume(self, side, count=None):
        return sum(size for _, size in self.side(side, count))

    def volume_to(self, side, price):
        return sum(size for at, size in self.side(side) if (at >= price if side == BID else at <= price))

    def take(self, side, wanted):
        left, notional = wanted, 0
        for price, size in self.side(side):
            taken = min(size, left)
            notional += price * taken
            left -= taken
        return notional, wanted - left


class Ladder(Levels):
    """Sizes are set; 0 deletes."""

    def check(self, prices, sizes):
        if len(prices) != len(sizes):
            raise ValueError("lengths")
        self.fits(*prices, *sizes)
        if any(size < 0 for size in sizes):
            raise ValueError("negative")

    def set(self, side, price, size):
        self.fits(price, size)
        if size:
            self.sizes[side][price] = size
        else:
            self.sizes[side].pop(price, None)

    def apply(self, bid_prices, bid_sizes, ask_prices, ask_sizes):
        self.check(bid_prices, bid_sizes)
        self.check(ask_prices, ask_sizes)
        for side, prices, sizes in ((BID, bid_prices, bid_sizes), (ASK, ask_prices, ask_sizes)):
            for price, size in zip(prices, sizes, strict=True):
                self.set(side, price, size)

    def replace(self, bid_prices, bid_sizes, ask_prices, ask_sizes):
        self.check(bid_prices, bid_sizes)
        self.check(ask_prices, ask_sizes)
        self.clear()
        self.apply(bid_prices, bid_sizes, ask_prices, ask_sizes)

    def clear(self):
        self.sizes = {BID: {}, ASK: {}}

    def truncate(self, count):
        gone = []
        for side in (BID, ASK):
            gone.append([price for price, _ in self.side(side)[max(0, count) :]])
            for price in gone[-1]:
                del self.sizes[side][price]
        return tuple(gone)

    def multiply(self, price_factor, size_factor):
        if not any(self.sizes.values()):
            return
        if price_factor != 1 or size_factor != 1:
            self.fits(price_factor, size_factor)
        grown = {
            side: {price * price_factor: size * size_factor for price, size in levels.items()}
            for side, levels in self.sizes.items()
        }
        for levels in grown.values():
            self.fits(*levels, *levels.values())
        self.sizes = grown


class Orders(Levels):
    """A list of [id, size] at each price, first in the queue first."""

    def __init__(self, priority=KEEP_ON_REDUCE):
        super().__init__()
        self.priority = priority
        self.clear()

    def clear(self):
        self.queues = {}  # (side, price) -> [[id, size], ...]
        self.places = {}  # id -> (side, price)
        self.sizes = {BID: {}, ASK: {}}

    def total(self, side, price, change):
        queue = self.queues.get((side, price), ())
        total = sum(size for _, size in queue) + change
        self.fits(total)

    def settle(self, side, price):
        queue = self.queues.get((side, price))
        if queue:
            self.sizes[side][price] = sum(size for _, size in queue)
        else:
            self.queues.pop((side, price), None)
            self.sizes[side].pop(price, None)

    def entry(self, order_id):
        queue = self.queues[self.places[order_id]]
        return next(entry for entry in queue if entry[0] == order_id)

    def add(self, order_id, side, price, size):
        self.fits(price, size)
        if size < 1:
            raise ValueError("size")
        if order_id in self.places:
            return False
        self.total(side, price, size)
        self.queues.setdefault((side, price), []).append([order_id, size])
        self.places[order_id] = side, price
        self.settle(side, price)
        return True

    def delete(self, order_id):
        if order_id not in self.places:
            return False
        self.queues[self.places[order_id]].remove(self.entry(order_id))
        self.settle(*self.places.pop(order_id))
        return True

    def modify(self, order_id, price, size):
        self.fits(price, size)
        if size < 1:
            raise ValueError("size")
        if order_id not in self.places:
            return False
        side, at = self.places[order_id]
        entry = self.entry(order_id)
        self.total(side, price, size - entry[1] if price == at else size)
        grew = size > entry[1]
        entry[1] = size
        if price != at or self.priority == KEEP_NEVER or (self.priority == KEEP_ON_REDUCE and grew):
            self.queues[side, at].remove(entry)
            self.queues.setdefault((side, price), []).append(entry)
            self.places[order_id] = side, price
        self.settle(side, at)
        self.settle(side, price)
        return True

    def execute(self, order_id, size):
        if size < 1:
            raise ValueError("size")
        if order_id not in self.places:
            return False
        entry = self.entry(order_id)
        if size > entry[1]:
            raise ValueError("too much")
        if size == entry[1]:
            return self.delete(order_id)
        entry[1] -= size
        self.settle(*self.places[order_id])
        return True

    def multiply(self, price_factor, size_factor):
        if not self.places:
            return
        if price_factor != 1 or size_factor != 1:
            self.fits(price_factor, size_factor)
        for levels in self.sizes.values():
            for price, size in levels.items():
                self.fits(price * price_factor, size * size_factor)
        queues = {
            (side, price * price_factor): [[order_id, size * size_factor] for order_id, size in queue]
            for (side, price), queue in self.queues.items()
        }
        self.clear()
        self.queues = queues
        for (side, price), queue in queues.items():
            self.places.update((order_id, (side, price)) for order_id, _ in queue)
            self.settle(side, price)

    def order(self, order_id):
        return (*self.places[order_id], self.entry(order_id)[1]) if order_id in self.places else None

    def ahead(self, order_id):
        if order_id not in self.places:
            return None
        queue = self.queues[self.places[order_id]]
        before = queue[: queue.index(self.entry(order_id))]
        return len(before), sum(size for _, size in before)

    def queue(self, side, price):
        return [tuple(entry) for entry in self.queues.get((side, price), ())]


class WideLadder(Ladder):
    limited = False


class WideOrders(Orders):
    limited = False
