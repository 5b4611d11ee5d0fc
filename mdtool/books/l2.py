"""A book by price level, in exact integers, on the compiled ladder.

Rule: a size of 0 deletes, deleting what is not there is normal, and a price stands at most once a side. Whether an
update may be applied is not decided here but in sync.py.
"""

from __future__ import annotations

from mdtool.books.scaled import Scaled
from mdtool.kernel.book import Ladder
from mdtool.model import Scale

Level = tuple[int, int]  # price and size mantissas


class L2Book(Scaled, Ladder):
    """Bids and asks of one feed as mantissas at `scale`: a kernel.book.Ladder that knows what its integers mean."""

    __slots__ = ("_scale",)

    def __init__(self, scale: Scale | None = None) -> None:
        self._scale = scale or Scale(0, 0)

    def copy(self) -> L2Book:
        """Another with the same levels."""
        other = L2Book(self._scale)
        other.become(self)
        return other

    def __eq__(self, other: object) -> bool:
        """The same levels at the same scale."""
        if not isinstance(other, L2Book):
            return NotImplemented
        return self._scale == other._scale and self.top(None) == other.top(None)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        bids, asks = self.counts()
        return f"<L2Book {self._scale} {bids} bids {asks} asks>"
