"""Gate's protocol from the exchange's side, spot and futures: channels, their ping, and the book over REST.

Rule: what is recorded is sent as it is. One class, and a row of `Dialect` per market.

Sources: www.gate.com/docs/developers "Spot WebSocket v4", "Futures WebSocket v4", REST "Retrieve order book".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.rendering import ladder, objects
from mdtool.exchange.source import BookView, Instrument, Source
from mdtool.model import format_decimal

MAX_LEVELS = 1_000
BAD_REQUEST, BAD_ARGUMENT = 1, 2  # the venue's codes


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the markets."""

    name: str
    path: str  # of the websocket
    prefix: str  # of its channels
    book_path: str
    book_key: str  # of the symbol in a REST query
    contracts: bool  # sizes are bare numbers, rows objects


SPOT = Dialect("gate", "/ws/v4/", "spot", "/api/v4/spot/order_book", "currency_pair", False)
FUTURES = Dialect("gate-futures", "/v4/ws/usdt", "futures", "/api/v4/futures/usdt/order_book", "contract", True)


class GateProtocol(PlainProtocol):
    """The channels of whatever the source serves."""

    ping_interval = 60.0

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.name = dialect.name

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        if path.rstrip("/") == self.dialect.path.rstrip("/"):
            return GateSession(self)
        return Answer(404, b"", content_type="text/plain")

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{stream}:{instrument.native}"

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        if method != "GET" or path != self.dialect.book_path:
            return Answer(404, b'{"label":"NOT_FOUND","message":"not found"}')
        instrument = self.instrument(query.get(self.dialect.book_key, ""))
        if instrument is None:
            return Answer(400, b'{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair"}')
        asked = query.get("limit", "10")
        if not (asked.isascii() and asked.isdigit() and len(asked) <= 6):
            return Answer(400, b'{"label":"INVALID_PARAM_VALUE","message":"Invalid request parameter `limit` value"}')
        book = source.depth(instrument.symbol, min(int(asked) or 10, MAX_LEVELS))
        if book is None:
            return Answer(503, b'{"label":"SERVER_ERROR","message":"no book is known at this point"}')
        return Answer(200, book if isinstance(book, bytes) else self._render(book, query.get("with_id") == "true"))

    def _render(self, book: BookView, with_id: bool) -> bytes:
        rows = objects if self.dialect.contracts else ladder
        asks, bids = rows(book.asks, book.scale), rows(book.bids, book.scale)
        ms = book.venue_ns // 10**6
        number = f'"id":{book.last_id},' if with_id else ""
        when = format_decimal(ms, -3) if self.dialect.contracts else str(ms)  # seconds; milliseconds
        return f'{{{number}"current":{when},"update":{when},"asks":[{asks}],"bids":[{bids}]}}'.encode()


class GateSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: GateProtocol) -> None:
        self._protocol = protocol

    def on_request(self, request: dict[str, Any]) -> Reaction:
        channel, event, payload = request.get("channel"), request.get("event"), request.get("payload")
        prefix = self._protocol.dialect.prefix
        if channel == f"{prefix}.ping":
            return self._answer(f"{prefix}.pong", "", {"result": None})
        if not isinstance(channel, str) or event not in ("subscribe", "unsubscribe"):
            return self.refuse("")
        head, _, name = channel.partition(".")
        wanted = _wanted(name, payload) if head == prefix and name else []
        if not wanted:
            return self._refused(channel, event, BAD_ARGUMENT, f"unknown channel or payload: {channel[:80]}")
        names = [f"{stream}:{native}" for stream, native in wanted]
        missing = [Refusal(f"{stream}:{native}", self._protocol.instrument(native)) for stream, native in wanted
                   if not self._protocol.offers(f"{stream}:{native}")]  # fmt: skip
        if missing:
            native = missing[0].name.rpartition(":")[2][:80]
            wrong = f"unknown currency pair {native}" if missing[0].instrument is None else f"unknown channel {channel}"
            reaction = self._refused(channel, event, BAD_ARGUMENT, wrong)
            reaction.refused = missing
            return reaction
        reaction = self._answer(channel, event, {"result": {"status": "success"}})
        (reaction.subscribed if event == "subscribe" else reaction.unsubscribed).extend(names)
        return reaction

    def refuse(self, text: str) -> Reaction:
        return self._refused("", "", BAD_REQUEST, "invalid request body format")

    def _refused(self, channel: str, event: str, code: int, message: str) -> Reaction:
        return self._answer(channel, event, {"error": {"code": code, "message": message}, "result": None})

    def _answer(self, channel: str, event: str, more: dict[str, Any]) -> Reaction:
        ms = self._protocol.source.now_ms()
        said = {"time": ms // 1000, "time_ms": ms, "channel": channel, "event": event, **more}
        return Reaction([msgspec.json.encode(said)])


def _wanted(name: str, payload: Any) -> list[tuple[str, str]]:
    """(stream, native symbol) of each subscription; none where the payload is not the channel's."""
    if not isinstance(payload, list) or not payload or not all(isinstance(arg, str) for arg in payload):
        return []
    if name == "order_book_update":
        return [(name, payload[0])] if 2 <= len(payload) <= 3 else []
    if name == "candlesticks":
        return [(f"{name}-{payload[0]}", payload[1])] if len(payload) == 2 else []
    if name == "obu":
        parts = [arg.split(".") for arg in payload]
        return [(f"{name}-{part[2]}", part[1]) for part in parts] if all(len(part) == 3 for part in parts) else []
    return [(name, native) for native in payload]
