"""Book: level changes applied, one update at a time and many, beside other people's books; orders in their queues."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from mdtool.bench.measure import Setting, figure, millions, race, spent, thousands
from mdtool.bench.messages import PRICE_EXP, SEED, SIZE_EXP, captured_depth, depth_messages
from mdtool.bench.report import Figure
from mdtool.bench.rivals import Changes, Int64, Start, gather
from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.kernel.book import Orders
from mdtool.model import BookUpdate, Scale
from mdtool.venues import catalog

LEVELS = 40.0  # budget, million levels a second
DEEP = 1_000  # levels a side the book holds to begin with, as after a snapshot
MIDDLE = 268_162
SCALE = Scale(PRICE_EXP, SIZE_EXP)
TOP = 10  # levels a side written down after each update
CAPTURED = 20_000  # messages of a capture; more would only take longer


def bench_book(setting: Setting) -> list[Figure]:
    setting.tell("book")
    messages = depth_messages(setting.size(5_000, 100))
    figures = [*_figures(setting, "", messages, made_up_start()), *_wire(setting, messages), *_orders(setting)]
    if setting.data is not None:
        setting.tell(f"book {setting.data.name}")
        captured = captured_depth(setting.data, setting.size(CAPTURED, 100))
        nothing = np.zeros(0, np.int64)
        figures += _figures(
            setting, f"{setting.data.name}: ", captured, Changes(nothing, nothing, np.zeros(2, np.int64))
        )
    return figures


def _figures(setting: Setting, of: str, messages: Sequence[bytes], start: Start) -> list[Figure]:
    changes = parsed(messages)
    count, updates = len(changes.prices), len(changes.ends) // 2
    out = np.zeros((updates, 4, TOP), np.int64)
    one_by_one = _split(changes)
    rivals, absent = gather(start, changes)

    def each() -> None:
        book = new_book(start)
        apply, best_bid, best_ask = book.apply_joined, book.best_bid, book.best_ask
        for prices, sizes, bids, levels in one_by_one:
            apply(prices, sizes, bids, levels)
            best_bid()
            best_ask()

    turns = race(
        {
            "apply": _timed(start, lambda book: book.apply_many(*changes), count),
            "tops": _timed(start, lambda book: book.apply_many(*changes, None, out), updates),
            "each": lambda: spent(each, count),
            **{module: work for module, (_, work) in rivals.items()},
        },
        setting.repeats,
    )
    prefix = "captured_" if of else ""
    (label, _), *_ = rivals.values()
    note = f"updates of {count / updates:.0f} levels" + (f"; not installed: {', '.join(absent)}" if absent else "")
    return [
        figure("book", f"{prefix}apply", f"{of}apply level changes, all updates in one call", millions("levels"),
               turns["apply"], budget=LEVELS, against=(label, turns[next(iter(rivals))]), note=note),
        *(
            figure("book", f"{prefix}apply_{module}", f"{of}apply level changes, all updates in one call",
                   millions("levels"), turns["apply"], against=(label, turns[module]))
            for module, (label, _) in list(rivals.items())[1:]
        ),
        figure("book", f"{prefix}each", f"{of}apply level changes, an update a call, best prices read after each",
               millions("levels"), turns["each"], against=(label, turns[next(iter(rivals))])),
        figure("book", f"{prefix}tops", f"{of}apply updates and write down the best {TOP} levels after each",
               thousands("updates"), turns["tops"]),
    ]  # fmt: skip


def _wire(setting: Setting, messages: Sequence[bytes]) -> list[Figure]:
    decode = catalog.get("sim").decoder("depth@100ms")
    parser, start = LevelParser(SCALE), made_up_start()

    def from_wire() -> None:
        book = new_book(start)
        for payload in messages:
            (message,) = decode(payload)
            if isinstance(message, BookUpdate):
                parser.put(message, book)
                book.best_bid(), book.best_ask()

    turns = race({"wire": lambda: spent(from_wire, len(messages))}, setting.repeats)
    return [figure("book", "from_wire", "decode, parse and apply depth messages", thousands("messages"), turns["wire"])]


def _orders(setting: Setting) -> list[Figure]:
    """Orders that come, are cut and go at random, a few thousand resting."""
    chance = random.Random(SEED)
    steps: list[tuple[str, tuple[int, ...]]] = []
    resting: list[int] = []
    for number in range(setting.size(50_000, 500)):
        if len(resting) < 4_000 or chance.random() < 0.45:
            side = chance.randint(1, 2)
            price = MIDDLE + (2 * side - 3) * chance.randint(1, 500)
            resting.append(number)
            steps.append(("add", (number, side, price, chance.randint(2, 1_000))))
        elif chance.random() < 0.2:
            steps.append(("execute", (chance.choice(resting), 1)))
        else:
            at = chance.randrange(len(resting))
            resting[at], resting[-1] = resting[-1], resting[at]
            steps.append(("delete", (resting.pop(),)))

    def work() -> None:
        orders = Orders()
        calls: dict[str, Callable[..., bool]] = {"add": orders.add, "execute": orders.execute, "delete": orders.delete}
        for name, arguments in steps:
            try:
                calls[name](*arguments)
            except ValueError:  # all of it was executed but one
                continue

    turns = race({"orders": lambda: spent(work, len(steps))}, setting.repeats)
    title = "add, execute and delete orders, a call each"
    return [figure("book", "orders", title, millions("steps"), turns["orders"])]


def made_up_start() -> Start:
    """A deep book around the made-up messages' prices."""
    chance = random.Random(SEED)
    away = np.arange(1, DEEP + 1, dtype=np.int64)
    sizes = np.array([chance.randint(1, 250_000) for _ in range(2 * DEEP)], np.int64)
    return Changes(np.concatenate((MIDDLE - away, MIDDLE + away)), sizes, np.array([DEEP, 2 * DEEP], np.int64))


def parsed(messages: Sequence[bytes]) -> Changes:
    """The levels of depth messages, at the finest of their scales."""
    decode = catalog.get("sim").decoder("depth@100ms")
    updates = [message for payload in messages for message in decode(payload) if isinstance(message, BookUpdate)]
    parser = LevelParser(SCALE)
    for update in updates:
        parser.columns(update)  # only to widen the scale
    prices, sizes, lengths = [], [], []
    for update in updates:
        _, bid_prices, bid_sizes, ask_prices, ask_sizes = parser.columns(update)
        prices += [bid_prices, ask_prices]
        sizes += [bid_sizes, ask_sizes]
        lengths += [len(bid_prices), len(ask_prices)]
    return Changes(np.concatenate(prices), np.concatenate(sizes), np.cumsum(lengths))


def new_book(start: Start) -> L2Book:
    book = L2Book(SCALE)
    book.apply_many(*start)
    return book


def _split(changes: Changes) -> list[tuple[Int64, Int64, int, int]]:
    """Each update on its own: prices, sizes, how many are bids, how many there are."""
    begin, updates = 0, []
    for middle, end in changes.ends.reshape(-1, 2).tolist():
        part = slice(begin, end)
        updates.append((changes.prices[part].copy(), changes.sizes[part].copy(), middle - begin, end - begin))
        begin = end
    return updates


def _timed(start: Start, work: Callable[[L2Book], object], count: int) -> Callable[[], float]:
    """The book is made before the clock starts."""

    def turn() -> float:
        book = new_book(start)
        return spent(lambda: work(book), count)

    return turn
