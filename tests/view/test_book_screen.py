"""The ladder: never wider or higher than it may be, whatever the book, and honest about its state."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mdtool.model import UNKNOWN, Scale, Side, Trade
from mdtool.view.book import FRAME_LINES, BookPicture, BookScreen, Print

T0 = 1_723_161_255_088_156_767


def picture(**changes: object) -> BookPicture:
    values: dict[str, object] = {
        "feed": "sim/ALPHA_USDT",
        "state": "SYNCED",
        "note": "",
        "as_of_ns": T0,
        "last_seq": 42,
        "scale": Scale(-2, -3),
        "bids": ((268161, 8486), (268160, 1514)),
        "asks": ((268162, 22549), (268165, 1000)),
        "trades": (Print(T0, Trade(0, 1, "2681.62", "0.150", Side.BID)),),
        "records": 1234,
        "updates": 99,
        "gaps": 0,
    }
    return BookPicture(**{**values, **changes})  # type: ignore[arg-type]


def drawn(what: BookPicture, width: int = 80, height: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(BookScreen(what, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_whole_screen() -> None:
    assert drawn(picture(), 60) == [
        "sim/ALPHA_USDT                                        SYNCED",
        "   price    size   total  depth",
        " 2681.65   1.000  23.549  ██████████████████████████████████",
        " 2681.62  22.549  22.549  ████████████████████████████████▌",
        " spread 0.01 (0.04 bp)  mid 2681.615 ──────────────────────",
        " 2681.61   8.486   8.486  ████████████▎",
        " 2681.60   1.514  10.000  ██████████████▍",
        "",
        " last trade 2681.62 x 0.150 bought 23:54:15.088 UTC",
        " as of 2024-08-08 23:54:15.088 UTC  0 gaps  id 42  1,234 rec",
    ]


def test_wide_screens_have_a_tape() -> None:
    trades = tuple(Print(T0 - n * 10**9, Trade(0, n, f"2681.{n:02}", "1.000", Side.ASK)) for n in range(30))
    lines = drawn(picture(trades=trades), 200)
    assert lines[1].endswith("trades")
    assert lines[2].endswith("23:54:15.088       2681.00        1.000")
    assert sum("2681.0" in line.partition("23:5")[2] for line in lines[2:7]) == 5  # as many as the ladder has rows
    assert "trades" not in "".join(drawn(picture(trades=trades), 100))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "WAITING", "note": "for snapshot", "bids": (), "asks": ()}, "WAITING for snapshot"),
        ({"bids": (), "asks": ()}, "no book yet"),
        ({"bids": ()}, "one side is empty"),
        ({"state": "DIRTY", "note": "gap, waiting for snapshot", "gaps": 1}, "DIRTY gap, waiting for snapshot"),
        ({"gaps": 1}, "1 gap "),
        ({"gaps": 2}, "2 gaps "),
        ({"bids": ((268163, 1),)}, "CROSSED"),
        ({"bids": ((268162, 1),)}, "LOCKED"),
        ({"trades": ()}, "no trade yet"),
        ({"trades": (Print(T0, Trade(0, 1, "1", "2", Side.ASK)),)}, "last trade 1 x 2 sold"),
    ],
)
def test_what_must_be_said_is_said(changes: dict[str, object], text: str) -> None:
    assert text in "\n".join(drawn(picture(**changes), 100))


def test_a_narrow_screen_keeps_the_touch() -> None:
    asks = tuple((268162 + n, 1) for n in range(40))
    bids = tuple((268161 - n, 1) for n in range(40))
    lines = drawn(picture(asks=asks, bids=bids), 80, 24)
    assert len(lines) == 24
    spread = next(index for index, line in enumerate(lines) if "spread" in line)
    assert lines[spread - 1].startswith(" 2681.62")
    assert lines[spread + 1].startswith(" 2681.61")


levels = st.lists(st.tuples(st.integers(1, 10**15), st.integers(0, 10**15)), max_size=30).map(tuple)


@given(bids=levels, asks=levels, scale=st.tuples(st.integers(-12, 3), st.integers(-12, 3)), width=st.integers(20, 250))
def test_no_line_is_wider_than_the_screen(
    bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...], scale: tuple[int, int], width: int
) -> None:
    lines = drawn(picture(bids=bids, asks=asks, scale=Scale(*scale)), width)
    assert max(map(len, lines)) <= width


@given(count=st.integers(0, 100), height=st.integers(FRAME_LINES + 2, 80))
def test_no_screen_is_higher_than_it_may_be(count: int, height: int) -> None:
    asks = tuple((100 + n, 1) for n in range(count))
    assert len(drawn(picture(asks=asks), 80, height)) <= height


def test_json_is_exact() -> None:
    assert picture(last_seq=UNKNOWN).as_json() == {
        "feed": "sim/ALPHA_USDT",
        "state": "synced",
        "note": "",
        "as_of_ns": T0,
        "last_seq": -1,
        "bids": [["2681.61", "8.486"], ["2681.60", "1.514"]],
        "asks": [["2681.62", "22.549"], ["2681.65", "1.000"]],
        "last_trade": {"recv_ns": T0, "trade_id": 1, "price": "2681.62", "size": "0.150", "side": "buy"},
        "records": 1234,
        "updates": 99,
        "gaps": 0,
    }
