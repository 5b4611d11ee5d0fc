"""Several venues' books of one symbol as one: levels of a price stand together, each with whose it is.

Rule: books that are not whole are left out of the best. A bid of one venue above the ask of another is no error here;
it is said as crossed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from mdtool.books.sync import BookState
from mdtool.model import Scale, Side, format_decimal
from mdtool.view.book import BookPicture, Level, decimals
from mdtool.view.ladder import Ladder, Rung, grouped
from mdtool.view.line import Line, words

# Books that are silent, or are recorded no more, count where all are so: a quiet market is no empty one.
STATES = ("SYNCED", "STALE", "ENDED")


@dataclass(frozen=True, slots=True)
class Consolidated:
    """Levels of all venues at the finest of their scales, best first, with the venues at each price."""

    scale: Scale
    bids: tuple[tuple[Level, str], ...]
    asks: tuple[tuple[Level, str], ...]
    tick: int

    def ladder(self, depth: int, group: int = 1) -> Ladder:
        """`depth` levels a side."""
        step = self.tick * group if group > 1 and self.tick else 1
        return Ladder(self.scale, _rungs(self.bids, depth, step, Side.BID), _rungs(self.asks, depth, step, Side.ASK))

    def middle(self) -> str:
        """What is between the best ask and the best bid of all."""
        if not self.bids or not self.asks:
            return "no book yet" if not self.bids and not self.asks else "one side is empty"
        ask, bid = self.asks[0][0][0], self.bids[0][0][0]
        text = f"spread {format_decimal(ask - bid, self.scale.price_exp)}"
        if ask + bid > 0:
            text += f" ({decimals(Fraction(20_000 * (ask - bid), ask + bid), 2)} bp)"
        return text + ("  CROSSED" if ask < bid else "  LOCKED" if ask == bid else "")

    def as_json(self) -> dict[str, object]:
        """Stable keys; the best bid and ask of all venues whose book is whole."""

        def side(levels: tuple[tuple[Level, str], ...]) -> dict[str, object] | None:
            if not levels:
                return None
            (price, size), venues = levels[0]
            return {
                "price": format_decimal(price, self.scale.price_exp),
                "size": format_decimal(size, self.scale.size_exp),
                "venues": venues.split("+"),
            }

        return {"bid": side(self.bids), "ask": side(self.asks)}


def consolidated(pictures: Sequence[BookPicture]) -> Consolidated:
    """Of those that are whole and not silent, or of those that are whole."""
    sound = [one for one in pictures if (one.bids or one.asks) and _is_whole(one)]
    found = [[one for one in sound if one.state == state] for state in STATES]
    whole = next((some for some in found if some), [])
    scale = Scale(0, 0)
    for one in whole:
        scale = scale.finest(one.scale)
    bids, asks = (_merged(whole, scale, side) for side in (Side.BID, Side.ASK))
    ticks = [
        one.figures.touch.tick * 10 ** max(0, one.figures.scale.price_exp - scale.price_exp)
        for one in whole
        if one.figures is not None and one.figures.touch is not None
    ]
    return Consolidated(scale, bids, asks, min((tick for tick in ticks if tick), default=0))


def _is_whole(picture: BookPicture) -> bool:
    """By its messages, whatever has come of its recorder."""
    return picture.state == "SYNCED" or (picture.figures is not None and picture.figures.state is BookState.SYNCED)


def _merged(pictures: Sequence[BookPicture], scale: Scale, side: Side) -> tuple[tuple[Level, str], ...]:
    sizes: dict[int, int] = {}
    whose: dict[int, list[str]] = {}
    for one in pictures:
        prices, factor = 10 ** (one.scale.price_exp - scale.price_exp), 10 ** (one.scale.size_exp - scale.size_exp)
        for price, size in one.bids if side is Side.BID else one.asks:
            at = price * prices
            sizes[at] = sizes.get(at, 0) + size * factor
            whose.setdefault(at, []).append(one.venue)
    order = sorted(sizes, reverse=side is Side.BID)
    return tuple(((price, sizes[price]), "+".join(whose[price])) for price in order)


def _rungs(levels: Sequence[tuple[Level, str]], depth: int, step: int, side: Side) -> tuple[Rung, ...]:
    whose = {level[0]: venues for level, venues in levels}
    rungs, total = [], 0
    for price, size in grouped([level for level, _ in levels], step, side)[:depth]:
        total += size
        rungs.append(Rung(price, size, total, whose.get(price, "") if step <= 1 else ""))
    return tuple(rungs)


def touch_line(pictures: Sequence[BookPicture], best: Consolidated, width: int) -> Line:
    """The best bid and ask of all venues."""
    parts = [Line((f" {pictures[0].symbol}", "bold"), (f" at {len(pictures)} venues", "dim"))]
    for name, levels, style in (("bid", best.bids, "green"), ("ask", best.asks, "red")):
        if levels:
            (price, size), venues = levels[0]
            line = Line((f"best {name} ", "dim"), (format_decimal(price, best.scale.price_exp), f"bold {style}"))
            parts.append(line.add(f" {format_decimal(size, best.scale.size_exp)} {venues}"))
    if best.bids and best.asks:
        parts.append(Line((best.middle(), "bold")))
    return words(parts, width)
