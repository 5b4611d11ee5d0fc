"""KuCoin's protocol from the exchange's side: the request for a server, the welcome, topics, the ping, the book.

Rule: what is recorded is sent as it is.

Sources: www.kucoin.com/docs "Apply connect token", "Create connection", "Subscribe", "Get part order book".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer, PlainProtocol, PlainSession, Reaction, Refusal, Session
from mdtool.exchange.rendering import ladder
from mdtool.exchange.source import BookView, Instrument, Source

BULLET = "/api/v1/bullet-public"
BOOKS = {  # path -> levels a side
    "/api/v1/market/orderbook/level2_20": 20,
    "/api/v1/market/orderbook/level2_100": 100,
    "/api/v3/market/orderbook/level2": 1_000_000,
}
ENDPOINT = "/endpoint"
PING_INTERVAL = 18_000  # ms
PING_TIMEOUT = 10_000
MAX_SYMBOLS = 100  # a topic takes at once
SPOT_TOPICS = frozenset({"level1", "level2Depth5", "level2Depth50"})


class KucoinProtocol(PlainProtocol):
    """The topics of whatever the source serves. `token` is what every client is given."""

    name = "kucoin"
    ping_interval = 3_600.0  # clients ping with a message

    def __init__(self, token: str = "emulated") -> None:
        self.token = token

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        if path != ENDPOINT:
            return Answer(404, b"", content_type="text/plain")
        if query.get("token") != self.token:
            return Answer(401, b'{"code":"401","data":"token is invalid"}')
        return KucoinSession(self, query.get("connectId", "emulated"))

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        name, line, form = stream.partition("_")
        return f"/{'spotMarket' if name in SPOT_TOPICS else 'market'}/{name}:{instrument.native}{line}{form}"

    def of(self, topic: str) -> Instrument | None:
        """The instrument that a topic names, where it is served."""
        return self.instrument(topic.partition(":")[2].partition("_")[0])

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        if (method, path) == ("POST", BULLET):
            return Answer(200, self._bullet())
        if method != "GET" or path not in BOOKS:
            return Answer(404, b'{"code":"404","msg":"Not Found"}')
        instrument = self.instrument(query.get("symbol", ""))
        if instrument is None:
            return Answer(200, b'{"code":"900001","msg":"symbol not exists"}')
        book = source.depth(instrument.symbol, BOOKS[path])
        if book is None:
            return Answer(503, b'{"code":"503","msg":"no book is known at this point"}')
        return Answer(200, book if isinstance(book, bytes) else _render(book))

    def _bullet(self) -> bytes:
        server = {
            "endpoint": self.websocket + ENDPOINT,
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": PING_INTERVAL,
            "pingTimeout": PING_TIMEOUT,
        }
        return msgspec.json.encode({"code": "200000", "data": {"token": self.token, "instanceServers": [server]}})


class KucoinSession(PlainSession):
    """One client's subscriptions."""

    def __init__(self, protocol: KucoinProtocol, number: str) -> None:
        self._protocol = protocol
        self._number = number[:64].encode("utf-8", "replace").decode()

    def opened(self) -> Reaction:
        return Reaction([msgspec.json.encode({"id": self._number, "type": "welcome"})])

    def on_request(self, request: dict[str, Any]) -> Reaction:
        kind, topic = request.get("type"), request.get("topic")
        number = str(request.get("id", ""))[:64]
        if kind == "ping":
            return Reaction([msgspec.json.encode({"id": number, "type": "pong"})])
        if kind not in ("subscribe", "unsubscribe"):
            return _refused(number, 400, "type is not supported")
        names = _names(topic)
        missing = [name for name in names if not self._protocol.offers(name)]
        if missing or not names:
            refused = _refused(number, 404, f"topic {str(topic)[:80]} is not found")
            refused.refused = [Refusal(name, self._protocol.of(name)) for name in missing]
            return refused
        if len(names) > MAX_SYMBOLS:
            return _refused(number, 509, f"exceed max subscription count limitation of {MAX_SYMBOLS} per time")
        replies = [msgspec.json.encode({"id": number, "type": "ack"})] if request.get("response") is True else []
        if kind == "subscribe":
            return Reaction(replies, subscribed=names)
        return Reaction(replies, unsubscribed=names)

    def refuse(self, text: str) -> Reaction:
        return _refused("", 400, "invalid message")


def _names(topic: Any) -> list[str]:
    """The wire names behind a topic of several symbols."""
    head, colon, tail = topic.partition(":") if isinstance(topic, str) else ("", "", "")
    if not colon or not head.startswith(("/market/", "/spotMarket/")):
        return []
    return [f"{head}:{word}" for word in dict.fromkeys(tail.split(","))]


def _refused(number: str, code: int, message: str) -> Reaction:
    return Reaction([msgspec.json.encode({"id": number, "type": "error", "code": code, "data": message})])


def _render(book: BookView) -> bytes:
    ms = book.venue_ns // 10**6
    bids, asks = ladder(book.bids, book.scale), ladder(book.asks, book.scale)
    data = f'{{"time":{ms},"sequence":"{book.last_id}","bids":[{bids}],"asks":[{asks}]}}'
    return f'{{"code":"200000","data":{data}}}'.encode()
