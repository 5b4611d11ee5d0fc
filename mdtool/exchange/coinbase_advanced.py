"""Coinbase Advanced Trade's protocol from the exchange's side: subscriptions, one channel a request.

Rule: what is recorded is sent as it is, with the numbers its connection had; what is made here gets the numbers of the
client's own connection, one more with each frame, answers included. `heartbeats` is accepted and keeps nothing alive:
this server does not close quiet channels.

Sources: docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket "Overview", "Channels", and a capture's
answers. How the venue refuses a product is not documented: the form of its error is kept, the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.rendering import iso
from mdtool.exchange.source import Instrument

HEARTBEATS = "heartbeats"
UNNUMBERED = re.compile(rb'"sequence_num":null')  # in a frame that gets its number from the connection it goes out on
HEAD = 128  # bytes in which a frame has its number


class CoinbaseAdvancedProtocol(PlainProtocol):
    """The public channels of whatever the source serves."""

    name = "coinbase-advanced"
    ping_interval = 60.0

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return CoinbaseAdvancedSession(self) if path == "/" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"


class CoinbaseAdvancedSession(PlainSession):
    """One client's subscriptions, and the numbers of its connection."""

    def __init__(self, protocol: CoinbaseAdvancedProtocol) -> None:
        self._protocol = protocol
        self._channels: dict[str, dict[str, None]] = {}  # channel -> products
        self._next = 0

    def sent(self, frame: bytes) -> bytes:
        if self._protocol.source.recorded:
            return frame
        head = UNNUMBERED.sub(b'"sequence_num":%d' % self._next, frame[:HEAD], count=1)
        if head == frame[:HEAD]:
            return frame
        self._next += 1
        return head + frame[HEAD:]

    def on_request(self, request: dict[str, Any]) -> Reaction:
        kind, channel = request.get("type"), request.get("channel")
        if kind not in ("subscribe", "unsubscribe"):
            return _refused(f"invalid type: {str(kind)[:40]}")
        if not isinstance(channel, str):
            return _refused("channel is not provided")
        products = request.get("product_ids", [])
        if not isinstance(products, list) or not all(isinstance(product, str) for product in products):
            return _refused("invalid product_ids")
        held = self._channels.get(channel, {})
        if kind == "unsubscribe" and not products:
            products = list(held)
        names: dict[str, str] = {}
        for product in products:
            instrument = self._protocol.instrument(product)
            name = f"{channel}:{product}"
            if instrument is None or not (channel == HEARTBEATS or self._protocol.offers(name)):
                # The second is what the venue says to a channel that is not public, or that it does not have.
                refused = _refused(
                    f"invalid product: {product[:40]}" if instrument is None else "authentication failure"
                )
                refused.refused = [Refusal(name, instrument)]
                return refused
            names[product] = name
        if not products and channel != HEARTBEATS:
            return _refused("no product_ids provided")
        reaction = Reaction()
        self._channels[channel] = held
        for product, name in names.items():
            if kind == "subscribe" and product not in held:
                held[product] = None
                reaction.subscribed.append(name)
            elif kind == "unsubscribe" and product in held:
                del held[product]
                reaction.unsubscribed.append(name)
        reaction.replies.append(self._listed())
        return reaction

    def _listed(self) -> bytes:
        """The answer: all that is subscribed now. Beside recorded frames it has no number."""
        said = {channel: list(held) for channel, held in self._channels.items() if held}
        number = {} if self._protocol.source.recorded else {"sequence_num": None}
        time = iso(self._protocol.source.now_ms() * 1_000_000)
        answer = {"channel": "subscriptions", "timestamp": time, **number, "events": [{"subscriptions": said}]}
        return msgspec.json.encode(answer)

    def refuse(self, text: str) -> Reaction:
        return _refused("malformed JSON")


def _refused(message: str) -> Reaction:
    return Reaction([msgspec.json.encode({"type": "error", "message": message})])
