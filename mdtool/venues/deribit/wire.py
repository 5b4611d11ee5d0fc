"""Deribit's messages: what is on the wire, and what it says.

Rule: a decoder fails as `decoding.strict` allows, whatever the bytes. A ladder goes on as wire text where its rows say
what they do in their numbers alone, and is written anew where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Funding, Liquidation, Message, Quote, Status, Trade
from mdtool.venues.decoding import EMPTY, Id, Ms, ladder, number_text, opposite, price_text, side_of

SPARE = ("timestamp", "liquidation")
ABSENT = msgspec.Raw()
ROW = (1, 2)  # action, price, amount
_DELETED = re.compile(rb'\["delete",-?[0-9.]+,0(?:\.0+)?\]')


class _Book(msgspec.Struct, gc=False, kw_only=True):
    timestamp: Ms = 0
    change_id: Id
    type: str = ""
    prev_change_id: Id | None = None
    bids: msgspec.Raw = EMPTY
    asks: msgspec.Raw = EMPTY


class _Trade(msgspec.Struct, gc=False, kw_only=True):
    trade_seq: Id
    timestamp: Ms = 0
    price: msgspec.Raw
    direction: str
    amount: msgspec.Raw
    liquidation: str = ""  # whose order was forced: "M" the maker's, "T" the taker's, "MT" both


class _Best(msgspec.Struct, gc=False):
    timestamp: Ms = 0
    best_bid_price: msgspec.Raw = ABSENT
    best_bid_amount: msgspec.Raw = ABSENT
    best_ask_price: msgspec.Raw = ABSENT
    best_ask_amount: msgspec.Raw = ABSENT


class _Ticker(_Best, gc=False):
    state: str = "open"
    mark_price: msgspec.Raw = ABSENT
    index_price: msgspec.Raw = ABSENT
    current_funding: msgspec.Raw = ABSENT


class _Perpetual(msgspec.Struct, gc=False, kw_only=True):
    timestamp: Ms = 0
    interest: msgspec.Raw
    index_price: msgspec.Raw = ABSENT


class _State(msgspec.Struct, gc=False):
    state: str
    timestamp: Ms = 0


class _Platform(msgspec.Struct, gc=False):
    locked: bool | None = None
    maintenance: bool | None = None


def _data(name: str, data: object) -> Callable[[bytes], object]:
    """The data of a notification."""
    params = msgspec.defstruct(f"_{name}Params", [("data", data)], gc=False)
    message = msgspec.defstruct(f"_{name}Message", [("params", params)], gc=False)
    decode = msgspec.json.Decoder(message).decode
    return lambda payload: decode(payload).params.data  # type: ignore[attr-defined]


_book_of: Callable[[bytes], _Book] = _data("Book", _Book)  # type: ignore[assignment]
_trades_of: Callable[[bytes], list[_Trade]] = _data("Trades", list[_Trade])  # type: ignore[assignment]
_best_of: Callable[[bytes], _Best] = _data("Best", _Best)  # type: ignore[assignment]
_ticker_of: Callable[[bytes], _Ticker] = _data("Ticker", _Ticker)  # type: ignore[assignment]
_perpetual_of: Callable[[bytes], _Perpetual] = _data("Perpetual", _Perpetual)  # type: ignore[assignment]
_state_of: Callable[[bytes], _State] = _data("State", _State)  # type: ignore[assignment]
_platform_of: Callable[[bytes], _Platform] = _data("Platform", _Platform)  # type: ignore[assignment]
_ROWS = msgspec.json.Decoder(list[tuple[str, msgspec.Raw, msgspec.Raw]])


def _says_all(raw: msgspec.Raw) -> bool:
    """Whether the rows' numbers alone say what is to be done: every action is known, what is deleted has amount 0."""
    text = bytes(raw)
    deleted = text.count(b'["delete",')
    known = text.count(b'["new",') + text.count(b'["change",') + deleted
    return known == text.count(b"[") - 1 and (not deleted or deleted == len(_DELETED.findall(text)))


def _rewritten(raw: msgspec.Raw) -> bytes:
    levels = []
    for action, price, amount in _ROWS.decode(raw):
        if action not in ("new", "change", "delete"):
            raise WireError(f"action {action[:20]!r}, expected new, change or delete")
        levels.append((price_text(price), "0" if action == "delete" else number_text(amount)))
    return ladder(levels)


