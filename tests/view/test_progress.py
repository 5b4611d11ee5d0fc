"""The line that says how far something long has come: exact texts, by a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mdtool.view.progress import Progress

MIB = 1 << 20


def lines(*steps: tuple[float, int, int | None], **more: object) -> list[str]:
    """What is shown for (seconds, done, total) after one another."""
    shown: list[str] = []
    times: Iterator[float] = iter([second for second, _, _ in steps])
    progress = Progress(shown.append, clock=lambda: next(times), **more)  # type: ignore[arg-type]
    for _, done, total in steps:
        progress(done, total)
    return shown


def test_amount_rate_and_what_is_left() -> None:
    assert lines((0, 0, 100 * MIB), (1, 10 * MIB, 100 * MIB), (2, 20 * MIB, 100 * MIB)) == [
        "0B of 100MiB",
        "10MiB of 100MiB, 10MiB/s, 9s left",
        "20MiB of 100MiB, 10MiB/s, 8s left",
    ]


def test_without_an_end_there_is_nothing_left() -> None:
    assert lines((0, 0, None), (2, 3 * MIB, None)) == ["0B", "3MiB, 1.5MiB/s"]


def test_the_rate_is_the_last_seconds() -> None:
    """Ten fast seconds, then slow ones: what is left is told by the slow ones."""
    steps = [(float(s), min(s, 10) * 100 + max(0, s - 10), 2_000) for s in range(17)]
    assert lines(*steps, of=str)[-1] == "1006 of 2000, 1/s, 16m34s left"


def test_it_looks_only_now_and_then() -> None:
    assert len(lines(*((step / 1_000, step, 1_000) for step in range(1_000)))) == 10


@pytest.mark.parametrize(
    ("left", "text"), [(59, "59s left"), (125, "2m05s left"), (3_600, "1h00m left"), (90_061, "25h01m left")]
)
def test_long_times(left: int, text: str) -> None:
    assert lines((0, 0, left + 1), (1, 1, left + 1))[-1].endswith(text)


def test_it_says_of_what() -> None:
    assert lines((0, 5, 10), what="sealing", of=str) == ["sealing: 5 of 10"]
