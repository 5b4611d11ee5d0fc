"""Bitget's protocol from the exchange's side: websocket sessions. What is recorded is sent as it is.

Source: the venue's documentation of "Websocket API"; its refusals word for word as public clients have recorded them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument

PATH = "/v2/ws/public"
CHANNEL = re.compile(r"books(1|5|15)?|trade|ticker|auction|candle(\d{1,2}[mHDWM](utc)?)", re.ASCII)
MARKETS = ("SPOT", "USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES")


class BitgetProtocol(PlainProtocol):
    """The public channels of whatever the source serves."""

    name = "bitget"
    ping_interval = 3_600.0  # the client pings, with a text

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        return BitgetSession(self) if path == PATH else Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"


class BitgetSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: BitgetProtocol) -> None:
        self._protocol = protocol

    def on_text(self, text: str, now_ns: int) -> Reaction:
        return Reaction([b"pong"]) if text == "ping" else super().on_text(text, now_ns)

    def on_request(self, request: dict[str, Any]) -> Reaction:
        reaction = Reaction()
        op, args = request.get("op"), request.get("args")
        if op not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            return self.refuse(msgspec.json.encode(request).decode())
        for arg in args:
            if not _is_channel(arg):
                reaction.replies.append(_refusal(op, arg, 30016, "Param error"))
                if isinstance(arg, dict):
                    reaction.refused.append(self._refused(arg))
                continue
            name = _name(arg)
            if arg["instType"] != "SPOT" or not self._protocol.offers(name):
                said = ",".join(f"{word}:{arg[word]}" for word in ("instType", "channel", "instId"))
                reaction.replies.append(_refusal(op, arg, 30001, f"{said},precision:null doesn't exist"))
                reaction.refused.append(self._refused(arg))
                continue
            reaction.replies.append(msgspec.json.encode({"event": op, "arg": arg}))
            (reaction.subscribed if op == "subscribe" else reaction.unsubscribed).append(name)
        return reaction

    def refuse(self, text: str) -> Reaction:
        shown = text[:200].encode("utf-8", "replace").decode()
        return Reaction(
            [msgspec.json.encode({"event": "error", "code": 30002, "msg": f"Unrecognized request:{shown}"})]
        )

    def _refused(self, arg: dict[str, Any]) -> Refusal:
        native = arg.get("instId")
        return Refusal(_name(arg), self._protocol.instrument(native) if isinstance(native, str) else None)


def _is_channel(arg: Any) -> bool:
    """Whether the venue has a channel of that name, for whichever instrument."""
    if not isinstance(arg, dict) or not all(isinstance(arg.get(word), str) for word in ("channel", "instId")):
        return False
    return arg.get("instType") in MARKETS and CHANNEL.fullmatch(arg["channel"]) is not None


def _name(arg: dict[str, Any]) -> str:
    return f"{arg.get('channel')}:{arg.get('instId')}"


def _refusal(op: str, arg: Any, code: int, message: str) -> bytes:
    return msgspec.json.encode({"event": "error", "arg": arg, "code": code, "msg": message, "op": op})
