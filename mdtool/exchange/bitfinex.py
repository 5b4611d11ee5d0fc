"""Bitfinex's protocol from the exchange's side.

Rule: what is recorded is sent as it is, its channel numbers and sequence included: a channel is announced under the
number its recorded frames have.

Source: docs.bitfinex.com "WS general": conf, subscribe, ping, info.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

MAX_CHANNELS = 25
FIRST_FREE = 900_000_000  # channel numbers where the first frame tells none: beyond those the venue gives
CHANNELS = frozenset({"book", "trades", "ticker", "candles", "status"})
_CHANNEL_ID = re.compile(rb"\[\s*(\d{1,15})\s*,")


class BitfinexProtocol(PlainProtocol):
    """The public channels of whatever the source serves."""

    name = "bitfinex"
    ping_interval = 3_600.0  # the venue sends heartbeats of its own, which are recorded

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return BitfinexSession(self) if path == "/ws/2" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"


class BitfinexSession(PlainSession):
    """One client's channels."""

    def __init__(self, protocol: BitfinexProtocol) -> None:
        self._protocol = protocol
        self._channels: dict[int, str] = {}

    def opened(self) -> Reaction:
        info = {"event": "info", "version": 2, "serverId": "00000000-0000-0000-0000-000000000000"}
        return Reaction([msgspec.json.encode(info | {"platform": {"status": 1}})])

    def on_request(self, request: dict[str, Any]) -> Reaction:
        event = request.get("event")
        if event == "ping":
            answer = {"event": "pong", "ts": self._protocol.source.now_ms(), "cid": request.get("cid")}
            return Reaction([msgspec.json.encode(answer)])
        if event == "conf":
            flags = request.get("flags")
            good = isinstance(flags, int) and flags >= 0
            return Reaction(
                [msgspec.json.encode({"event": "conf", "status": "OK" if good else "FAILED", "flags": flags})]
            )
        if event == "subscribe":
            return self._subscribe(request)
        if event == "unsubscribe":
            return self._unsubscribe(request)
        return Reaction([_error(10000, "unknown event", request)])

    def refuse(self, text: str) -> Reaction:
        return Reaction([_error(10000, "invalid JSON object", {})])

    def _subscribe(self, request: dict[str, Any]) -> Reaction:
        channel, native = request.get("channel"), request.get("symbol") or request.get("pair")
        said: dict[str, Any] = {"symbol": native}
        if channel == "status":
            key = request.get("key")
            native = key.partition(":")[2] if isinstance(key, str) else None
            said = {"key": key}
        if not isinstance(channel, str) or not isinstance(native, str):
            return Reaction([_error(10300, "unknown channel", request)])
        if not native.startswith("t"):
            native = f"t{native}"
        instrument = self._protocol.instrument(native)
        if channel not in CHANNELS:
            return Reaction([_error(10302, "channel: unknown", request)], refused=[Refusal(channel, instrument)])
        if instrument is None:
            return Reaction([_error(10300, "symbol: invalid", request)], refused=[Refusal(f"{channel}:{native}", None)])
        stream = channel
        if channel == "book":
            form = {key: str(request.get(key, usual)) for key, usual in (("prec", "P0"), ("freq", "F0"), ("len", "25"))}
            said |= form
            stream += f"-{form['prec']}" + ("" if form["freq"] == "F0" else f"-{form['freq']}")
        name = self._protocol.stream_name(instrument, stream)
        if not self._protocol.offers(name):
            why = "prec: invalid" if channel == "book" else "symbol: invalid"
            return Reaction([_error(10300, why, request)], refused=[Refusal(name, instrument)])
        number = self._number(instrument, stream)
        if number in self._channels:
            return Reaction([_error(10301, "subscribe: dup", request)])
        if len(self._channels) >= MAX_CHANNELS:
            return Reaction([_error(10305, "subscribe: limit", request)])
        self._channels[number] = name
        answer = {"event": "subscribed", "channel": channel, "chanId": number, **said, "pair": native[1:]}
        return Reaction([msgspec.json.encode(answer)], subscribed=[name])

    def _unsubscribe(self, request: dict[str, Any]) -> Reaction:
        number = request.get("chanId")
        name = self._channels.pop(number, None) if isinstance(number, int) else None
        if name is None:
            return Reaction([_error(10400, "unsubscribe: invalid", request)])
        answer = {"event": "unsubscribed", "status": "OK", "chanId": number}
        return Reaction([msgspec.json.encode(answer)], unsubscribed=[name])

    def _number(self, instrument: Instrument, stream: str) -> int:
        """The channel's number: the one the recorded frames have."""
        first = self._protocol.source.first(instrument.symbol, stream)
        found = _CHANNEL_ID.match(first) if first else None
        return int(found[1]) if found else FIRST_FREE + len(self._channels)


def _error(code: int, message: str, request: dict[str, Any]) -> bytes:
    shown = {key: value for key, value in request.items() if isinstance(value, str | int) and len(str(value)) <= 80}
    return msgspec.json.encode({**shown, "event": "error", "msg": message, "code": code})
