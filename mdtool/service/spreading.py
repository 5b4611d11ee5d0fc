"""Which recorder takes which symbols: as even a load for each as what was recorded before lets one tell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mdtool.clock import SECOND
from mdtool.errors import StoreError
from mdtool.storage.store import Store

UNKNOWN = 1.0  # the load of a symbol where none of them was ever recorded


def spread(symbols: Sequence[str], loads: Sequence[float], shards: int) -> list[tuple[str, ...]]:
    """The symbols of each of at most so many recorders, none empty; the heaviest symbol first to where least is. Each
    keeps the order of `symbols`."""
    shares: list[list[int]] = [[] for _ in range(min(shards, len(symbols)))]
    weights = [0.0] * len(shares)
    for at in sorted(range(len(symbols)), key=lambda at: -loads[at]):
        least = min(range(len(shares)), key=lambda one: (weights[one], len(shares[one])))
        shares[least].append(at)
        weights[least] += loads[at]
    return [tuple(symbols[at] for at in sorted(share)) for share in shares]


def loads(store: Store, venue: str, symbols: Sequence[str]) -> list[float]:
    """Bytes a second of each symbol in the chunk it was recorded in last; what is not known is taken for as much as
    the median of what is."""
    known = [_load(store, f"{venue}/{symbol}") for symbol in symbols]
    there = [load for load in known if load is not None]
    usual = median(there) if there else UNKNOWN
    return [usual if load is None else load for load in known]


def _load(store: Store, name: str) -> float | None:
    try:
        with store.reader(name, verify=False) as reader:
            chunks = [chunk for chunk in reader.chunks() if chunk.max_ns > chunk.min_ns]
    except (StoreError, OSError):
        return None
    if not chunks:
        return None
    last = chunks[-1]
    return last.heap_bytes * SECOND / (last.max_ns - last.min_ns)
