"""Decode, venue by venue: the same depth update in each one's own words, from bytes to int64 prices and sizes."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence

from mdtool.bench.measure import Setting, figure, millions, nanoseconds, race, spent, thousands
from mdtool.bench.report import Figure
from mdtool.exchange.samples import updates
from mdtool.kernel import ladder
from mdtool.model import BookUpdate, Scale
from mdtool.venues import catalog
from mdtool.venues.venue import book_stream

LEVELS = 10  # a side
SCALE = Scale(-2, -3)


def bench_venues(setting: Setting) -> list[Figure]:
    """Messages, megabytes and nanoseconds a level of each venue, beside json.loads of the same bytes."""
    figures: list[Figure] = []
    for name in catalog.names():
        setting.tell(f"venues {name}")
        figures += _figures(setting, name, list(updates(name, setting.size(3_000, 50), LEVELS)))
    return figures


def _figures(setting: Setting, name: str, messages: Sequence[bytes]) -> list[Figure]:
    venue = catalog.get(name)
    stream = book_stream(venue, venue.default_streams)
    assert stream is not None
    decode, parse = venue.decoder(stream), ladder.parse
    prices, sizes = (array("q", bytes(8 * 4 * LEVELS)) for _ in range(2))
    price_exp, size_exp = SCALE
    count = len(messages)

    def ours() -> None:
        for payload in messages:
            for message in decode(payload):
                if isinstance(message, BookUpdate):
                    shape = message.shape
                    at = parse(message.bids, price_exp, size_exp, prices, sizes, 0, shape)
                    parse(message.asks, price_exp, size_exp, prices, sizes, at, shape)

    def loads() -> None:
        for payload in messages:
            json.loads(payload)

    works: dict[str, Callable[[], object]] = {"ours": ours, "loads": loads}
    turns = race({kind: _timed(work, count) for kind, work in works.items()}, setting.repeats)
    size = sum(map(len, messages)) / count
    against = ("json.loads alone", turns["loads"])
    note = f"{size:.0f} bytes and {2 * LEVELS} levels a message"
    return [
        figure("venues", f"{name}_messages", f"{name}: decode depth messages", thousands("messages"), turns["ours"],
               against=against, note=note),
        figure("venues", f"{name}_megabytes", f"{name}: decode depth messages", millions("B"),
               [ns / size for ns in turns["ours"]], against=(against[0], [ns / size for ns in against[1]])),
        figure("venues", f"{name}_level", f"{name}: the whole message shared among its levels", nanoseconds("level"),
               [ns / (2 * LEVELS) for ns in turns["ours"]],
               against=(against[0], [ns / (2 * LEVELS) for ns in against[1]])),
    ]  # fmt: skip


def _timed(work: Callable[[], object], count: int) -> Callable[[], float]:
    return lambda: spent(work, count)
