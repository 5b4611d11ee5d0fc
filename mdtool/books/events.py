"""Messages to events: rows of model.EVENT.

Rule: mantissas are at the builder's `scale` after the call. It may have widened; rows made before are then at the
coarser one, and `rescale` expresses them anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdtool.books.ladders import LevelParser
from mdtool.errors import WireError
from mdtool.model import EVENT, UNKNOWN, BookUpdate, EventFlag, EventKind, Message, Quote, Scale, Side, Trade

Events = NDArray[np.void]  # of dtype EVENT, one dimension


class EventBuilder:
    """Builds the events of one feed."""

    def __init__(self, feed: int, scale: Scale | None = None) -> None:
        self._feed = feed
        self._parser = LevelParser(scale)

    @property
    def scale(self) -> Scale:
        """Exponents of the rows built last."""
        return self._parser.scale

    def rows(self, message: Message, recv_ns: int) -> Events:
        """The events of one message in its order, bids before asks, the last one flagged; none for Other. Raises
        WireError."""
        if isinstance(message, BookUpdate):
            rows = self._book(message)
        elif isinstance(message, Trade):
            rows = self._new(1, message.venue_ns, message.trade_id, UNKNOWN)
            rows["kind"] = EventKind.TRADE
            rows["side"] = message.side
            rows["price"], rows["size"] = self._parser.decimal(message.price, message.size)
        elif isinstance(message, Quote):
            rows = self._quote(message)
        else:
            return np.zeros(0, EVENT)
        rows["recv_ns"] = recv_ns
        rows["feed"] = self._feed
        rows["flags"][-1] = EventFlag.LAST
        return rows

    def _new(self, count: int, venue_ns: int, seq: int, prev_seq: int) -> Events:
        rows = np.zeros(count, EVENT)
        rows["venue_ns"] = venue_ns
        rows["seq"] = seq
        rows["prev_seq"] = prev_seq
        return rows

    def _book(self, update: BookUpdate) -> Events:
        columns = self._parser.columns(update)
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
    """A copy of the rows with mantissas at a finer scale. Raises ValueError for a coarser one, WireError where a
    mantissa no longer fits an int64."""
    copy = rows.copy()
    for field, digits in (("price", old.price_exp - new.price_exp), ("size", old.size_exp - new.size_exp)):
        if digits < 0:
            raise ValueError(f"rescaling {old} to {new} would round")
        factor = 10**digits
        most = np.iinfo(np.int64).max // factor
        if rows.size and int(np.abs(rows[field]).max()) > most:
            raise WireError(f"a {field} beyond 64 bits at {new}")
        copy[field] *= factor
    return copy
