"""Rolling figures against adding everything up again, and the figures of a feed as a whole."""

from __future__ import annotations

import gzip
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.rolling import RollingCount, RollingTrades, TradeWindow
from mdtool.books.stats import DAY_STEPS, TAPE, LiveStats
from mdtool.books.sync import BookState, BookSync
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Other, Scale, Side, Trade
from mdtool.venues import catalog

SECOND = 1_000_000_000

trades = st.lists(
    st.tuples(st.integers(-3, 40), st.integers(-5, 9), st.integers(0, 2**70), st.booleans(), st.booleans()), max_size=40
)


def brute(seen, newest, step_ns, steps):
    """The window from all trades there ever were: (time, price, size, bought), times running forward."""
    since = (newest // step_ns - steps + 1) * step_ns
    inside = [trade for trade in seen if trade[0] >= since]
    prices = [price for _, price, _, _ in inside]
    return TradeWindow(
        since_ns=since,
        trades=len(inside),
        volume=sum(size for _, _, size, _ in inside),
        notional=sum(price * size for _, price, size, _ in inside),
        bought=sum(size for _, _, size, bought in inside if bought),
        first=prices[0] if prices else None,
        last=prices[-1] if prices else None,
        high=max(prices, default=None),
        low=min(prices, default=None),
    )


@settings(max_examples=300)
@given(trades, st.integers(1, 9), st.integers(1, 6))
def test_a_window_is_what_adding_up_again_gives(calls, step_ns, steps):
    window, count, seen, ticks, now = RollingTrades(step_ns, steps), RollingCount(step_ns, steps), [], [], 0
    for later, price, size, bought, is_trade in calls:
        time = max(0, now + later)
        now = max(now, time)
        if is_trade:
            window.add(time, price, size, bought=bought)
            count.add(time)
            seen.append((now, price, size, bought))
            ticks.append(now)
        else:
            window.move_to(time)
            count.move_to(time)
        assert window.figures() == brute(seen, now, step_ns, steps)
        assert count.total == sum(at // step_ns > now // step_ns - steps for at in ticks)
    window.multiply(10, 100)
    finer = [(time, price * 10, size * 100, bought) for time, price, size, bought in seen]
    assert window.figures() == brute(finer, now, step_ns, steps)


def test_derived_figures_are_exact():
    window = RollingTrades(10, 3)
    assert (window.figures().vwap, window.figures().change) == (None, None)
    for time, price, size in ((0, 10, 1), (5, 13, 2), (20, 9, 4)):
        window.add(time, price, size, bought=price > 9)
    figures = window.figures()
    assert (figures.vwap, figures.change, figures.bought) == (Fraction(72, 7), -1, 3)
    for bad in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            RollingTrades(*bad)


def test_memory_is_bounded_by_steps():
    window = RollingTrades(1, 5)
    for time in range(1000):
        window.add(time, time % 7, 1, bought=True)
    assert len(window._steps) <= 5 and len(window._highs) <= 5 and len(window._lows) <= 5


def trade(price, size, side=Side.BID, venue_ns=NO_TIME, trade_id=1):
    return Trade(venue_ns, trade_id, price, size, side)


def test_before_anything_came():
    figures = LiveStats().figures(None)
    assert (figures.state, figures.touch, figures.last_trade, figures.age_ns, figures.latency) == (
        BookState.WAITING, None, None, None, None)  # fmt: skip
    assert (figures.imbalance, figures.rate, figures.last_seq, figures.day.trades) == (None, 0, UNKNOWN, 0)


def test_the_figures_of_a_small_feed():
    stats = LiveStats()
    sync = BookSync(catalog.get("sim").rule("depth@100ms"), L2Book(), LevelParser())
    whole = BookUpdate(NO_TIME, 5, 5, UNKNOWN, b'[["100.5","3"],["99.5","1"]]', b'[["101.0","1"],["102","9"]]', True)
    stats.on_message(whole, 1000)
    sync.on_message(whole, 1000)
    stats.on_message(trade("101", "2", venue_ns=900, trade_id=7), 2000)
    stats.on_message(trade("100.25", "0.5", Side.ASK, 2900, 8), 3000)
    stats.on_message(trade("1e", "1"), 3000)
    stats.on_message(Other("x"), 3000)
    figures = stats.figures(sync, 3 * SECOND, depth=1)
    assert figures.scale == Scale(-2, -1)
    touch = figures.touch
    assert (touch.bid, touch.ask, touch.bid_size, touch.ask_size, touch.tick) == (10050, 10100, 30, 10, 25)
    assert (touch.mid, touch.spread, touch.spread_ticks) == (Fraction(10075), 50, 2)
    assert touch.spread_bps == Fraction(20_000 * 50, 20_150)
    assert touch.microprice == Fraction(10050 * 10 + 10100 * 30, 40)
    assert (figures.bid_volume, figures.ask_volume, figures.imbalance) == (30, 10, Fraction(1, 2))
    assert figures.last_trade == (3000, 2900, 8, 10025, 5, Side.ASK)
    assert [row.price for row in stats.tape] == [10025, 10100]
    for window in (figures.minute, figures.day):
        assert (window.first, window.high, window.low, window.last) == (10100, 10100, 10025, 10025)
        assert (window.volume, window.bought, window.change) == (25, 20, -75)
        assert window.vwap == Fraction(10100 * 20 + 10025 * 5, 25)
    assert (figures.messages, figures.rate, figures.bad_trades) == (5, Fraction(5, 10), 1)
    assert (figures.age_ns, figures.gaps, figures.state, figures.last_seq) == (
        3 * SECOND - 1000,
        0,
        BookState.SYNCED,
        5,
    )
    assert figures.latency == (100, 1100, 100)
    later = stats.figures(sync, 62 * SECOND)
    assert (later.minute.trades, later.day.trades, later.rate) == (0, 2, 0)
    assert stats.figures(sync, (DAY_STEPS[1] + 1) * DAY_STEPS[0]).day == brute([], 86_460 * SECOND, *DAY_STEPS)
    for number in range(TAPE + 5):
        stats.on_message(trade("1", "1", trade_id=number), 0)
    assert (len(stats.tape), stats.tape[0].trade_id) == (TAPE, TAPE + 4)


@pytest.mark.realdata
def test_a_real_feed(realdata):
    """Every trade of the capture, added up by hand; the touch is the book's."""
    venue = catalog.get("binance-usdm")
    router, stats, decoders, hand = venue.router(), LiveStats(Scale(-2, -3)), {}, []
    with gzip.open(realdata / "binance_usdm/ethusdt_20240808.hb.gz") as file:
        for line in file:
            recv, payload = line.rstrip(b"\n").split(b" ", 1)
            stream = venue.place(router.route(payload)).stream
            if stream != "trade":
                continue
            (message,) = decoders.setdefault(stream, venue.decoder(stream))(payload)
            stats.on_message(message, int(recv))
            price, size = (round(float(text) * 10**digits) for text, digits in ((message.price, 2), (message.size, 3)))
            hand.append((int(recv), price, size, message.side is Side.BID))
    newest = hand[-1][0]
    figures = stats.figures(None)
    assert figures.scale == Scale(-2, -3)
    assert figures.minute == brute(hand, newest, SECOND // 10, 600)
    assert figures.day == brute(hand, newest, *DAY_STEPS)
    assert figures.day.trades == 14_076
    assert figures.latency.median_ns < -SECOND  # the recorder's clock was behind the venue's, and it is said so
