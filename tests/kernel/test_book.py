"""The compiled books beside the plain ones: the same calls, the same answers, the same refusals."""

from __future__ import annotations

import random
import threading
from array import array

import book_reference as reference
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdtool.books.wide import WideLadder, WideOrders
from mdtool.kernel import book

BID, ASK = book.BID, book.ASK
BIG = 2**63 - 1
of_both_widths = pytest.mark.parametrize("wide", [False, True])
sides = st.sampled_from([BID, ASK])

# Around a touch; far from it; at the edges of 64 bits and of what a window may span; on and off a coarse grid.
near = st.integers(-40, 40).map(lambda n: 26_816_200 + n)
coarse = st.integers(-300, 300).map(lambda n: 5_000_000 + 2_500 * n)
far = st.one_of(st.integers(-(10**7), 10**7), st.sampled_from([2**61 - 1, 2**61, 2**61 + 1, -(2**61), 2**62]))
huge = st.sampled_from([BIG, BIG - 1, -BIG - 1, -BIG, 0, 1, -1, BIG + 1, -BIG - 2, 10**40, -(10**40)])
prices = st.one_of(near, near, coarse, far, huge)
sizes = st.one_of(st.integers(0, 3), st.just(0), st.sampled_from([BIG, 10**15, BIG + 1, 10**40]))
levels = st.lists(st.tuples(prices, sizes), max_size=80)
fitting = levels.map(lambda found: [level for level in found if all(-BIG - 1 <= number <= BIG for number in level)])
# Whole ladders in a row of calls: what builds, moves and leaves the dense window.
run = st.builds(
    lambda start, step, count: [(start + step * n, 1 + n % 7) for n in range(count)],
    st.one_of(near, coarse, far),
    st.sampled_from([1, 5, 100, 2_500, 3, 2**40, 2**46, 2**47]),
    st.integers(60, 400),
)
ladder_call = st.one_of(
    st.tuples(st.sampled_from(["apply", "apply", "apply", "replace"]), st.one_of(levels, run), st.one_of(levels, run)),
    st.tuples(st.just("set"), sides, prices, sizes),
    st.tuples(st.just("multiply"), st.sampled_from([1, 10, 1000, 10**19]), st.sampled_from([1, 10, 10**6])),
    st.tuples(st.just("truncate"), st.integers(-1, 50)),
    st.tuples(st.just("clear")),
)


def columns(bids, asks):
    return [p for p, _ in bids], [s for _, s in bids], [p for p, _ in asks], [s for _, s in asks]


def do(target, call):
    name, *rest = call
    if name in ("apply", "replace"):
        rest = columns(*rest)
    try:
        return getattr(target, name)(*rest)
    except (OverflowError, ValueError) as error:
        return type(error)


def assert_same(ours, model):
    bids, asks = model.side(BID), model.side(ASK)
    assert (ours.bids(), ours.asks()) == (bids, asks)
    assert ours.best_bid() == (bids[0] if bids else None)
    assert ours.best_ask() == (asks[0] if asks else None)
    assert (ours.counts(), len(ours)) == ((len(bids), len(asks)), len(bids) + len(asks))
    for side, whole in ((BID, bids), (ASK, asks)):
        size_at = ours.bid_size if side == BID else ours.ask_size
        for price, size in whole[:40] + whole[-5:]:
            assert size_at(price) == size
        beyond = () if model.limited else (10**40, -(10**40))
        for price in (0, BIG, -BIG - 1, 26_816_201, *beyond):
            assert size_at(price) == model.sizes[side].get(price, 0)
            assert ours.volume_to(side, price) == model.volume_to(side, price)
        for count in (None, -1, 0, 1, 3):
            assert ours.volume(side, count) == model.volume(side, count)
        for size in (0, 1, 17, BIG, *beyond[:1]):
            assert ours.take(side, size) == model.take(side, size)
        room = array("q", bytes(8 * 5)), array("q", bytes(8 * 4))
        if all(-BIG - 1 <= number <= BIG for level in whole[:4] for number in level):
            count = ours.columns(side, *room)
            assert list(zip(room[0][:count], room[1][:count], strict=True)) == whole[:4]
        else:
            with pytest.raises(OverflowError, match="as one of Python's"):
                ours.columns(side, *room)
            assert not any(room[0]) and not any(room[1])
    assert ours.top(2) == (bids[:2], asks[:2])
    assert ours.imbalance(2) == (model.volume(BID, 2), model.volume(ASK, 2))


