"""The rhythm is computed from the start: no drift, no lost silence. Time is the test's."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.clock import DAY, SECOND, ManualClock, SystemClock
from mdtool.errors import UsageError
from mdtool.replay.pacing import Pacer, sleep_until

EPOCH = 1_723_129_447_123_456_789


class Ticking(ManualClock):
    """Time passes with every look at the clock: it can be spun on."""

    def monotonic_ns(self) -> int:
        self.advance(50)
        return super().monotonic_ns()


class Sleeper:
    """Sleeping moves the clock, always a little too far, as the kernel does."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(round(seconds * SECOND) + 70_000)


def test_waits_are_the_recorded_gaps_divided_by_the_speed() -> None:
    clock = ManualClock()
    pacer = Pacer(2.0, clock)
    assert pacer.wait_ns(EPOCH) == 0
    assert pacer.wait_ns(EPOCH + 10 * SECOND) == 5 * SECOND
    clock.advance(1 * SECOND)
    assert pacer.wait_ns(EPOCH + 10 * SECOND) == 4 * SECOND
    clock.advance(9 * SECOND)
    assert pacer.wait_ns(EPOCH + 10 * SECOND) == 0  # overdue
    assert pacer.wait_ns(EPOCH + 21 * SECOND) == SECOND // 2  # what was late is not added to what follows


def test_lateness_does_not_add_up_and_silences_last_as_recorded() -> None:
    clock = Ticking()
    pacer, sleep = Pacer(1.0, clock), Sleeper(clock)
    gaps = [0, 1_000, 5_000_000, 0, 300 * SECOND, 1, 250_000, 3_000_000_000] * 50
    recv_ns, released = EPOCH, []
    for gap in gaps:
        recv_ns += gap
        released.append((recv_ns - EPOCH, pacer.wait(recv_ns, sleep=sleep)))
    assert all(0 <= late < 200 for _, late in released)
    assert clock.monotonic_ns() == pytest.approx(recv_ns - EPOCH, abs=300)


def test_max_speed_never_waits() -> None:
    clock = ManualClock()
    sleep = Sleeper(clock)
    pacer = Pacer(None, clock)
    assert [pacer.wait(EPOCH + gap * DAY, sleep=sleep) for gap in range(3)] == [0, 0, 0]
    assert pacer.wait_ns(EPOCH + DAY) == 0
    assert sleep.slept == []


def test_a_replay_that_fell_behind_catches_up() -> None:
    clock = Ticking()
    pacer, sleep = Pacer(1.0, clock), Sleeper(clock)
    pacer.wait(EPOCH, sleep=sleep)
    clock.advance(3 * SECOND)  # the consumer was busy
    assert pacer.wait(EPOCH + 1 * SECOND, sleep=sleep) == pytest.approx(2 * SECOND, abs=300)
    assert pacer.wait(EPOCH + 2 * SECOND, sleep=sleep) == pytest.approx(1 * SECOND, abs=300)
    assert pacer.wait_ns(EPOCH + 4 * SECOND) == pytest.approx(1 * SECOND, abs=500)


def test_a_clock_set_back_does_not_stop_the_rhythm() -> None:
    clock = ManualClock()
    pacer = Pacer(1.0, clock)
    pacer.wait_ns(EPOCH)
    assert pacer.wait_ns(EPOCH + 10 * SECOND) == 10 * SECOND
    back = EPOCH - 3600 * SECOND
    assert pacer.wait_ns(back) == 10 * SECOND  # at once after what came before it
    assert pacer.wait_ns(back + SECOND) == 11 * SECOND


def test_jitter_between_feeds_is_not_a_clock_step() -> None:
    pacer = Pacer(1.0, ManualClock())
    pacer.wait_ns(EPOCH)
    assert pacer.wait_ns(EPOCH + 10 * SECOND) == 10 * SECOND
    assert pacer.wait_ns(EPOCH + 10 * SECOND - 1_000_000) == 10 * SECOND - 1_000_000
    assert pacer.wait_ns(EPOCH + 20 * SECOND) == 20 * SECOND


def test_start_fixes_the_beginning() -> None:
    clock = ManualClock()
    pacer = Pacer(1.0, clock)
    pacer.start(EPOCH)
    assert pacer.wait_ns(EPOCH + 7) == 7


@given(
    st.sampled_from([0.001, 0.1, 0.5, 1.0, 3.0, 10.0, 20.0, 100.0, 1e6]),
    st.lists(st.integers(0, 400 * DAY), min_size=1, max_size=20).map(sorted),
)
def test_targets_rise_and_are_exact_after_a_year(speed: float, offsets: list[int]) -> None:
    pacer = Pacer(speed, ManualClock())
    pacer.wait_ns(EPOCH)
    targets = [pacer.target_ns(EPOCH + offset) for offset in offsets]
    assert targets == sorted(targets)
    for offset, target in zip(offsets, targets, strict=True):
        assert abs(target * speed - offset) <= max(1.0, speed) + offset * 1e-15
    if speed == 1.0:
        assert targets == offsets


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf"), 1e-12])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(UsageError, match="speed"):
        Pacer(speed)


def test_sleep_until_sleeps_first_and_spins_last() -> None:
    clock = Ticking()
    sleep = Sleeper(clock)
    assert 5_000_000 <= sleep_until(5_000_000, clock, sleep=sleep) < 5_000_100
    assert sleep.slept == [pytest.approx(0.0048, abs=1e-6)]
    assert sleep_until(5_000_000, clock, sleep=sleep) >= 5_000_000  # past: returns at once


def test_real_clock_sync_and_async() -> None:
    pacer = Pacer(10.0)
    start = time.monotonic_ns()
    assert pacer.wait(EPOCH) >= 0
    assert pacer.wait(EPOCH + 200_000_000) >= 0
    assert time.monotonic_ns() - start >= 20_000_000

    async def main() -> list[int]:
        pacer = Pacer(10.0, SystemClock())
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0.001)

        task = asyncio.create_task(other())
        late = [await pacer.wait_async(EPOCH + i * 50_000_000, spin_ns=spin) for i, spin in ((0, 0), (1, 0))]
        late.append(await pacer.wait_async(EPOCH + 100_000_000))
        task.cancel()
        assert others > 1  # the loop was free
        return late

    assert all(late >= 0 for late in asyncio.run(main()))


def test_async_at_max_speed() -> None:
    assert asyncio.run(Pacer(None).wait_async(EPOCH)) == 0
