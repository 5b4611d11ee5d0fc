"""Binance's protocol from the exchange's side: websocket sessions and stream names. REST is in binance_rest.py.

Sources: the venue's documentation of "WebSocket Streams" and "Live Subscribing/Unsubscribing". Spot and USD-M differ
in the numbers of `Dialect` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mdtool.clock import SECOND
from mdtool.errors import UnknownVenue
from mdtool.exchange.binance_rest import COINM_REST, SPOT_REST, USDM_REST, RestDialect, answer
from mdtool.exchange.protocol import POLICY_VIOLATION, Answer, Offering, Reaction, Refusal
from mdtool.exchange.source import Instrument, Source

MAX_STREAMS = 1024  # one connection may listen to
BURST = 8  # seconds' worth of inbound messages a client may send at once before the limit bites
MAX_INBOUND = 64 << 10  # bytes; 1024 stream names take about half of it
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
MAX_ID = 2**63 - 1
MAX_ID_TEXT = 36

# USD-M has split its streams over routed paths since 2026-04-23. A routed socket takes a subscription to any stream and
# is silent for those of the other route. Before that date, and still in test environments, the unrouted path carries
# all of them; the emulator keeps it so, because feeds recorded earlier were recorded that way.
# Whether `trade` belongs to /public is not in the venue's notice, which names depth and bookTicker.
ROUTES = {"public": frozenset({"depth", "bookTicker", "trade"})}
ROUTE_OF_REST = "market"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between two markets of Binance."""

    name: str
    messages_per_second: int  # inbound, pings and pongs included
    ping_interval: float
    pong_timeout: float
    routed: bool
    rest: RestDialect


SPOT = Dialect("binance", 5, 20.0, 60.0, False, SPOT_REST)
USDM = Dialect("binance-usdm", 10, 180.0, 600.0, True, USDM_REST)
COINM = Dialect("binance-coinm", 10, 180.0, 600.0, False, COINM_REST)
DIALECTS = {"binance": SPOT, "sim": SPOT, "binance-usdm": USDM, "binance-coinm": COINM}


class BinanceProtocol(Offering):
    """The protocol of one market. `ping_interval` and `pong_timeout` (seconds) replace the venue's own."""

    def __init__(
        self, dialect: Dialect, *, ping_interval: float | None = None, pong_timeout: float | None = None
    ) -> None:
        self.dialect = dialect
        self.name = dialect.name
        self.ping_interval = dialect.ping_interval if ping_interval is None else ping_interval
        self.pong_timeout = dialect.pong_timeout if pong_timeout is None else pong_timeout
        self.max_inbound_bytes = MAX_INBOUND

    def open(self, path: str, query: Mapping[str, str]) -> BinanceSession | Answer:
        parts = [part for part in path.split("/") if part]
        route = None
        if self.dialect.routed and parts and parts[0] in (*ROUTES, ROUTE_OF_REST):
            route = parts.pop(0)
        if parts == ["stream"]:
            names = [name for name in query.get("streams", "").split("/") if name]
            wrapped = True
        elif parts and parts[0] == "ws":
            names, wrapped = parts[1:], False
        else:
            return Answer(404, b"", content_type="text/plain")
        names = list(dict.fromkeys(names))
        if len(names) > MAX_STREAMS:
            return Answer(400, f"too many streams: {len(names)} of {MAX_STREAMS}".encode(), {}, "text/plain")
        return BinanceSession(self, route, names, wrapped)

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        return f"{instrument.native.lower()}@{stream}"

    def frame(self, name: str, payload: bytes, wrapped: bool) -> bytes:
        prefix = f'{{"stream":"{name}","data":'.encode()
        if payload.startswith(prefix):
            return payload if wrapped else payload[len(prefix) : -1]
        data = _unwrap(payload)
        if wrapped:
            return prefix + payload + b"}" if data is None else payload
        return payload if data is None else data

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        return answer(self.dialect.rest, method, path, query, source)


