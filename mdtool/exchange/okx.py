"""OKX's protocol from the exchange's side: websocket sessions. What is recorded is sent as it is.

Source: the venue's documentation of "WebSocket / Subscribe" and "Connection". A client that joins a book while it is
played gets what follows; one that the playback waited for gets the whole book first, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

PATHS = ("/ws/v5/public", "/ws/v5/business")
ADVICE = "Please use the correct URL, channel and parameters referring to API document."
MAX_ARGS = 64 << 10  # bytes of one request, which is what the venue takes


class OkxProtocol(PlainProtocol):
    """The public channels of whatever the source serves."""

    name = "okx"
    ping_interval = 3_600.0  # the client pings, with a text
    pong_timeout = 30.0
    max_inbound_bytes = MAX_ARGS

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return OkxSession(self) if path in PATHS else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"


class OkxSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: OkxProtocol) -> None:
        self._protocol = protocol

    def on_text(self, text: str, now_ns: int) -> Reaction:
        return Reaction([b"pong"]) if text == "ping" else super().on_text(text, now_ns)

    def on_request(self, request: dict[str, Any]) -> Reaction:
        reaction = Reaction()
        op, args = request.get("op"), request.get("args")
        if op not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            return self.refuse(msgspec.json.encode(request).decode())
        for arg in args:
            name = self._name(arg)
            if name is None or not self._protocol.offers(name):
                reaction.replies.append(_error(60018, f"Wrong URL or {_shown(arg)} doesn't exist. {ADVICE}"))
                if name is not None:
                    reaction.refused.append(Refusal(name, self._protocol.instrument(arg["instId"])))
                continue
            reaction.replies.append(msgspec.json.encode({"event": op, "arg": arg, "connId": "00000000"}))
            (reaction.subscribed if op == "subscribe" else reaction.unsubscribed).append(name)
        return reaction

    def refuse(self, text: str) -> Reaction:
        shown = text[:200].encode("utf-8", "replace").decode()
        return Reaction([_error(60012, f"Invalid request: {shown}")])

    def _name(self, arg: Any) -> str | None:
        """The wire name of a channel and instrument."""
        if not isinstance(arg, dict):
            return None
        channel, native = arg.get("channel"), arg.get("instId")
        if not isinstance(channel, str) or not isinstance(native, str):
            return None
        return f"{channel}:{native}" if channel else None


def _shown(arg: Any) -> str:
    """What a client asked for, as the venue says it again: channel:books,instId:BTC-USDT."""
    if not isinstance(arg, dict):
        return msgspec.json.encode(arg).decode()[:200]
    said = ",".join(f"{key}:{value}" for key, value in arg.items())
    return said[:200].encode("utf-8", "replace").decode()


def _error(code: int, message: str) -> bytes:
    return msgspec.json.encode({"event": "error", "code": str(code), "msg": message, "connId": "00000000"})
