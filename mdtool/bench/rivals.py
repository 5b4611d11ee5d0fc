"""Other people's books, given the same level changes: what one would take from the shelf instead.

Rule: each gets its input in the form it likes best and keeps nothing of the run before; only applying is timed. One
that is not installed is named, not missed.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdtool.bench.measure import Contestant

Int64 = NDArray[np.int64]


class Changes(NamedTuple):
    """Updates in one row, as mantissas. `ends`: where the bids and where the asks of each end, in turn."""

    prices: Int64
    sizes: Int64
    ends: Int64

    def halves(self) -> list[tuple[bool, list[int], list[int]]]:
        """(of the asks, prices, sizes) of each half of an update."""
        starts = np.concatenate(([0], self.ends[:-1]))
        return [
            (number % 2 == 1, self.prices[start:end].tolist(), self.sizes[start:end].tolist())
            for number, (start, end) in enumerate(zip(starts.tolist(), self.ends.tolist(), strict=True))
        ]

    def of_asks(self) -> NDArray[np.bool_]:
        """Whether each level is an ask."""
        lengths = np.diff(self.ends, prepend=0)
        return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


Start = Changes  # the levels a book holds to begin with, as one update
Make = Callable[[Start, Changes], Contestant]


def plain_dict(start: Start, changes: Changes) -> Contestant:
    """A dict a side, its best price searched: what needs nothing installed."""
    return _python(start, changes, dict, lambda bids, asks: (max(bids, default=0), min(asks, default=0)))


def sorted_dict(start: Start, changes: Changes) -> Contestant:
    kind: Any = importlib.import_module("sortedcontainers").SortedDict
    return _python(start, changes, kind, lambda bids, asks: (bids and bids.peekitem(-1), asks and asks.peekitem(0)))


def order_book(start: Start, changes: Changes) -> Contestant:
    """Its books are C; a level is set from Python, one at a time."""
    kind: Any = importlib.import_module("order_book").OrderBook
    halves, first = changes.halves(), start.halves()

    def turn() -> float:
        book = kind()
        sides = (book.bids, book.asks)
        _set(sides, first)
        began = time.perf_counter_ns()
        _set(sides, halves)
        return (time.perf_counter_ns() - began) / len(changes.prices)

    return turn


def hftbacktest(start: Start, changes: Changes) -> Contestant:
    """Its array-backed depth, driven as its backtests are; it keeps two books, the exchange's and the local one."""
    library: Any = importlib.import_module("hftbacktest")
    dtype: Any = importlib.import_module("hftbacktest.types").event_dtype
    events, first = (_hft_events(library, dtype, part) for part in (changes, start))
    events["exch_ts"] += 10**9
    events["local_ts"] += 10**9
    data = np.concatenate((first, events))  # must outlive every backtest: it keeps the address, not the array
    top = 2.0 * float(max(changes.prices.max(initial=1), start.prices.max(initial=1)))

    def turn() -> float:
        asset = (
            library.BacktestAsset().data([data]).linear_asset(1.0)
            .constant_order_latency(0, 0).risk_adverse_queue_model().no_partial_fill_exchange()
            .trading_value_fee_model(0, 0).tick_size(1.0).lot_size(1.0).roi_lb(0.0).roi_ub(top)
        )  # fmt: skip
        backtest = library.ROIVectorMarketDepthBacktest([asset])
        backtest.elapse(len(first) + 10)
        began = time.perf_counter_ns()
        backtest.elapse(10**15)
        spent = time.perf_counter_ns() - began
        backtest.close()
        return spent / len(changes.prices)

    turn()  # numba compiles on the first call
    return turn


def _hft_events(library: Any, dtype: Any, changes: Changes) -> Any:
    events = np.zeros(len(changes.prices), dtype)
    flags = library.DEPTH_EVENT | library.EXCH_EVENT | library.LOCAL_EVENT
    events["ev"] = np.where(changes.of_asks(), flags | library.SELL_EVENT, flags | library.BUY_EVENT)
    events["exch_ts"] = np.arange(len(events)) + 1
    events["local_ts"] = events["exch_ts"]
    events["px"] = changes.prices
    events["qty"] = changes.sizes
    return events


def _python(start: Start, changes: Changes, kind: Any, best: Callable[[Any, Any], object]) -> Contestant:
    halves, first = changes.halves(), start.halves()

    def turn() -> float:
        sides = kind(), kind()
        _set(sides, first)
        began = time.perf_counter_ns()
        for number in range(0, len(halves), 2):
            _set(sides, halves[number : number + 2])
            best(*sides)
        return (time.perf_counter_ns() - began) / len(changes.prices)

    return turn


def _set(sides: Any, halves: list[tuple[bool, list[int], list[int]]]) -> None:
    for of_asks, prices, sizes in halves:
        side = sides[of_asks]
        for price, size in zip(prices, sizes, strict=True):
            if size:
                side[price] = size
            elif price in side:
                del side[price]


RIVALS: dict[str, tuple[str, Make]] = {
    "sortedcontainers": ("sortedcontainers.SortedDict", sorted_dict),
    "order_book": ("order-book (C)", order_book),
    "hftbacktest": ("hftbacktest, two books", hftbacktest),
}


def gather(start: Start, changes: Changes) -> tuple[dict[str, tuple[str, Contestant]], list[str]]:
    """Those that are here, by module (a plain dict without any), and the names of those that are not."""
    here: dict[str, tuple[str, Contestant]] = {}
    absent = []
    for module, (label, make) in RIVALS.items():
        try:
            here[module] = label, make(start, changes)
        except ImportError:
            absent.append(module)
    return here or {"dict": ("dict, max() and min()", plain_dict(start, changes))}, absent
