"""The digits a venue wrote its book in, beside the book: what its checksum is over.

Rule: a text is the wire's own, to the digit; the mantissa only says at which price it stands.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mdtool.books.l2 import L2Book, Level
from mdtool.books.ladders import Ladders
from mdtool.model import BookUpdate, Scale, Shape
from mdtool.venues.checksum import Checksum, WireLevel

_PAIRS = msgspec.json.Decoder(list[tuple[str, str]])
_ROWS = msgspec.json.Decoder(list[list[msgspec.Raw]])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def texts(raw: bytes, shape: Shape) -> list[WireLevel]:
    """Price and size of each level of a ladder as they are written. The ladder has been parsed: it is one."""
    if shape is None:
        return _PAIRS.decode(raw)
    price, size = shape
    rows: Iterable[list[msgspec.Raw] | dict[str, msgspec.Raw]]
    rows = _OBJECTS.decode(raw) if isinstance(price, str) else _ROWS.decode(raw)
    return [(_text(row[price]), _text(row[size])) for row in rows]  # type: ignore[index]


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).strip(b'"').decode("ascii")


class WireCheck:
    """Keeps the texts of one book and compares the venue's checksum."""

    def __init__(self, checksum: Checksum) -> None:
        self.matched = 0
        self.mismatched = 0
        self.depth = checksum.depth  # levels a side it is over
        self._checksum = checksum
        self._scale = Scale(0, 0)
        self._halves: tuple[dict[int, WireLevel], dict[int, WireLevel]] = ({}, {})

    def replace(self, update: BookUpdate, ladders: Ladders) -> None:
        """The whole book is now this."""
        self._halves = ({}, {})
        self._scale = ladders.scale
        self.apply(update, ladders)

    def apply(self, update: BookUpdate, ladders: Ladders) -> None:
        """The book has taken the update, whose ladders are these."""
        digits = self._scale.price_exp - ladders.scale.price_exp
        if digits > 0:
            bids, asks = self._halves
            factor = 10**digits
            self._halves = ({p * factor: t for p, t in bids.items()}, {p * factor: t for p, t in asks.items()})
        self._scale = ladders.scale
        sides = (
            (update.bids, ladders.bid_prices, ladders.bid_sizes),
            (update.asks, ladders.ask_prices, ladders.ask_sizes),
        )
        for held, (raw, prices, sizes) in zip(self._halves, sides, strict=True):
            if not prices:
                continue
            for price, size, text in zip(prices, sizes, texts(raw, update.shape), strict=True):
                if size:
                    held[price] = text
                else:
                    held.pop(price, None)

    def forget(self, bids: Iterable[int], asks: Iterable[int]) -> None:
        """These prices have fallen out of the book."""
        for held, prices in zip(self._halves, (bids, asks), strict=True):
            for price in prices:
                held.pop(price, None)

    def compare(self, book: L2Book, wanted: int) -> str | None:
        """None where the book has the venue's checksum, else what was found."""
        depth = self._checksum.depth
        bids, asks = (self._of(held, levels) for held, levels in zip(self._halves, book.top(depth), strict=True))
        found = self._checksum.compute(bids, asks)
        if found == wanted:
            self.matched += 1
            return None
        self.mismatched += 1
        return f"the book's checksum is {found}, the venue's is {wanted}"

    @staticmethod
    def _of(held: dict[int, WireLevel], levels: list[Level]) -> list[WireLevel]:
        return [held[price] for price, _ in levels]
