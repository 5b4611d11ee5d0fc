# Part of book.pyx: the book by order.


cdef bint settled(mdtool_outcome outcome) except *:
    """Whether it was done; REFUSED is an answer, the others are errors."""
    if outcome == MDTOOL_NO_MEMORY:
        raise MemoryError
    if outcome == MDTOOL_OVERFLOW:
        raise OverflowError("a level's total beyond 64 bits")
    if outcome == MDTOOL_TOO_MUCH:
        raise ValueError("an execution of more than the order holds")
    return outcome == MDTOOL_DONE


cdef class Orders(Levels):
    """A book by order: first come, first served at each price. What can be asked of Levels is answered from the totals.

    `priority`: which changes of size keep an order's place in the queue: KEEP_ON_REDUCE (a larger size goes to the
    back), KEEP_ALWAYS, KEEP_NEVER. A change of price never keeps it.
    """

    cdef mdtool_orders orders

    def __cinit__(self, int priority=KEEP_ON_REDUCE):
        if priority not in (KEEP_ON_REDUCE, KEEP_ALWAYS, KEEP_NEVER):
            raise ValueError(f"priority {priority}, expected KEEP_ON_REDUCE, KEEP_ALWAYS or KEEP_NEVER")
        mdtool_orders_init(&self.orders, &self.sides[0], <mdtool_priority>priority)

    def __dealloc__(self):
        mdtool_orders_free(&self.orders)

    def add(self, uint64_t order_id, int side, int64_t price, int64_t size):
        """A new order at the back of its level. False, and nothing changed, if the id is already there. Raises
        ValueError for a size below 1, OverflowError where the level's total would not fit 64 bits."""
        cdef int ask = is_ask(side)
        check_size(size)
        return settled(mdtool_orders_add(&self.orders, order_id, ask, price, size))

    def modify(self, uint64_t order_id, int64_t price, int64_t size):
        """The order's price and size are now these; its place as `priority` says. False if there is no such order.
        Raises as `add` does."""
        check_size(size)
        return settled(mdtool_orders_modify(&self.orders, order_id, price, size))

    def delete(self, uint64_t order_id):
        """The order is gone. False if there was none."""
        return settled(mdtool_orders_delete(&self.orders, order_id))

    def execute(self, uint64_t order_id, int64_t size):
        """Takes `size` off an order, which keeps its place and goes when nothing is left. False if there is no such
        order. Raises ValueError for a size below 1 or more than the order holds."""
        check_size(size)
        return settled(mdtool_orders_execute(&self.orders, order_id, size))

    cdef void _empty(self) noexcept:
        mdtool_orders_free(&self.orders)
        mdtool_side_clear(&self.sides[0])
        mdtool_side_clear(&self.sides[1])

    def clear(self):
        """Empty."""
        self._empty()

    def multiply(self, price_factor, size_factor):
        """Multiplies every price and size: a change to a finer scale. Raises OverflowError where one would not fit 64
        bits, and then nothing has changed."""
        cdef int64_t by_price, by_size, key = 0, total = 0, index
        cdef mdtool_walk walk
        cdef mdtool_level* level
        cdef int ask
        cdef list orders = []
        check_factors(price_factor, size_factor)
        if self.orders.ids.used == 0 or (price_factor == 1 and size_factor == 1):
            return
        by_price, by_size = checked_factor(price_factor), checked_factor(size_factor)
        for ask in range(2):
            walk = mdtool_walk_of(&self.sides[ask])
            while mdtool_next(&walk, &key, &total):
                multiplied(total, by_size)  # and with it each order of it
                price = multiplied(mdtool_key_of(key, ask), by_price)
                level = &self.orders.levels[mdtool_map_get(&self.orders.prices[ask], <uint64_t>key)]
                index = level.first
                while index != MDTOOL_NONE:
                    size = self.orders.orders[index].size * by_size
                    orders.append((self.orders.orders[index].id, ask + 1, price, size))
                    index = self.orders.orders[index].after
        self._empty()
        for order_id, side, price, size in orders:
            settled(mdtool_orders_add(&self.orders, order_id, side - 1, price, size))

    def order_count(self):
        """Orders on both sides."""
        return self.orders.ids.used

    def order(self, uint64_t order_id):
        """(side, price, size) of an order, None without it."""
        cdef int64_t index = mdtool_map_get(&self.orders.ids, order_id)
        cdef const mdtool_level* level
        if index == MDTOOL_NONE:
            return None
        level = &self.orders.levels[self.orders.orders[index].level]
        return level.is_ask + 1, mdtool_key_of(level.key, level.is_ask), self.orders.orders[index].size

    def ahead(self, uint64_t order_id):
        """(orders, size) that stand before an order at its price, None without it."""
        cdef int64_t index = mdtool_map_get(&self.orders.ids, order_id), count = 0, size = 0
        if index == MDTOOL_NONE:
            return None
        index = self.orders.orders[index].before
        while index != MDTOOL_NONE:
            count += 1
            size += self.orders.orders[index].size
            index = self.orders.orders[index].before
        return count, size

    def queue(self, int side, int64_t price):
        """The orders at a price as (id, size), first in the queue first."""
        cdef int ask = is_ask(side)
        cdef int64_t index = mdtool_map_get(&self.orders.prices[ask], <uint64_t>mdtool_key_of(price, ask))
        cdef list found = []
        if index != MDTOOL_NONE:
            index = self.orders.levels[index].first
            while index != MDTOOL_NONE:
                found.append((self.orders.orders[index].id, self.orders.orders[index].size))
                index = self.orders.orders[index].after
        return found
