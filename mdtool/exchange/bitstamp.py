"""Bitstamp's protocol from the exchange's side: channels, the heartbeat, and the book over REST.

Rule: what is recorded is sent as it is.

Sources: www.bitstamp.net/websocket/v2 (subscriptions, heartbeat, errors), www.bitstamp.net/api "Order book".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.rendering import ladder, orders
from mdtool.exchange.source import BookView, Instrument, OrdersView, Source

MICROSECOND = 1_000  # ns
MAX_LEVELS = 1_000_000  # all there are
BOOK = "/api/v2/order_book/"
BAD_SUBSCRIPTION = 4009  # the venue's code


class BitstampProtocol(PlainProtocol):
    """The channels of whatever the source serves."""

    name = "bitstamp"
    ping_interval = 60.0

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return BitstampSession(self) if path == "/" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}_{instrument.native}"

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        native = path.removeprefix(BOOK).strip("/")
        instrument = self.instrument(native) if path.startswith(BOOK) else None
        if method != "GET" or instrument is None:
            return Answer(404, b'{"status": "error", "reason": "Not found.", "code": "API0001"}')
        book: BookView | OrdersView | bytes | None
        by_order = query.get("group") == "2"
        book = source.orders(instrument.symbol) if by_order else source.depth(instrument.symbol, MAX_LEVELS)
        if book is None:
            return Answer(503, b'{"status": "error", "reason": "No book is known at this point.", "code": "API0000"}')
        if isinstance(book, bytes):
            return Answer(200, book)
        micros = book.venue_ns // MICROSECOND
        if isinstance(book, OrdersView):
            bids, asks = orders(book.bids, book.scale), orders(book.asks, book.scale)
        else:
            bids, asks = ladder(book.bids, book.scale), ladder(book.asks, book.scale)
        body = f'{{"timestamp": "{micros // 10**6}", "microtimestamp": "{micros}", "bids": [{bids}], "asks": [{asks}]}}'
        return Answer(200, body.encode())


class BitstampSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: BitstampProtocol) -> None:
        self._protocol = protocol

    def on_request(self, request: dict[str, Any]) -> Reaction:
        event, data = request.get("event"), request.get("data")
        if event == "bts:heartbeat":
            return Reaction([b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'])
        channel = data.get("channel") if isinstance(data, dict) else None
        if event not in ("bts:subscribe", "bts:unsubscribe") or not isinstance(channel, str):
            return self.refuse("")
        if not self._protocol.offers(channel):
            reaction = self.refuse("")
            reaction.refused = [Refusal(channel, self._protocol.instrument(channel.rpartition("_")[2]))]
            return reaction
        done = f"bts:{'' if event == 'bts:subscribe' else 'un'}subscription_succeeded"
        reaction = Reaction([msgspec.json.encode({"event": done, "channel": channel, "data": {}})])
        (reaction.subscribed if event == "bts:subscribe" else reaction.unsubscribed).append(channel)
        return reaction

    def refuse(self, text: str) -> Reaction:
        data = {"code": BAD_SUBSCRIPTION, "message": "Bad subscription string."}
        return Reaction([msgspec.json.encode({"event": "bts:error", "channel": "", "data": data})])
