"""Deribit's protocol from the exchange's side: JSON-RPC sessions.

Sources: the venue's documentation of "JSON-RPC over websocket", "public/subscribe" and "public/set_heartbeat". The
emulator asks for a sign of life once, when the heartbeat is set, and not again: a timer is not a session's to keep. A
client that joins a book while it is played gets what follows; one that the playback waited for gets the whole book
first, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

PATHS = ("/ws/api/v2", "/den/ws")
SHORTEST_HEARTBEAT = 10  # seconds
MAX_CHANNELS = 500  # of one request
OF_INSTRUMENT = ("book", "ticker", "incremental_ticker", "quote", "trades", "perpetual", "chart.trades")
_TEST_REQUEST = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}'


class DeribitProtocol(PlainProtocol):
    """The public channels of whatever the source serves."""

    name = "deribit"
    ping_interval = 3_600.0  # heartbeats are messages
    pong_timeout = 60.0

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return DeribitSession(self) if path in PATHS else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        """The channel: the instrument stands behind the stream's word."""
        word = _word(stream) or stream
        return f"{word}.{instrument.native}{stream[len(word) :]}"

    def of(self, channel: str) -> Instrument | None:
        """The instrument that a channel names, where it is served."""
        word = _word(channel)
        return None if word is None else self.instrument(channel[len(word) + 1 :].partition(".")[0])


def _word(channel: str) -> str | None:
    return next((word for word in OF_INSTRUMENT if channel == word or channel.startswith(f"{word}.")), None)


class DeribitSession(PlainSession):
    """One client's channels."""

    def __init__(self, protocol: DeribitProtocol) -> None:
        self._protocol = protocol

    def on_request(self, request: dict[str, Any]) -> Reaction:
        method, params, number = request.get("method"), request.get("params"), request.get("id")
        asked: dict[str, Any] = params if isinstance(params, dict) else {}
        if method in ("public/subscribe", "public/unsubscribe"):
            return self._change(method, asked.get("channels"), number)
        if method == "public/set_heartbeat":
            interval = asked.get("interval")
            if not isinstance(interval, int) or isinstance(interval, bool) or interval < SHORTEST_HEARTBEAT:
                return Reaction([_error(-32602, "Invalid params", number)])
            return Reaction([_result("ok", number), _TEST_REQUEST])
        if method == "public/disable_heartbeat":
            return Reaction([_result("ok", number)])
        if method == "public/test":
            return Reaction([_result({"version": "1.2.26"}, number)])
        if method == "public/get_time":
            return Reaction([_result(self._protocol.source.now_ms(), number)])
        return Reaction([_error(-32601, "Method not found", number)])

    def _change(self, method: str, channels: Any, number: Any) -> Reaction:
        if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
            return Reaction([_error(-32602, "Invalid params", number)])
        if len(channels) > MAX_CHANNELS:
            return Reaction([_error(-32602, f"too many channels: {len(channels)} of {MAX_CHANNELS}", number)])
        # Of channels that do not exist the venue says nothing: they are missing in the answer.
        asked = list(dict.fromkeys(channels))
        known = [channel for channel in asked if self._protocol.offers(channel)]
        reaction = Reaction([_result(known, number)])
        reaction.refused = [Refusal(name, self._protocol.of(name)) for name in asked if name not in known]
        if method == "public/subscribe":
            reaction.subscribed = known
        else:
            reaction.unsubscribed = known
        return reaction

    def refuse(self, text: str) -> Reaction:
        return Reaction([_error(-32700, "Parse error", None)])


def _result(result: Any, number: Any) -> bytes:
    return _encode({"result": result}, number)


def _error(code: int, message: str, number: Any) -> bytes:
    return _encode({"error": {"code": code, "message": message}}, number)


def _encode(body: dict[str, Any], number: Any) -> bytes:
    named = {"id": number} if isinstance(number, int | str) else {}
    return msgspec.json.encode(
        {"jsonrpc": "2.0", **named, **body, "usIn": 0, "usOut": 0, "usDiff": 0, "testnet": False}
    )