class BinanceSession:
    """One client's subscriptions, and the venue's answers to its requests."""

    def __init__(self, protocol: BinanceProtocol, route: str | None, names: list[str], wrapped: bool) -> None:
        self.wrapped = wrapped
        self._protocol = protocol
        self._route = route
        self._initial = names
        self._names: dict[str, None] = {}  # in the order subscribed
        self._rate = protocol.dialect.messages_per_second
        self._allowance = float(self._rate * BURST)
        self._seen_ns: int | None = None

    def opened(self) -> Reaction:
        reaction = Reaction()
        self._subscribe(self._initial, reaction, None)
        return reaction

    def on_text(self, text: str, now_ns: int) -> Reaction:
        reaction = self.on_control(now_ns)
        if reaction.close:
            return reaction
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            reaction.replies.append(_error(3, f"Invalid JSON: {_printable(error)}", None))
            return reaction
        self._request(request, reaction)
        return reaction

    def on_control(self, now_ns: int) -> Reaction:
        since = 0 if self._seen_ns is None else now_ns - self._seen_ns
        self._seen_ns = now_ns
        self._allowance = min(self._rate * BURST, self._allowance + self._rate * since / SECOND) - 1
        return Reaction(close=(POLICY_VIOLATION, "Too many requests") if self._allowance < 0 else None)

    def sent(self, frame: bytes) -> bytes:
        return frame

    def on_binary(self, now_ns: int) -> Reaction:
        reaction = self.on_control(now_ns)
        reaction.close = reaction.close or (POLICY_VIOLATION, "Binary frames are not supported")
        return reaction

    def _request(self, request: Any, reaction: Reaction) -> None:
        if not isinstance(request, dict):
            reaction.replies.append(_error(2, "Invalid request: expected a JSON object", None))
            return
        number = request.get("id")
        if not _valid_id(number):
            message = "Invalid request: request ID must be an unsigned integer"
            reaction.replies.append(_error(2, message, None))
            return
        method: Any = request.get("method")
        params: Any = request.get("params")
        problem = _problem(request, method, params)
        if problem:
            reaction.replies.append(_error(*problem, number))
        elif method == "LIST_SUBSCRIPTIONS":
            reaction.replies.append(_result(list(self._names), number))
        elif method == "GET_PROPERTY":
            reaction.replies.append(_result(self.wrapped, number))
        elif method == "SET_PROPERTY":
            self.wrapped = params[1]
            reaction.replies.append(_result(None, number))
        elif method == "UNSUBSCRIBE":
            reaction.unsubscribed = [name for name in dict.fromkeys(params) if name in self._names]
            for name in reaction.unsubscribed:
                del self._names[name]
            reaction.unsubscribed = [name for name in reaction.unsubscribed if self._carries(name)]
            reaction.replies.append(_result(None, number))
        else:
            self._subscribe(params, reaction, number)
            if reaction.close is None and not reaction.refused:
                reaction.replies.append(_result(None, number))

    def _subscribe(self, names: list[str], reaction: Reaction, number: Any) -> None:
        """One name that is not there costs the whole request. (The venue refuses so what can be no stream's name, and
        is silent for one that could be; here nobody is left to wait.)"""
        fresh = [name for name in dict.fromkeys(names) if name not in self._names]
        if len(self._names) + len(fresh) > MAX_STREAMS:
            reaction.close = (POLICY_VIOLATION, f"Too many streams: the limit is {MAX_STREAMS}")
            return
        protocol = self._protocol
        missing = [name for name in fresh if not protocol.offers(name)]
        if missing:
            reaction.replies.append(_error(2, "Invalid request: invalid stream", number))
            reaction.refused = [Refusal(name, protocol.instrument(name.partition("@")[0].upper())) for name in missing]
            return
        self._names.update(dict.fromkeys(fresh))
        reaction.subscribed = [name for name in fresh if self._carries(name)]

    def _carries(self, name: str) -> bool:
        if self._route is None:
            return True
        word = name.partition("@")[2].partition("@")[0]
        kind = word.rstrip("0123456789") if word.startswith("depth") else word
        return next((route for route, kinds in ROUTES.items() if kind in kinds), ROUTE_OF_REST) == self._route


def protocol_for(
    venue: str, *, ping_interval: float | None = None, pong_timeout: float | None = None
) -> BinanceProtocol:
    """The protocol a venue is served with. UnknownVenue if the emulator does not speak it."""
    dialect = DIALECTS.get(venue)
    if dialect is None:
        raise UnknownVenue(f"cannot serve {venue!r}: the emulator speaks for {', '.join(sorted(DIALECTS))}")
    return BinanceProtocol(dialect, ping_interval=ping_interval, pong_timeout=pong_timeout)


def _problem(request: dict[str, Any], method: Any, params: Any) -> tuple[int, str] | None:
    """The venue's error code and message for a request it cannot take."""
    if "method" not in request:
        return 2, "Invalid request: missing field `method`"
    if method not in METHODS:
        known = ", ".join(f"`{name}`" for name in METHODS)
        return 2, f"Invalid request: unknown variant `{_printable(method)}`, expected one of {known}"
    if method == "LIST_SUBSCRIPTIONS":
        return (2, "Invalid request: too many parameters") if params else None
    if not isinstance(params, list):
        return 2, "Invalid request: params must be an array"
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        valid = all(isinstance(name, str) and name for name in params)
        return None if valid else (2, "Invalid request: params must be stream names")
    if not params or not isinstance(params[0], str):
        return 2, "Invalid request: property name must be a string"
    if params[0] != "combined":
        return 0, "Unknown property"
    if len(params) > (2 if method == "SET_PROPERTY" else 1):
        return 2, "Invalid request: too many parameters"
    if method == "SET_PROPERTY" and (len(params) < 2 or not isinstance(params[1], bool)):
        return 1, "Invalid value type: expected Boolean"
    return None


def _valid_id(number: Any) -> bool:
    """An integer of 64 bits, a short text or null; the venue takes no request with any other."""
    if number is None:
        return True
    if isinstance(number, str):
        return len(number) <= MAX_ID_TEXT
    return isinstance(number, int) and not isinstance(number, bool) and -MAX_ID - 1 <= number <= MAX_ID


def _result(result: Any, number: Any) -> bytes:
    return msgspec.json.encode({"result": result, "id": number})


def _error(code: int, message: str, number: Any) -> bytes:
    # The documentation prints the inner object; connections have been seen to wrap it in "error".
    body: dict[str, Any] = {"error": {"code": code, "msg": message}}
    if number is not None:
        body["id"] = number
    return msgspec.json.encode(body)


def _printable(value: object) -> str:
    """What a client sent, short enough to send back."""
    return str(value)[:80].encode("utf-8", "replace").decode()


class _Wrapped(msgspec.Struct):
    stream: str
    data: msgspec.Raw


_WRAPPED = msgspec.json.Decoder(_Wrapped)


def _unwrap(payload: bytes) -> bytes | None:
    """The data of a combined payload written in another way than the venue's usual; None where it is not combined."""
    try:
        return bytes(_WRAPPED.decode(payload).data)
    except (msgspec.DecodeError, UnicodeError):
        return None
