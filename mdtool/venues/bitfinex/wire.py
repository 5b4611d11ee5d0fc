"""Bitfinex's frames: what is on the wire, and what it says.

    [channel, [row, ...], seq]       a whole book; of trades: those of before the subscription
    [channel, [price, count, amount], seq]        a level (P0 ...): count 0 removes, the amount's sign is the side
    [channel, [order id, price, amount], seq]     an order (R0): price 0 removes
    [channel, "cs", checksum, seq]   [channel, "hb", seq]   [channel, "te" | "tu", [id, ms, amount, price], seq]

seq is there where the connection asked for it; a time in ms may stand with it. Numbers are printed as JavaScript does
(1e-7), and are read digit by digit. Rule: a decoder returns messages or raises WireError, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import (
    NO_TIME,
    UNKNOWN,
    Action,
    BookUpdate,
    Funding,
    Liquidation,
    Message,
    Order,
    OrderUpdate,
    Other,
    Side,
    Trade,
)
from mdtool.units import count
from mdtool.venues.decoding import MAX_MS, other, strict
from mdtool.venues.numbers import plain
from mdtool.venues.venue import Decoder

LEAST_MS = 10**12  # a trailing number this large is a time: no connection lives for so many frames
_SEQ = re.compile(rb",\s*(\d{1,12})\s*\]\s*$")
_CHECKSUM_ONLY = re.compile(rb'"cs"\s*,\s*-?\d{1,10}\s*\]\s*$')

_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_ROW = msgspec.json.Decoder(list[msgspec.Raw])
_ROWS = msgspec.json.Decoder(list[list[msgspec.Raw]])
_INT = msgspec.json.Decoder(int)

HEARTBEAT = (Other("heartbeat"),)
HISTORY = (Other("history"),)
UPDATE = (Other("trade_update"),)  # "tu": the same trade again, once it is settled


def number(payload: bytes) -> int | None:
    """The frame's number on its connection; None where it carries none."""
    if payload[:1] != b"[":
        return None
    found = _SEQ.search(payload[-32:])
    if found is None or _CHECKSUM_ONLY.search(payload[-48:]):
        return None
    seq = int(found[1])
    return seq if seq < LEAST_MS else None


class _Frame:
    """A frame taken apart: the word where there is one, the body, the numbers behind it."""

    __slots__ = ("body", "seq", "time_ns", "word")

    def __init__(self, payload: bytes) -> None:
        parts = _PARTS.decode(payload)
        if len(parts) < 2:
            raise WireError(f"{count(len(parts), 'part')}, expected at least 2")
        self.word = bytes(parts[1]).strip(b'"') if bytes(parts[1])[:1] == b'"' else b""
        behind = 2 if not self.word or self.word == b"hb" else 3
        if len(parts) < behind:
            raise WireError(f"{count(len(parts), 'part')}, expected at least {behind}")
        self.body = parts[behind - 1]
        self.seq, self.time_ns = UNKNOWN, NO_TIME
        for raw in parts[behind:]:  # what is neither a sequence nor a time is nothing
            found = _whole(raw)
            if 0 <= found < LEAST_MS:
                self.seq = found
            elif LEAST_MS <= found <= MAX_MS:
                self.time_ns = found * 1_000_000


def _whole(raw: msgspec.Raw) -> int:
    """A whole number; -1 of anything else."""
    try:
        return _INT.decode(raw)
    except msgspec.MsgspecError:
        return -1


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("ascii")


def _is_rows(body: msgspec.Raw) -> bool:
    text = bytes(body).lstrip()
    return text[:1] == b"[" and text[1:].lstrip()[:1] in (b"[", b"]")


def _rows(body: msgspec.Raw, width: int) -> tuple[bool, list[list[msgspec.Raw]]]:
    """(whether it is the whole, rows of that width)."""
    whole = _is_rows(body)
    rows = _ROWS.decode(body) if whole else [_ROW.decode(body)]
    if any(len(row) != width for row in rows):
        raise WireError(f"a row of other than {width} numbers")
    return whole, rows


