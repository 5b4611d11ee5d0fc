"""A synthetic exchange with known truth: seeded, deterministic, sans-IO.

Rule: everything follows from (seed, symbols, rate, start_ns). Time is virtual and moves only in `step`; how a stretch
is cut into steps changes nothing. All arithmetic is on integers, so the bytes are the same on every machine.

Each symbol is a matching engine fed with random orders around a mean-reverting price. What it publishes is said in the
form of a venue (forms.py), Binance spot's unless another is chosen: the book each 100 ms, the best on every change,
trades.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple
from zlib import crc32

from mdtool.clock import SECOND
from mdtool.errors import UnknownSymbol, UsageError
from mdtool.exchange.bitget_form import BitgetForm
from mdtool.exchange.forms import BinanceForm, BybitForm, CoinbaseAdvancedForm, Form, KrakenForm, OkxForm, Wire
from mdtool.exchange.market import Fill, Market, RestingOrder
from mdtool.exchange.order_forms import CoinbaseForm, order_text
from mdtool.exchange.source import Instrument, OrdersView
from mdtool.model import Scale, Side
from mdtool.venues import catalog

MILLISECOND = 1_000_000
DEPTH_INTERVAL = 100 * MILLISECOND
MID_UNIT = 1024  # the random walk moves in this fraction of a tick
WALK = 250  # largest move of the mid in one event, in MID_UNITs
REVERSION = 65536  # events after which the pull towards the anchor has undone most of a move
MID_RANGE = 250  # ticks the mid may be off its anchor; with the anchors below every price stays positive
FAR = 260  # ticks from the mid to the farthest order placed
ORDERS = 320  # resting orders a side the flow tends to; with the distances below some 100 levels
MOST_EVENTS = 1_000_000  # a second and symbol; the engine does about a tenth of it
SWEEP_FLOOR = 120  # market orders pause while a side holds fewer orders

# How each venue says it.
FORMS: dict[
    str,
    type[BinanceForm]
    | type[BitgetForm]
    | type[BybitForm]
    | type[CoinbaseAdvancedForm]
    | type[CoinbaseForm]
    | type[KrakenForm]
    | type[OkxForm],
] = {
    "sim": BinanceForm,
    "binance": BinanceForm,
    "bitget": BitgetForm,
    "bybit": BybitForm,
    "coinbase": CoinbaseForm,
    "coinbase-advanced": CoinbaseAdvancedForm,
    "kraken": KrakenForm,
    "okx": OkxForm,
}

DEFAULT_SYMBOLS = ("ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT", "DELTA_USDT")
# fmt: off
_NAMES = (
    "ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT", "GOLF", "HOTEL", "INDIA",
    "JULIETT", "KILO", "LIMA", "MIKE", "NOVEMBER", "OSCAR", "PAPA", "QUEBEC", "ROMEO",
    "SIERRA", "TANGO", "UNIFORM", "VICTOR", "WHISKEY", "XRAY", "YANKEE", "ZULU",
)
# fmt: on


class Profile(NamedTuple):
    """How a symbol trades: its digits, and its anchor price and usual size in ticks and steps."""

    scale: Scale
    tick: int
    step: int
    anchor: int
    unit: int


PROFILES = (
    Profile(Scale(-2, -4), 1, 1, 268_162, 40),  # like ETH: 2681.62
    Profile(Scale(-4, -1), 1, 1, 5_210, 60),  # 0.5210
    Profile(Scale(-8, 0), 1, 1, 1_234, 40_000),  # a tiny price: 0.00001234
    Profile(Scale(-1, -5), 5, 1, 128_001, 300),  # a tick of five: 64000.5
    Profile(Scale(-3, -2), 1, 1, 14_250, 30),  # 14.250
)


class Message(NamedTuple):
    """One message of the exchange, as its websocket would send it."""

    symbol: str
    stream: str
    payload: bytes
    venue_ns: int


class SimulatedBook(NamedTuple):
    """The true book: size mantissa by price mantissa, best first."""

    update_id: int
    bids: dict[int, int]
    asks: dict[int, int]


class Truth:
    """The true book of one symbol at every update id: its first book and every change since."""

    def __init__(self, first: SimulatedBook) -> None:
        self.first = first
        self._changes: list[tuple[Side, int, int]] = []
        self._rewind()

    @property
    def last_id(self) -> int:
        return self.first.update_id + len(self._changes)

    def append(self, side: Side, price: int, size: int) -> None:
        self._changes.append((side, price, size))

    def at(self, update_id: int) -> SimulatedBook:
        """The book right after that id. Cheapest when asked in rising order. KeyError outside first..last id."""
        if not self.first.update_id <= update_id <= self.last_id:
            raise KeyError(f"no update {update_id}: known are {self.first.update_id} to {self.last_id}")
        if update_id < self._at:
            self._rewind()
        while self._at < update_id:
            side, price, size = self._changes[self._at - self.first.update_id]
            half = self._bids if side is Side.BID else self._asks
            if size:
                half[price] = size
            else:
                del half[price]
            self._at += 1
        bids, asks = sorted(self._bids.items(), reverse=True), sorted(self._asks.items())
        return SimulatedBook(update_id, dict(bids), dict(asks))

    def _rewind(self) -> None:
        self._at = self.first.update_id
        self._bids = dict(self.first.bids)
        self._asks = dict(self.first.asks)


def symbol_names(count: int) -> tuple[str, ...]:
    """The first `count` symbols of the synthetic exchange: ALPHA_USDT ... ZULU_USDT, ALPHA2_USDT ..."""
    rounds = ((name, n // len(_NAMES)) for n, name in ((n, _NAMES[n % len(_NAMES)]) for n in range(count)))
    return tuple(f"{name}{turn + 1 if turn else ''}_USDT" for name, turn in rounds)


def profile_of(symbol: str) -> Profile:
    """How a symbol trades, from its name alone."""
    if symbol in DEFAULT_SYMBOLS:
        return PROFILES[DEFAULT_SYMBOLS.index(symbol)]
    return PROFILES[crc32(symbol.encode()) % len(PROFILES)]


class Simulator:
    """The exchange. `rate` is order events a second and symbol; `start_ns` its first moment; `venue` whose form its
    messages have: the market behind them is the same."""

    def __init__(
        self,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        *,
        seed: int = 1,
        rate: float = 50.0,
        start_ns: int,
        keep_truth: bool = False,
        venue: str = "sim",
    ) -> None:
        if venue not in FORMS:
            raise UsageError(f"a simulated exchange speaks as {', '.join(sorted(FORMS))}, not as {venue!r}")
        if not 0 < rate <= MOST_EVENTS:  # which no NaN is
            raise UsageError(
                f"a simulated exchange needs a rate above 0 and up to {MOST_EVENTS:,} events a second, not {rate}"
            )
        if not symbols or len(set(symbols)) != len(symbols):
            raise UsageError(f"a simulated exchange needs symbols, each once, not {', '.join(symbols) or 'none'}")
        gap_ns = max(1, round(SECOND / rate))
        self.streams = FORMS[venue].streams  # that each symbol publishes
        self._now_ns = start_ns
        self._symbols = {name: _Symbol(name, venue, seed, gap_ns, start_ns, keep_truth) for name in symbols}

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(symbol.instrument for symbol in self._symbols.values())

    @property
    def now_ns(self) -> int:
        """Virtual time: everything up to here has happened."""
        return self._now_ns

    def step(self, until_ns: int) -> list[Message]:
        """Lets time pass up to and including `until_ns` and returns what was published, in order of time."""
        messages: list[Message] = []
        for symbol in self._symbols.values():
            symbol.step(until_ns, messages)
        self._now_ns = max(self._now_ns, until_ns)
        messages.sort(key=attrgetter("venue_ns"))  # stable: a symbol's own order is kept
        return messages

    def book(self, symbol: str) -> SimulatedBook:
        """The true book now."""
        market = self._of(symbol).market
        return SimulatedBook(market.update_id, market.book(Side.BID), market.book(Side.ASK))

    def by_order(self, symbol: str) -> OrdersView | None:
        """The book by order, where the venue's form tells orders."""
        return self._of(symbol).by_order()

    def whole(self, symbol: str, stream: str) -> bytes | None:
        """The whole book as a message of the stream, where the venue sends it to who subscribes."""
        return self._of(symbol).whole(stream)

    def orders(self, symbol: str, side: Side) -> list[tuple[int, int, int]]:
        """The resting orders now, (order id, price, size) in priority."""
        return [(o.order_id, o.price, o.size) for o in self._of(symbol).market.orders(side)]

    def truth(self, symbol: str) -> Truth:
        """The true book at every id so far. UsageError unless made with keep_truth."""
        truth = self._of(symbol).truth
        if truth is None:
            raise UsageError("this simulated exchange keeps no truth: make it with keep_truth=True")
        return truth

    def _of(self, symbol: str) -> _Symbol:
        try:
            return self._symbols[symbol]
        except KeyError:
            raise UnknownSymbol(f"sim has no symbol {symbol!r}; it trades {', '.join(self._symbols)}") from None


