"""A book by price level, in exact integers: on the compiled ladder, or wide.

Rule: a size of 0 deletes, deleting what is not there is normal, and a price stands at most once a side. Whether an
update may be applied is not decided here but in sync.py.
"""

from __future__ import annotations

from mdtool.books.scaled import Scaled
from mdtool.books.wide import WideLadder
from mdtool.kernel.book import Ladder
from mdtool.model import Scale

Level = tuple[int, int]  # price and size mantissas
Levels = tuple[list[int], list[int]]  # prices and sizes


class L2Book(Scaled, Ladder):
    """Bids and asks of one feed as mantissas at `scale`: a kernel.book.Ladder that knows what its integers mean."""

    __slots__ = ("_scale",)

    def __init__(self, scale: Scale | None = None) -> None:
        self._scale = scale or Scale(0, 0)

    def _other(self, *, wide: bool) -> L2Book:
        return (WideL2Book if wide else L2Book)(self._scale)

    def _take(self, other: L2Book) -> None:
        self.become(other)

    def taking(self, bids: Levels, asks: Levels) -> L2Book:
        """The same book with these levels set, (prices, sizes) of each side: this one, or a wide one where 64 bits do
        not hold them."""
        try:
            self.apply(*bids, *asks)
        except OverflowError:
            wide = self.widened()
            wide.apply(*bids, *asks)
            return wide
        return self

    def __eq__(self, other: object) -> bool:
        """The same levels at the same scale."""
        if not isinstance(other, L2Book):
            return NotImplemented
        return self._scale == other._scale and self.top(None) == other.top(None)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        bids, asks = self.counts()
        return f"<{type(self).__name__} {self._scale} {bids} bids {asks} asks>"


class WideL2Book(L2Book, WideLadder):
    """The same of integers of any size."""

    is_wide = True
