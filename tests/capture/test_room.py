"""What a recorder does as its disk fills, by a clock and a disk that are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mdtool.capture.room import LOW_BYTES, OUT_BYTES, Left, Room, State
from mdtool.clock import HOUR, MINUTE, SECOND, ManualClock

GIB = 1 << 30


class Disk:
    """A disk of some size, and a recorder that writes to it."""

    def __init__(self, free: int, *feeds: str, rate: int = 1 << 20) -> None:
        self.clock = ManualClock()
        self.free, self.recorded, self.rate = free, 0, rate
        self.all = self.feeds = list(feeds)
        self.told: list[str] = []
        self.notes: list[dict[str, object]] = []
        self.hurried = 0
        self.why = ""
        self.room = Room(
            self.clock, free=lambda: (self.free, 1000 * GIB), recorded=lambda: self.recorded, feeds=lambda: self.feeds,
            only=self._only, hurry=self._hurry, tell=self._tell,
        )  # fmt: skip

    async def _only(self, symbols: Sequence[str], why: str) -> None:
        self.feeds, self.why = list(symbols), why

    def _hurry(self) -> None:
        self.hurried += 1

    def _tell(self, note: dict[str, object], text: str) -> None:
        self.notes.append(note)
        self.told.append(text)

    def run(self, looks: int) -> None:
        """So many looks, five seconds apart, each feed bringing its share of the rate."""
        for _ in range(looks):
            asyncio.run(self.room.look())
            grown = 5 * self.rate * len(self.feeds) // len(self.all)
            self.clock.advance(5 * SECOND)
            self.recorded, self.free = self.recorded + grown, self.free - grown


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (Left(GIB, 1000 * GIB, None), State.GOOD),
        (Left(GIB, 1000 * GIB, HOUR), State.GOOD),
        (Left(GIB, 1000 * GIB, HOUR - 1), State.LOW),
        (Left(LOW_BYTES - 1, GIB << 10, None), State.LOW),
        (Left(GIB, 1000 * GIB, 2 * MINUTE - 1), State.OUT),
        (Left(OUT_BYTES - 1, 1000 * GIB, None), State.OUT),
        (Left(30 << 20, 64 << 20, None), State.GOOD),  # the shared memory of a container
        (Left(6 << 20, 64 << 20, None), State.LOW),
        (Left(1 << 20, 64 << 20, None), State.OUT),
    ],
)
def test_how_much_is_enough(left: Left, state: State) -> None:
    assert left.state is state


def test_nothing_is_said_while_there_is_room() -> None:
    disk = Disk(100 * GIB, "A", "B")
    disk.run(100)
    assert (disk.told, disk.hurried, disk.feeds) == ([], 0, ["A", "B"])


def test_it_is_said_early_and_retention_is_asked() -> None:
    disk = Disk(2 * GIB, "A", "B")
    disk.run(3)  # 1 MiB/s: about 34 minutes
    assert disk.told == ["room is running out: 2GiB left, full in 34m3s"]
    assert disk.hurried == 2  # at each look since


def test_the_least_wanted_go_first_the_last_never_and_all_come_back() -> None:
    disk = Disk(200 << 20, *"ABCDEFGH")
    disk.run(60)
    assert disk.feeds == ["A"]
    assert disk.free > 0
    gone = [note["symbols"] for note in disk.notes if note["note"] == "let go"]
    assert gone == [["G", "H"], ["F"], ["E"], ["D"], ["C"], ["B"]]
    assert disk.why.startswith("the disk is full: ")
    disk.free = 4 * GIB  # room, and not enough for an hour of all of them, twice
    disk.run(3)
    assert disk.feeds == ["A"]
    disk.free = 10 * GIB
    disk.run(2)
    assert sorted(disk.feeds) == list("ABCDEFGH")
    assert disk.feeds == list("ABCDEFGH")
    assert disk.told[-1] == "recording again: B, C, D, E, F, G, H"