def _book(frame: _Frame) -> Sequence[Message]:
    seq = frame.seq
    if frame.word == b"cs":
        checksum = _INT.decode(frame.body)
        if not -(2**31) <= checksum < 2**31:
            raise WireError(f"checksum {checksum}")
        return (BookUpdate(frame.time_ns, seq, seq, UNKNOWN, b"[]", b"[]", False, False, checksum),)
    whole, rows = _rows(frame.body, 3)
    sides: tuple[list[str], list[str]] = ([], [])
    for price, orders, amount in rows:
        negative, size = plain(_text(amount))
        if _INT.decode(orders) == 0:
            size = "0"
        sides[negative].append(f'["{_signed(price)}","{size}"]')
    bids, asks = (f"[{','.join(side)}]".encode() for side in sides)
    return (BookUpdate(frame.time_ns, seq, seq, UNKNOWN, bids, asks, whole, whole),)


def _orders(frame: _Frame) -> Sequence[Message]:
    seq = frame.seq
    if frame.word == b"cs":
        return (Other("checksum"),)
    whole, rows = _rows(frame.body, 3)
    orders = []
    for order_id, price, amount in rows:
        digits = _signed(price)
        negative, size = plain(_text(amount))
        side = Side.ASK if negative else Side.BID
        if digits.strip("0.") == "":
            orders.append(Order(Action.DELETE, _INT.decode(order_id), side, "", ""))
        else:  # new, or an order that was there with its new amount: an ADD says what it is now
            orders.append(Order(Action.ADD, _INT.decode(order_id), side, digits, size))
    return (OrderUpdate(frame.time_ns, seq, seq, UNKNOWN, tuple(orders), whole, whole),)


def _trades(frame: _Frame) -> Sequence[Message]:
    if not frame.word:
        return HISTORY
    if frame.word != b"te":
        return UPDATE
    trade_id, ms, amount, price = _ROW.decode(frame.body)
    negative, size = plain(_text(amount))
    number_ = _INT.decode(trade_id)
    if not 0 <= number_ < 2**63:
        raise WireError(f"a trade's id {number_}")
    return (Trade(_time(ms), number_, _signed(price), size, Side.ASK if negative else Side.BID),)


def _signed(raw: msgspec.Raw) -> str:
    text = _text(raw)
    if text == "null":
        return ""
    negative, digits = plain(text)
    return "-" + digits if negative else digits


def _time(raw: msgspec.Raw) -> int:
    time = _whole(raw)
    return time * 1_000_000 if 0 <= time <= MAX_MS else NO_TIME


def _status(frame: _Frame) -> Sequence[Message]:
    row = _ROW.decode(frame.body)
    if len(row) < 15:
        raise WireError(f"a status of {len(row)} fields, expected 15 or more")
    return (Funding(_time(row[0]), _signed(row[14]), _signed(row[3]), _signed(row[11]), _time(row[7])),)


def _liquidations(frame: _Frame) -> Sequence[Message]:
    """["pos", id, ms, null, symbol, amount, base price, ...]: a closed position; a short one's amount is negative."""
    _, rows = _rows(frame.body, 12)
    found = []
    for row in rows:
        negative, size = plain(_text(row[5]))
        found.append(Liquidation(_time(row[2]), _signed(row[6]), size, Side.BID if negative else Side.ASK))
    return found


_READERS: dict[str, Callable[[_Frame], Sequence[Message]]] = {
    "trades": _trades,
    "status": _status,
    "liquidations": _liquidations,
}


def decoder(stream: str) -> Decoder:
    """The decoder of a channel; of one not known here, to Other(stream). A ticker's sizes are sums over 25 levels, so
    that it is no quote."""
    reader = _READERS.get(stream)
    if stream.startswith("book-"):
        reader = _orders if stream.startswith("book-R0") else _book
    if reader is None:
        return other(stream)
    read = reader

    def decode(payload: bytes) -> Sequence[Message]:
        frame = _Frame(payload)
        return HEARTBEAT if frame.word == b"hb" else read(frame)

    return strict(stream, decode)
