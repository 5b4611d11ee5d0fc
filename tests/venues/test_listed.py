"""The table of listed pairs: every instrument that public lists name has one symbol, and goes there and back."""

from __future__ import annotations

from collections import Counter

import pytest
from make_listed import Instrument, instruments, table

from mdtool.storage.format.layout import folder_name, is_symbol, symbol_of_folder
from mdtool.venues import catalog
from mdtool.venues.kraken.adapter import Kraken
from mdtool.venues.listed import FILE, Pair, SymbolTable, listed
from mdtool.venues.symbols import JoinedSymbols, SplitSymbols

ROWS = instruments()
COUNTS = {
    "binance": 3878, "binance-coinm": 36, "binance-usdm": 122, "bitfinex": 328, "bitstamp": 140, "bybit": 557,
    "bybit-linear": 800, "coinbase": 162, "coinbase-advanced": 920, "deribit": 1017, "gate": 1458, "gate-futures": 302,
    "kraken": 293, "kucoin": 634, "okx": 1479,
}  # fmt: skip


def pair_of(row: Instrument) -> str:
    """The first two words of the symbol, as the list has them; the rest is the venue's documentation."""
    base, quote = row.base.upper(), row.quote.upper()
    if row.venue == "bitfinex":  # a perpetual's assets are written with F0 behind
        codes = {"ALG": "ALGO", "IOT": "IOTA", "UST": "USDT"}
        base, quote = (codes.get(word, word) for word in (base.removesuffix("F0"), quote.removesuffix("F0")))
    if row.venue == "deribit" and base == quote:  # an inverse option: its price is in the base, its strike in dollars
        quote = "USD"
    return f"{base}_{quote}"


def spelled(venue, symbol: str) -> str:
    """The venue's name; Kraken's list is of the first API's names."""
    return venue._symbols.old(symbol) if isinstance(venue, Kraken) else venue.native(symbol)


def test_the_list_is_what_it_was():
    assert Counter(row.venue for row in ROWS) == COUNTS
    assert FILE.read_text(encoding="utf-8") == table()


@pytest.mark.parametrize("name", COUNTS)
def test_every_listed_instrument_goes_there_and_back(name, record_property):
    venue = catalog.get(name)
    feeds: dict[str, str] = {}
    rows = [row for row in ROWS if row.venue == name]
    for row in rows:
        symbol = venue.canonical(row.native)
        assert "_".join(symbol.split("_")[:2]) == pair_of(row)
        assert spelled(venue, symbol) == row.native
        assert venue.named(row.native) == venue.canonical(symbol) == symbol
        assert venue.canonical(symbol.lower()) == symbol
        assert venue.canonical(row.native.lower()) == symbol or name == "bitfinex"  # whose small t is no letter
        assert feeds.setdefault(symbol, row.native) == row.native  # no two share one
        assert is_symbol(symbol) and symbol_of_folder(folder_name(symbol)) == symbol
    record_property("instruments", f"{name}: {len(rows)} rows, {len(feeds)} instruments")


@pytest.mark.parametrize("name", ["binance", "binance-usdm", "bitstamp", "bybit", "bybit-linear"])
def test_the_rule_alone_splits_nearly_all(name):
    """What is listed tomorrow is read by known quotes and bases: the same pairs without the pairs."""
    venue = catalog.get(name)
    known = venue._symbols
    wrong = {
        row.native
        for row in ROWS
        if row.venue == name and row.kind in ("spot", "perpetual", "linearperpetual")
        if not row.native.endswith("PERP") and known._split(row.native.upper()) != f"{row.base}_{row.quote}"
    }
    # LUN and GAL are assets too, and AEUR a quote: only the list tells.
    assert wrong == ({"LUNAEUR", "GALAEUR"} if name == "binance" else set())


def test_a_list_of_the_venues_own_overrules_what_is_known():
    venue = catalog.get("binance")
    told = venue.knowing(SymbolTable([Pair("FOO", "BAR"), Pair("AD", "AEUR"), Pair("X", "Y", "ODD-NAME")]))
    assert (venue.named("FOOBAR"), told.named("FOOBAR")) == ("FOOBAR", "FOO_BAR")
    assert (venue.named("ADAEUR"), told.named("ADAEUR")) == ("ADA_EUR", "AD_AEUR")
    assert (told.canonical("odd-name"), told.native("X_Y")) == ("X_Y", "ODD-NAME")
    assert told.canonical("BTCUSDT") == "BTC_USDT"  # what it does not name is known as before
    assert (told.name, venue.canonical("ETHUSDT")) == ("binance", "ETH_USDT")
    kucoin = catalog.get("kucoin").knowing(SymbolTable([Pair("BSV", "USDT", "BSV-USDT")]))
    assert (kucoin.native("BSV_USDT"), kucoin.named("BSV-USDT")) == ("BSV-USDT", "BSV_USDT")
    assert kucoin.named("BCHSV-USDT") == "BCHSV_USDT"


def test_a_table_never_has_one_name_twice():
    made = SymbolTable([Pair("A", "B", "X"), Pair("C", "D", "X"), Pair("A", "B", "Y"), Pair("E", "F")])
    assert (made.pairs, made.natives, made.listed) == ({"X": "A_B"}, {"A_B": "X"}, {"A_B", "E_F"})
    over = SymbolTable([Pair("G", "H", "X")]).over(made)
    assert (over.pairs, over.listed) == ({"X": "G_H"}, {"G_H", "E_F"})
    assert not listed("no such venue").listed


def test_names_of_a_listed_table_may_collide_with_a_rule():
    split = SplitSymbols("x", "-").knowing(SymbolTable([Pair("R", "USDT", "RX-USDT"), Pair("REV", "USDT", "R-USDT")]))
    assert [split.named(name) for name in ("R-USDT", "RX-USDT", "REV-USDT")] == ["REV_USDT", "R_USDT", "=REV-USDT"]
    assert [split.canonical(name) for name in ("R_USDT", "REV_USDT", "r-usdt")] == ["R_USDT", "REV_USDT", "REV_USDT"]
    joined = JoinedSymbols("x", ["B"]).knowing(SymbolTable([Pair("A", "B", "AB2")]))
    assert [joined.named(name) for name in ("AB", "AB2")] == ["=AB", "A_B"]
