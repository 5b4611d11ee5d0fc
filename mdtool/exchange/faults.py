"""Faults an exchange can have, injected on purpose and exactly where they are asked for.

They stand between the source and the server, so that a source stays true and a server stays plain: what the source
says is known, what clients were told is in the server's log, and the difference is the fault. Messages are counted
from 1, and only those that somebody listened to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from mdtool.errors import UsageError
from mdtool.exchange.source import Outlet, Passing

Door = Literal["connect", "rest"]


@dataclass(frozen=True, slots=True)
class Drop:
    """The `nth` message of the streams matching `stream` (a wire name or a glob of it) is lost."""

    stream: str
    nth: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """It is sent twice."""

    stream: str
    nth: int


@dataclass(frozen=True, slots=True)
class Swap:
    """It is sent after the next one of its own stream."""

    stream: str
    nth: int


@dataclass(frozen=True, slots=True)
class Delay:
    """It, and what follows it in its own stream meanwhile, is sent `seconds` later; the stream's order is kept."""

    stream: str
    nth: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Every connection is ended after `after` messages: by the transport alone, or with a close frame of `code`."""

    after: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The next `times` websocket handshakes, or REST requests, are answered with this status."""

    door: Door
    status: int  # 451: the region is refused; 429 and 418: back off
    times: int = 1
    retry_after: int | None = None  # seconds
    body: bytes = b'{"code":-1003,"msg":"Refused on purpose."}'


Fault = Drop | Repeat | Swap | Delay | Cut | Refuse
_OnMessage = Drop | Repeat | Swap | Delay


class Trouble(Protocol):
    """Faults that stand in front of a server's clients."""

    def refuse(self, door: Door) -> Refuse | None:
        """The refusal for a request at this door, if one is due. Uses it up."""
        ...

    def around(self, outlet: Outlet, name: Callable[[str, str], str]) -> Outlet:
        """The outlet with these faults in front of it. `name` gives the wire name of (symbol, stream)."""
        ...


class Faults:
    """A plan of faults for one server. Each happens once (`Refuse`: `times` times)."""

    def __init__(self, *faults: Fault) -> None:
        for fault in faults:
            number = fault.after if isinstance(fault, Cut) else fault.times if isinstance(fault, Refuse) else fault.nth
            if number < 1:
                raise UsageError(f"a fault counts from 1, not {number}: {fault}")
        self._on_message: list[_OnMessage] = [f for f in faults if isinstance(f, Drop | Repeat | Swap | Delay)]
        self._cuts = [fault for fault in faults if isinstance(fault, Cut)]
        self._refusals = [[fault, fault.times] for fault in faults if isinstance(fault, Refuse)]

    def refuse(self, door: Door) -> Refuse | None:
        for entry in self._refusals:
            fault, left = entry
            assert isinstance(fault, Refuse) and isinstance(left, int)
            if left and fault.door == door:
                entry[1] = left - 1
                return fault
        return None

    def around(self, outlet: Outlet, name: Callable[[str, str], str]) -> Outlet:
        return _FaultyOutlet(outlet, name, self._on_message, self._cuts)


class _FaultyOutlet(Passing):
    """An outlet that misbehaves as planned."""

    def __init__(
        self,
        outlet: Outlet,
        name: Callable[[str, str], str],
        faults: list[_OnMessage],
        cuts: list[Cut],
    ) -> None:
        super().__init__(outlet)
        self._name = name
        self._faults = [(fault, _Counter(fault.nth)) for fault in faults]
        self._cuts = [(cut, _Counter(cut.after)) for cut in cuts]
        self._swapped: dict[str, bytes] = {}
        self._delayed: dict[str, deque[bytes]] = {}

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        if not self._outlet.listeners(symbol, stream):
            self._outlet.publish(symbol, stream, payload)
            return
        name = self._name(symbol, stream)
        due = [fault for fault, counter in self._faults if fnmatchcase(name, fault.stream) and counter.reached()]
        messages = [payload]
        swap = False
        for fault in due:
            if isinstance(fault, Drop):
                messages = []
                self._outlet.lose(symbol, stream, payload)
            elif isinstance(fault, Repeat):
                messages = messages * 2
            elif isinstance(fault, Delay):
                self._delayed.setdefault(name, deque())
                asyncio.get_running_loop().call_later(fault.seconds, self._release, name, symbol, stream)
            else:
                swap = True
        if swap and messages:
            self._swapped[name] = payload
            return
        if messages and name in self._swapped:
            messages.append(self._swapped.pop(name))
        for message in messages:
            if name in self._delayed:
                self._delayed[name].append(message)
            else:
                self._send(symbol, stream, message)

    def _release(self, name: str, symbol: str, stream: str) -> None:
        for message in self._delayed.pop(name, ()):
            self._send(symbol, stream, message)

    def _send(self, symbol: str, stream: str, payload: bytes) -> None:
        self._outlet.publish(symbol, stream, payload)
        for cut, counter in self._cuts:
            if counter.reached():
                self._outlet.cut(cut.code)


class _Counter:
    """Says once that a number is reached."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._count = 0

    def reached(self) -> bool:
        self._count += 1
        return self._count == self._target
