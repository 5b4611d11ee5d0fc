"""Kraken's protocols from the exchange's side: the first API at "/", the second at "/v2".

Rule: what is recorded is sent as it is; an answer tells the client what the recorded frames will say of themselves: the
channel's number in v1, the depth in v2.

Sources: docs.kraken.com "Spot Websockets (v1)", "Spot Websockets (v2)": subscribe, ping, status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

OLD_CODES = {"BTC": "XBT", "DOGE": "XDG"}  # v1's
NEW_CODES = {theirs: ours for ours, theirs in OLD_CODES.items()}
_CHANNEL_ID = re.compile(rb"\[\s*(\d{1,15})\s*,")
_NUMBERED = {"book": "depth", "ohlc": "interval"}  # streams whose name has a number in it, and what it is
_USUAL = {"book": 10, "ohlc": 1}
_NOT_SUPPORTED = {"book": "Subscription depth not supported", "ohlc": "Subscription ohlc interval not supported"}


class KrakenProtocol(PlainProtocol):
    """Both APIs over whatever the source serves."""

    name = "kraken"
    ping_interval = 3_600.0  # clients ping with a message

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        if path == "/v2":
            return NewSession(self)
        return OldSession(self) if path == "/" else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"

    def asked(self, instrument: Instrument, stream: str) -> str:
        return f"{self.word(instrument, stream)}:{instrument.native}"

    def word(self, instrument: Instrument, stream: str) -> str:
        return f"v1:{stream}" if self.is_old(instrument, stream) else stream

    def is_old(self, instrument: Instrument, stream: str) -> bool:
        """Whether the stream is of the first API, whose messages are lists. A client of the other cannot read them."""
        for one in (instrument, *self.source.instruments):
            if (first := self.source.first(one.symbol, stream)) is not None:
                return first.startswith(b"[")
        return False


class _KrakenSession(PlainSession):
    OLD: bool  # which API it is a client of

    def __init__(self, protocol: KrakenProtocol) -> None:
        self._protocol = protocol

    def _wrong(self, pair: Any, instrument: Instrument | None, stream: str) -> str:
        """The venue's word for why a stream is not to be had; "" where it is."""
        protocol = self._protocol
        if instrument is not None:
            if protocol.offers(protocol.stream_name(instrument, stream)):
                if protocol.is_old(instrument, stream) is self.OLD:
                    return ""
            elif (kind := stream.partition("-")[0]) in _NUMBERED and any(
                other.startswith(f"{kind}-") for other in protocol.source.streams(instrument.symbol)
            ):
                return _NOT_SUPPORTED[kind]
        return f"Currency pair not supported {str(pair)[:40]}".encode("utf-8", "replace").decode()

    def _refusal(self, pair: Any, instrument: Instrument | None, stream: str) -> Refusal:
        native = instrument.native if instrument is not None else str(pair)[:40]
        return Refusal(f"{'v1:' if self.OLD else ''}{stream}:{native}", instrument)

    def _stream(self, kind: Any, options: Mapping[str, Any]) -> str | None:
        """The stream's name, its number included."""
        if not isinstance(kind, str) or not kind or len(kind) > 20:
            return None
        if kind not in _NUMBERED:
            return kind
        number = options.get(_NUMBERED[kind], _USUAL[kind])
        return f"{kind}-{number}" if isinstance(number, int) and 0 < number < 100_000 else None


class NewSession(_KrakenSession):
    """A client of the second API."""

    OLD = False

    def opened(self) -> Reaction:
        status = {"system": "online", "api_version": "v2", "connection_id": 1, "version": "2.0.0"}
        return Reaction([msgspec.json.encode({"channel": "status", "type": "update", "data": [status]})])

    def on_request(self, request: dict[str, Any]) -> Reaction:
        method, params = request.get("method"), request.get("params")
        identity = {"req_id": request["req_id"]} if isinstance(request.get("req_id"), int) else {}
        if method == "ping":
            return Reaction([msgspec.json.encode({"method": "pong", **identity})])
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return self.refuse("")
        stream = self._stream(params.get("channel"), params)
        symbols = params.get("symbol")
        if stream is None or not isinstance(symbols, list):
            return self.refuse("")
        reaction = Reaction()
        for symbol in symbols:
            instrument = self._protocol.instrument(symbol) if isinstance(symbol, str) else None
            wrong = self._wrong(symbol, instrument, stream)
            if instrument is None or wrong:
                answer: dict[str, Any] = {"error": wrong, "method": method, "success": False, **identity}
                reaction.refused.append(self._refusal(symbol, instrument, stream))
            else:
                result = {key: value for key, value in params.items() if key != "symbol"} | {"symbol": symbol}
                answer = {"method": method, "result": result, "success": True, **identity}
                name = self._protocol.stream_name(instrument, stream)
                (reaction.subscribed if method == "subscribe" else reaction.unsubscribed).append(name)
            reaction.replies.append(msgspec.json.encode(answer))
        return reaction

    def refuse(self, text: str) -> Reaction:
        return Reaction([msgspec.json.encode({"error": "Malformed request", "success": False})])


class OldSession(_KrakenSession):
    """A client of the first API."""

    OLD = True

    def opened(self) -> Reaction:
        status = {"connectionID": 1, "event": "systemStatus", "status": "online", "version": "1.9.0"}
        return Reaction([msgspec.json.encode(status)])

    def on_request(self, request: dict[str, Any]) -> Reaction:
        event = request.get("event")
        identity = {"reqid": request["reqid"]} if isinstance(request.get("reqid"), int) else {}
        if event == "ping":
            return Reaction([msgspec.json.encode({"event": "pong", **identity})])
        pairs, wanted = request.get("pair"), request.get("subscription")
        if event not in ("subscribe", "unsubscribe") or not isinstance(pairs, list) or not isinstance(wanted, dict):
            return self.refuse("")
        stream = self._stream(wanted.get("name"), wanted)
        if stream is None:
            return self.refuse("")
        reaction = Reaction()
        for pair in pairs:
            instrument = self._of_pair(pair) if isinstance(pair, str) else None
            said: dict[str, Any] = {
                "event": "subscriptionStatus",
                "pair": str(pair)[:40],
                "subscription": wanted,
                **identity,
            }
            wrong = self._wrong(pair, instrument, stream)
            if instrument is None or wrong:
                said |= {"errorMessage": wrong, "status": "error"}
                reaction.refused.append(self._refusal(pair, instrument, stream))
            else:
                said |= {"channelName": stream, "channelID": self._number(instrument, stream), "status": f"{event}d"}
                name = self._protocol.stream_name(instrument, stream)
                (reaction.subscribed if event == "subscribe" else reaction.unsubscribed).append(name)
            reaction.replies.append(msgspec.json.encode(said))
        return reaction

    def refuse(self, text: str) -> Reaction:
        return Reaction([msgspec.json.encode({"errorMessage": "Malformed request", "event": "error"})])

    def _of_pair(self, pair: str) -> Instrument | None:
        return self._protocol.instrument("/".join(NEW_CODES.get(asset, asset) for asset in pair.split("/")))

    def _number(self, instrument: Instrument, stream: str) -> int:
        """The channel's number, which the recorded frames begin with."""
        first = self._protocol.source.first(instrument.symbol, stream)
        found = _CHANNEL_ID.match(first) if first else None
        return int(found[1]) if found else 0
