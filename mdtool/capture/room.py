"""What is done as the disk fills: said early, retention asked to act, and at the very end feeds let go, the last named
first, so that the others go on. They come back when there is room.

Rule: feeds are let go with an END that says why, while there is still room to write one. The last of them is never let
go: where not even that fits, the run ends as any that finds its store full.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from mdtool.clock import HOUR, MINUTE, SECOND, Clock
from mdtool.units import count, format_duration, format_size

EVERY = 5.0  # seconds between two looks
LOOKS = 60  # over which the rate is taken: five minutes
LOW_NS = HOUR  # where it is full within this, it is said and retention is asked to act
OUT_NS = 2 * MINUTE  # where within this, feeds are let go
LOW_BYTES = 256 * 1024 * 1024  # the same, whatever the rate: bursts, and what closing takes. Of a small disk a tenth
OUT_BYTES = 32 * 1024 * 1024  # and a fiftieth
BACK = 2  # times what counts as low has to be free before feeds come back
A_TIME = 4  # one feed of so many is let go at a look


class State(IntEnum):
    """How much room there is."""

    GOOD = 0
    LOW = 1
    OUT = 2


@dataclass(frozen=True, slots=True)
class Left:
    """What is free, and how long it lasts at the rate of late; None where nothing comes."""

    free_bytes: int
    total_bytes: int
    lasts_ns: int | None

    @property
    def state(self) -> State:
        lasts = self.lasts_ns if self.lasts_ns is not None else LOW_NS
        if self.free_bytes < min(OUT_BYTES, self.total_bytes // 50) or lasts < OUT_NS:
            return State.OUT
        return State.LOW if self.free_bytes < self.low_bytes or lasts < LOW_NS else State.GOOD

    @property
    def low_bytes(self) -> int:
        """Less than this is little, whatever the rate."""
        return min(LOW_BYTES, self.total_bytes // 10)

    @property
    def text(self) -> str:
        lasts = "" if self.lasts_ns is None else f", full in {format_duration(self.lasts_ns // SECOND * SECOND)}"
        return f"{format_size(self.free_bytes)} left{lasts}"


class Gauge:
    """How long the room lasts, from what is free and what has been recorded."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque(maxlen=LOOKS)

    def left(self, free_bytes: int, total_bytes: int, recorded_bytes: int, now_ns: int) -> Left:
        """As of now, by a monotonic clock."""
        self._points.append((now_ns, recorded_bytes))
        (since_ns, before), lasted = self._points[0], now_ns - self._points[0][0]
        grown = recorded_bytes - before
        lasts_ns = free_bytes * lasted // grown if grown > 0 and since_ns < now_ns else None
        return Left(free_bytes, total_bytes, lasts_ns)


class Room:
    """Keeps an eye on the room of one recorder.

    `free()` is what is left and of how much, in bytes, asked in a thread; `recorded()` the bytes recorded so far;
    `feeds()` the symbols that are recorded, most wanted first. `only(symbols, why)` has these recorded from then on;
    `hurry()` asks retention to act; `tell(note, text)` puts on record and says.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        free: Callable[[], tuple[int, int]],
        recorded: Callable[[], int],
        feeds: Callable[[], Sequence[str]],
        only: Callable[[Sequence[str], str], Awaitable[object]],
        hurry: Callable[[], None],
        tell: Callable[[dict[str, object], str], None],
    ) -> None:
        self._clock = clock
        self._free = free
        self._recorded = recorded
        self._feeds = feeds
        self._only = only
        self._hurry = hurry
        self._tell = tell
        self._gauge = Gauge()
        self._state = State.GOOD
        self.let_go: list[str] = []  # until there is room, the most wanted last
        self._worst = 0  # bytes a second, with all feeds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    def forget(self, symbols: Sequence[str] | None = None) -> None:
        """What is to be recorded is said anew, by a person: nothing of these, or of all, comes back by itself."""
        self.let_go = [] if symbols is None else [symbol for symbol in self.let_go if symbol not in symbols]

    async def look(self) -> None:
        """Once."""
        free, total = await asyncio.to_thread(self._free)
        left = self._gauge.left(free, total, self._recorded(), self._clock.monotonic_ns())
        if not self.let_go and left.lasts_ns:
            self._worst = left.free_bytes * SECOND // left.lasts_ns
        state = left.state
        if state is not self._state:
            self._state = state
            word = {State.GOOD: "there is room again", State.LOW: "room is running out", State.OUT: "no room is left"}
            self._tell(
                {"note": "room", "state": state.name.lower(), "free_bytes": free, "lasts_ns": left.lasts_ns},
                f"{word[state]}: {left.text}",
            )
        if state is not State.GOOD:
            self._hurry()
        if state is State.OUT:
            await self._let_some_go(left)
        elif self.let_go and self._has_come_back(left):
            await self._take_back()

    def _has_come_back(self, left: Left) -> bool:
        """Whether all feeds could be recorded for long enough at the rate they had."""
        return left.free_bytes >= BACK * max(left.low_bytes, self._worst * LOW_NS // SECOND)

    async def _let_some_go(self, left: Left) -> None:
        feeds = list(self._feeds())
        going = feeds[1:][-max(1, len(feeds) // A_TIME) :]
        if not going:
            return
        why = f"the disk is full: {left.text}"
        self.let_go += reversed(going)
        self._tell(
            {"note": "let go", "symbols": going, "why": why},
            f"{count(len(going), 'feed')} let go until there is room: {', '.join(going)}",
        )
        await self._only([symbol for symbol in feeds if symbol not in going], why)

    async def _take_back(self) -> None:
        back = self.let_go[::-1]
        self.let_go.clear()
        self._tell({"note": "taken back", "symbols": back}, f"recording again: {', '.join(back)}")
        await self._only([*self._feeds(), *back], "")


def room_of(directories: Sequence[Path]) -> tuple[int, int]:
    """Bytes this user may still write, and of how many, where least is left."""
    found = []
    for directory in directories:
        try:
            said = os.statvfs(directory)
        except OSError:
            continue  # not made yet
        found.append((said.f_bavail * said.f_frsize, said.f_blocks * said.f_frsize))
    return min(found)