class _Symbol:
    """One symbol: its market, the random flow into it, and what it publishes."""

    def __init__(self, name: str, venue: str, seed: int, gap_ns: int, start_ns: int, keep_truth: bool) -> None:
        self._profile = profile = profile_of(name)
        native = catalog.get(venue).native(name)
        self.instrument = Instrument(name, native, profile.scale, profile.tick, profile.step)
        self._rng = rng = random.Random(f"{seed}/{name}")
        self._name = name
        self._mid = self._anchor = profile.anchor * MID_UNIT
        self._gap_ns = gap_ns
        self._next_event = start_ns + rng.randrange(1, 2 * gap_ns + 1)
        # Each symbol publishes its depth at its own offset within the 100 ms, as the venue's symbols do.
        self._next_depth = start_ns + (1 + rng.randrange(100)) * MILLISECOND
        self._out: list[Message] = []
        self._now_ns = start_ns
        self._aggregate: list[Fill] = []
        self._agg_id = rng.randrange(10**6, 10**8)
        self.truth: Truth | None = None
        self._quiet = True
        self.market = Market(
            self,
            update_id=rng.randrange(10**8, 10**10),
            trade_id=rng.randrange(10**6, 10**9),
            order_id=rng.randrange(10**9, 10**12),
        )
        for side in (Side.BID, Side.ASK):
            for _ in range(ORDERS):
                self._place(side)
        self._quiet = False
        self._form: Form = FORMS[venue](native, profile.scale, self.market, start_ns)
        self._top = self._best()
        if keep_truth:
            market = self.market
            self.truth = Truth(SimulatedBook(market.update_id, market.book(Side.BID), market.book(Side.ASK)))

    def step(self, until_ns: int, out: list[Message]) -> None:
        self._out = out
        while True:
            now = self._now_ns = min(self._next_event, self._next_depth)
            if now > until_ns:
                return
            if self._next_depth == now:
                self._emit(self._form.depth(now, self.market.update_id))
                self._next_depth += DEPTH_INTERVAL
            else:
                self._event()
                self._next_event += self._rng.randrange(1, 2 * self._gap_ns + 1)

    # The flow.

    def _event(self) -> None:
        rng = self._rng
        self._mid += rng.randrange(-WALK, WALK + 1) - (self._mid - self._anchor) // REVERSION
        reach = MID_RANGE * MID_UNIT
        self._mid = min(max(self._mid, self._anchor - reach), self._anchor + reach)
        side = Side.BID if rng.randrange(2) else Side.ASK
        live = self.market.live(side)
        roll = rng.randrange(100)
        if roll < 3:
            self._cross(side)
        elif roll < 11 and live:
            order = self._pick(live)
            # A reduction keeps whole steps and leaves something, or else takes all.
            half = order.size // 2 // self._profile.step * self._profile.step
            self.market.reduce(order.order_id, half or order.size)
        elif rng.randrange(2 * ORDERS) < len(live):  # the fuller the side, the likelier a cancel
            self.market.cancel(self._pick(live).order_id)
        else:
            self._place(side)

    def _pick(self, live: list[RestingOrder]) -> RestingOrder:
        return live[self._rng.randrange(len(live))]

    def _cross(self, side: Side) -> None:
        """A market order of `side`, up to about one and a half times what stands at the best."""
        other = Side.ASK if side is Side.BID else Side.BID
        best = self.market.best(other)
        if best is None or len(self.market.live(other)) < SWEEP_FLOOR:
            self._place(other)
            return
        step = self._profile.step
        self.market.market(side, max(step, best[1] * self._rng.randrange(1, 13) // 8 // step * step))
        self._flush_aggregate()

    def _place(self, side: Side) -> None:
        rng, profile = self._rng, self._profile
        roll = rng.randrange(100)
        # Most orders stand near the mid, so that the spread is a few ticks; the rest give the book its depth.
        reach = 2 if roll < 35 else 8 if roll < 60 else 40 if roll < 80 else FAR
        distance = rng.randrange(reach)
        mid = self._mid // MID_UNIT
        ticks = mid - distance if side is Side.BID else mid + 1 + distance
        size = profile.step * (rng.randrange(1, profile.unit + 1) << rng.randrange(7))
        self.market.limit(side, ticks * profile.tick, size)  # executes where the mid has run past resting orders
        self._flush_aggregate()

    # What is published.

    def on_level(self, update_id: int, side: Side, price: int, size: int) -> None:
        if self._quiet:  # the book is being filled before the exchange opens
            return
        if self.truth is not None:
            self.truth.append(side, price, size)
        if isinstance(self._form, BinanceForm):
            self._form.touched(side, price)
        top = self._best()
        if top != self._top and None not in top:
            self._top = top
            self._emit(self._form.quote(self._now_ns, update_id, *top))  # type: ignore[arg-type]

    def on_rest(self, order: RestingOrder) -> None:
        if not self._quiet and isinstance(self._form, CoinbaseForm):
            for wire in self._form.rested(self._now_ns, order):
                self._emit(wire)

    def on_taken(self, order: RestingOrder, size: int, traded: bool) -> None:
        if not self._quiet and isinstance(self._form, CoinbaseForm):
            for wire in self._form.taken(self._now_ns, order, size, traded):
                self._emit(wire)

    def on_fill(self, fill: Fill) -> None:
        if self._quiet:
            return
        self._emit(self._form.trade(self._now_ns, fill))
        if isinstance(self._form, CoinbaseForm):
            self._emit(self._form.match(self._now_ns, fill))
        if self._aggregate and self._aggregate[0].price != fill.price:
            self._flush_aggregate()
        self._aggregate.append(fill)

    def _flush_aggregate(self) -> None:
        """The executions of one incoming order at one price are one aggregate trade."""
        if self._aggregate:
            self._agg_id += 1
            self._emit(self._form.aggregate(self._now_ns, self._agg_id, self._aggregate))
            self._aggregate = []

    def whole(self, stream: str) -> bytes | None:
        """The book of a stream as all who listen to it have it now."""
        found = self._form.whole(self._now_ns, stream)
        return None if found is None else found.encode()

    def by_order(self) -> OrdersView | None:
        """The book by order as the messages so far make it; None where the form tells no orders."""
        if not isinstance(self._form, CoinbaseForm):
            return None
        bids, asks = (
            [(order_text(order.order_id), order.price, order.size) for order in self.market.orders(side)]
            for side in Side
        )
        return OrdersView(self._form.sequence, self._now_ns, self._profile.scale, bids, asks)

    def _emit(self, wire: Wire | None) -> None:
        if wire is not None:
            self._out.append(Message(self._name, wire[0], wire[1].encode(), self._now_ns))

    def _best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        return self.market.best(Side.BID), self.market.best(Side.ASK)
