"""Hyperliquid's protocol from the exchange's side: websocket sessions. What is recorded is sent as it is.

Sources: the venue's documentation of "Subscriptions" and "Timeouts and heartbeats".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

MAX_SUBSCRIPTIONS = 1_000  # of an address; here of a connection


class HyperliquidProtocol(PlainProtocol):
    """The public subscriptions of whatever the source serves."""

    name = "hyperliquid"
    ping_interval = 3_600.0  # the client pings, with a message
    pong_timeout = 60.0

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return HyperliquidSession(self) if path == "/ws" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"


class HyperliquidSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: HyperliquidProtocol) -> None:
        self._protocol = protocol
        self._names: set[str] = set()

    def on_request(self, request: dict[str, Any]) -> Reaction:
        method, wanted = request.get("method"), request.get("subscription")
        if method == "ping":
            return Reaction([b'{"channel":"pong"}'])
        name = self._name(wanted)
        if method not in ("subscribe", "unsubscribe") or name is None:
            return self.refuse(msgspec.json.encode(request).decode())
        if not self._protocol.offers(name):
            instrument = self._protocol.instrument(name.partition(":")[2])
            said = msgspec.json.encode(wanted).decode()[:200]
            return Reaction([_error(f"Invalid subscription {said}")], refused=[Refusal(name, instrument)])
        if method == "subscribe":
            if name in self._names:
                return Reaction([_error(f"Already subscribed: {msgspec.json.encode(wanted).decode()}")])
            if len(self._names) >= MAX_SUBSCRIPTIONS:
                return Reaction([_error("Cannot track more subscriptions")])
            self._names.add(name)
            return Reaction([_answer(method, wanted)], [name])
        if name not in self._names:
            return Reaction([_error(f"Already unsubscribed: {msgspec.json.encode(wanted).decode()}")])
        self._names.discard(name)
        return Reaction([_answer(method, wanted)], unsubscribed=[name])

    def refuse(self, text: str) -> Reaction:
        shown = text[:200].encode("utf-8", "replace").decode()
        return Reaction([_error(f"Error parsing JSON into valid websocket request: {shown}")])

    def _name(self, wanted: Any) -> str | None:
        """The wire name of a subscription."""
        if not isinstance(wanted, dict):
            return None
        kind, coin, interval = wanted.get("type"), wanted.get("coin"), wanted.get("interval")
        if not isinstance(kind, str) or not isinstance(coin, str):
            return None
        return f"{kind}.{interval}:{coin}" if isinstance(interval, str) else f"{kind}:{coin}"


def _answer(method: str, subscription: Any) -> bytes:
    data = {"method": method, "subscription": subscription}
    return msgspec.json.encode({"channel": "subscriptionResponse", "data": data})


def _error(message: str) -> bytes:
    return msgspec.json.encode({"channel": "error", "data": message})
