"""Bybit's protocol from the exchange's side: websocket sessions, and the system's status beside them.

Sources: the venue's documentation of v5 "Connect" and "System Status". A client that joins a book while it is played
gets what follows; one that the playback waited for gets the whole book first, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.source import Instrument, Source

STATUS_PATH = "/v5/public/misc/status"
STATUS = "system.status"
MAX_ARGS = 21_000  # characters of all topics of a connection
SPOT_ARGS = 10  # topics a request of the spot market may name
FULL = "orderbook.full"
OPS = ("subscribe", "unsubscribe")


class BybitProtocol(PlainProtocol):
    """One market: "spot", "linear" or "inverse"."""

    ping_interval = 3_600.0  # the client pings, with a message
    pong_timeout = 600.0

    def __init__(self, name: str, market: str) -> None:
        self.name = name
        self.market = market

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        if path not in (f"/v5/public/{self.market}", STATUS_PATH):
            return Answer(404, b"", content_type="text/plain")
        return BybitSession(self, status=path == STATUS_PATH)

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}.{instrument.native}"

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        """The whole book beside orderbook.full, where a recording holds one."""
        if path != "/v5/market/full_orderbook":
            return Answer(404, b"", content_type="text/plain")
        instrument = self.instrument(query.get("symbol", ""))
        if query.get("category") != self.market or instrument is None:
            return Answer(200, msgspec.json.encode({"retCode": 10001, "retMsg": "params error", "result": {}}))
        book = source.depth(instrument.symbol, 10_000)
        if not isinstance(book, bytes):
            return Answer(503, msgspec.json.encode({"retCode": 10016, "retMsg": "no book is recorded", "result": {}}))
        return Answer(200, book)


class BybitSession(PlainSession):
    """One client's topics."""

    def __init__(self, protocol: BybitProtocol, *, status: bool) -> None:
        self._protocol = protocol
        self._status = status
        self._topics: dict[str, None] = {}

    def on_request(self, request: dict[str, Any]) -> Reaction:
        op, args, number = request.get("op"), request.get("args"), request.get("req_id", "")
        if op == "ping":
            return Reaction([_answer(True, "pong", number, "ping")])
        if op not in OPS:
            return Reaction([_answer(False, "error:unknown op", number, _text(op))])
        if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
            return Reaction([_answer(False, "Params Error", number, op)])
        return self._change(op, list(dict.fromkeys(args)), number)

    def _change(self, op: str, args: list[str], number: object) -> Reaction:
        wrong = self._problem(op, args)
        if wrong:
            return Reaction([_answer(False, wrong, number, op)], refused=self._missing(args))
        # A snapshot may come before the answer; the emulator keeps to the usual order.
        reaction = Reaction([_answer(True, "", number, op)])
        if op == "subscribe":
            self._topics.update(dict.fromkeys(args))
            reaction.subscribed = args
        else:
            for arg in args:
                self._topics.pop(arg, None)
            reaction.unsubscribed = args
        return reaction

    def _problem(self, op: str, args: list[str]) -> str:
        if self._protocol.market == "spot" and len(args) > SPOT_ARGS:
            return f"args size >{SPOT_ARGS}"
        if op == "subscribe" and sum(len(arg) for arg in (*self._topics, *args)) > MAX_ARGS:
            return f"args exceed {MAX_ARGS} characters"
        for arg in args:
            if not self._known(arg):
                return f"error:handler not found,topic:{arg[:80]}"
            if op == "subscribe" and arg in self._topics:
                return f"error:already subscribed,topic:{arg}"
        return ""

    def _known(self, arg: str) -> bool:
        return arg == STATUS if self._status else self._protocol.offers(arg)

    def _missing(self, args: list[str]) -> list[Refusal]:
        missing = [arg for arg in args if not self._known(arg)]
        return [Refusal(arg, self._protocol.instrument(arg.rpartition(".")[2])) for arg in missing]

    def refuse(self, text: str) -> Reaction:
        return Reaction([_answer(False, "error:request format", "", "")])


def _text(value: object) -> str:
    return value[:40].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _answer(success: bool, message: str, number: object, op: str) -> bytes:
    return msgspec.json.encode(
        {"success": success, "ret_msg": message, "conn_id": "00000000-0000-0000-0000-000000000000",
         "req_id": _text(number), "op": op}
    )  # fmt: skip
