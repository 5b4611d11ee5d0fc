"""An adapter with one mistake in it, as somebody who writes a new one might make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

from conformance.reading import ladder
from mdtool.model import (
    SNAPSHOT_STREAM,
    UNKNOWN,
    Action,
    BookUpdate,
    Liquidation,
    Message,
    OrderUpdate,
    Quote,
    Side,
    Trade,
    Update,
)
from mdtool.venues.decoding import opposite
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import BookTraits, Decoder, Venue

Change = Callable[[Message], Message]


@dataclass
class Faulty:
    """A venue as it is but for what is given here."""

    venue: Venue
    change: Change | None = None  # of each message
    reader: Callable[[], Change] | None = None  # the same, with a memory: one for books, one for each other stream
    depth: int = 0  # levels more that the checksum is said to be over
    judge: Callable[[Rule], Rule] | None = None

    def __post_init__(self) -> None:
        self._readers: dict[str, Change] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.venue, name)

    def decoder(self, stream: str) -> Decoder:
        decode = self.venue.decoder(stream)
        change = self.change
        if self.reader is not None:
            of_book = stream == SNAPSHOT_STREAM or self.venue.is_book(stream)
            change = self._readers.setdefault("book" if of_book else stream, self.reader())
        if change is None:
            return decode
        return lambda payload: [change(message) for message in decode(payload)]

    def rule(self, stream: str) -> Rule | None:
        rule = self.venue.rule(stream)
        return rule if rule is None or self.judge is None else self.judge(rule)

    def traits(self, stream: str) -> BookTraits:
        traits = self.venue.traits(stream)
        if traits.checksum is None:
            return traits
        return replace(traits, checksum=replace(traits.checksum, depth=traits.checksum.depth + self.depth))


def with_(message: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(message, **fields)


def unnumbered(message: Message) -> Message:
    if isinstance(message, Update):
        return with_(message, first_seq=UNKNOWN, last_seq=UNKNOWN, prev_seq=UNKNOWN)
    if isinstance(message, Trade):
        return with_(message, trade_id=UNKNOWN)
    return with_(message, seq=UNKNOWN) if isinstance(message, Quote) else message


class _Yes:
    """A rule that applies whatever comes."""

    complete = True
    last: int | None = None

    def __init__(self, rule: Rule) -> None:
        pass

    def judge(self, message: Message) -> Verdict:
        return Verdict.APPLY

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        return Verdict.APPLY

    def reset(self) -> None:
        pass

    def copy(self) -> Any:
        return self


def whole_for_update(message: Message) -> Message:
    return with_(message, snapshot=False, in_stream=False) if isinstance(message, Update) else message


def update_for_whole(message: Message) -> Message:
    if isinstance(message, Update) and not message.snapshot:
        return with_(message, snapshot=True, in_stream=True)
    return message


def fetched_for_in_stream(message: Message) -> Message:
    if isinstance(message, Update) and message.snapshot:
        return with_(message, in_stream=not message.in_stream)
    return message


def sides_swapped(message: Message) -> Message:
    if isinstance(message, BookUpdate):
        return with_(message, bids=message.asks, asks=message.bids)
    if isinstance(message, OrderUpdate):
        orders = tuple(order._replace(side=opposite(order.side)) for order in message.orders)
        return with_(message, orders=orders)
    if isinstance(message, Quote):
        bid, ask = (message.bid_price, message.bid_size), (message.ask_price, message.ask_size)
        return with_(message, bid_price=ask[0], bid_size=ask[1], ask_price=bid[0], ask_size=bid[1])
    return message


def makers_side(message: Message) -> Message:
    return with_(message, side=opposite(message.side)) if isinstance(message, Trade | Liquidation) else message


def price_for_size(message: Message) -> Message:
    if isinstance(message, Trade | Liquidation):
        return with_(message, price=message.size, size=message.price)
    return message


def times_in(factor: int) -> Change:
    """Times that are taken to be of a unit `factor` as large."""

    def change(message: Message) -> Message:
        ns = getattr(message, "venue_ns", 0)
        return with_(message, venue_ns=ns * factor if factor > 1 else ns // 1000) if ns else message

    return change


class Deltas:
    """Sizes taken as what is added to the size before."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[Any, Any], Decimal] = {}

    def __call__(self, message: Message) -> Message:
        if isinstance(message, OrderUpdate):
            orders = []
            for order in message.orders:
                size = order.size
                if order.action is not Action.EXECUTE and size and float(size):
                    size = self._sum(order.side, order.order_id, size, message.snapshot)
                orders.append(order._replace(size=size))
            return with_(message, orders=tuple(orders))
        if not isinstance(message, BookUpdate):
            return message
        sides = {}
        if message.snapshot:
            self.sizes.clear()
        for name, side in (("bids", Side.BID), ("asks", Side.ASK)):
            rows = []
            for price, size in ladder(getattr(message, name), message.shape):
                rows.append((price, self._sum(side, price, size, message.snapshot) if float(size) else size))
            sides[name] = msgspec.json.encode(rows)
        return with_(message, **sides, shape=None)

    def _sum(self, side: Side, key: Any, size: str, whole: bool) -> str:
        total = Decimal(size) + (0 if whole else self.sizes.get((side, key), Decimal(0)))
        self.sizes[side, key] = total
        return f"{total:f}"


Make = Callable[[Venue], Faulty]
FAULTS: dict[str, tuple[Make, ...]] = {  # each with its forms
    "numbers": (lambda venue: Faulty(venue, unnumbered),),
    "rule": (lambda venue: Faulty(venue, judge=_Yes),),
    "whole for update": (lambda venue: Faulty(venue, whole_for_update),),
    "update for whole": (lambda venue: Faulty(venue, update_for_whole),),
    "fetched for in stream": (lambda venue: Faulty(venue, fetched_for_in_stream),),
    "sides": (lambda venue: Faulty(venue, sides_swapped),),
    "checksum": (lambda venue: Faulty(venue, depth=-1), lambda venue: Faulty(venue, depth=1)),
    "trades": (lambda venue: Faulty(venue, makers_side), lambda venue: Faulty(venue, price_for_size)),
    "deltas": (lambda venue: Faulty(venue, reader=Deltas),),
    "times": (lambda venue: Faulty(venue, times_in(1000)), lambda venue: Faulty(venue, times_in(-1000))),
}
