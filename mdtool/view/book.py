"""One book at one moment: what a screen draws and what --json says.

Rule: exact. Prices and sizes are mantissas until they are written; what is rounded (a mean, a ratio) is rounded to
nearest, when it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from mdtool.books.rolling import TradeWindow
from mdtool.books.stats import Figures, TapeRow
from mdtool.model import Scale, Side, format_decimal

Level = tuple[int, int]  # price and size mantissas
Queue = tuple[int, ...]  # sizes of the orders at a price, first come first
RATIO_DIGITS = 6  # of ratios in JSON
TAPE_JSON = 20  # trades in JSON


class Mid(NamedTuple):
    """The middle between bid and ask after an update."""

    recv_ns: int
    price: Fraction


@dataclass(frozen=True, slots=True)
class BookPicture:
    """A book at one moment, with what its reader knows of its soundness."""

    feed: str
    state: str  # SYNCED, WAITING, PARTIAL, DIRTY, STALE or ENDED
    note: str  # why, or since when; may be empty
    as_of_ns: int  # receive time of the last record read, 0 before the first
    last_seq: int  # id of the last update applied, UNKNOWN before one
    scale: Scale
    bids: tuple[Level, ...]  # best first
    asks: tuple[Level, ...]  # best first
    records: int = 0  # read so far
    updates: int = 0  # applied to the book so far
    gaps: int = 0
    at_ns: int | None = None  # the moment travelled to; None: live
    figures: Figures | None = None
    tape: tuple[TapeRow, ...] = ()  # newest first, at the scale of the figures
    mids: Sequence[Mid] = ()  # oldest first
    queues: tuple[tuple[Queue, ...], tuple[Queue, ...]] | None = None  # of bids and asks, by level; None: not by order
    day: tuple[Scale, TradeWindow] | None = None  # the last 24 hours, once they are read
    day_progress: float = 1.0  # how much of them is read
    day_since_ns: int = 0  # where they begin, as far as there are records
    proven_depth: int | None = None  # levels a side that are proven, where those below are not; None: all alike
    not_recorded: tuple[int, int, str] | None = None  # from and to, and why: what the moment travelled to lies in

    @property
    def symbol(self) -> str:
        return self.feed.rpartition("/")[2]

    @property
    def venue(self) -> str:
        return self.feed.partition("/")[0]

    def _outage(self) -> dict[str, object] | None:
        if self.not_recorded is None:
            return None
        from_ns, to_ns, why = self.not_recorded
        return {"from_ns": from_ns, "to_ns": to_ns, "why": why}

    def as_json(self) -> dict[str, object]:
        """Stable keys; prices and sizes as exact decimal text, null for what is not known."""
        figures = self.figures
        said: dict[str, object] = {
            "feed": self.feed,
            "state": self.state.lower(),
            "book_state": figures.state.name.lower() if figures else self.state.lower(),
            "note": self.note,
            "as_of_ns": self.as_of_ns,
            "at_ns": self.at_ns,
            "not_recorded": self._outage(),
            "last_seq": self.last_seq,
            "proven_depth": self.proven_depth,
            "bids": [self._pair(level) for level in self.bids],
            "asks": [self._pair(level) for level in self.asks],
        }
        if self.queues is not None:
            said["bid_orders"], said["ask_orders"] = (
                [[format_decimal(size, self.scale.size_exp) for size in queue] for queue in side]
                for side in self.queues
            )
        said |= self._derived(figures)
        said |= {
            "trades": [self._trade(row) for row in self.tape[:TAPE_JSON]],
            "last_trade": self._trade(self.tape[0]) if self.tape else None,
            "minute": _window(figures.scale, figures.minute) if figures else None,
            "day": _window(*self.day) | {"recorded_since_ns": self.day_since_ns} if self.day else None,
            "records": self.records,
            "updates": self.updates,
            "gaps": self.gaps,
        }
        return said

    def _derived(self, figures: Figures | None) -> dict[str, object]:
        touch = figures.touch if figures else None
        latency = figures.latency if figures else None
        exponent = figures.scale.price_exp if figures else 0
        return {
            "mid": fixed(touch.mid, exponent, 1) if touch else None,
            "microprice": fixed(touch.microprice, exponent, 3) if touch else None,
            "spread": format_decimal(touch.spread, exponent) if touch else None,
            "tick": format_decimal(touch.tick, exponent) if touch and touch.tick else None,
            "spread_ticks": touch.spread_ticks if touch else None,
            "spread_bps": _ratio(touch.spread_bps) if touch else None,
            "imbalance": _ratio(figures.imbalance) if figures else None,
            "messages_per_second": _ratio(figures.rate) if figures else None,
            "age_ns": figures.age_ns if figures else None,
            "latency_ns": latency._asdict() if latency else None,
            "state_since_ns": figures.state_since_ns if figures else 0,
        }

    def _trade(self, row: TapeRow) -> dict[str, object]:
        scale = self.figures.scale if self.figures else self.scale
        return {
            "recv_ns": row.recv_ns,
            "venue_ns": row.venue_ns,
            "trade_id": row.trade_id,
            "price": format_decimal(row.price, scale.price_exp),
            "size": format_decimal(row.size, scale.size_exp),
            "side": "buy" if row.side is Side.BID else "sell",
        }

    def _pair(self, level: Level) -> list[str]:
        return [format_decimal(level[0], self.scale.price_exp), format_decimal(level[1], self.scale.size_exp)]


def fixed(value: Fraction, exponent: int, more: int = 0) -> str:
    """A mean of mantissas in decimal text, with `more` digits than they have, rounded to nearest."""
    return format_decimal(round(value * 10**more), exponent - more)


def decimals(value: Fraction, digits: int) -> str:
    """With so many digits behind the point."""
    return format_decimal(round(value * 10**digits), -digits)


def _ratio(value: Fraction | None) -> float | None:
    return None if value is None else round(float(value), RATIO_DIGITS)


def _window(scale: Scale, window: TradeWindow) -> dict[str, object]:
    price, size = scale

    def text(value: int | None) -> str | None:
        return None if value is None else format_decimal(value, price)

    return {
        "since_ns": window.since_ns,
        "trades": window.trades,
        "volume": format_decimal(window.volume, size),
        "bought": format_decimal(window.bought, size),
        "notional": format_decimal(window.notional, price + size),
        "open": text(window.first),
        "high": text(window.high),
        "low": text(window.low),
        "last": text(window.last),
        "vwap": None if window.vwap is None else fixed(window.vwap, price, 2),
        "change": text(window.change),
    }