def ladders(wide):
    return (WideLadder(), reference.WideLadder()) if wide else (book.Ladder(), reference.Ladder())


@of_both_widths
@settings(max_examples=150)
@given(calls=st.lists(ladder_call, max_size=12))
@example(
    calls=[
        ("apply", [(n, 1) for n in range(200)], [(n, 1) for n in range(300, 500)]),
        ("apply", [(BIG, 1)], [(-BIG, 1)]),
    ]
)
@example(calls=[("apply", [(7 * n, 1) for n in range(200)], []), ("set", BID, 8, 5), ("set", BID, 7, 0), ("clear",)])
def test_the_ladder_is_the_plain_one(wide, calls):
    ours, model = ladders(wide)
    for call in calls:
        assert do(ours, call) == do(model, call), call
        assert_same(ours, model)
    other, _ = ladders(wide)
    other.apply([5], [5], [6], [6])
    other.become(ours)
    ours.become(ours)
    assert_same(ours, model)
    ours.clear()
    assert_same(other, model)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from([1, 100, 12_345]), st.integers(500, 4_000))
def test_a_touch_that_wanders_far(chance, tick, count):
    """Tens of thousands of ticks: the window moves, levels leave and enter it, gaps open at the touch."""
    ours, model, middle = book.Ladder(), reference.Ladder(), 10**9
    for _ in range(count // 50):
        middle += chance.randint(-20_000, 20_000) * tick
        bids = [(middle - chance.randint(1, 60) * tick, chance.choice((0, 1, 2))) for _ in range(25)]
        asks = [(middle + chance.randint(1, 60) * tick, chance.choice((0, 1, 2))) for _ in range(25)]
        gone = [price for price in model.sizes[BID] if price >= middle]
        bids += [(price, 0) for price in gone]
        for target in (ours, model):
            target.apply(*columns(bids, asks))
        assert (ours.best_bid(), ours.best_ask()) == (
            model.side(BID, 1)[0] if model.sizes[BID] else None,
            model.side(ASK, 1)[0] if model.sizes[ASK] else None,
        )
    assert_same(ours, model)


@pytest.mark.parametrize("step", [1, 2, 5, 250, 12_345, 3 * 2**20, 10**12 + 39, 2**46, 2**46 - 1])
def test_levels_around_the_touch_are_in_the_window(step):
    """Whatever the step, once there are enough of them; and those off the grid or far away are where they belong."""
    ladder, model, middle = book.Ladder(), reference.Ladder(), 10**15
    bids = [(middle - step * n, 1 + n) for n in range(500)]
    asks = [(middle + step * n, 1 + n) for n in range(1, 500)]
    stray = [(middle - step * 40_000, 9), (middle - 10 * step + 1, 7 if step > 1 else 0), (-(2**63), 3), (2**62, 0)]
    for _ in range(3):
        for target in (ladder, model):
            target.apply(*columns(bids, asks))
            target.apply(*columns(stray, []))
    assert_same(ladder, model)
    outside = ladder.outside()
    assert outside[0] <= len(stray) and outside[1] == 0


@pytest.mark.parametrize(
    ("ladder_of", "late"),
    [
        (
            [(BIG - n * 2**46, 1) for n in range(300)],
            (2**46 - BIG - 2, 5),
        ),  # would be a slot above the best, modulo 2**64
        ([(BIG // 2 - n * 2**47, 1) for n in range(300)], (-BIG, 5)),
        ([(n * 2**49, 1) for n in range(-100, 100)], (16_000 * 2**49, 5)),
        ([(n * 2**49, 1) for n in range(-100, 100)], (-16_000 * 2**49, 5)),
        ([(n * 2**55, 1) for n in range(-100, 100)], (2**62 + 1, 5)),
    ],
)
def test_no_price_is_taken_for_another_across_64_bits(ladder_of, late):
    ours, model = book.Ladder(), reference.Ladder()
    for target in (ours, model):
        target.apply(*columns(ladder_of, [(~price, size) for price, size in ladder_of]))
        target.set(BID, *late)
        target.set(ASK, ~late[0], late[1])
    assert_same(ours, model)


def test_levels_in_any_order_of_arrival():
    """Many strays, split and joined: far apart, up, down and shuffled, then taken away again."""
    spread = [(n * 2**45 + n * n % 7, 5_000 + n) for n in range(-3_000, 3_000)]
    shuffled = random.Random(5).sample(spread, len(spread))
    for order in (spread, spread[::-1], shuffled):
        ours, model = book.Ladder(), reference.Ladder()
        for target in (ours, model):
            target.apply(*columns(order, order))
        assert_same(ours, model)
        kept = shuffled[::-1][:50]
        gone = [(price, 0) for price, _ in shuffled[:-50]]
        for target in (ours, model):
            target.apply(*columns(gone, gone))
        assert_same(ours, model)
        assert ours.bids() == sorted(kept, reverse=True)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.one_of(fitting, run), fitting), max_size=6), st.integers(1, 5))
def test_many_updates_at_once_are_the_same_one_by_one(updates, depth):
    ours, model = book.Ladder(), reference.Ladder()
    rows, all_levels, ends, resets = [], [], [], []
    for reset, bids, asks in updates:
        for half in (bids, asks):
            all_levels += half
            ends.append(len(all_levels))
        resets.append(int(reset))
        (model.replace if reset else model.apply)(*columns(bids, asks))
        row = np.zeros((4, depth), np.int64)
        for side, at in ((BID, 0), (ASK, 2)):
            for number, level in enumerate(model.side(side, depth)):
                row[at : at + 2, number] = level
        rows.append(row)
    out = np.full((len(updates), 4, depth), 7, np.int64)
    flat = np.array(all_levels, np.int64).reshape(-1, 2)
    ours.apply_many(flat[:, 0].copy(), flat[:, 1].copy(), ends, resets, out)
    assert out.tolist() == [row.tolist() for row in rows]
    assert_same(ours, model)


def test_books_do_not_hinder_each_other():
    """Two threads, a book each, the GIL let go."""
    flat = np.arange(1, 200_001, dtype=np.int64)
    ends = np.arange(100, 200_001, 100, dtype=np.int64)
    books = [book.Ladder() for _ in range(2)]
    threads = [threading.Thread(target=one.apply_many, args=(flat, flat, ends)) for one in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books[0].top(5) == books[1].top(5)
    assert len(books[0]) == 200_000


def test_a_book_in_the_hands_of_another_thread_says_so():
    flat = np.tile(np.arange(1, 1_001, dtype=np.int64), 5_000)
    ladder, refused = book.Ladder(), 0
    while not refused:  # until this thread has had its turn while the other was at it
        thread = threading.Thread(target=ladder.apply_many, args=(flat, flat, [0, len(flat)]))
        thread.start()
        while thread.is_alive():
            try:
                ladder.top(3)
            except RuntimeError:
                refused += 1
        thread.join()
    assert ladder.top(2) == ([], [(1, 1), (2, 2)])


order_ids = st.one_of(st.integers(0, 12), st.sampled_from([2**64 - 1, 2**63]))
order_call = st.one_of(
    st.tuples(st.just("add"), order_ids, sides, prices, sizes),
    st.tuples(st.just("add"), st.integers(0, 2**64 - 1), sides, st.integers(1, 3), st.integers(1, 9)),
    st.tuples(st.just("modify"), order_ids, prices, sizes),
    st.tuples(st.just("modify"), order_ids, st.integers(1, 3), st.integers(-1, 9)),
    st.tuples(st.just("delete"), order_ids),
    st.tuples(st.just("execute"), order_ids, st.integers(0, 5)),
    st.tuples(st.just("multiply"), st.sampled_from([1, 10, 10**19]), st.sampled_from([1, 100])),
    st.tuples(st.just("clear")),
)


class PriorityOrders(WideOrders):
    """Keeps its priority, as the books by order do."""

    def __init__(self, priority):
        self._priority = priority


@of_both_widths
@settings(max_examples=200)
@given(
    priority=st.sampled_from([book.KEEP_ON_REDUCE, book.KEEP_ALWAYS, book.KEEP_NEVER]),
    calls=st.lists(order_call, max_size=60),
)
@example(
    priority=book.KEEP_ALWAYS,
    calls=[("add", 1, BID, 5, BIG), ("add", 2, BID, 5, 1), ("modify", 1, 5, 3), ("add", 2, BID, 5, 1)],
)
def test_the_orders_are_the_plain_ones(wide, priority, calls):
    ours, model = (
        (PriorityOrders(priority), reference.WideOrders(priority))
        if wide
        else (book.Orders(priority), reference.Orders(priority))
    )
    for call in calls:
        assert do(ours, call) == do(model, call), call
        assert ours.order_count() == len(model.places)
    assert_same(ours, model)
    for (side, price), queue in model.queues.items():
        assert ours.queue(side, price) == [tuple(entry) for entry in queue]
        for order_id, _ in queue:
            assert ours.order(order_id) == model.order(order_id)
            assert ours.ahead(order_id) == model.ahead(order_id)
    assert ours.order(13) is None or 13 in model.places
    assert ours.queue(BID, 99) == []


def test_thousands_of_orders():
    ours, model = book.Orders(), reference.Orders()
    state = 1
    for _ in range(6_000):
        state = state * 6364136223846793005 + 1442695040888963407 & 2**64 - 1
        order_id, what, price = state >> 40 & 0x3FF, state >> 33 & 7, 1_000 + (state >> 20 & 31)
        call = [
            ("add", order_id * 2**32, BID, price, 5),
            ("add", order_id * 2**32, ASK, price + 32, 7),
            ("delete", order_id * 2**32),
            ("modify", order_id * 2**32, price, 6),
            ("execute", order_id * 2**32, 2),
        ][what % 5]
        assert do(ours, call) == do(model, call)
    assert_same(ours, model)
    assert ours.order_count() == len(model.places) > 100


def test_the_door():
    ladder = book.Ladder()
    ladder.apply([5], [1], [6], [2])
    before = ladder.top(None)
    one = array("q", [1])
    for error, call in (
        (ValueError, lambda: ladder.apply([1], [], [], [])),
        (ValueError, lambda: ladder.apply([1], [1], [2, 3], [4, -1])),
        (OverflowError, lambda: ladder.apply([2**63], [1], [], [])),
        (TypeError, lambda: ladder.apply([1.5], [1], [], [])),
        (TypeError, lambda: ladder.apply(None, [1], [], [])),
        (ValueError, lambda: ladder.apply(np.ones(1), [1], [], [])),
        (ValueError, lambda: ladder.apply(np.ones(1, np.uint64), [1], [], [])),
        (ValueError, lambda: ladder.apply(b"12345678", [1], [], [])),
        (ValueError, lambda: ladder.apply(np.ones(4, np.int64)[::2], [1, 1], [], [])),
        (ValueError, lambda: ladder.set(0, 1, 1)),
        (ValueError, lambda: ladder.set(3, 1, 1)),
        (ValueError, lambda: ladder.set(BID, 1, -1)),
        (OverflowError, lambda: ladder.set(BID, 2**63, 1)),
        (ValueError, lambda: ladder.take(BID, -1)),
        (ValueError, lambda: ladder.volume(7)),
        (ValueError, lambda: ladder.apply_joined(one, one, 0, 2)),
        (ValueError, lambda: ladder.apply_joined(one, one, 2, 1)),
        (ValueError, lambda: ladder.apply_joined(one, one, -1, 1)),
        (ValueError, lambda: ladder.apply_joined(one, array("q", [-1]), 1, 1, True)),
        (ValueError, lambda: ladder.apply_many([1], [1], [1])),
        (ValueError, lambda: ladder.apply_many([1], [1], [1, 2])),
        (ValueError, lambda: ladder.apply_many([1], [1], [1, 0])),
        (ValueError, lambda: ladder.apply_many([1], [1], [-1, 1])),
        (ValueError, lambda: ladder.apply_many([1], [1], [0, 1], [])),
        (ValueError, lambda: ladder.apply_many([1], [1], [0, 1], None, np.zeros(5, np.int64))),
        (TypeError, lambda: ladder.apply_many([1], [1], [0, 1], None, [0, 0, 0, 0])),
        (TypeError, lambda: ladder.columns(BID, [1], [1])),
        (BufferError, lambda: ladder.columns(BID, memoryview(one).toreadonly(), one)),
        (ValueError, lambda: ladder.multiply(0, 1)),
        (OverflowError, lambda: ladder.multiply(2**62, 1)),
        (ValueError, lambda: book.Orders(3)),
        (OverflowError, lambda: book.Orders().add(2**64, BID, 1, 1)),
        (OverflowError, lambda: book.Orders().add(-1, BID, 1, 1)),
    ):
        with pytest.raises(error):
            call()
        assert ladder.top(None) == before
    assert book.Ladder().multiply(10**30, 1) is None
    assert book.Ladder().take(ASK, 5) == (0, 0)


@pytest.mark.parametrize(("wide", "kernel"), [(WideLadder, book.Ladder), (WideOrders, book.Orders)])
def test_whatever_a_kernels_book_does_a_wide_one_does_itself(wide, kernel):
    for name in {name for name in dir(kernel) if not name.startswith("_")} - {"keep_elsewhere"} | {"__len__"}:
        owner = next(one for one in wide.__mro__ if name in vars(one))
        assert owner.__module__ == "mdtool.books.wide", name


def test_the_kernel_does_not_answer_for_a_wide_book():
    wide, narrow = WideLadder(), book.Ladder()
    wide.apply([1], [1], [], [])
    for call in (lambda: narrow.become(wide), lambda: book.Levels.top(wide, 1), lambda: book.Ladder.clear(wide)):
        with pytest.raises(RuntimeError, match="not kept by the kernel"):
            call()
    with pytest.raises(OverflowError, match="one by one"):
        wide.apply_many([1], [1], [0, 1])
    assert wide.top(1) == ([(1, 1)], [])


def test_the_door_of_a_wide_book():
    ladder, orders = WideLadder(), PriorityOrders(book.KEEP_ON_REDUCE)
    ladder.apply(np.array([5]), [1], array("q", [6]), (2,))
    before, one = ladder.top(None), array("q", [1])
    orders.add(1, BID, 5, 3)
    for error, call in (
        (ValueError, lambda: ladder.apply([1], [], [], [])),
        (ValueError, lambda: ladder.apply([1], [1], [2, 3], [4, -1])),
        (TypeError, lambda: ladder.apply([1.5], [1], [], [])),
        (TypeError, lambda: ladder.apply(None, [1], [], [])),
        (ValueError, lambda: ladder.set(0, 1, 1)),
        (ValueError, lambda: ladder.set(3, 1, 1)),
        (ValueError, lambda: ladder.set(BID, 1, -1)),
        (ValueError, lambda: ladder.take(BID, -1)),
        (ValueError, lambda: ladder.volume(7)),
        (ValueError, lambda: ladder.apply_joined(one, one, 0, 2)),
        (ValueError, lambda: ladder.apply_joined(one, one, 2, 1)),
        (ValueError, lambda: ladder.apply_joined(one, one, -1, 1)),
        (ValueError, lambda: ladder.apply_joined(one, array("q", [-1]), 1, 1, True)),
        (TypeError, lambda: ladder.columns(BID, [1], [1])),
        (TypeError, lambda: ladder.columns(BID, memoryview(one).toreadonly(), one)),
        (ValueError, lambda: ladder.multiply(0, 1)),
        (ValueError, lambda: orders.multiply(1, 0)),
        (ValueError, lambda: orders.add(2, 0, 1, 1)),
        (ValueError, lambda: orders.execute(1, 4)),
        (ValueError, lambda: orders.execute(1, 0)),
    ):
        with pytest.raises(error):
            call()
        assert (ladder.top(None), orders.top(None)) == (before, ([(5, 3)], []))
    ladder.apply_joined(array("q", [7, 8]), array("q", [1, 2]), 1, 2, True)
    assert ladder.top(None) == ([(7, 1)], [(8, 2)])


def test_exact_beyond_64_bits():
    ladder = book.Ladder()
    ladder.apply([-BIG - 1, BIG], [BIG, BIG], [BIG, BIG - 1], [BIG, 1])
    assert ladder.volume(BID) == 2 * BIG
    assert ladder.take(BID, BIG) == (BIG * BIG, BIG)
    assert ladder.take(ASK, BIG) == (BIG - 1 + BIG * (BIG - 1), BIG)
    ladder.apply([BIG], [0], [], [])
    assert ladder.take(BID, BIG) == (-(BIG + 1) * BIG, BIG)


def test_the_priority_rules():
    def order_of(priority, price, size):
        orders = book.Orders(priority)
        for order_id in (1, 2):
            orders.add(order_id, BID, 5, 4)
        orders.modify(1, price, size)
        return [order_id for order_id, _ in orders.queue(BID, 5)]

    assert [order_of(book.KEEP_ON_REDUCE, 5, size) for size in (3, 4, 5)] == [[1, 2], [1, 2], [2, 1]]
    assert [order_of(book.KEEP_ALWAYS, 5, size) for size in (3, 4, 5)] == [[1, 2], [1, 2], [1, 2]]
    assert [order_of(book.KEEP_NEVER, 5, size) for size in (3, 4, 5)] == [[2, 1], [2, 1], [2, 1]]
    assert order_of(book.KEEP_ALWAYS, 6, 4) == [2]
