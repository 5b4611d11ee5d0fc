"""What is put on record of the recorder's own clock."""

from __future__ import annotations

from mdtool.capture.timekeeping import KernelClock, Timekeeper, kernel_clock
from mdtool.clock import SECOND, ManualClock

START = 1_760_000_000 * SECOND
SAID = KernelClock(True, -250, 12_000_000, 300_000, -1500)


def test_each_minute_how_the_clock_stands() -> None:
    clock = ManualClock(START)
    keeper = Timekeeper(clock, lambda: SAID)
    noted = []
    for _ in range(150):
        noted += [(clock.monotonic_ns() // SECOND, note) for note in keeper.look()]
        clock.advance(SECOND)
    note = {
        "note": "clock", "wall_minus_monotonic_ns": START, "synchronised": True, "offset_ns": -250,
        "max_error_ns": 12_000_000, "estimated_error_ns": 300_000, "frequency_ppb": -1500,
    }  # fmt: skip
    assert noted == [(0, note), (60, note), (120, note)]


def test_a_step_and_how_it_stands_behind_it() -> None:
    clock = ManualClock(START)
    keeper = Timekeeper(clock, lambda: None)
    assert len(list(keeper.look())) == 1
    clock.advance(SECOND)
    clock.step(-6 * SECOND)
    stepped, stands = keeper.look()
    assert stepped == {"note": "clock stepped", "by_ns": -6 * SECOND}
    assert stands == {"note": "clock", "wall_minus_monotonic_ns": START - 6 * SECOND, "synchronised": None}


def test_a_clock_that_is_slewed_is_not_stepped() -> None:
    """The kernel corrects by up to 500 ppm: over hours that is seconds, and never a step."""
    clock = ManualClock(START)
    keeper = Timekeeper(clock, lambda: None)
    for _ in range(1000):
        list(keeper.look())
        clock.advance(SECOND)
        clock.step(SECOND // 2000)
        assert not [note for note in keeper.look() if note["note"] == "clock stepped"]
    assert clock.now_ns() - clock.monotonic_ns() == START + 1000 * (SECOND // 2000)


def test_the_kernel_tells() -> None:
    said = kernel_clock()
    assert said is None or (said.max_error_ns >= 0 and abs(said.frequency_ppb) <= 10**9)
