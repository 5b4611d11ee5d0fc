"""A book by price level, in exact integers.

Rule: a size of 0 deletes, deleting what is not there is normal, and a price stands at most once a side. Whether an
update may be applied is not decided here but in sync.py.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from mdtool.model import Scale

Level = tuple[int, int]  # price and size mantissas


class _Half:
    """One side. `keys` ascend towards the best level, so that what moves most stands at the list's end: a price, or for
    asks its negative."""

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}  # key -> size
        self.keys: list[int] = []

    def apply(self, prices: Iterable[int], sizes: Iterable[int]) -> None:
        held, keys, sign = self.sizes, self.keys, self.sign
        for price, size in zip(prices, sizes, strict=True):
            key = price * sign
            if size == 0:
                if held.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in held:
                    insort(keys, key)
                held[key] = size

    def replace(self, prices: Iterable[int], sizes: Iterable[int]) -> None:
        levels = {price * self.sign: size for price, size in zip(prices, sizes, strict=True)}
        self.sizes = {key: size for key, size in levels.items() if size}
        self.keys = sorted(self.sizes)

    def best(self) -> Level | None:
        if not self.keys:
            return None
        key = self.keys[-1]
        return key * self.sign, self.sizes[key]

    def levels(self, count: int | None) -> list[Level]:
        keys = self.keys if count is None else self.keys[max(0, len(self.keys) - count) :]
        return [(key * self.sign, self.sizes[key]) for key in reversed(keys)]

    def rescale(self, price_factor: int, size_factor: int) -> None:
        self.sizes = {key * price_factor: size * size_factor for key, size in self.sizes.items()}
        self.keys = [key * price_factor for key in self.keys]


class L2Book:
    """Bids and asks of one feed as mantissas at `scale`."""

    __slots__ = ("_asks", "_bids", "_scale")

    def __init__(self, scale: Scale | None = None) -> None:
        self._scale = scale or Scale(0, 0)
        self._bids = _Half(1)
        self._asks = _Half(-1)

    @property
    def scale(self) -> Scale:
        """Exponents of every mantissa in the book."""
        return self._scale

    def apply(
        self,
        bid_prices: Iterable[int],
        bid_sizes: Iterable[int],
        ask_prices: Iterable[int],
        ask_sizes: Iterable[int],
    ) -> None:
        """Set each level to its size; 0 deletes it."""
        self._bids.apply(bid_prices, bid_sizes)
        self._asks.apply(ask_prices, ask_sizes)

    def replace(
        self,
        bid_prices: Iterable[int],
        bid_sizes: Iterable[int],
        ask_prices: Iterable[int],
        ask_sizes: Iterable[int],
    ) -> None:
        """The book is now these levels and no others."""
        self._bids.replace(bid_prices, bid_sizes)
        self._asks.replace(ask_prices, ask_sizes)

    def clear(self) -> None:
        """Empty; the scale stays."""
        self._bids = _Half(1)
        self._asks = _Half(-1)

    def rescale(self, scale: Scale) -> None:
        """Express every mantissa at a finer scale, exactly. Raises ValueError for a coarser one."""
        price_digits = self._scale.price_exp - scale.price_exp
        size_digits = self._scale.size_exp - scale.size_exp
        if price_digits < 0 or size_digits < 0:
            raise ValueError(f"rescaling {self._scale} to {scale} would round")
        for half in (self._bids, self._asks):
            half.rescale(10**price_digits, 10**size_digits)
        self._scale = scale

    def best_bid(self) -> Level | None:
        """(price, size) of the highest bid."""
        return self._bids.best()

    def best_ask(self) -> Level | None:
        """(price, size) of the lowest ask."""
        return self._asks.best()

    def bids(self, count: int | None = None) -> list[Level]:
        """The best `count` bids (all: None), best first."""
        return self._bids.levels(count)

    def asks(self, count: int | None = None) -> list[Level]:
        """The best `count` asks (all: None), best first."""
        return self._asks.levels(count)

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        """The best `count` bids and asks, best first."""
        return self._bids.levels(count), self._asks.levels(count)

    def bid_size(self, price: int) -> int:
        """Size at a bid price, 0 where there is no level."""
        return self._bids.sizes.get(price, 0)

    def ask_size(self, price: int) -> int:
        """Size at an ask price, 0 where there is no level."""
        return self._asks.sizes.get(-price, 0)

    def __len__(self) -> int:
        """Levels on both sides."""
        return len(self._bids.keys) + len(self._asks.keys)

    def __eq__(self, other: object) -> bool:
        """The same levels at the same scale."""
        if not isinstance(other, L2Book):
            return NotImplemented
        return (
            self._scale == other._scale
            and self._bids.sizes == other._bids.sizes
            and self._asks.sizes == other._asks.sizes
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<L2Book {self._scale} {len(self._bids.keys)} bids {len(self._asks.keys)} asks>"
