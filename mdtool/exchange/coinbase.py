"""Coinbase Exchange's protocol from the exchange's side: subscriptions, and the book by order over REST.

Rule: what is recorded is sent as it is. Both names of the book by level carry the same messages.

Sources: docs.cdp.coinbase.com/exchange "WebSocket Overview" (subscribe, unsubscribe, error), "Get product book".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.rendering import iso, orders
from mdtool.exchange.source import Instrument, OrdersView, Source

LEVEL2 = "level2"
BATCH = "level2_batch"
CHANNELS = frozenset({LEVEL2, BATCH, "matches", "ticker", "ticker_batch", "heartbeat", "full", "status", "auctionfeed"})


class CoinbaseProtocol(PlainProtocol):
    """The channels of whatever the source serves."""

    name = "coinbase"
    ping_interval = 60.0

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return CoinbaseSession(self) if path == "/" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return wire_name(stream, instrument.native)

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        parts = path.strip("/").split("/")
        if method != "GET" or len(parts) != 3 or parts[0] != "products" or parts[2] != "book":
            return _said(404, "NotFound")
        instrument = self.instrument(parts[1])
        if instrument is None:
            return _said(404, "NotFound")
        if query.get("level") != "3":
            return _said(400, "Only level 3 is emulated")
        book = source.orders(instrument.symbol)
        if book is None:
            return _said(503, "No book of orders is known at this point")
        return Answer(200, book if isinstance(book, bytes) else _render(book))


class CoinbaseSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: CoinbaseProtocol) -> None:
        self._protocol = protocol
        self._channels: dict[str, dict[str, None]] = {}  # channel -> products

    def on_request(self, request: dict[str, Any]) -> Reaction:
        kind = request.get("type")
        if kind not in ("subscribe", "unsubscribe"):
            return _refused("Failed to subscribe", f"{str(kind)[:40]!r} is not a valid type")
        wanted = _wanted(request)
        if not wanted:
            return _refused("Failed to subscribe", "no channels provided")
        for channel, products in wanted:
            if channel not in CHANNELS:
                return _refused("Failed to subscribe", f"{channel[:40]} is not a valid channel")
            for product in products:
                instrument = self._protocol.instrument(product)
                if instrument is not None and self._protocol.offers(wire_name(channel, product)):
                    continue
                wrong = f"{product[:40]} is not a valid product"
                if instrument is not None:
                    wrong = f"{channel} is not a valid channel"
                refused = _refused("Failed to subscribe", wrong)
                refused.refused = [Refusal(f"{channel}:{product}", instrument)]
                return refused
        reaction = Reaction()
        for channel, products in wanted:
            held = self._channels.setdefault(channel, {})
            for product in products:
                if kind == "subscribe" and product not in held:
                    held[product] = None
                    reaction.subscribed.append(wire_name(channel, product))
                elif kind == "unsubscribe" and product in held:
                    del held[product]
                    reaction.unsubscribed.append(wire_name(channel, product))
        listed = [{"name": name, "product_ids": list(held)} for name, held in self._channels.items() if held]
        reaction.replies.append(msgspec.json.encode({"type": "subscriptions", "channels": listed}))
        return reaction

    def refuse(self, text: str) -> Reaction:
        return _refused("Malformed JSON", "expected a JSON object")


def _render(book: OrdersView) -> bytes:
    bids, asks = orders(book.bids, book.scale), orders(book.asks, book.scale)
    time = f',"time":"{iso(book.venue_ns)}"' if book.venue_ns else ""
    return f'{{"sequence":{book.last_id},"bids":[{bids}],"asks":[{asks}]{time}}}'.encode()


def wire_name(channel: str, product: str) -> str:
    """One name for what carries the same messages."""
    return f"{LEVEL2 if channel == BATCH else channel}:{product}"


def _wanted(request: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Channels and their products; a channel may name its own."""
    usual = _texts(request.get("product_ids"))
    found = []
    channels = request.get("channels")
    for channel in channels if isinstance(channels, list) else ():
        if isinstance(channel, str):
            found.append((channel, usual))
        elif isinstance(channel, dict) and isinstance(channel.get("name"), str):
            found.append((channel["name"], _texts(channel.get("product_ids")) or usual))
    return found


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _refused(message: str, reason: str) -> Reaction:
    return Reaction([msgspec.json.encode({"type": "error", "message": message, "reason": reason})])


def _said(status: int, message: str) -> Answer:
    return Answer(status, msgspec.json.encode({"message": message}))
