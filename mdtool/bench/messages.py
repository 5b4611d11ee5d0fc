"""Depth messages to measure with: made up, the same ones every time; or taken from a capture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from mdtool.errors import UsageError
from mdtool.interop.hb import parse_line
from mdtool.interop.item import LineError
from mdtool.interop.lines import CutShort, Lines

SEED = 20240808
PRICE_EXP, SIZE_EXP = -2, -3
DEPTH = b'"e":"depthUpdate"'


def depth_messages(count: int, levels: int = 10, seed: int = SEED) -> list[bytes]:
    """`count` contiguous depth updates of `levels` bids and as many asks, about 600 bytes each at ten. Prices wander
    around 2,681.62 with two decimals; sizes have three, one in four is 0 (the level is removed)."""
    chance = random.Random(seed)
    middle, last_id = 268_162, 4_990_000_000_000
    messages = []
    for number in range(count):
        middle += chance.randint(-3, 3)
        first_id = last_id + 1
        last_id = first_id + chance.randint(0, 400)
        time_ms = 1_723_129_447_000 + number * 30
        bids = _ladder(chance, middle - 1, -1, levels)
        asks = _ladder(chance, middle + 1, 1, levels)
        messages.append(
            f'{{"e":"depthUpdate","E":{time_ms},"T":{time_ms - 2},"s":"ETHUSDT","U":{first_id},"u":{last_id},'
            f'"pu":{first_id - 1},"b":[{bids}],"a":[{asks}]}}'.encode()
        )
    return messages


def _ladder(chance: random.Random, best: int, step: int, levels: int) -> str:
    price, parts = best, []
    for _ in range(levels):
        size = 0 if chance.random() < 0.25 else chance.randint(1, 250_000)
        parts.append(f'["{price // 100}.{price % 100:02d}","{size // 1000}.{size % 1000:03d}"]')
        price += step * chance.randint(1, 20)
    return ",".join(parts)


def captured_depth(path: Path, most: int) -> list[bytes]:
    """The first `most` depth updates of a `.hb` capture, plain or packed. Raises UsageError where it has none."""
    found = []
    for _, payload in captured_records(path):
        if DEPTH in payload[:80]:
            found.append(payload)
            if len(found) == most:
                break
    if not found:
        raise UsageError(f"{path}: no depth update in it; expected a .hb capture of lines '<recv ns> <raw json>'")
    return found


def captured_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Receive time and payload of each line of a `.hb` capture, up to where it is cut. Raises UsageError."""
    lines = Lines(path)
    try:
        for line in lines:
            item = parse_line(line)
            if item is not None:
                yield item.recv_ns, item.payload
    except LineError as error:
        raise UsageError(f"{path} line {lines.number}: expected {error}") from None
    except CutShort:
        return  # what came before the cut serves
