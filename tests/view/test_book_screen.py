"""The book screen: never wider or higher than it may be, whatever the book, and honest about its state."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.rolling import TradeWindow
from mdtool.books.stats import Figures, LiveStats, TapeRow, Touch
from mdtool.books.sync import BookState
from mdtool.model import UNKNOWN, Scale, Side, Trade, format_decimal
from mdtool.view.book import BookPicture, Mid
from mdtool.view.figures import chart, span
from mdtool.view.ladder import FADED_NS, FROM_HERE, Glow, LadderView, grouped, ladder, middle
from mdtool.view.line import Line
from mdtool.view.screen import BookScreen, Look

FIXTURES = Path(__file__).parents[2] / "fixtures"
T0 = 1_723_161_255_088_156_767
SECOND = 1_000_000_000
SIZES = ("3.5", "0.25", "1", "12.125", "0.004", "2.5", "0.75", "40", "1.5", "0.1")


def stats(trades: int = 40) -> LiveStats:
    """A minute of trades, rising by a tick each."""
    made = LiveStats(Scale(-2, -3))
    for number in range(trades):
        side = Side.BID if number % 3 else Side.ASK
        recv_ns = T0 - (trades - number) * SECOND
        price = format_decimal(268_100 + number, -2)
        made.on_message(Trade(recv_ns - 12_000_000, number, price, SIZES[number % 10], side), recv_ns)
    return made


def figures(**changes: object) -> Figures:
    made = stats().figures(None, T0)
    values = {name: getattr(made, name) for name in Figures.__slots__}
    return Figures(**{**values, "state": BookState.SYNCED, "messages": 1234, "age_ns": 12_300_000, **changes})


def touch() -> Touch:
    return Touch(268161, 268162, 3500, 3500, 1)


def levels(best: int, step: int, count: int = 30) -> tuple[tuple[int, int], ...]:
    return tuple((best + n * step, int(Fraction(SIZES[n % 10]) * 1000)) for n in range(count))


def picture(**changes: object) -> BookPicture:
    made = stats()
    values: dict[str, object] = {
        "feed": "sim/ALPHA_USDT",
        "state": "SYNCED",
        "note": "",
        "as_of_ns": T0,
        "last_seq": 42,
        "scale": Scale(-2, -3),
        "bids": levels(268161, -1),
        "asks": levels(268162, 2),
        "records": 1234,
        "updates": 99,
        "gaps": 0,
        "figures": figures(),
        "tape": tuple(made.tape),
        "mids": [Mid(T0 - (60 - n) * SECOND, Fraction(26816 + n % 7, 10)) for n in range(60)],
        "day": (Scale(-2, -3), made.figures(None).day),
        "day_since_ns": T0 - 4 * 3_600 * SECOND,
    }
    return BookPicture(**{**values, **changes})  # type: ignore[arg-type]


def drawn(
    what: BookPicture | list[BookPicture], width: int = 80, height: int | None = None, **look: object
) -> list[str]:
    screen = BookScreen(what, height, Look(now_ns=T0, **look) if look or height else None)  # type: ignore[arg-type]
    return [line.plain.rstrip() for line in screen.lines(width)]


# Goldens: the screens that a terminal of these sizes shows, looked at and then kept.
@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (200, 60)])
def test_a_whole_screen(width: int, height: int) -> None:
    golden = FIXTURES / f"book_screen_{width}x{height}.txt"
    whole = picture(figures=figures(touch=touch(), bid_volume=3, ask_volume=1))
    lines = drawn(whole, width, height)
    assert lines == golden.read_text(encoding="utf-8").splitlines()
    assert len(lines) == height


def test_venues_side_by_side_and_as_one() -> None:
    other = picture(feed="okx/ALPHA_USDT", bids=levels(268150, -2), asks=levels(268161, 3))
    dirty = picture(feed="bybit/ALPHA_USDT", bids=levels(900000, -1), state="DIRTY")
    both = drawn([picture(), other], 120, 24)
    assert both[0].startswith(
        " ALPHA_USDT at 2 venues  best bid 2681.61 3.500 sim  best ask 2681.61 3.500 okx  spread 0.00"
    )
    assert both[1].startswith(" sim ") and " okx " in both[1] and both[1].count("SYNCED") == 2
    late = picture(feed="okx/ALPHA_USDT", asks=levels(268160, 3), state="STALE", note="4 s")
    assert "best ask 2681.62 3.500 sim" in drawn([picture(), late], 120, 24)[0]  # silent: it does not count
    one = drawn([picture(), other, dirty], 100, 30, best=True)
    assert [line.split()[0] for line in one[1:4]] == ["sim/ALPHA_USDT", "okx/ALPHA_USDT", "bybit/ALPHA_USDT"]
    assert "900" not in "".join(one[4:])  # what is not whole is not in the best
    assert any("sim+okx" in line or "okx" in line for line in one[5:])
    assert "LOCKED" in "".join(one)
    assert drawn([picture(), other, dirty], 100, 30)[1:4] == one[1:4]  # three do not fit side by side: as one


def test_orders_and_their_queue() -> None:
    queues = ((1000, 2000, 500),) + ((250,),) * 29
    lines = drawn(picture(queues=(queues, queues)), 80)
    best_bid = next(line for line in lines if line.startswith(" 2681.61"))
    assert "  3 " in best_bid and best_bid.split("3.500")[-1].split()[:3] == ["1.000", "2.000", "0.500"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "WAITING", "note": "for snapshot", "bids": (), "asks": ()}, " WAITING  for snapshot"),
        ({"bids": (), "asks": ()}, "no book yet"),
        ({"bids": ()}, "one side is empty"),
        (
            {"state": "DIRTY", "note": "since 23:54:15.088: gap, waiting for snapshot"},
            " DIRTY  since 23:54:15.088: gap",
        ),
        ({"gaps": 1}, "1 gap "),
        ({"gaps": 2}, "2 gaps "),
        ({"bids": ((268163, 1),)}, "CROSSED"),
        ({"bids": ((268162, 1),)}, "LOCKED"),
        ({"at_ns": T0}, "at 2024-08-08 23:54:15.088 UTC"),
        ({"day": None, "day_progress": 0.43}, "reading the day: 43%"),
        ({"figures": None, "tape": ()}, "1,234 records"),
        ({"mids": ()}, "nothing yet"),
    ],
)
def test_what_must_be_said_is_said(changes: dict[str, object], text: str) -> None:
    assert text in "\n".join(drawn(picture(**changes), 100))


def test_a_narrow_screen_keeps_the_touch_in_its_place() -> None:
    full = drawn(picture(), 80, 24)
    spread = next(index for index, line in enumerate(full) if "spread" in line)
    assert full[spread - 1].startswith(" 2681.62")
    assert full[spread + 1].startswith(" 2681.61")
    thin = drawn(picture(asks=levels(268162, 2, 3)), 80, 24)
    assert next(index for index, line in enumerate(thin) if "spread" in line) == spread


def test_depth_and_grouping() -> None:
    assert sum(line.startswith(" 2681.") and "█" in line for line in drawn(picture(), 80, 30, depth=4)) == 8
    grouped_lines = drawn(picture(figures=figures(touch=touch())), 80, 24, group=10)
    assert any("by 0.10" in line for line in grouped_lines)
    assert next(line for line in grouped_lines if line.startswith(" 2681.6")).startswith(" 2681.60")


ladders = st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**9)), max_size=60, unique_by=lambda pair: pair[0])


@given(levels=ladders, step=st.integers(1, 1000))
def test_grouping_keeps_all_size_and_flatters_no_price(levels: list[tuple[int, int]], step: int) -> None:
    for side in Side:
        ordered = sorted(levels, reverse=side is Side.BID)
        found = grouped(ordered, step, side)
        assert sum(size for _, size in found) == sum(size for _, size in levels)
        assert [price for price, _ in found] == sorted((price for price, _ in found), reverse=side is Side.BID)
        for (price, _), (at, _) in zip(ordered[:1], found[:1], strict=True):
            assert (at <= price if side is Side.BID else at >= price) and abs(price - at) < step and at % step == 0


sides = st.lists(st.tuples(st.integers(1, 10**15), st.integers(1, 10**15)), max_size=30).map(tuple)


@given(
    bids=sides,
    asks=sides,
    scale=st.tuples(st.integers(-12, 3), st.integers(-12, 3)),
    width=st.integers(20, 250),
    height=st.integers(12, 80),
    several=st.integers(1, 4),
    best=st.booleans(),
)
def test_no_screen_is_larger_than_the_terminal(
    bids: tuple[tuple[int, int], ...],
    asks: tuple[tuple[int, int], ...],
    scale: tuple[int, int],
    width: int,
    height: int,
    several: int,
    best: bool,
) -> None:
    shown = [picture(bids=bids, asks=asks, scale=Scale(*scale)) for _ in range(several)]
    lines = BookScreen(shown, height, Look(now_ns=T0, best=best)).lines(width)
    assert max(line.width for line in lines) <= width
    assert all(line.width == len(line.plain) for line in lines)
    assert len(lines) <= height


def test_a_level_lights_up_and_fades() -> None:
    glow = Glow()
    glow.see("a", Side.BID, [(100, 5), (99, 5)], T0)
    assert glow.style(Side.BID, 100, T0) == ("", " ")
    glow.see("a", Side.BID, [(101, 1), (100, 7), (99, 4)], T0)
    styles = [glow.style(Side.BID, price, T0) for price in (101, 100, 99)]
    assert [mark for _, mark in styles] == ["▴", "▴", "▾"]
    later = [glow.style(Side.BID, 100, T0 + FADED_NS * n // 10) for n in range(11)]
    assert len({style for style, _ in later}) == 4  # three that fade, then none
    assert later[-1] == ("", " ") and glow.lit  # the others have not been looked at since
    glow.see("a", Side.BID, [(100, 7), (99, 4), (98, 9)], T0 + SECOND)
    assert glow.style(Side.BID, 98, T0 + SECOND) == ("", " ")  # it came into view, it did not change
    glow.see("b", Side.BID, [(100, 1)], T0 + SECOND)
    assert not glow.lit


def test_a_chart_shows_the_way() -> None:
    mids = [Mid(T0 - (29 - n) * SECOND, Fraction(n + 1)) for n in range(30)]
    (line,) = chart(mids, 60, 1, T0)
    assert line.plain.startswith(" mid 30 s 1 ")
    assert "▁▁" in line.plain and "█" in line.plain and line.plain.rstrip().endswith("30")
    rows = chart(mids, 60, 4, T0)
    assert [row.width for row in rows] == [60] * 4
    assert rows[0].plain.startswith(" 30") and rows[3].plain.lstrip().startswith("1 ")
    assert len({row.plain.strip()[-1] for row in rows}) > 1


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 s"), (7, "7 ns"), (340_900, "340 us"), (2_340_000, "2.3 ms"), (-1_500_000_000, "-1.5 s"),
     (4 * SECOND, "4.0 s"), (59 * SECOND, "59 s"), (185 * SECOND, "3 min"), (7_300 * SECOND, "2 h"),
     (200_000 * SECOND, "2 d")],
)  # fmt: skip
def test_spans(ns: int, text: str) -> None:
    assert span(ns) == text


@given(st.lists(st.tuples(st.text("ab ", max_size=9), st.sampled_from(["", "red"])), max_size=6), st.integers(0, 40))
def test_a_line_is_as_wide_as_asked(pieces: list[tuple[str, str]], width: int) -> None:
    line = Line(*pieces)
    whole = line.plain
    assert line.to(width).plain == whole[:width].ljust(width)
    assert line.width == width


def test_json_is_exact() -> None:
    window = TradeWindow(5, 2, 3000, 804_486_000, 1000, 268161, 268163, 268163, 268161)
    said = picture(
        last_seq=UNKNOWN,
        bids=((268161, 8486),),
        asks=((268162, 22549),),
        tape=(TapeRow(T0, T0 - 5, 7, 268162, 150, Side.BID),),
        figures=figures(minute=window, touch=touch(), rate=Fraction(21, 2), bid_volume=3, ask_volume=1),
        day=(Scale(-2, -3), window),
    ).as_json()
    trade = {
        "recv_ns": T0, "venue_ns": T0 - 5, "trade_id": 7, "price": "2681.62", "size": "0.150", "side": "buy",
    }  # fmt: skip
    minute = {
        "since_ns": 5, "trades": 2, "volume": "3.000", "bought": "1.000", "notional": "8044.86000", "open": "2681.61",
        "high": "2681.63", "low": "2681.61", "last": "2681.63", "vwap": "2681.6200", "change": "0.02",
    }  # fmt: skip
    assert said == {
        "feed": "sim/ALPHA_USDT",
        "state": "synced",
        "book_state": "synced",
        "note": "",
        "as_of_ns": T0,
        "at_ns": None,
        "not_recorded": None,
        "last_seq": -1,
        "proven_depth": None,
        "bids": [["2681.61", "8.486"]],
        "asks": [["2681.62", "22.549"]],
        "mid": "2681.615",
        "microprice": "2681.61500",
        "spread": "0.01",
        "tick": "0.01",
        "spread_ticks": 1,
        "spread_bps": 0.037291,
        "imbalance": 0.5,
        "messages_per_second": 10.5,
        "age_ns": 12_300_000,
        "latency_ns": {"last_ns": 12_000_000, "median_ns": 12_000_000, "least_ns": 12_000_000},
        "state_since_ns": 0,
        "trades": [trade],
        "last_trade": trade,
        "minute": minute,
        "day": minute | {"recorded_since_ns": T0 - 4 * 3_600 * SECOND},
        "records": 1234,
        "updates": 99,
        "gaps": 0,
    }


@pytest.mark.parametrize("group", [1, 5])
def test_levels_below_those_that_are_proven_are_marked(group: int) -> None:
    """Bids stand a tick apart, asks two: of five ticks the tenth bid shares a rung with the eleventh."""
    shown = picture(proven_depth=10, figures=figures(touch=touch()))
    made = ladder(shown, 20, group)
    proven = {1: (10, 10), 5: (2, 4)}[group]
    assert tuple(sum(rung.proven for rung in side) for side in (made.bids, made.asks)) == proven
    for side in (made.bids, made.asks):
        assert [rung.proven for rung in side] == sorted((rung.proven for rung in side), reverse=True)
    lines = [line.plain for line in LadderView(made, 100, middle(shown, group)).lines()]
    first = next(n for n, line in enumerate(lines) if "spread" in line)
    asks, bids = lines[1:first], lines[first + 1 :]
    for rungs, number in ((list(reversed(asks)), proven[1]), (bids, proven[0])):
        assert ["?" in rung for rung in rungs] == [False] * number + [True] * (len(rungs) - number)
        assert [FROM_HERE[0] in rung for rung in rungs] == [n == number for n in range(len(rungs))]
        assert ["█" in rung for rung in rungs] == [True] * number + [False] * (len(rungs) - number)


def test_where_all_levels_are_proven_alike_none_is_marked() -> None:
    lines = [line.plain for line in LadderView(ladder(picture(), 20), 100, "").lines()]
    assert not [line for line in lines if "?" in line or FROM_HERE[1][:6] in line]
    few = picture(
        proven_depth=10, figures=figures(touch=touch()), bids=levels(268161, -1, 10), asks=levels(268162, 2, 9)
    )
    for group in (1, 5):
        made = ladder(few, 20, group)
        assert all(rung.proven for side in (made.bids, made.asks) for rung in side)
