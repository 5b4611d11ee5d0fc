"""Book: depth updates applied to a book, its best prices read after each."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from mdtool.bench.measure import Setting, figure, millions, race, spent, thousands
from mdtool.bench.messages import PRICE_EXP, SEED, SIZE_EXP, depth_messages
from mdtool.bench.report import Figure
from mdtool.books.l2 import L2Book
from mdtool.books.ladders import Ladders, LevelParser
from mdtool.model import BookUpdate, Scale
from mdtool.venues import catalog

LEVELS = 40.0  # budget, million levels a second
DEEP = 1_000  # levels a side the book holds to begin with, as after a snapshot
MIDDLE = 268_162
SCALE = Scale(PRICE_EXP, SIZE_EXP)
Side = list[tuple[int, int]]


def bench_book(setting: Setting) -> list[Figure]:
    setting.tell("book")
    messages = depth_messages(setting.size(5_000, 100))
    decode = catalog.get("sim").decoder("depth@100ms")
    parser = LevelParser(SCALE)
    updates = [
        parser.parse_update(message)
        for payload in messages
        for message in decode(payload)
        if isinstance(message, BookUpdate)
    ]
    levels = sum(len(update.bid_prices) + len(update.ask_prices) for update in updates)
    bids, asks = _snapshot()
    label, plain = _baseline()

    def from_wire() -> None:
        book = _book(bids, asks)
        for payload in messages:
            (message,) = decode(payload)
            if isinstance(message, BookUpdate):
                _, *sides = parser.parse_update(message)
                book.apply(*sides)
                book.best_bid(), book.best_ask()

    turns = race(
        {
            "apply": lambda: spent(lambda: _apply(_book(bids, asks), updates), levels),
            "plain": lambda: spent(lambda: plain(dict(bids), dict(asks), updates), levels),
            "wire": lambda: spent(from_wire, len(messages)),
        },
        setting.repeats,
    )
    return [
        figure("book", "apply", "apply level changes, best prices read after each update", millions("levels"),
               turns["apply"], budget=LEVELS, against=(label, turns["plain"]),
               note=f"updates of {levels / len(updates):.0f} levels on a book of {2 * DEEP}"),
        figure("book", "from_wire", "decode, parse and apply depth messages", thousands("messages"), turns["wire"]),
    ]  # fmt: skip


def _snapshot() -> tuple[Side, Side]:
    chance = random.Random(SEED)
    bids = [(MIDDLE - 1 - number, chance.randint(1, 250_000)) for number in range(DEEP)]
    asks = [(MIDDLE + 1 + number, chance.randint(1, 250_000)) for number in range(DEEP)]
    return bids, asks


def _book(bids: Side, asks: Side) -> L2Book:
    book = L2Book(SCALE)
    book.replace([p for p, _ in bids], [s for _, s in bids], [p for p, _ in asks], [s for _, s in asks])
    return book


def _apply(book: L2Book, updates: Sequence[Ladders]) -> None:
    apply, best_bid, best_ask = book.apply, book.best_bid, book.best_ask
    for _, bid_prices, bid_sizes, ask_prices, ask_sizes in updates:
        apply(bid_prices, bid_sizes, ask_prices, ask_sizes)
        best_bid()
        best_ask()


Plain = Callable[[dict[int, int], dict[int, int], Sequence[Ladders]], None]


def _baseline() -> tuple[str, Plain]:
    """What one would take from the shelf."""
    try:
        sorted_dict: Any = importlib.import_module("sortedcontainers").SortedDict
    except ImportError:
        return "dict, max() and min()", _dict_and_max

    def work(bids: dict[int, int], asks: dict[int, int], updates: Sequence[Ladders]) -> None:
        sorted_bids, sorted_asks = sorted_dict(bids), sorted_dict(asks)
        for _, bid_prices, bid_sizes, ask_prices, ask_sizes in updates:
            _set(sorted_bids, bid_prices, bid_sizes)
            _set(sorted_asks, ask_prices, ask_sizes)
            sorted_bids.peekitem(-1)
            sorted_asks.peekitem(0)

    return "sortedcontainers.SortedDict", work


def _dict_and_max(bids: dict[int, int], asks: dict[int, int], updates: Sequence[Ladders]) -> None:
    for _, bid_prices, bid_sizes, ask_prices, ask_sizes in updates:
        _set(bids, bid_prices, bid_sizes)
        _set(asks, ask_prices, ask_sizes)
        max(bids), min(asks)


def _set(side: dict[int, int], prices: Sequence[int], sizes: Sequence[int]) -> None:
    for price, size in zip(prices, sizes, strict=True):
        if size:
            side[price] = size
        else:
            side.pop(price, None)
