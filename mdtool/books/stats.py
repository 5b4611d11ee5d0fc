"""What a feed's messages and its book say at this moment, beyond the levels: tape, rolling figures, rates, lateness.

Rule: prices, sizes and times are exact integers, ratios exact fractions; rounding is left to who shows them. Receive
time is the clock. Memory does not grow with the feed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import NamedTuple

from mdtool.books.ladders import LevelParser
from mdtool.books.rolling import RollingCount, RollingTrades, TradeWindow
from mdtool.books.sync import BookState, BookSync
from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, Message, Scale, Side, Trade

SECOND = 1_000_000_000
MINUTE_STEPS = (SECOND // 10, 600)  # the minute slides by tenths of a second
DAY_STEPS = (60 * SECOND, 1_440)  # 24 hours by the minute: 1,440 steps at most are kept
RATE_STEPS = (SECOND // 4, 40)  # messages of the last ten seconds
TAPE = 100  # trades kept
LATENCIES = 255  # of the last messages; their median withstands a burst
TICK_LEVELS = 50  # levels a side whose distances tell the tick


class TapeRow(NamedTuple):
    """A trade, mantissas at the scale of the stats."""

    recv_ns: int
    venue_ns: int
    trade_id: int
    price: int
    size: int
    side: Side  # the aggressor's


class Latency(NamedTuple):
    """Receive time less venue time of the last messages, ns. Below 0 the recorder's clock is behind the venue's."""

    last_ns: int
    median_ns: int
    least_ns: int


@dataclass(frozen=True, slots=True)
class Touch:
    """The best bid and ask."""

    bid: int
    ask: int
    bid_size: int
    ask_size: int
    tick: int  # greatest step all prices seen have in common, 0 where there was but one

    @property
    def mid(self) -> Fraction:
        """In price mantissas."""
        return Fraction(self.bid + self.ask, 2)

    @property
    def spread(self) -> int:
        return self.ask - self.bid

    @property
    def spread_ticks(self) -> int | None:
        return self.spread // self.tick if self.tick else None

    @property
    def spread_bps(self) -> Fraction | None:
        """Ten-thousandths of the mid; None where the mid is not above 0."""
        return Fraction(20_000 * self.spread, self.bid + self.ask) if self.bid + self.ask > 0 else None

    @property
    def microprice(self) -> Fraction:
        """The mid, drawn towards the side with less size."""
        total = self.bid_size + self.ask_size
        return Fraction(self.bid * self.ask_size + self.ask * self.bid_size, total)


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything at one moment. Mantissas are at `scale`."""

    scale: Scale
    state: BookState
    state_since_ns: int  # receive time of the message that led to it
    gaps: int
    last_seq: int  # UNKNOWN before the first
    touch: Touch | None  # None while a side is empty
    bid_volume: int  # of the best levels asked for
    ask_volume: int
    last_trade: TapeRow | None
    minute: TradeWindow
    day: TradeWindow
    messages: int  # so far
    rate: Fraction  # messages a second, over the last ten seconds
    age_ns: int | None  # since the last message that changed the book; None before it
    latency: Latency | None  # None where the venue gives no time
    bad_trades: int  # whose price or size is no number

    @property
    def imbalance(self) -> Fraction | None:
        """From -1 (all size offered) to 1 (all bid); None for an empty book."""
        total = self.bid_volume + self.ask_volume
        return Fraction(self.bid_volume - self.ask_volume, total) if total else None


