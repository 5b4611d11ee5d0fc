"""What a venue's protocol is to the server. Sans-IO: text and times in, answers out; no socket, no clock, no await.

One file a venue implements it. The server owns sockets, buffers and the table of who listens to which stream; a
`Session` owns what one client has asked for and what the venue says to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

from mdtool.exchange.source import Instrument, Source

POLICY_VIOLATION = 1008  # close code of RFC 6455, with which venues end who breaks their limits


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}  # never written to
    content_type: str = "application/json"


class Refusal(NamedTuple):
    """A stream that a client asked for and that is not there."""

    name: str  # as it was asked for
    instrument: Instrument | None  # of which it would be, where that is served


@dataclass(slots=True)
class Reaction:
    """What follows from something a client sent, in this order."""

    replies: list[bytes] = field(default_factory=list)  # text frames to it
    subscribed: list[str] = field(default_factory=list)  # wire names of streams it now gets
    unsubscribed: list[str] = field(default_factory=list)
    close: tuple[int, str] | None = None  # end it with this code and reason
    refused: list[Refusal] = field(default_factory=list)  # what the replies say no to, as it is not there


class Session(Protocol):
    """One websocket client, as the venue sees it."""

    wrapped: bool  # whether a message is sent with the name of its stream around it

    def opened(self) -> Reaction:
        """The connection stands."""
        ...

    def on_text(self, text: str, now_ns: int) -> Reaction:
        """A text frame came. `now_ns` is a monotonic time."""
        ...

    def on_control(self, now_ns: int) -> Reaction:
        """A ping or pong came, which counts against the limit on messages."""
        ...

    def on_binary(self, now_ns: int) -> Reaction:
        """A binary frame came, which no venue here expects."""
        ...

    def sent(self, frame: bytes) -> bytes:
        """A text frame as this client gets it. Called for each, in the order they go out."""
        ...


class WireProtocol(Protocol):
    """One venue's protocol. Instances are shared by all clients of a server."""

    name: str
    ping_interval: float  # seconds between the server's pings
    pong_timeout: float  # seconds after which a ping without pong ends the connection
    max_inbound_bytes: int  # a larger frame from a client ends the connection

    def attach(self, source: Source, websocket: str) -> None:
        """The server stands: what it serves, and the base of its websocket URLs. Called once, before any client."""
        ...

    def open(self, path: str, query: Mapping[str, str]) -> Session | Answer:
        """A session for a websocket request to this path, or the HTTP refusal."""
        ...

    def stream_name(self, instrument: Instrument, stream: str) -> str:
        """The wire name of an instrument's stream, as clients subscribe to it."""
        ...

    def frame(self, name: str, payload: bytes, wrapped: bool) -> bytes:
        """A published message as it goes to a client. The bytes of the data are never changed, only the wrapper is
        added or taken off."""
        ...

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        """The answer to an HTTP request."""
        ...

    def instead(self, refusal: Refusal) -> list[str]:
        """What is there instead, in the words a client would ask in: the instrument's streams, else the instruments."""
        ...

    def words(self) -> list[str]:
        """The streams there are, as who records them names them."""
        ...


class Offering(ABC):
    """What clients can subscribe to: the streams that the source publishes, by their wire names, and nothing else.

    A stream that one instrument has is there for the others too: who recorded them asked for it, and they were quiet.
    """

    source: Source
    websocket = ""
    _natives: Mapping[str, Instrument] = {}  # none before it is attached
    _offered: Set[str] = frozenset()

    def attach(self, source: Source, websocket: str) -> None:
        self.source = source
        self.websocket = websocket
        self._natives = {instrument.native: instrument for instrument in source.instruments}
        streams = {stream for instrument in source.instruments for stream in source.streams(instrument.symbol)}
        self._offered = {
            self.stream_name(instrument, stream) for instrument in source.instruments for stream in streams
        }

    @abstractmethod
    def stream_name(self, instrument: Instrument, stream: str) -> str:
        """As WireProtocol has it."""

    def instrument(self, native: str) -> Instrument | None:
        """What is served under the venue's spelling."""
        return self._natives.get(native)

    def offers(self, name: str) -> bool:
        """Whether the source publishes a stream of that wire name."""
        return name in self._offered

    def instead(self, refusal: Refusal) -> list[str]:
        instrument = refusal.instrument
        if instrument is None:
            return list(self._natives)
        return [self.asked(instrument, stream) for stream in self.source.streams(instrument.symbol)]

    def asked(self, instrument: Instrument, stream: str) -> str:
        """How a client asks for a stream."""
        return self.stream_name(instrument, stream)

    def words(self) -> list[str]:
        """The streams there are, as who records them names them."""
        return list(
            dict.fromkeys(
                self.word(instrument, stream)
                for instrument in self.source.instruments
                for stream in self.source.streams(instrument.symbol)
            )
        )

    def word(self, instrument: Instrument, stream: str) -> str:
        """A stream of an instrument, as who records it names it."""
        return stream


class PlainProtocol(Offering):
    """What most venues do alike: one kind of session at any path, messages sent as they are, no REST."""

    name: str
    ping_interval = 30.0
    pong_timeout = 60.0
    max_inbound_bytes = 64 << 10

    def frame(self, name: str, payload: bytes, wrapped: bool) -> bytes:
        return payload

    def rest(self, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
        return Answer(404, b"", content_type="text/plain")


class PlainSession(ABC):
    """A session that reads JSON objects. `on_request` is the venue's; `refuse` is its word for what is none."""

    wrapped = True

    def opened(self) -> Reaction:
        return Reaction()

    def on_text(self, text: str, now_ns: int) -> Reaction:
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.refuse(text)
        return self.on_request(request) if isinstance(request, dict) else self.refuse(text)

    @abstractmethod
    def on_request(self, request: dict[str, Any]) -> Reaction:
        """What to do about a client's request, a JSON object."""

    def refuse(self, text: str) -> Reaction:
        return Reaction(close=(POLICY_VIOLATION, "not a JSON object"))

    def on_control(self, now_ns: int) -> Reaction:
        return Reaction()

    def sent(self, frame: bytes) -> bytes:
        return frame

    def on_binary(self, now_ns: int) -> Reaction:
        return Reaction(close=(POLICY_VIOLATION, "Binary frames are not supported"))
