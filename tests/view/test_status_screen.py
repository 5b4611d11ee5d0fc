"""The screen of a recording: what is in it at a width and a height, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from mdtool.view.status import STATES, spark, status_lines

DAY = 86_400 * 10**9
NOW = 1_760_000_000 * 10**9


def feed(name: str, state: str = "live", rate: float = 10.0, **more: Any) -> dict[str, Any]:
    counters = dict.fromkeys(("gaps", "resets", "snapshots", "connects", "undecodable"), 0)
    return {
        "feed": name, "recorder": "sim", "state": state, "book": "synced", "records": 1234, "rate": rate,
        "age_ns": 120_000_000, "epoch": 1, "chunk": 2, **counters,
        "minute": {"records": 600, "bytes": 61_440, **counters}, "rates": [1.0, 2.0, 4.0], **more,
    }  # fmt: skip


def report(*feeds: dict[str, Any], **more: Any) -> dict[str, Any]:
    recorder = {
        "recorder": "sim", "venue": "sim", "pid": 4711, "alive": True, "ended": None, "graceful": False,
        "feeds": len(feeds), "started_ns": NOW - 3 * DAY, "beat_age_ns": 400_000_000, "memory_bytes": 44_040_192,
        "open_files": 34, "totals": {"gaps": 3, "sessions": 2, "connections": 1},
        "minute": {"gaps": 1, "sessions": 0, "connections": 0},
    }  # fmt: skip
    return {
        "now_ns": NOW, "window_ns": 60 * 10**9, "free_bytes": 100 << 30, "full_in_ns": 5 * DAY,
        "recorders": [recorder], "feeds": list(feeds), **more,
    }  # fmt: skip


def plain(*arguments: Any) -> list[str]:
    return [line.plain.rstrip() for line in status_lines(*arguments)]


def test_at_eighty_columns() -> None:
    dirty = feed("sim/ALPHA_USDT", "broken", 12.5, gaps=3, book="dirty")
    dirty["minute"]["gaps"] = 1
    assert plain(report(dirty, feed("sim/BRAVO_USDT", age_ns=None, book=None)), 80, 12, ["one", "two"]) == [
        "1 recorder  2 feeds  22 msg/s  2KiB/s                       2025-10-09T08:53:20Z",
        "1 broken  1 live  gaps 3 +1  connections made 2  100GiB free, full in 5d0h",
        "sim             pid 4711  up 3d0h  1 connection open  42MiB memory  34 files",
        "feed            state       msg/s  last minute      age      gaps  book",
        "sim/ALPHA_USDT  broken       12.5  ▂▄█             0.1s      3 +1  dirty",
        "sim/BRAVO_USDT  live         10.0  ▂▄█                -         0  -",
        "", "", "", "",
        "one",
        "two",
    ]  # fmt: skip


def test_what_does_not_fit_is_counted() -> None:
    feeds = [feed("sim/BAD_USDT", "refused"), *(feed(f"sim/S{number}_USDT") for number in range(49))]
    lines = plain(report(*feeds), 80, 10)
    assert len(lines) == 10
    assert lines[4].startswith("sim/BAD_USDT  refused")
    assert lines[-1] == "and 45 more: 45 live"
    assert len(lines) == 4 + 5 + 1
    assert len(plain(report(*feeds), 80)) == 54


@pytest.mark.parametrize("width", [20, 40, 80, 132, 200])
@pytest.mark.parametrize("height", [6, 10, 24, 60])
def test_never_wider_nor_higher_than_the_terminal(width: int, height: int) -> None:
    lines = status_lines(report(*(feed(f"sim/S{number}_USDT") for number in range(30))), width, height, ["x" * 500] * 9)
    assert max(line.width for line in lines) <= width
    assert len(lines) <= height


def test_a_recorder_that_died_and_one_that_hangs() -> None:
    died = report()["recorders"][0] | {"alive": False, "ended": "died without a word"}
    hangs = report()["recorders"][0] | {"recorder": "sim-2", "beat_age_ns": 75 * 10**9}
    lines = plain(report(recorders=[died, hangs]), 120)
    assert lines[0].startswith("1 recorder  0 feeds")
    assert lines[2:] == [
        "sim             ended: died without a word",
        "sim-2           pid 4711  up 3d0h  1 connection open  42MiB memory  34 files  no sign of life for 1m15s",
    ]


def test_bars_are_of_the_highest() -> None:
    assert spark([], 4) == ""
    assert spark([0.0, 0.0], 4) == "▁▁"
    assert spark([1.0, 8.0], 4) == "▁█"
    assert spark([0.0, 2.0, 1.0, 1.0, 4.0], 3) == "▁▅█"  # three of the older ones share cells, from the right


def test_every_state_of_a_feed_has_its_looks() -> None:
    from mdtool.service.readings import FeedState

    assert [state.value for state in FeedState] == list(STATES)
