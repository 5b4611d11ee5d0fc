# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Order books of exact integers: price levels (L2) and orders in their queues (L3).

Rule: everything is checked at the door (sides, signs, lengths, what fits 64 bits) before anything changes; side.h and
orders.h are then in bounds by construction. Bids are walked from the highest price down, asks from the lowest up.
"""

from array import array

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

cdef extern from *:
    """
    typedef __int128 mdtool_wide;
    """
    ctypedef long long wide "mdtool_wide"  # sums here stay below 2**127: sizes of a book, price times what is taken

cdef extern from "side.h" nogil:
    ctypedef struct mdtool_strays:
        int64_t count
    ctypedef struct mdtool_side:
        mdtool_strays strays
    ctypedef struct mdtool_walk:
        pass
    int64_t mdtool_key_of(int64_t price, int is_ask)
    void mdtool_side_init(mdtool_side* side)
    void mdtool_side_free(mdtool_side* side)
    void mdtool_side_clear(mdtool_side* side)
    int64_t mdtool_side_count(const mdtool_side* side)
    int mdtool_side_set(mdtool_side* side, int64_t key, int64_t size)
    int mdtool_side_apply(
        mdtool_side* side, int is_ask, const int64_t* prices, const int64_t* sizes, int64_t count)
    int64_t mdtool_side_get(const mdtool_side* side, int64_t key)
    int64_t* mdtool_side_dump(const mdtool_side* side)
    mdtool_walk mdtool_walk_of(const mdtool_side* side)
    int mdtool_next(mdtool_walk* walk, int64_t* key, int64_t* size)

cdef extern from "orders.h" nogil:
    enum:
        MDTOOL_NONE
    ctypedef enum mdtool_outcome:
        MDTOOL_DONE, MDTOOL_REFUSED, MDTOOL_NO_MEMORY, MDTOOL_OVERFLOW, MDTOOL_TOO_MUCH
    ctypedef enum mdtool_priority:
        MDTOOL_KEEP_ON_REDUCE, MDTOOL_KEEP_ALWAYS, MDTOOL_KEEP_NEVER
    ctypedef struct mdtool_map:
        int64_t used
    ctypedef struct mdtool_order:
        uint64_t id
        int64_t size, level, before, after
    ctypedef struct mdtool_level:
        int64_t key, total, count, first, last
        int is_ask
    ctypedef struct mdtool_orders:
        mdtool_map ids
        mdtool_map prices[2]
        mdtool_order* orders
        mdtool_level* levels
        mdtool_priority priority
    int64_t mdtool_map_get(const mdtool_map* map, uint64_t key)
    void mdtool_orders_init(mdtool_orders* orders, mdtool_side* sides, mdtool_priority priority)
    void mdtool_orders_free(mdtool_orders* orders)
    mdtool_outcome mdtool_orders_add(mdtool_orders* orders, uint64_t id, int is_ask, int64_t price, int64_t size)
    mdtool_outcome mdtool_orders_delete(mdtool_orders* orders, uint64_t id)
    mdtool_outcome mdtool_orders_modify(mdtool_orders* orders, uint64_t id, int64_t price, int64_t size)
    mdtool_outcome mdtool_orders_execute(mdtool_orders* orders, uint64_t id, int64_t size)

BID = 1  # as model.Side
ASK = 2
KEEP_ON_REDUCE = MDTOOL_KEEP_ON_REDUCE
KEEP_ALWAYS = MDTOOL_KEEP_ALWAYS
KEEP_NEVER = MDTOOL_KEEP_NEVER


include "door.pxi"


cdef object exact(wide value):
    """A 128-bit integer as a Python one."""
    return (<object><int64_t>(value >> 64)) << 64 | <uint64_t>value


cdef class Levels:
    """What can be asked of a book, whatever keeps it. Prices and sizes are int64 mantissas of one scale."""

    cdef mdtool_side sides[2]
    cdef bint busy  # changing without the GIL: nobody else may look
    cdef bint elsewhere  # and then nobody may look at all

    def __cinit__(self):
        mdtool_side_init(&self.sides[0])
        mdtool_side_init(&self.sides[1])

    def __dealloc__(self):
        mdtool_side_free(&self.sides[0])
        mdtool_side_free(&self.sides[1])

    cdef mdtool_side* side(self, int ask) except NULL:
        if self.busy:
            if self.elsewhere:
                raise RuntimeError("the levels of this book are not kept by the kernel")
            raise RuntimeError("the book is in the hands of another thread's apply_many")
        return &self.sides[ask]

    def keep_elsewhere(self):
        """Who inherits keeps the levels, and answers for them: what is still asked of the kernel is an error."""
        self.busy = self.elsewhere = True

    cdef bint sides_are_empty(self) except *:
        return mdtool_side_count(self.side(0)) + mdtool_side_count(self.side(1)) == 0

    cdef object _best(self, int ask):
        cdef int64_t key = 0, size = 0
        cdef mdtool_walk walk = mdtool_walk_of(self.side(ask))
        if not mdtool_next(&walk, &key, &size):
            return None
        return mdtool_key_of(key, ask), size

    cdef list _levels(self, int ask, count):
        cdef int64_t key = 0, size = 0, left = INT64_MAX if count is None else max(0, min(count, INT64_MAX))
        cdef mdtool_walk walk = mdtool_walk_of(self.side(ask))
        cdef list levels = []
        while left > 0 and mdtool_next(&walk, &key, &size):
            levels.append((mdtool_key_of(key, ask), size))
            left -= 1
        return levels

    def best_bid(self):
        """(price, size) of the highest bid, None without one."""
        return self._best(0)

    def best_ask(self):
        """(price, size) of the lowest ask, None without one."""
        return self._best(1)

    def bids(self, count=None):
        """The best `count` bids (all: None) as (price, size), best first."""
        return self._levels(0, count)

    def asks(self, count=None):
        """The best `count` asks (all: None) as (price, size), best first."""
        return self._levels(1, count)

    def top(self, count):
        """The best `count` bids and asks, best first."""
        return self._levels(0, count), self._levels(1, count)

    def bid_size(self, int64_t price):
        """Size at a bid price, 0 where there is no level."""
        return mdtool_side_get(self.side(0), mdtool_key_of(price, 0))

    def ask_size(self, int64_t price):
        """Size at an ask price, 0 where there is no level."""
        return mdtool_side_get(self.side(1), mdtool_key_of(price, 1))

    def counts(self):
        """Levels on each side: (bids, asks)."""
        return mdtool_side_count(self.side(0)), mdtool_side_count(self.side(1))

    def outside(self):
        """Levels on each side outside the dense window, which is fast where they are few: (bids, asks)."""
        return self.side(0).strays.count, self.side(1).strays.count

    def __len__(self):
        return mdtool_side_count(self.side(0)) + mdtool_side_count(self.side(1))

    def volume(self, int side, count=None):
        """Size of the best `count` levels of a side together, exactly (it may exceed 64 bits)."""
        cdef int ask = is_ask(side)
        cdef int64_t key = 0, size = 0, left = INT64_MAX if count is None else max(0, min(count, INT64_MAX))
        cdef mdtool_walk walk = mdtool_walk_of(self.side(ask))
        cdef wide total = 0
        while left > 0 and mdtool_next(&walk, &key, &size):
            total += size
            left -= 1
        return exact(total)

    def volume_to(self, int side, int64_t price):
        """Size of a side from its best level to `price`, that one included."""
        cdef int ask = is_ask(side)
        cdef int64_t key = 0, size = 0, worst = mdtool_key_of(price, ask)
        cdef mdtool_walk walk = mdtool_walk_of(self.side(ask))
        cdef wide total = 0
        while mdtool_next(&walk, &key, &size) and key >= worst:
            total += size
        return exact(total)

    def take(self, int side, int64_t size):
        """What an order for `size` against a side would be filled with: (notional, filled). The notional is the sum of
        price times size, so VWAP = notional / filled; `filled` is less than `size` where the side holds less."""
        cdef int ask = is_ask(side)
        cdef int64_t key = 0, there = 0, left = size
        cdef mdtool_walk walk = mdtool_walk_of(self.side(ask))
        cdef wide notional = 0
        if size < 0:
            raise ValueError(f"size {size}, expected at least 0")
        while left > 0 and mdtool_next(&walk, &key, &there):
            there = min(there, left)
            notional += <wide>mdtool_key_of(key, ask) * there
            left -= there
        return exact(notional), size - left

    def imbalance(self, count=None):
        """(bid size, ask size) of the best `count` levels a side: how far the book leans, as exact integers."""
        return self.volume(1, count), self.volume(2, count)

    def columns(self, int side, prices, sizes):
        """Writes the best levels of a side into two writable int64 buffers, as many as fit; how many that were."""
        cdef int ask = is_ask(side)
        cdef Int64s to_prices = Int64s(prices, "prices", True), to_sizes = Int64s(sizes, "sizes", True)
        return write_side(
            self.side(ask), ask, to_prices.at, to_sizes.at, min(to_prices.count, to_sizes.count), 1)


cdef int64_t write_side(
        const mdtool_side* side, int ask, int64_t* prices, int64_t* sizes, int64_t room, int64_t stride) noexcept nogil:
    cdef int64_t key = 0, size = 0, count = 0
    cdef mdtool_walk walk = mdtool_walk_of(side)
    while count < room and mdtool_next(&walk, &key, &size):
        prices[count * stride] = mdtool_key_of(key, ask)
        sizes[count * stride] = size
        count += 1
    return count


cdef class Ladder(Levels):
    """A book by price level. A size of 0 deletes; deleting what is not there is normal."""

    def set(self, int side, int64_t price, int64_t size):
        """Sets one level."""
        cdef int ask = is_ask(side)
        if size < 0:
            raise ValueError(f"size {size}, expected at least 0")
        if mdtool_side_set(self.side(ask), mdtool_key_of(price, ask), size) < 0:
            raise MemoryError

    cdef int _apply(self, const int64_t* prices, const int64_t* sizes, int64_t bids, int64_t count) except -1:
        if (mdtool_side_apply(self.side(0), 0, prices, sizes, bids) < 0
                or mdtool_side_apply(self.side(1), 1, prices + bids, sizes + bids, count - bids) < 0):
            raise MemoryError
        return 0

    def apply(self, bid_prices, bid_sizes, ask_prices, ask_sizes):
        """Sets each level to its size, in order. Takes int64 buffers (numpy, array('q')) and iterables of ints. Raises
        ValueError for a negative size or columns of unequal length, OverflowError for what 64 bits do not hold, and
        then nothing has changed."""
        cdef Int64s prices = Int64s(bid_prices, "bid prices"), sizes = Int64s(bid_sizes, "bid sizes")
        cdef Int64s others = Int64s(ask_prices, "ask prices"), their_sizes = Int64s(ask_sizes, "ask sizes")
        check_pair(prices, sizes, "bids")
        check_pair(others, their_sizes, "asks")
        self._apply(prices.at, sizes.at, prices.count, prices.count)
        self._apply(others.at, their_sizes.at, 0, others.count)

    def replace(self, bid_prices, bid_sizes, ask_prices, ask_sizes):
        """The book is now these levels and no others. Raises as `apply` does."""
        cdef Int64s prices = Int64s(bid_prices, "bid prices"), sizes = Int64s(bid_sizes, "bid sizes")
        cdef Int64s others = Int64s(ask_prices, "ask prices"), their_sizes = Int64s(ask_sizes, "ask sizes")
        check_pair(prices, sizes, "bids")
        check_pair(others, their_sizes, "asks")
        self.clear()
        self._apply(prices.at, sizes.at, prices.count, prices.count)
        self._apply(others.at, their_sizes.at, 0, others.count)

    def apply_joined(self, prices, sizes, Py_ssize_t bids, Py_ssize_t count, bint replace=False):
        """As `apply` (or `replace`), of the first `count` of two int64 buffers: `bids` bids, and asks behind them."""
        cdef Int64s all_prices = Int64s(prices, "prices"), all_sizes = Int64s(sizes, "sizes")
        if not 0 <= bids <= count <= min(all_prices.count, all_sizes.count):
            raise ValueError(f"{bids} bids of {count} levels in buffers of {all_prices.count} and {all_sizes.count}")
        check_sizes(all_sizes.at, count)
        if replace:
            self.clear()
        self._apply(all_prices.at, all_sizes.at, bids, count)

    def apply_many(self, prices, sizes, ends, resets=None, out=None):
        """Applies many updates without the GIL, and writes down the book after each.

        `ends`: int64, two an update: where its bids end and where its asks end in `prices` and `sizes`; it begins where
        the one before ended. `resets`: int64, one an update; where not 0 the book is emptied before it. `out`: writable
        int64 of shape (updates, 4, depth): bid prices, bid sizes, ask prices, ask sizes, best first; 0 size and price
        where there is no level. Raises ValueError before anything changes. Another thread that asks the book something
        meanwhile gets a RuntimeError.
        """
        cdef Int64s all_prices = Int64s(prices, "prices"), all_sizes = Int64s(sizes, "sizes")
        cdef Int64s all_ends = Int64s(ends, "ends"), clears = None, rows = None
        cdef Py_ssize_t i, updates = all_ends.count // 2
        cdef int64_t end = 0, stop, depth = 0, failed = 0, written
        cdef int64_t* row = NULL
        cdef const int64_t* emptied = NULL
        cdef int ask
        check_pair(all_prices, all_sizes, "levels")
        if all_ends.count % 2:
            raise ValueError(f"{all_ends.count} ends, expected two an update")
        for i in range(all_ends.count):
            if not end <= all_ends.at[i] <= all_prices.count:
                raise ValueError(f"end {i} is {all_ends.at[i]}, expected {end} to {all_prices.count}")
            end = all_ends.at[i]
        if resets is not None:
            clears = Int64s(resets, "resets")
            if clears.count != updates:
                raise ValueError(f"{clears.count} resets, expected one for each of {updates} updates")
            emptied = clears.at
        if out is not None and updates:
            rows = Int64s(out, "out", True)
            depth = rows.count // (4 * updates)
            if rows.count != 4 * updates * depth:
                raise ValueError(f"out holds {rows.count} values, expected {updates} times 4 times the depth")
            row = rows.at
        self.side(0)
        self.busy = True
        with nogil:
            end = 0
            for i in range(updates):
                if emptied != NULL and emptied[i]:
                    mdtool_side_clear(&self.sides[0])
                    mdtool_side_clear(&self.sides[1])
                for ask in range(2):
                    stop = all_ends.at[2 * i + ask]
                    if not end <= stop <= all_prices.count:  # once more: without the GIL anyone may write to a buffer
                        failed = 1
                        break
                    failed |= mdtool_side_apply(
                        &self.sides[ask], ask, all_prices.at + end, all_sizes.at + end, stop - end)
                    end = stop
                    if row != NULL:
                        written = write_side(&self.sides[ask], ask, row, row + depth, depth, 1)
                        for written in range(written, depth):
                            row[written] = row[depth + written] = 0
                        row += 2 * depth
                if failed:
                    break
        self.busy = False
        if failed:
            raise MemoryError

    def become(self, Ladder other not None):
        """The same levels as another's from now on."""
        cdef int64_t* levels
        cdef int64_t i, count
        cdef int ask, failed = 0
        if other is self:
            return
        self.clear()
        for ask in range(2):
            levels = mdtool_side_dump(other.side(ask))
            if levels == NULL:
                raise MemoryError
            count = mdtool_side_count(other.side(ask))
            for i in range(count):
                failed |= mdtool_side_set(self.side(ask), levels[i], levels[count + i])
            free(levels)
        if failed:
            raise MemoryError

    def truncate(self, count):
        """Keeps the best `count` levels a side; the prices of the bids and of the asks that went, best first."""
        cdef int64_t key = 0, size = 0, at, keep = max(0, min(count, INT64_MAX))
        cdef mdtool_walk walk
        cdef int ask
        cdef list gone, both = []
        for ask in range(2):
            gone = []
            if mdtool_side_count(self.side(ask)) > keep:
                walk = mdtool_walk_of(self.side(ask))
                at = 0
                while mdtool_next(&walk, &key, &size):
                    if at >= keep:
                        gone.append(mdtool_key_of(key, ask))
                    at += 1
                for price in gone:
                    mdtool_side_set(self.side(ask), mdtool_key_of(price, ask), 0)
            both.append(gone)
        return tuple(both)

    def clear(self):
        """Empty."""
        mdtool_side_clear(self.side(0))
        mdtool_side_clear(self.side(1))

    def multiply(self, price_factor, size_factor):
        """Multiplies every price and size: a change to a finer scale. Raises OverflowError where one would not fit 64
        bits, and then nothing has changed."""
        cdef int64_t by_price, by_size, i, count
        cdef int64_t* levels[2]
        cdef int ask
        check_factors(price_factor, size_factor)
        if self.sides_are_empty() or (price_factor == 1 and size_factor == 1):
            return
        by_price, by_size = checked_factor(price_factor), checked_factor(size_factor)
        levels[0] = mdtool_side_dump(self.side(0))
        levels[1] = mdtool_side_dump(self.side(1))
        try:
            if levels[0] == NULL or levels[1] == NULL:
                raise MemoryError
            for ask in range(2):
                count = mdtool_side_count(self.side(ask))
                for i in range(count):
                    levels[ask][i] = multiplied(mdtool_key_of(levels[ask][i], ask), by_price)
                    levels[ask][count + i] = multiplied(levels[ask][count + i], by_size)
            for ask in range(2):
                count = mdtool_side_count(self.side(ask))
                mdtool_side_clear(self.side(ask))
                if mdtool_side_apply(self.side(ask), ask, levels[ask], levels[ask] + count, count) < 0:
                    raise MemoryError
        finally:
            free(levels[0])
            free(levels[1])


include "orders.pxi"
