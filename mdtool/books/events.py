"""Messages to events: rows of model.EVENT, or of WIDE_EVENT where one asks for numbers beyond 64 bits.

Rule: mantissas are at the builder's `scale` after the call. It may have widened; rows made before are then at the
coarser one, and `rescale` expresses them anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mdtool.books.engine import FeedEngine, RecordSource, as_quote
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookSync
from mdtool.books.tables import largest
from mdtool.errors import TooLarge, WireError
from mdtool.kernel.ladder import LadderError, decimal
from mdtool.model import (
    EVENT,
    RATE_EXP,
    UNKNOWN,
    WIDE_EVENT,
    Action,
    BookUpdate,
    EventFlag,
    EventKind,
    Funding,
    Liquidation,
    Message,
    OrderUpdate,
    Quote,
    Scale,
    Side,
    Status,
    Trade,
    order_number,
)
from mdtool.venues import catalog
from mdtool.venues.venue import Venue

BATCH_ROWS = 8_192
Events = NDArray[np.void]  # of dtype EVENT or WIDE_EVENT, one dimension
_ACTIONS = {
    Action.ADD: EventKind.ORDER_ADD,
    Action.MODIFY: EventKind.ORDER_MODIFY,
    Action.DELETE: EventKind.ORDER_DELETE,
    Action.EXECUTE: EventKind.ORDER_EXECUTE,
}
_OF_NO_SCALE = (EventKind.FUNDING, EventKind.STATUS)  # whose `size` is no size


def events(source: RecordSource, *, feed: int = 0, wide: bool = False) -> Iterator[tuple[Scale, Events]]:
    """Everything a feed says, from where `source` stands to the end of what there is, as arrays of model.EVENT: some
    thousand rows at a time, in order of arrival, each array at the scale beside it (a price is `price *
    10**price_exp`), which widens as digits come; `rescale` brings arrays to one. `feed` goes into the rows. What cannot
    be read is left out; the audit tells of it. A number that an int64 does not hold at its scale is TooLarge; `wide`
    gives rows of model.WIDE_EVENT, whose prices and sizes are Python's integers and hold all there is.

        >>> with store.reader("sim/CHARLIE_USDT") as reader:
        ...     for scale, rows in mdtool.events(reader):
        ...         trades = rows[rows["kind"] == 2]
        ...         print(scale, len(rows), trades["price"], trades["size"])
        Scale(price_exp=-1, size_exp=0) 1 [] []
        Scale(price_exp=-1, size_exp=-1) 7 [647] [10]
    """
    engine = FeedEngine(catalog.get(source.feed.venue), source, every_book=True, opens=_no_book)
    builder = EventBuilder(feed, source.feed.scale, wide=wide)
    rows: list[Events] = []
    scale, count = builder.scale, 0
    for record in source.records():
        line, said, _, _ = engine.on_record(record)
        for message, *_ in said:
            try:
                found = builder.rows((engine.is_of_quotes(line) and as_quote(message)) or message, record.recv_ns)
            except WireError:
                continue
            if builder.scale != scale or count > BATCH_ROWS:
                if count:
                    yield scale, np.concatenate(rows)
                rows, count, scale = [], 0, builder.scale
            if len(found):
                rows.append(found)
                count += len(found)
    if count:
        yield scale, np.concatenate(rows)


def _no_book(venue: Venue, stream: str, scale: Scale | None) -> BookSync | None:
    """Events are what was said, not what it made of a book."""
    return None


class EventBuilder:
    """Builds the events of one feed, of WIDE_EVENT where they are `wide`."""

    def __init__(self, feed: int, scale: Scale | None = None, *, wide: bool = False) -> None:
        self._feed = feed
        self._dtype = WIDE_EVENT if wide else EVENT
        self._parser = LevelParser(scale)

    @property
    def scale(self) -> Scale:
        """Exponents of the rows built last."""
        return self._parser.scale

    def rows(self, message: Message, recv_ns: int) -> Events:
        """The events of one message in its order, bids before asks, the last one flagged; none for Other. Raises
        WireError, TooLarge."""
        try:
            rows = self._rows(message)
        except OverflowError as error:
            raise TooLarge(
                f"an event of {recv_ns} ns has a number beyond 64 bits at {self.scale}; ask for events(..., wide=True)"
            ) from error
        if not len(rows):
            return rows
        rows["recv_ns"] = recv_ns
        rows["feed"] = self._feed
        rows["flags"][-1] = EventFlag.LAST
        return rows

    def _rows(self, message: Message) -> Events:
        if isinstance(message, BookUpdate):
            rows = self._book(message)
        elif isinstance(message, Trade):
            rows = self._new(1, message.venue_ns, message.trade_id, UNKNOWN)
            rows["kind"] = EventKind.TRADE
            rows["side"] = message.side
            rows["price"], rows["size"] = self._parser.decimal(message.price, message.size)
        elif isinstance(message, Quote):
            rows = self._quote(message)
        elif isinstance(message, OrderUpdate):
            rows = self._orders(message)
        elif isinstance(message, Funding):
            rows = self._funding(message)
        elif isinstance(message, Liquidation):
            rows = self._new(1, message.venue_ns, UNKNOWN, UNKNOWN)
            rows["kind"] = EventKind.LIQUIDATION
            rows["side"] = message.side
            rows["price"], rows["size"] = self._parser.decimal(message.price, message.size)
        elif isinstance(message, Status) and message.trading is not None:
            rows = self._new(1, message.venue_ns, UNKNOWN, UNKNOWN)
            rows["kind"] = EventKind.STATUS
            rows["size"] = int(message.trading)
        else:
            rows = np.zeros(0, self._dtype)
        return rows

    def _new(self, count: int, venue_ns: int, seq: int, prev_seq: int) -> Events:
        rows = np.zeros(count, self._dtype)
        rows["venue_ns"] = venue_ns
        rows["seq"] = seq
        rows["prev_seq"] = prev_seq
        return rows

    def _book(self, update: BookUpdate) -> Events:
        parse = self._parser.parse_update if self._dtype is WIDE_EVENT else self._parser.columns
        columns = parse(update)
        bids, levels = len(columns.bid_prices), len(columns.bid_prices) + len(columns.ask_prices)
        frame = 1 if update.snapshot else 0
        rows = self._new(levels + 2 * frame or 1, update.venue_ns, update.last_seq, update.prev_seq)
        if not frame and not levels:
            rows["kind"] = EventKind.SEQUENCE
            return rows
        inner = rows[frame : frame + levels]
        inner["kind"] = EventKind.LEVEL
        inner["side"][:bids] = Side.BID
        inner["side"][bids:] = Side.ASK
        inner["price"][:bids] = columns.bid_prices
        inner["price"][bids:] = columns.ask_prices
        inner["size"][:bids] = columns.bid_sizes
        inner["size"][bids:] = columns.ask_sizes
        if frame:
            rows["kind"][0] = EventKind.SNAPSHOT_BEGIN
            rows["kind"][-1] = EventKind.SNAPSHOT_END
        return rows

    def _orders(self, update: OrderUpdate) -> Events:
        frame = 1 if update.snapshot else 0
        orders = update.orders
        rows = self._new(len(orders) + 2 * frame or 1, update.venue_ns, update.last_seq, update.prev_seq)
        if frame:
            rows["kind"][0] = EventKind.SNAPSHOT_BEGIN
            rows["kind"][-1] = EventKind.SNAPSHOT_END
        elif not orders:
            rows["kind"] = EventKind.SEQUENCE
        for order in orders:  # at the end they all are at one scale: the widest is found first
            self._parser.decimal(order.price or "0", order.size or "0")
        for at, order in enumerate(orders, frame):
            row = rows[at]
            row["kind"] = _ACTIONS[order.action]
            row["side"] = order.side
            row["order_id"] = order_number(order.order_id)
            row["price"], row["size"] = self._parser.decimal(order.price or "0", order.size or "0")
        return rows

    def _funding(self, funding: Funding) -> Events:
        """A mark, a rate, or both; an index price is in neither."""
        rows = self._new(bool(funding.mark_price) + bool(funding.rate), funding.venue_ns, UNKNOWN, UNKNOWN)
        if funding.mark_price:
            rows["kind"][0] = EventKind.MARK
            rows["price"][0], _ = self._parser.decimal(funding.mark_price, "0")
        if funding.rate:
            rows["kind"][-1] = EventKind.FUNDING
            rows["seq"][-1] = funding.next_ns or UNKNOWN
            try:
                rows["size"][-1] = decimal(funding.rate, RATE_EXP)
            except LadderError as error:
                raise WireError(f"funding rate {funding.rate[:40]!r}: {error}") from error
        return rows

    def _quote(self, quote: Quote) -> Events:
        rows = self._new(2, quote.venue_ns, quote.seq, UNKNOWN)
        rows["kind"] = EventKind.QUOTE
        rows["side"] = (Side.BID, Side.ASK)
        bid = self._parser.decimal(quote.bid_price, quote.bid_size)
        scale = self._parser.scale
        ask = self._parser.decimal(quote.ask_price, quote.ask_size)
        if self._parser.scale != scale:
            bid = self._parser.decimal(quote.bid_price, quote.bid_size)
        rows["price"] = (bid[0], ask[0])
        rows["size"] = (bid[1], ask[1])
        return rows


def rescale(rows: Events, old: Scale, new: Scale) -> Events:
    """A copy of the rows with mantissas at a finer scale. Raises ValueError for a coarser one, TooLarge where a
    mantissa no longer fits an int64."""
    copy = rows.copy()
    for field, digits in (("price", old.price_exp - new.price_exp), ("size", old.size_exp - new.size_exp)):
        if digits < 0:
            raise ValueError(f"rescaling {old} to {new} would round")
        factor = 10**digits
        scaled = ~np.isin(rows["kind"], _OF_NO_SCALE) if field == "size" else slice(None)
        most = largest(rows[field][scaled])
        if rows.dtype == EVENT and most > np.iinfo(np.int64).max // factor:
            raise TooLarge(f"a {field} beyond 64 bits at {new}; ask for events(..., wide=True)")
        if most:
            copy[field][scaled] *= factor
    return copy
