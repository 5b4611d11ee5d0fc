"""Messages in words, and books and checksums in plain Python: what a row is compared with, and checked by.

Rule: nothing of mdtool is used here but the types of messages, so that a row cannot agree with a mistake of the code it
is there to find.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest
from zlib import crc32

from mdtool.model import (
    Action,
    BookUpdate,
    Funding,
    Liquidation,
    Message,
    OrderUpdate,
    Other,
    Quote,
    Side,
    Status,
    Trade,
    Update,
)

TRADES = {Side.BID: "buy", Side.ASK: "sell"}


def when(ns: int) -> str:
    """A time of the venue, "-" where it gives none."""
    if ns == 0:
        return "-"
    seconds, rest = divmod(ns, 10**9)
    try:
        text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def number(value: int) -> str:
    return "-" if value == -1 else str(value)


def ladder(raw: bytes, shape: object) -> list[tuple[str, str]]:
    """Price and size of each level in the wire's own digits."""
    price, size = shape or (0, 1)  # type: ignore[misc]
    return [(row[price], row[size]) for row in json.loads(bytes(raw), parse_float=str, parse_int=str)]


def in_words(message: Message) -> list[str]:
    """A message as a row writes it."""
    if isinstance(message, Update):
        kind = "change" if not message.snapshot else "whole" if message.in_stream else "fetched"
        first, last, prev = map(number, (message.first_seq, message.last_seq, message.prev_seq))
        head = f"{kind} {first}..{last} after {prev} at {when(message.venue_ns)}"
        if getattr(message, "cross_seq", -1) != -1:
            head += f" cross {message.cross_seq}"  # type: ignore[attr-defined]
        if message.checksum is not None:
            head += f" checksum {message.checksum}"
        if isinstance(message, OrderUpdate):
            return [head, *(order_in_words(*order) for order in message.orders)]
        assert isinstance(message, BookUpdate)
        return [head, *_sides(ladder(message.bids, message.shape), ladder(message.asks, message.shape))]
    if isinstance(message, Trade):
        count = "" if message.count == 1 else f" of {message.count}"
        what = f"{TRADES[message.side]} {message.size} @ {message.price}"
        return [f"trade {number(message.trade_id)}{count} {what} at {when(message.venue_ns)}"]
    if isinstance(message, Quote):
        bid, ask = f"{message.bid_price} {message.bid_size}", f"{message.ask_price} {message.ask_size}"
        return [f"quote {number(message.seq)} bid {bid} ask {ask} at {when(message.venue_ns)}"]
    if isinstance(message, Funding):
        said = [message.mark_price, message.index_price, message.rate, when(message.next_ns)]
        mark, index, rate, due = (text or "-" for text in said)
        return [f"funding mark {mark} index {index} rate {rate} next {due} at {when(message.venue_ns)}"]
    if isinstance(message, Liquidation):
        what = f"{TRADES[message.side]} {message.size} @ {message.price}"
        return [f"liquidation {what} at {when(message.venue_ns)}"]
    if isinstance(message, Status):
        trading = {True: "trades", False: "halted", None: "unclear"}[message.trading]
        return [f"status {message.status} {trading} at {when(message.venue_ns)}"]
    assert isinstance(message, Other)
    return [f"other {message.what}"]


def order_in_words(action: Action, order_id: object, side: Side, price: str, size: str) -> str:
    return f"{action.name.lower()} {order_id} {side.name.lower()} {price or '-'} {size or '-'}"


def _sides(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> list[str]:
    found = []
    for name, levels in (("bids", list(bids)), ("asks", list(asks))):
        if levels:
            found.append(f"{name} " + ", ".join(f"{price} {size}" for price, size in levels))
    return found


def plain(number: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class PlainBook:
    """A book by level from the words of messages, whole books on the stream first."""

    def __init__(self, depth: int | None = None) -> None:
        self.depth = depth
        self.sides: dict[str, dict[Decimal, tuple[str, str]]] = {"bids": {}, "asks": {}}

    def take(self, says: Sequence[str]) -> None:
        for line in says:
            word, _, rest = line.partition(" ")
            if word == "whole":
                self.sides = {"bids": {}, "asks": {}}
            elif word in self.sides:
                for level in rest.split(", "):
                    price, size = level.split()
                    if Decimal(size):
                        self.sides[word][Decimal(price)] = price, size
                    else:
                        self.sides[word].pop(Decimal(price), None)
        if self.depth is not None:
            for word in self.sides:
                self.sides[word] = dict(self._best(word)[: self.depth])

    def _best(self, word: str) -> list[tuple[Decimal, tuple[str, str]]]:
        return sorted(self.sides[word].items(), reverse=word == "bids")

    def top(self, word: str, count: int) -> list[tuple[str, str]]:
        """The best levels, in the wire's digits."""
        return [texts for _, texts in self._best(word)[:count]]

    def in_words(self) -> list[str]:
        return _sides(
            *(
                [(plain(price), plain(Decimal(size))) for price, (_, size) in self._best(word)]
                for word in ("bids", "asks")
            )
        )


def ten_of_each(book: PlainBook) -> int:
    """docs.kraken.com, "Book Checksum": the best ten asks from low to high, then the best ten bids from high to low; of
    each level price and quantity without their dot and leading zeros; CRC-32 of all in one string."""
    text = ""
    for side in ("asks", "bids"):
        for level in book.top(side, 10):
            for digits in level:
                text += digits.replace(".", "").lstrip("0")
    return crc32(text.encode("ascii"))


def twenty_five_in_turn(book: PlainBook) -> int:
    """www.okx.com/docs-v5, "Checksum"; www.bitget.com/api-doc, "Depth Channel": bid:ask:bid:ask of the best 25, each
    price:size; where one side is shorter the other goes on alone; CRC-32 as a signed number."""
    parts: list[str] = []
    for pair in zip_longest(book.top("bids", 25), book.top("asks", 25)):
        for level in pair:
            parts += level or ()
    return _signed(crc32(":".join(parts).encode("ascii")))


def twenty_five_amounts(book: PlainBook) -> int:
    """docs.bitfinex.com, "WebSocket Checksum": as above, where an ask's amount is negative; its sample joins
    what JavaScript makes of the numbers, so 0.0000001 is 1e-7."""
    parts: list[str] = []
    for bid, ask in zip_longest(book.top("bids", 25), book.top("asks", 25)):
        parts += map(_as_script_prints, bid or ())
        if ask:
            parts += [_as_script_prints(ask[0]), "-" + _as_script_prints(ask[1])]
    return _signed(crc32(":".join(parts).encode("ascii")))


def _as_script_prints(text: str) -> str:
    number = Decimal(text)
    return str(number.normalize()).lower() if number < Decimal("0.000001") else text


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


CHECKSUMS = {
    "bitfinex": twenty_five_amounts,
    "bitget": twenty_five_in_turn,
    "kraken": ten_of_each,
    "okx": twenty_five_in_turn,
}
