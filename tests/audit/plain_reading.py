"""Which chains of a capture's own numbers and checksums hold, read in plain Python from its lines.

Rule: nothing of mdtool is imported here, so that no mistake of its code can be agreed with. A chain is what a venue
numbers together: a book's updates, a symbol's trades, the frames of a connection. It is told as broken or not, and no
more: what is proven of it, the audit says, and must never say more than this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from heapq import nlargest, nsmallest
from itertools import zip_longest
from typing import Any
from zlib import crc32

Chain = tuple[str, str]  # the venue's own symbol, "" for a whole connection; and what is numbered
Say = Callable[[Chain, bool], None]
Value = Any


class Counted:
    """Chains in which each message has the number behind the one before."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.last: dict[Chain, int] = {}

    def next(self, chain: Chain, first: int, last: int | None = None) -> None:
        before = self.last.get(chain)
        self.say(chain, before is None or first == before + 1)
        self.last[chain] = first if last is None else last

    def covers(self, chain: Chain, first: int, last: int) -> None:
        """Where a message may repeat numbers before its new ones."""
        before = self.last.get(chain)
        self.say(chain, before is None or first <= before + 1 <= last)
        self.last[chain] = last

    def follows(self, chain: Chain, prev: int, last: int) -> None:
        before = self.last.get(chain)
        self.say(chain, before is None or prev == before)
        self.last[chain] = last

    def begin(self, chain: Chain, last: int) -> None:
        self.say(chain, True)
        self.last[chain] = last


class Levels:
    """One book by level, in the wire's own digits."""

    def __init__(self) -> None:
        self.sides: tuple[dict[Decimal, tuple[str, str]], ...] = ({}, {})  # bids, asks

    def put(self, side: int, rows: Iterable[list[str]]) -> None:
        for price, size, *_ in rows:
            if Decimal(size):
                self.sides[side][Decimal(price)] = price, size
            else:
                self.sides[side].pop(Decimal(price), None)

    def best(self, side: int, count: int) -> list[tuple[str, str]]:
        pick = nsmallest if side else nlargest
        return [self.sides[side][price] for price in pick(count, self.sides[side])]


