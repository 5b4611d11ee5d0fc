"""Decode: from the bytes of a depth message to its ids and the int64 prices and sizes of its levels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mdtool.bench.measure import Setting, figure, millions, nanoseconds, race, spent, thousands
from mdtool.bench.messages import captured_depth, depth_messages
from mdtool.bench.report import Figure
from mdtool.kernel import ladder
from mdtool.model import BookUpdate
from mdtool.venues import catalog

MESSAGES_K = 400.0  # budget, thousand messages a second of ten levels a side
MEGABYTES = 240.0  # budget, MB a second
PROTOCOL = ("sim", "depth@100ms")  # the synthetic exchange's; it decodes both markets' depth updates
CAPTURED = 20_000  # messages of a capture; more would only take longer


def bench_decode(setting: Setting) -> list[Figure]:
    setting.tell("decode")
    figures = _figures(setting, "", depth_messages(setting.size(5_000, 100)))
    if setting.data is not None:
        setting.tell(f"decode {setting.data.name}")
        captured = captured_depth(setting.data, setting.size(CAPTURED, 100))
        figures += _figures(setting, f"{setting.data.name}: ", captured)
    return figures


def _figures(setting: Setting, of: str, messages: Sequence[bytes]) -> list[Figure]:
    venue, stream = PROTOCOL
    decode = catalog.get(venue).decoder(stream)
    updates = [message for payload in messages for message in decode(payload) if isinstance(message, BookUpdate)]
    price_exp = min(ladder.exponents(side)[0] for update in updates for side in (update.bids, update.asks))
    size_exp = min(ladder.exponents(side)[1] for update in updates for side in (update.bids, update.asks))
    room = max(ladder.count(side) for update in updates for side in (update.bids, update.asks))
    prices, sizes = np.empty((2, 2, max(1, room)), dtype=np.int64)
    parse, count = ladder.parse, len(messages)

    def ours() -> int:
        levels = 0
        for payload in messages:
            update: Any = decode(payload)[0]
            levels += parse(update.bids, price_exp, size_exp, prices[0], sizes[0])
            levels += parse(update.asks, price_exp, size_exp, prices[1], sizes[1])
        return levels

    def envelope() -> None:
        for payload in messages:
            decode(payload)

    levels = ours()
    contestants: dict[str, Callable[[], object]] = {
        "ours": ours,
        "envelope": envelope,
        "float": lambda: _by_json(messages, float, float),
        "int": lambda: _by_json(messages, _mantissa(price_exp), _mantissa(size_exp)),
    }
    turns = race({name: _timed(work, count) for name, work in contestants.items()}, setting.repeats)
    size = sum(map(len, messages)) / count
    prefix = "captured_" if of else ""
    exact = ("json.loads + int(mantissa)", turns["int"])
    note = f"{size:.0f} bytes and {levels / count:.1f} levels a message"
    in_mb = [ns / size for ns in turns["ours"]]
    exact_mb = (exact[0], [ns / size for ns in exact[1]])
    per_level = levels / count
    return [
        figure("decode", f"{prefix}messages", f"{of}decode depth messages", thousands("messages"), turns["ours"],
               budget=None if of else MESSAGES_K, against=exact, note=note),
        figure("decode", f"{prefix}megabytes", f"{of}decode depth messages", millions("B"), in_mb,
               budget=MEGABYTES, against=exact_mb, note=note),
        figure("decode", f"{prefix}level", f"{of}decode, the whole message shared among its levels",
               nanoseconds("level"), [ns / per_level for ns in turns["ours"]],
               against=(exact[0], [ns / per_level for ns in exact[1]])),
        figure("decode", f"{prefix}envelope", f"{of}ids and times only, ladders left as text",
               thousands("messages"), turns["envelope"], against=exact),
        figure("decode", f"{prefix}against_float", f"{of}decode depth messages", thousands("messages"),
               turns["ours"], against=("json.loads + float, inexact", turns["float"])),
    ]  # fmt: skip


def _timed(work: Callable[[], object], count: int) -> Callable[[], float]:
    return lambda: spent(work, count)


def _by_json(messages: Sequence[bytes], price: Callable[[str], object], size: Callable[[str], object]) -> None:
    loads = json.loads
    for payload in messages:
        message = loads(payload)
        message = message.get("data", message)
        [(price(level[0]), size(level[1])) for level in message["b"]]
        [(price(level[0]), size(level[1])) for level in message["a"]]


def _mantissa(exponent: int) -> Callable[[str], int]:
    """What one would write to stay exact without a kernel."""
    digits = -exponent

    def mantissa(text: str) -> int:
        whole, _, fraction = text.partition(".")
        return int(whole + fraction.rstrip("0").ljust(digits, "0"))

    return mantissa
