"""The synthetic exchange: what it publishes, and that it is the truth."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdtool.errors import UnknownSymbol, UsageError
from mdtool.exchange.simulator import (
    DEFAULT_SYMBOLS,
    Message,
    SimulatedBook,
    Simulator,
    profile_of,
    symbol_names,
)
from mdtool.model import Side, format_decimal

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
FIRST = (
    '{"stream":"charlieusdt@depth@100ms","data":{"e":"depthUpdate","E":1760000000003,"s":"CHARLIEUSDT",'
    '"U":7131071502,"u":7131071502,"b":[["0.00001207","1494656"]],"a":[]}}'
)


def simulator(seed: int = 1, symbols: tuple[str, ...] = DEFAULT_SYMBOLS, rate: float = 200.0) -> Simulator:
    return Simulator(symbols, seed=seed, rate=rate, start_ns=START, keep_truth=True)


def mantissa(text: str, exponent: int) -> int:
    value = Decimal(text).scaleb(-exponent)
    assert value == int(value)
    return int(value)


def data(message: Message) -> dict[str, Any]:
    outer = json.loads(message.payload)
    native = message.symbol.replace("_", "")
    assert outer["stream"] == f"{native.lower()}@{message.stream}"
    assert outer["data"]["s"] == native
    found: dict[str, Any] = outer["data"]
    return found


def apply(half: dict[int, int], rows: list[list[str]], symbol: str) -> None:
    scale = profile_of(symbol).scale
    for price, size in rows:
        level = mantissa(price, scale.price_exp)
        half[level] = mantissa(size, scale.size_exp)
        if not half[level]:
            del half[level]


def test_the_bytes_are_these() -> None:
    """The same on every machine and in every version: who recorded a seed can still say what was sent."""
    messages = simulator(seed=7).step(START + 2 * SECOND)
    digest = sha256(b"\n".join(message.payload for message in messages)).hexdigest()
    assert (len(messages), digest[:16]) == (2421, "bf4fcd9d7d63a5d1")
    assert messages[0].payload.decode() == FIRST


@given(st.integers(0, 2**32), st.lists(st.integers(1, SECOND), min_size=1, max_size=12))
@settings(max_examples=15)
def test_how_time_is_cut_changes_nothing(seed: int, cuts: list[int]) -> None:
    whole = simulator(seed).step(START + SECOND)
    pieces: list[Message] = []
    cut = simulator(seed)
    for until in sorted(cuts):
        pieces += cut.step(START + until)
    pieces += cut.step(START + SECOND)
    assert pieces == whole
    assert [m.venue_ns for m in whole] == sorted(m.venue_ns for m in whole)


@given(st.integers(0, 2**32), st.sampled_from([5.0, 50.0, 1000.0]))
@settings(max_examples=12)
def test_what_is_published_is_the_truth(seed: int, rate: float) -> None:
    sim = simulator(seed, rate=rate)
    books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    last: dict[str, int] = {}
    for symbol in DEFAULT_SYMBOLS:
        first = sim.book(symbol)
        books[symbol] = (dict(first.bids), dict(first.asks))
        last[symbol] = first.update_id
    trade_ids: dict[str, int] = {}
    heard_trades: Counter[tuple[str, int]] = Counter()
    messages = sim.step(START + 2 * SECOND)
    for message in messages:
        symbol, body = message.symbol, data(message)
        scale = profile_of(symbol).scale
        if message.stream == "depth@100ms":
            assert body["U"] == last[symbol] + 1
            assert body["u"] >= body["U"]
            assert body["E"] == message.venue_ns // 1_000_000
            last[symbol] = body["u"]
            bids, asks = books[symbol]
            apply(bids, body["b"], symbol)
            apply(asks, body["a"], symbol)
            truth = sim.truth(symbol).at(body["u"])
            assert (truth.bids, truth.asks) == (bids, asks)
            assert max(bids) < min(asks)
        elif message.stream == "bookTicker":
            truth = sim.truth(symbol).at(body["u"])
            bid, ask = next(iter(truth.bids.items())), next(iter(truth.asks.items()))
            assert (mantissa(body["b"], scale.price_exp), mantissa(body["B"], scale.size_exp)) == bid
            assert (mantissa(body["a"], scale.price_exp), mantissa(body["A"], scale.size_exp)) == ask
        elif message.stream == "trade":
            assert body["t"] == trade_ids.get(symbol, body["t"] - 1) + 1
            trade_ids[symbol] = body["t"]
            heard_trades[symbol, body["t"]] = mantissa(body["q"], scale.size_exp)
            assert body["T"] == body["E"] == message.venue_ns // 1_000_000
        else:
            assert message.stream == "aggTrade"
            parts = [heard_trades[symbol, number] for number in range(body["f"], body["l"] + 1)]
            assert mantissa(body["q"], scale.size_exp) == sum(parts)
    for symbol in DEFAULT_SYMBOLS:
        now = sim.book(symbol)
        assert now == sim.truth(symbol).at(now.update_id)
        assert list(now.bids) == sorted(now.bids, reverse=True)
        assert list(now.asks) == sorted(now.asks)


def test_a_rerun_knows_the_truth_of_what_another_run_sent() -> None:
    sent = simulator(seed=9).step(START + SECOND)
    again = simulator(seed=9)
    assert again.step(START + SECOND) == sent
    ids = [data(m)["u"] for m in sent if m.stream == "depth@100ms" and m.symbol == "BRAVO_USDT"]
    assert [again.truth("BRAVO_USDT").at(number).update_id for number in ids] == ids


def test_every_best_change_is_quoted_once() -> None:
    sim = simulator(seed=4, symbols=("ALPHA_USDT",))
    first = sim.book("ALPHA_USDT").update_id
    quoted = [data(m)["u"] for m in sim.step(START + 2 * SECOND) if m.stream == "bookTicker"]
    truth = sim.truth("ALPHA_USDT")

    def top(book: SimulatedBook) -> tuple[tuple[int, int], tuple[int, int]]:
        return next(iter(book.bids.items())), next(iter(book.asks.items()))

    changed = [n for n in range(first + 1, truth.last_id + 1) if top(truth.at(n)) != top(truth.at(n - 1))]
    assert quoted == changed
    assert len(quoted) > 50


def test_orders_make_up_the_levels() -> None:
    sim = simulator(seed=2)
    sim.step(START + SECOND)
    for symbol in DEFAULT_SYMBOLS:
        book = sim.book(symbol)
        for side, half in ((Side.BID, book.bids), (Side.ASK, book.asks)):
            sums: Counter[int] = Counter()
            orders = sim.orders(symbol, side)
            for _, price, size in orders:
                sums[price] += size
            assert dict(sums) == half
            assert len({order_id for order_id, _, _ in orders}) == len(orders)


def test_books_look_like_books() -> None:
    symbols = symbol_names(20)
    sim = simulator(seed=11, symbols=symbols, rate=100.0)
    spreads: list[int] = []
    for n in range(1, 11):
        sim.step(START + n * SECOND)
        for symbol in symbols:
            book, profile = sim.book(symbol), profile_of(symbol)
            assert 60 <= len(book.bids) <= 200
            assert 60 <= len(book.asks) <= 200
            assert min(book.bids) > 0
            assert all(price % profile.tick == 0 for price in (*book.bids, *book.asks))
            assert all(size % profile.step == 0 for size in (*book.bids.values(), *book.asks.values()))
            spreads.append((min(book.asks) - max(book.bids)) // profile.tick)
    assert sorted(spreads)[len(spreads) // 2] <= 2
    assert sorted(spreads)[len(spreads) * 9 // 10] <= 4


def test_prices_stay_positive_and_near_for_a_long_time() -> None:
    sim = Simulator(("CHARLIE_USDT",), seed=3, rate=20_000.0, start_ns=START)
    sim.step(START + 10 * SECOND)
    book, anchor = sim.book("CHARLIE_USDT"), profile_of("CHARLIE_USDT").anchor
    assert anchor - 520 <= min(book.bids) and max(book.asks) <= anchor + 520
    assert 60 <= len(book.bids) <= 200


def test_the_digits_are_fixed() -> None:
    shapes: dict[str, set[tuple[str, str]]] = {}
    for message in simulator(seed=5).step(START + SECOND):
        if message.stream == "trade":
            body = data(message)
            digits = tuple(re.sub(r"^\d+\.?", "", body[field]) for field in ("p", "q"))
            shapes.setdefault(message.symbol, set()).add((str(len(digits[0])), str(len(digits[1]))))
    assert shapes == {
        "ALPHA_USDT": {("2", "4")},
        "BRAVO_USDT": {("4", "1")},
        "CHARLIE_USDT": {("8", "0")},
        "DELTA_USDT": {("1", "5")},
    }


@pytest.mark.realdata
def test_the_fields_are_those_of_the_real_venue(realdata: Any) -> None:
    import gzip

    def fields(payload: str | bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
        outer = json.loads(payload)
        return tuple(outer), tuple(outer["data"])

    real: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    with gzip.open(realdata / "binance" / "ethusdt_20240808_head3000.hb.gz", "rt") as lines:
        for line in lines:
            payload = line.split(" ", 1)[1]
            if payload.startswith('{"stream"'):
                real.setdefault(json.loads(payload)["stream"].partition("@")[2], fields(payload))
    ours = {m.stream: fields(m.payload) for m in simulator(seed=1).step(START + SECOND)}
    assert set(real) == {"depth@100ms", "bookTicker", "trade"}
    assert {stream: ours[stream] for stream in real} == real


def test_the_truth_says_where_it_ends() -> None:
    sim = simulator(seed=1, symbols=("ALPHA_USDT",))
    sim.step(START + SECOND)
    truth = sim.truth("ALPHA_USDT")
    early = truth.at(truth.first.update_id + 3)
    truth.at(truth.last_id)
    assert truth.at(truth.first.update_id + 3) == early  # going back is allowed
    with pytest.raises(KeyError, match=f"known are {truth.first.update_id} to {truth.last_id}"):
        truth.at(truth.last_id + 1)
    with pytest.raises(UsageError, match="keep_truth=True"):
        Simulator(start_ns=START).truth("ALPHA_USDT")


def test_names() -> None:
    assert symbol_names(4) == DEFAULT_SYMBOLS
    names = symbol_names(60)
    assert len(set(names)) == 60
    assert names[25:27] == ("ZULU_USDT", "ALPHA2_USDT")
    assert {profile_of(name).scale for name in names} == {profile_of(name).scale for name in symbol_names(20)}


def test_usage_errors() -> None:
    with pytest.raises(UsageError, match="rate above 0"):
        Simulator(rate=0, start_ns=START)
    with pytest.raises(UsageError, match="each once"):
        Simulator(("ALPHA_USDT", "ALPHA_USDT"), start_ns=START)
    with pytest.raises(UnknownSymbol, match="'NOPE_USDT'; it trades ALPHA_USDT"):
        Simulator(start_ns=START).book("NOPE_USDT")


def test_a_quiet_symbol_sends_no_depth() -> None:
    sim = simulator(seed=1, symbols=("ALPHA_USDT",), rate=0.5)
    depth = [m for m in sim.step(START + 10 * SECOND) if m.stream == "depth@100ms"]
    assert 0 < len(depth) < 20  # of the 100 there could be
    assert format_decimal(profile_of("ALPHA_USDT").anchor, -2) == "2681.62"
