"""One client's session, without a socket: whatever is sent, the venue has an answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mdtool.exchange.binance import METHODS, BinanceSession, protocol_for
from mdtool.exchange.protocol import Answer
from mdtool.exchange.source import Instrument
from mdtool.model import Scale

SECOND = 1_000_000_000
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NAMES = st.sampled_from(["a@trade", "b@depth@100ms", "c@aggTrade", "nothing", ""])
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(METHODS) | JSON,
        "params": st.lists(NAMES | JSON, max_size=4) | st.just(["combined", False]) | JSON,
        "id": st.integers(-5, 5) | JSON,
    },
)


class Three:
    """A source of the streams in NAMES."""

    instruments = tuple(Instrument(name, name, Scale(0, 0)) for name in "ABC")

    def streams(self, symbol: str) -> tuple[str, ...]:
        return {"A": ("trade",), "B": ("depth@100ms",), "C": ("aggTrade",)}[symbol]


def session(venue: str = "binance", path: str = "/ws") -> BinanceSession:
    protocol = protocol_for(venue)
    protocol.attach(Three(), "ws://127.0.0.1:1")  # type: ignore[arg-type]
    opened = protocol.open(path, {})
    assert not isinstance(opened, Answer)
    return opened


@given(st.lists(st.text(max_size=60) | REQUESTS.map(json.dumps), max_size=12))
def test_every_text_gets_one_answer(texts: list[str]) -> None:
    one = session()
    listening: dict[str, None] = {}
    for number, text in enumerate(texts):
        reaction = one.on_text(text, number * SECOND)
        assert reaction.close is None
        assert len(reaction.replies) == 1
        answer = json.loads(reaction.replies[0])
        assert set(answer) in ({"result", "id"}, {"error"}, {"error", "id"})
        if "error" in answer:
            assert not reaction.subscribed and not reaction.unsubscribed
            assert set(answer["error"]) == {"code", "msg"}
        # What the server is told to deliver and what the session lists never part.
        assert not set(reaction.subscribed) & set(listening)
        assert set(reaction.unsubscribed) <= set(listening)
        listening.update(dict.fromkeys(reaction.subscribed))
        for name in reaction.unsubscribed:
            del listening[name]
        listed = json.loads(one.on_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', number * SECOND).replies[0])
        assert listed["result"] == list(listening)


@given(st.lists(st.integers(0, 3 * SECOND), max_size=80))
def test_the_limit_is_a_rate_with_a_burst(gaps: list[int]) -> None:
    one = session("binance-usdm")
    allowance, now = 80.0, 0
    for number, gap in enumerate(gaps):
        now += gap
        allowance = min(80.0, allowance + (10 * gap / SECOND if number else 0)) - 1
        reaction = one.on_control(now)
        assert (reaction.close is not None) == (allowance < 0)
        if reaction.close is not None:
            assert reaction.close == (1008, "Too many requests")
            break


def test_ten_a_second_are_fine_for_ever_and_eleven_are_not() -> None:
    def survived(per_second: int) -> int:
        one: Any = session("binance-usdm")
        for number in range(5000):
            if one.on_control(number * SECOND // per_second).close:
                return number
        return 5000

    assert survived(10) == 5000
    assert 800 <= survived(11) < 1000