class LiveStats:
    """Give it each message of a feed, in order of arrival, and ask it at any time.

    Whether a trade is one (and not a repeat after a reconnect) is the sequence's to say: pass only those that count.
    """

    def __init__(self, scale: Scale | None = None) -> None:
        self._parser = LevelParser(scale)
        self.tape: deque[TapeRow] = deque(maxlen=TAPE)  # newest first
        self._minute = RollingTrades(*MINUTE_STEPS)
        self._day = RollingTrades(*DAY_STEPS)
        self._rate = RollingCount(*RATE_STEPS)
        self._latencies: deque[int] = deque(maxlen=LATENCIES)
        self._messages = 0
        self._bad_trades = 0
        self._now_ns = 0
        self._tick = 0
        self._reference: int | None = None  # a price the others are compared with for the tick

    @property
    def scale(self) -> Scale:
        """Exponents of the figures."""
        return self._parser.scale

    def on_message(self, message: Message, recv_ns: int) -> None:
        """Take in one message of whatever kind."""
        self._now_ns = max(self._now_ns, recv_ns)
        self._messages += 1
        self._rate.add(recv_ns)
        venue_ns = getattr(message, "venue_ns", NO_TIME)
        if venue_ns != NO_TIME and not getattr(message, "snapshot", False):
            self._latencies.append(recv_ns - venue_ns)
        if isinstance(message, Trade):
            self._on_trade(message, recv_ns)

    def _on_trade(self, trade: Trade, recv_ns: int) -> None:
        before = self.scale
        try:
            price, size = self._parser.decimal(trade.price, trade.size)
        except WireError:
            self._bad_trades += 1
            return
        finally:
            self._widened(before)
        self.tape.appendleft(TapeRow(recv_ns, trade.venue_ns, trade.trade_id, price, size, trade.side))
        for window in (self._minute, self._day):
            window.add(recv_ns, price, size, bought=trade.side is Side.BID)
        self._notice(price)

    def _widen_to(self, scale: Scale) -> None:
        before = self.scale
        self._parser.scale = before.finest(scale)
        self._widened(before)

    def _widened(self, before: Scale) -> None:
        """The parser's scale was `before`: express what is kept at the one it has now."""
        scale = self.scale
        if scale == before:
            return
        prices, sizes = 10 ** (before.price_exp - scale.price_exp), 10 ** (before.size_exp - scale.size_exp)
        for window in (self._minute, self._day):
            window.multiply(prices, sizes)
        rows = [row._replace(price=row.price * prices, size=row.size * sizes) for row in self.tape]
        self.tape = deque(rows, maxlen=TAPE)
        self._tick *= prices
        if self._reference is not None:
            self._reference *= prices

    def _notice(self, *prices: int) -> None:
        """Refine the tick."""
        for price in prices:
            if self._reference is None:
                self._reference = price
            self._tick = gcd(self._tick, price - self._reference)

    def figures(self, sync: BookSync | None, now_ns: int | None = None, depth: int = 10) -> Figures:
        """As of `now_ns` (the newest receive time without it), of the book of `sync` and its best `depth` levels."""
        self._now_ns = max(self._now_ns, now_ns or 0)
        if sync is not None:
            self._widen_to(sync.book.scale)
        for window in (self._minute, self._day, self._rate):
            window.move_to(self._now_ns)
        volumes = self._volumes(sync, depth)
        changed_ns = sync.recv_ns if sync is not None else 0
        return Figures(
            scale=self.scale,
            state=BookState.WAITING if sync is None else sync.state,
            state_since_ns=0 if sync is None else sync.state_since_ns,
            gaps=0 if sync is None else sync.gaps,
            last_seq=UNKNOWN if sync is None else sync.last_seq,
            touch=self._touch(sync),
            bid_volume=volumes[0],
            ask_volume=volumes[1],
            last_trade=self.tape[0] if self.tape else None,
            minute=self._minute.figures(),
            day=self._day.figures(),
            messages=self._messages,
            rate=Fraction(self._rate.total * SECOND, self._rate.span_ns),
            age_ns=self._now_ns - changed_ns if changed_ns else None,
            latency=self._latency(),
            bad_trades=self._bad_trades,
        )

    def _volumes(self, sync: BookSync | None, depth: int) -> tuple[int, int]:
        if sync is None:
            return 0, 0
        factor = 10 ** (sync.book.scale.size_exp - self.scale.size_exp)
        bids, asks = sync.book.imbalance(depth)
        return bids * factor, asks * factor

    def _touch(self, sync: BookSync | None) -> Touch | None:
        if sync is None:
            return None
        prices = 10 ** (sync.book.scale.price_exp - self.scale.price_exp)
        sizes = 10 ** (sync.book.scale.size_exp - self.scale.size_exp)
        bids, asks = sync.book.top(TICK_LEVELS)
        self._notice(*(price * prices for price, _ in (*bids, *asks)))
        if not bids or not asks:
            return None
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        return Touch(bid * prices, ask * prices, bid_size * sizes, ask_size * sizes, self._tick)

    def _latency(self) -> Latency | None:
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return Latency(self._latencies[-1], ordered[len(ordered) // 2], ordered[0])