def binance(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        data = value.get("data", value) if isinstance(value, dict) else None
        if not isinstance(data, dict):
            continue
        kind, symbol = data.get("e"), data.get("s", "")
        if kind == "depthUpdate" and "pu" in data:
            counted.follows((symbol, "depth"), data["pu"], data["u"])
        elif kind == "depthUpdate":
            counted.next((symbol, "depth"), data["U"], data["u"])
        elif kind in ("trade", "aggTrade"):
            counted.next((symbol, kind), data["t" if kind == "trade" else "a"])


def kraken(values: Iterator[Value], say: Say) -> None:
    """docs.kraken.com, "Book Checksum"."""
    books: dict[str, Levels] = {}
    for value in values:
        if not isinstance(value, list) or not str(value[-2]).startswith("book"):
            continue
        symbol, checksum = value[-1], None
        for part in value[1:-2]:
            if "as" in part:
                books[symbol] = Levels()
            book = books.setdefault(symbol, Levels())
            for side, keys in ((0, ("bs", "b")), (1, ("as", "a"))):
                for key in keys:
                    book.put(side, part.get(key, ()))
            checksum = part.get("c", checksum)
        if checksum is not None:
            rows = [*books[symbol].best(1, 10), *books[symbol].best(0, 10)]
            text = "".join(digits.replace(".", "").lstrip("0") for row in rows for digits in row)
            say((symbol, "book"), str(crc32(text.encode())) == checksum)


def okx(values: Iterator[Value], say: Say) -> None:
    """www.okx.com/docs-v5, "Checksum"."""
    books: dict[str, Levels] = {}
    counted = Counted(say)
    for value in values:
        arg = value.get("arg", {})
        if "data" not in value:
            continue
        symbol = arg.get("instId", "")
        for data in value["data"]:
            if arg.get("channel") == "trades":
                counted.next((symbol, "trades"), int(data["tradeId"]))
            elif arg.get("channel") == "books":
                if value.get("action") == "snapshot":
                    books[symbol] = Levels()
                book = books.setdefault(symbol, Levels())
                book.put(0, data["bids"])
                book.put(1, data["asks"])
                parts: list[str] = []
                for pair in zip_longest(book.best(0, 25), book.best(1, 25)):
                    for level in pair:
                        parts += level or ()
                found = crc32(":".join(parts).encode())
                say((symbol, "books"), found == data["checksum"] % 2**32)


def bitfinex(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        if isinstance(value, list):
            counted.next(("", "connection"), value[-1])


def deribit(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        params = value.get("params", {})
        if not str(params.get("channel", "")).startswith("book."):
            continue
        data = params["data"]
        chain = (data["instrument_name"], "book")
        if data["type"] == "snapshot":
            counted.begin(chain, data["change_id"])
        else:
            counted.follows(chain, data["prev_change_id"], data["change_id"])


def gate(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        if str(value.get("channel", "")).endswith(".order_book_update") and value.get("event") == "update":
            result = value["result"]
            counted.next((result["s"], "order_book_update"), result["U"], result["u"])


def kucoin(values: Iterator[Value], say: Say) -> None:
    """www.kucoin.com/docs, "Level2 - Market Data": sequenceStart <= last + 1 and sequenceEnd > last."""
    counted = Counted(say)
    for value in values:
        if value.get("subject") == "trade.l2update":
            data = value["data"]
            counted.covers((data["symbol"], "level2"), data["sequenceStart"], data["sequenceEnd"])


def coinbase_full(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        chain = (value.get("product_id", ""), "full")
        if "sequence" in value and value.get("time"):
            counted.next(chain, value["sequence"])
        elif "sequence" in value:  # a row of the whole book before
            counted.begin(chain, value["sequence"])


def coinbase_matches(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        kind, chain = value.get("type"), (value.get("product_id", ""), "matches")
        if kind == "last_match":
            counted.begin(chain, value["trade_id"])
        elif kind == "match":
            counted.next(chain, value["trade_id"])


def coinbase_advanced(values: Iterator[Value], say: Say) -> None:
    counted = Counted(say)
    for value in values:
        if "sequence_num" in value:
            counted.next(("", "connection"), value["sequence_num"])
        for event in value.get("events", ()) if value.get("channel") == "market_trades" else ():
            ids: dict[str, list[int]] = {}
            for trade in event["trades"]:
                ids.setdefault(trade["product_id"], []).append(int(trade["trade_id"]))
            for symbol, of_it in ids.items():
                chain = (symbol, "market_trades")
                if event["type"] == "snapshot":
                    counted.begin(chain, max(of_it))
                    continue
                for number in sorted(of_it):
                    counted.next(chain, number)


def no_numbers(values: Iterator[Value], say: Say) -> None:
    """The venue gives none: nothing of it may be called whole."""


def payloads(lines: Iterable[bytes]) -> Iterator[Value]:
    """The messages, as JSON; what is none is not there."""
    for line in lines:
        head, _, payload = line.rstrip(b"\r\n").partition(b" ")
        if head.count(b"-") == 2:  # pat: a date and a time
            payload = payload.partition(b" ")[2]
        if payload[:1] not in (b"{", b"[") or b"<" in head:
            continue
        try:
            yield json.loads(payload)
        except ValueError:
            continue


def broken(read: Callable[[Iterator[Value], Say], None], lines: Iterable[bytes]) -> tuple[set[Chain], set[Chain]]:
    """All chains of a capture, and those that do not hold."""
    found: set[Chain] = set()
    wrong: set[Chain] = set()

    def say(chain: Chain, holds: bool) -> None:
        found.add(chain)
        if not holds:
            wrong.add(chain)

    try:
        read(payloads(lines), say)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError):
        wrong.add(("", "unreadable"))  # a fault has made of a message what it cannot be
    return found, wrong