def _book(payload: bytes) -> Sequence[Message]:
    book = _book_of(payload)
    if book.type not in ("", "snapshot", "change"):
        raise WireError(f"type {book.type[:20]!r}, expected snapshot or change")
    # The whole book names no id before it; older records do not name the type. One that does is what it is called.
    prev = None if book.type == "snapshot" else book.prev_change_id
    whole = prev is None
    if whole and book.type == "change":
        raise WireError("a change without prev_change_id")
    time, last = book.timestamp * 1_000_000, book.change_id
    before = UNKNOWN if prev is None else prev
    # Ids between two updates of a book are other books': what an update covers is from the one it follows to its own.
    first = last if prev is None else min(prev + 1, last)
    if _says_all(book.bids) and _says_all(book.asks):
        return (BookUpdate(time, first, last, before, book.bids, book.asks, whole, whole, None, ROW),)
    return (BookUpdate(time, first, last, before, _rewritten(book.bids), _rewritten(book.asks), whole, whole),)


def _trades(payload: bytes) -> Sequence[Message]:
    found: list[Message] = []
    for trade in _trades_of(payload):
        time, side = trade.timestamp * 1_000_000, side_of(trade.direction)
        price, amount = price_text(trade.price), number_text(trade.amount)
        found.append(Trade(time, trade.trade_seq, price, amount, side))
        if trade.liquidation in ("T", "MT"):
            found.append(Liquidation(time, price, amount, side))
        if trade.liquidation in ("M", "MT"):
            found.append(Liquidation(time, price, amount, opposite(side)))
    return found


def _given(raw: msgspec.Raw) -> str:
    """The digits of a price, "" where there is none."""
    return "" if bytes(raw) in (b"", b"null") else price_text(raw)


def _quote(best: _Best) -> Quote:
    """An empty side is null, or 0."""
    if not (len(best.best_bid_price) or len(best.best_ask_price)):
        raise WireError("neither best_bid_price nor best_ask_price")
    bid, ask = _given(best.best_bid_price) or "0", _given(best.best_ask_price) or "0"
    return Quote(
        best.timestamp * 1_000_000, UNKNOWN, bid, _given(best.best_bid_amount) or "0", ask,
        _given(best.best_ask_amount) or "0",
    )  # fmt: skip


def _best(payload: bytes) -> Sequence[Message]:
    return (_quote(_best_of(payload)),)


def _ticker(payload: bytes) -> Sequence[Message]:
    ticker = _ticker_of(payload)
    time = ticker.timestamp * 1_000_000
    found: list[Message] = [_quote(ticker)]
    mark, index, rate = _given(ticker.mark_price), _given(ticker.index_price), _given(ticker.current_funding)
    if mark or index or rate:
        found.append(Funding(time, mark, index, rate))
    if ticker.state != "open":  # said with every ticker: only what is out of the ordinary is worth a message
        found.append(Status(time, ticker.state, False))
    return found


def _perpetual(payload: bytes) -> Sequence[Message]:
    wire = _perpetual_of(payload)
    return (Funding(wire.timestamp * 1_000_000, index_price=_given(wire.index_price), rate=_given(wire.interest)),)


_TRADING = {"created": False, "started": True, "settled": False, "closed": False, "deactivated": False,
            "terminated": False}  # fmt: skip


def _state(payload: bytes) -> Sequence[Message]:
    wire = _state_of(payload)
    return (Status(wire.timestamp * 1_000_000, wire.state, _TRADING.get(wire.state)),)


def _platform(payload: bytes) -> Sequence[Message]:
    """Of one price index or of all of the platform."""
    wire = _platform_of(payload)
    if wire.maintenance is not None:
        return (Status(NO_TIME, "maintenance" if wire.maintenance else "maintenance over", not wire.maintenance),)
    if wire.locked is None:
        raise WireError("neither locked nor maintenance")
    return (Status(NO_TIME, "locked" if wire.locked else "unlocked", not wire.locked),)


DECODERS: dict[str, Callable[[bytes], Sequence[Message]]] = {
    "book": _book,
    "trades": _trades,
    "quote": _best,
    "ticker": _ticker,
    "perpetual": _perpetual,
    "instrument.state": _state,
    "platform_state": _platform,
}
