"""Symbols: canonical and native are inverse, refusals say what was expected, patterns mean what they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import FeedNotFound, UnknownSymbol
from mdtool.venues.binance.adapter import SPOT_QUOTES
from mdtool.venues.symbols import JoinedSymbols, match

SYMBOLS = JoinedSymbols("binance", SPOT_QUOTES)


@pytest.mark.parametrize(
    ("given_as", "canonical", "native"),
    [
        ("ETHUSDT", "ETH_USDT", "ETHUSDT"),
        ("ethusdt", "ETH_USDT", "ETHUSDT"),
        ("ETH_USDT", "ETH_USDT", "ETHUSDT"),
        ("eth-usdt", "ETH_USDT", "ETHUSDT"),
        ("eth/usdt", "ETH_USDT", "ETHUSDT"),
        ("1000SHIBUSDC", "1000SHIB_USDC", "1000SHIBUSDC"),
        ("BTCFDUSD", "BTC_FDUSD", "BTCFDUSD"),
        ("ETHBTC", "ETH_BTC", "ETHBTC"),
        ("BTCUSDT_250926", "BTC_USDT_250926", "BTCUSDT_250926"),
        ("BTC_USDT_250926", "BTC_USDT_250926", "BTCUSDT_250926"),
        ("PENGU_USDT", "PENGU_USDT", "PENGUUSDT"),
    ],
)
def test_both_spellings(given_as, canonical, native):
    assert SYMBOLS.canonical(given_as) == canonical
    assert SYMBOLS.native(given_as) == native
    assert SYMBOLS.canonical(native) == canonical


@pytest.mark.parametrize(
    "bad", ["", "_", "USDT", "_USDT", "FOOBAR", "BTC_XXX", "BT_CUSDT", "é", "A" * 80, "BTC USDT", "_session"]
)
def test_what_is_no_symbol_says_so_in_one_line(bad):
    with pytest.raises(UnknownSymbol) as caught:
        SYMBOLS.canonical(bad)
    assert str(caught.value).startswith("binance: ") and "expected" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@given(st.text("ABCSDTU10", min_size=1, max_size=12), st.sampled_from(SPOT_QUOTES), st.sampled_from(["", "_250926"]))
def test_native_and_canonical_are_inverse(base, quote, date):
    native = base + quote + date
    canonical = SYMBOLS.canonical(native)
    assert SYMBOLS.native(canonical) == native
    assert SYMBOLS.canonical(canonical) == canonical == SYMBOLS.canonical(native.lower())


FEEDS = [
    "binance-usdm/BTC_USDT",
    "binance-usdm/BTC_USDT_250926",
    "binance-usdm/ETH_USDT",
    "binance-usdm/_session",
    "binance/BTCDOM_USDT",
    "binance/BTC_USDC",
    "binance/BTC_USDT",
    "binance/_session",
    "okx/BTC_USDT",
]


@pytest.mark.parametrize(
    ("patterns", "meant"),
    [
        ("binance/BTC_USDT", ["binance/BTC_USDT"]),
        ("binance/btcusdt", ["binance/BTC_USDT"]),
        ("BTC_USDT", ["binance-usdm/BTC_USDT", "binance/BTC_USDT", "okx/BTC_USDT"]),
        ("btc-usdt", ["binance-usdm/BTC_USDT", "binance/BTC_USDT", "okx/BTC_USDT"]),
        ("btcusdt_250926", ["binance-usdm/BTC_USDT_250926"]),
        (
            "binance*/BTC_*",
            ["binance-usdm/BTC_USDT", "binance-usdm/BTC_USDT_250926", "binance/BTC_USDC", "binance/BTC_USDT"],
        ),
        ("btcusd*", [*FEEDS[:2], "binance/BTC_USDC", "binance/BTC_USDT", "okx/BTC_USDT"]),
        ("*", [name for name in FEEDS if "_session" not in name]),
        ("binance/*", ["binance/BTCDOM_USDT", "binance/BTC_USDC", "binance/BTC_USDT"]),
        ("binance/_session", ["binance/_session"]),
        ("*/_*", ["binance-usdm/_session", "binance/_session"]),
        ("_session", ["binance-usdm/_session", "binance/_session"]),
        (["okx/*", "ETH_USDT", "okx/BTC_USDT"], ["binance-usdm/ETH_USDT", "okx/BTC_USDT"]),
        ([], []),
    ],
)
def test_patterns(patterns, meant):
    assert match(patterns, FEEDS) == meant


def test_a_pattern_that_means_nothing_names_what_is_near():
    with pytest.raises(FeedNotFound, match=r"^BTC_USTD: no such feed; near it: .*BTC_USDT"):
        match("BTC_USTD", FEEDS)
    with pytest.raises(FeedNotFound, match=r"there are: binance-usdm/BTC_USDT.*\.\.\.$"):
        match(["BTC_USDT", "kraken/zzz"], FEEDS)
    with pytest.raises(FeedNotFound, match=r"there are: none$"):
        match("x", [])
