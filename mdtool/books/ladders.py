"""Wire ladders to mantissas, at a scale that widens when a value needs more digits and never rounds.

They are int64 in buffers while those hold them, and lists of Python's integers where they do not.

Rule: what a parser returned before its scale widened is at the old scale; whoever keeps it (a book) compares `scale`
and rescales.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdtool.books.l2 import L2Book
from mdtool.errors import TooLarge, WireError
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

    def put(self, book: L2Book, *, whole: bool) -> L2Book:
        """As LevelParser.put."""
        book = (book.emptied() if whole else book).at_scale(self.scale)
        return book.taking((self.bid_prices, self.bid_sizes), (self.ask_prices, self.ask_sizes))


class Columns(NamedTuple):
    """Both sides of an update as int64 arrays of mantissas at `scale`."""

    scale: Scale
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64


class LevelParser:
    """Parses the ladders of one feed. `scale`: what its mantissas mean; starts at the feed's, else at whole numbers.
    `_fill` and `_fill_both` raise Beyond64Bits: `_wide` reads the same."""

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
            try:
                return ladder.parse(raw, scale.price_exp, scale.size_exp, self._prices, self._sizes, at, shape)
            except ladder.NeedsDigits:
                self.scale = scale = scale.finest(Scale(*ladder.exponents(raw, shape)))
                return ladder.parse(raw, scale.price_exp, scale.size_exp, self._prices, self._sizes, at, shape)
        except ladder.Beyond64Bits:
            raise
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

    def _wide(self, shape: Shape, *raws: bytes) -> list[tuple[list[int], list[int]]]:
        """Prices and sizes of ladders at one scale, whatever their size. Raises WireError."""
        scale = self.scale
        try:
            for raw in raws:
                scale = scale.finest(Scale(*ladder.exponents(raw, shape)))
            found = [ladder.parse_wide(raw, scale.price_exp, scale.size_exp, shape) for raw in raws]
        except ladder.LadderError as error:
            raise WireError(f"ladder: {error}") from error
        self.scale = scale
        return found

    def _wide_update(self, update: BookUpdate) -> Ladders:
        bids, asks = self._wide(update.shape, update.bids, update.asks)
        return Ladders(self.scale, *bids, *asks)

    def parse(self, raw: bytes, shape: Shape = None) -> tuple[list[int], list[int]]:
        """Prices and sizes of one ladder. Raises WireError, and the scale may have widened even so."""
        room = len(memoryview(raw)) // SHORTEST_LEVEL + 1
        if room > self._room:
            self._grow(2 * room)
        try:
            count = self._fill(raw, 0, shape)
        except ladder.Beyond64Bits:
            return self._wide(shape, raw)[0]
        return self._prices[:count].tolist(), self._sizes[:count].tolist()

    def parse_update(self, update: BookUpdate) -> Ladders:
        """Both ladders at one scale. Raises WireError."""
        try:
            count, end = self._fill_both(update)
        except ladder.Beyond64Bits:
            return self._wide_update(update)
        prices, sizes = self._prices[:end].tolist(), self._sizes[:end].tolist()
        return Ladders(self.scale, prices[:count], sizes[:count], prices[count:], sizes[count:])

    def put(self, update: BookUpdate, book: L2Book, *, whole: bool = False) -> L2Book:
        """Into the book it goes: as changes, or as all there is; the book that has it. Its scale widens with the
        parser's. Raises WireError before anything changed where the update cannot be read."""
        try:
            count, end = self._fill_both(update)
        except ladder.Beyond64Bits:
            return self._wide_update(update).put(book, whole=whole)
        if whole:
            book = book.emptied()
        if self.scale != book.scale:
            book = book.at_scale(self.scale)
        book.apply_joined(self._prices, self._sizes, count, end)
        return book

    def columns(self, update: BookUpdate) -> Columns:
        """Both ladders at one scale, as arrays of their own. Raises WireError, TooLarge."""
        try:
            count, end = self._fill_both(update)
        except ladder.Beyond64Bits as error:
            self._wide_update(update)  # a number, or a WireError
            raise TooLarge(f"ladder: {error}: `parse_update` has it as one of Python's integers") from None
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
