"""Wire ladders to mantissas, at a scale that widens when a value needs more digits and never rounds.

Rule: what a parser returned before its scale widened is at the old scale; whoever keeps it (a book) compares `scale`
and rescales.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdtool.books.l2 import L2Book
from mdtool.errors import WireError
from mdtool.kernel import ladder
from mdtool.model import BookUpdate, Scale, Shape

SHORTEST_LEVEL = 6  # bytes of `[0,0],`: a text of n bytes holds at most n / 6 + 1 levels
FIRST_ROOM = 1024  # levels; grows with the largest ladder met

Int64 = NDArray[np.int64]


class Ladders(NamedTuple):
    """Both sides of an update as mantissas at `scale`."""

    scale: Scale
    bid_prices: list[int]
    bid_sizes: list[int]
    ask_prices: list[int]
    ask_sizes: list[int]


class Columns(NamedTuple):
    """Both sides of an update as int64 arrays of mantissas at `scale`."""

    scale: Scale
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64


class LevelParser:
    """Parses the ladders of one feed. `scale`: what its mantissas mean; starts at the feed's, else at whole numbers."""

    def __init__(self, scale: Scale | None = None) -> None:
        self.scale = scale or Scale(0, 0)
        self._grow(FIRST_ROOM)

    def _grow(self, room: int) -> None:
        self._room = room
        self._prices = array("q", bytes(8 * room))
        self._sizes = array("q", bytes(8 * room))

    def _fill(self, raw: bytes, at: int = 0, shape: Shape = None) -> int:
        """Parse behind `at` in the buffers, which are large enough; the number of levels. May widen the scale."""
        scale = self.scale
        try:
            return ladder.parse(raw, scale.price_exp, scale.size_exp, self._prices, self._sizes, at, shape)
        except ladder.NeedsDigits:
            pass
        except ladder.LadderError as error:
            raise WireError(f"ladder: {error}") from error
        try:
            self.scale = scale = scale.finest(Scale(*ladder.exponents(raw, shape)))
            return ladder.parse(raw, scale.price_exp, scale.size_exp, self._prices, self._sizes, at, shape)
        except ladder.LadderError as error:
            raise WireError(f"ladder: {error}") from error

    def _fill_both(self, update: BookUpdate) -> tuple[int, int]:
        """Bids, then asks behind them, at one scale: where each ends in the buffers."""
        bids, asks = memoryview(update.bids), memoryview(update.asks)
        room = (len(bids) + len(asks)) // SHORTEST_LEVEL + 2
        if room > self._room:
            self._grow(2 * room)
        shape = update.shape
        count = self._fill(update.bids, 0, shape)
        scale = self.scale
        end = count + self._fill(update.asks, count, shape)
        if self.scale != scale:
            self._fill(update.bids, 0, shape)
        return count, end

    def parse(self, raw: bytes, shape: Shape = None) -> tuple[list[int], list[int]]:
        """Prices and sizes of one ladder. Raises WireError, and the scale may have widened even so."""
        room = len(memoryview(raw)) // SHORTEST_LEVEL + 1
        if room > self._room:
            self._grow(2 * room)
        count = self._fill(raw, 0, shape)
        return self._prices[:count].tolist(), self._sizes[:count].tolist()

    def parse_update(self, update: BookUpdate) -> Ladders:
        """Both ladders at one scale. Raises WireError."""
        count, end = self._fill_both(update)
        prices, sizes = self._prices[:end].tolist(), self._sizes[:end].tolist()
        return Ladders(self.scale, prices[:count], sizes[:count], prices[count:], sizes[count:])

    def put(self, update: BookUpdate, book: L2Book, *, whole: bool = False) -> None:
        """Into the book it goes: as changes, or as all there is. The book's scale widens with the parser's. Raises
        WireError: before anything changed where the update cannot be read, with the book at its old scale where that
        cannot be widened."""
        count, end = self._fill_both(update)
        if whole:
            book.clear()
        if self.scale != book.scale:
            book.rescale(self.scale)
        book.apply_joined(self._prices, self._sizes, count, end)

    def columns(self, update: BookUpdate) -> Columns:
        """Both ladders at one scale, as arrays of their own. Raises WireError."""
        count, end = self._fill_both(update)
        prices = np.frombuffer(self._prices, np.int64, end).copy()
        sizes = np.frombuffer(self._sizes, np.int64, end).copy()
        return Columns(self.scale, prices[:count], sizes[:count], prices[count:], sizes[count:])

    def decimal(self, price: str, size: str) -> tuple[int, int]:
        """The mantissas of one price and one size, each strictly read; the scale widens as for a ladder. Raises
        WireError."""
        prices, sizes = self.parse(f'[["{price}","{size}"]]'.encode("utf-8", "surrogatepass"))
        if len(prices) != 1:  # a text with brackets in it could be a ladder of its own
            raise WireError(f"{price!r} and {size!r} are no price and size")
        return prices[0], sizes[0]
