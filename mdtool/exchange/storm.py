"""Faults at random, as many as a bad day has: each message may be lost, repeated, sent late or damaged, and may be the
last of its connection.

Rule: what is done is told to a ledger, message by message, so that whoever records the exchange can be held to it; and
it follows from the seed and the messages listened to alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from random import Random
from typing import NamedTuple

from mdtool.clock import Clock, SystemClock
from mdtool.errors import UsageError
from mdtool.exchange.faults import Door, Refuse
from mdtool.exchange.source import Outlet, Passing


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of the messages that somebody listens to meet which fault, as shares of 1."""

    drop: float = 0.0  # it is lost on its way
    repeat: float = 0.0  # it is sent twice
    swap: float = 0.0  # it is sent after the next one of its stream
    corrupt: float = 0.0  # it is cut short
    cut: float = 0.0  # with it every connection ends, without a word

    @classmethod
    def parse(cls, text: str) -> Shares:
        """From `drop=0.001,cut=0.00001`. Raises UsageError."""
        known = {field.name for field in fields(cls)}
        shares: dict[str, float] = {}
        for item in text.split(","):
            name, _, share = item.strip().partition("=")
            try:
                value = float(share)
            except ValueError:
                value = -1.0
            if name not in known or name in shares or not 0.0 <= value <= 1.0:
                raise UsageError(
                    f"faults {text!r}: expected {', '.join(sorted(known))}, each once and with its share of the "
                    "messages, as in drop=0.001,cut=0.00001"
                )
            shares[name] = value
        if sum(shares.values()) > 1.0:
            raise UsageError(f"faults {text!r}: the shares are more than all messages")
        return cls(**shares)


class Injected(NamedTuple):
    """One fault, and the message it was done to, as the exchange would have sent it. It is told when it is decided:
    before whatever of it is sent."""

    fault: str
    symbol: str
    stream: str
    payload: bytes

    def line(self) -> str:
        """As JSON."""
        said = {"fault": self.fault, "symbol": self.symbol, "stream": self.stream}
        return json.dumps({**said, "message": self.payload.decode()})


class Storm:
    """Faults in front of an outlet, by chance, for so long from the first message on that somebody listens to (None:
    without end). `ledger` gets each as it is done."""

    def __init__(
        self, shares: Shares, ledger: Callable[[Injected], None], *, seed: int = 1, for_ns: int | None = None,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._shares = [(field.name, getattr(shares, field.name)) for field in fields(Shares)]
        self._ledger = ledger
        self._random = Random(f"storm/{seed}")
        self._clock: Clock = clock or SystemClock()
        self._for_ns = for_ns
        self._until_ns: int | None = None
        self._over = False

    def stop(self) -> None:
        """No more of it; what was held back comes with the next message of its stream."""
        self._over = True

    def refuse(self, door: Door) -> Refuse | None:
        """It troubles messages only."""
        return None

    def around(self, outlet: Outlet, name: Callable[[str, str], str]) -> Outlet:
        """The outlet in the storm."""
        return _Stormy(self, outlet)

    def decide(self) -> str:
        """What happens to the next message; "" where nothing does."""
        if self._over or self._is_past():
            return ""
        roll = self._random.random()
        for fault, share in self._shares:
            if roll < share:
                return fault
            roll -= share
        return ""

    def _is_past(self) -> bool:
        if self._for_ns is None:
            return False
        now_ns = self._clock.monotonic_ns()
        if self._until_ns is None:
            self._until_ns = now_ns + self._for_ns
        return now_ns >= self._until_ns

    def tell(self, injected: Injected) -> None:
        self._ledger(injected)

    def spoil(self, frame: bytes) -> bytes:
        """A frame that breaks off, as no JSON does."""
        return frame[: self._random.randrange(1, len(frame))]


class _Stormy(Passing):
    """An outlet in a storm."""

    def __init__(self, storm: Storm, outlet: Outlet) -> None:
        super().__init__(outlet)
        self._storm = storm
        self._held: dict[tuple[str, str], bytes] = {}  # what is to be sent after the next one

    def publish(self, symbol: str, stream: str, payload: bytes) -> None:
        outlet, key = self._outlet, (symbol, stream)
        fault = self._storm.decide() if outlet.listeners(symbol, stream) else ""
        if fault == "swap" and key in self._held:
            fault = ""  # one is late already
        if fault:
            self._storm.tell(Injected(fault, symbol, stream, payload))
        if fault == "swap":
            self._held[key] = payload
            return
        if fault == "drop":
            outlet.lose(symbol, stream, payload)
        elif fault == "corrupt":
            outlet.corrupt(symbol, stream, payload, self._storm.spoil)
        else:
            outlet.publish(symbol, stream, payload)
        if fault == "repeat":
            outlet.publish(symbol, stream, payload)
        if (late := self._held.pop(key, None)) is not None:
            outlet.publish(symbol, stream, late)
        if fault == "cut":
            outlet.cut(None)
