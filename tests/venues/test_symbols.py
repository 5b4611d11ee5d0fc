"""Symbols: canonical and native are inverse, refusals say what was expected, patterns mean what they look like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import FeedNotFound, UnknownSymbol
from mdtool.storage.format.layout import folder_name, is_symbol, symbol_of_folder
from mdtool.venues import catalog
from mdtool.venues.binance.adapter import SPOT_QUOTES
from mdtool.venues.catalog import VENUES
from mdtool.venues.symbols import JoinedSymbols, match
from mdtool.venues.venue import Place

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


@pytest.mark.parametrize(
    ("venue", "given_as", "canonical", "native"),
    [
        ("binance", "ADAEUR", "ADA_EUR", "ADAEUR"),  # not AD_AEUR: ADA is an asset, AD is none
        ("binance", "ADA_EUR", "ADA_EUR", "ADAEUR"),
        ("binance", "NEWAEUR", "NEW_AEUR", "NEWAEUR"),  # no list has it: the longest quote behind a base
        ("binance", "ETHFDUSD", "ETH_FDUSD", "ETHFDUSD"),
        ("binance", "币安人生usdt", "币安人生_USDT", "币安人生USDT"),
        ("binance", "币安人生/USDT", "币安人生_USDT", "币安人生USDT"),
        ("binance-usdm", "btc-usdt-250926", "BTC_USDT_250926", "BTCUSDT_250926"),
        ("bitstamp", "omgusd", "OMG_USD", "omgusd"),
        ("bitstamp", "BTC-USD-PERP", "BTC_USD_PERP", "btcusd-perp"),
        ("bybit", "BTCUSD", "BTC_USD", "BTCUSD"),
        ("bybit-inverse", "btc/usd", "BTC_USD", "BTCUSD"),
        ("okx", "XMR-USDT-SWAP", "XMR_USDT_PERP", "XMR-USDT-SWAP"),
        ("kraken", "XBT/USD", "BTC_USD", "BTC/USD"),
        ("deribit", "eth-30jul21-2800-c", "ETH_USD_210730_2800_C", "ETH-30JUL21-2800-C"),
        ("kucoin", "BCHSV-USDT", "BSV_USDT", "BCHSV-USDT"),  # its list calls that base BSV
        ("bitfinex", "tbtcust", "BTC_USDT", "tBTCUST"),
        ("hyperliquid", "kNEW", "kNEW_USD", "kNEW"),  # no coin NEW by another case
    ],
)
def test_symbols_are_the_venues_own(venue, given_as, canonical, native):
    adapter = catalog.get(venue)
    assert adapter.canonical(given_as) == adapter.canonical(canonical) == adapter.named(native) == canonical
    assert adapter.native(canonical) == adapter.native(given_as) == native


@pytest.mark.parametrize(
    ("venue", "typed", "near"),
    [
        ("binance", "AD_AEUR", "ADA_EUR"),
        ("binance", "BTCUSTD", "BTC_USDT"),
        ("kucoin", "BTCUSDT", "BTC_USDT"),
        ("coinbase", "BTCUSD", "BTC_USD"),
        ("okx", "ETHUSDC", "ETH_USDC"),
        ("kraken", "ETHEUR", "ETH_EUR"),
    ],
)
def test_a_refusal_names_what_is_near(venue, typed, near):
    with pytest.raises(UnknownSymbol) as caught:
        catalog.get(venue).canonical(typed)
    said, _, offered = str(caught.value).partition("; near it: ")
    assert said.startswith(f"{venue}: {typed!r} is no symbol; expected the form ")
    assert near in offered.split(", ") and "\n" not in offered


@pytest.mark.parametrize(
    ("venue", "native", "feed"),
    [
        ("binance", "FOOBAR", "FOOBAR"),
        ("binance", "foobar", "FOOBAR"),  # as a stream's name has it
        ("binance", "FOO_BAR", "=FOO_BAR"),  # else it would be FOOBAR's
        ("binance", "FOO_250926", "FOO_250926"),
        ("binance", "_SESSION", "=_SESSION"),
        ("bitstamp", "foobar", "FOOBAR"),
        ("bybit-linear", "BTC-26DEC25-90000-C-USDT", "BTC-26DEC25-90000-C-USDT"),
        ("bybit-linear", "BTCUSDC", "=BTCUSDC"),  # BTC_USDC is BTCPERP's
        ("coinbase", "BTC-USD-X", "BTC-USD-X"),
        ("deribit", "BTC-FS-27JUN25_PERP", "BTC-FS-27JUN25_PERP"),  # a combo
        ("kucoin", "BSV-USDT", "=BSV-USDT"),  # BSV_USDT is BCHSV-USDT's
        ("bitfinex", "tDASH:USD", "=tDASH:USD"),  # DASH_USD is tDSHUSD's
        ("hyperliquid", "KPEPE", "=KPEPE"),
        ("okx", "BTC-USD_UM-SWAP", "BTC-USD_UM-SWAP"),
        ("kucoin", "é-USDT", "é-USDT"),
    ],
)
def test_what_no_rule_reads_goes_by_the_venues_own_name(venue, native, feed):
    adapter = catalog.get(venue)
    assert adapter.named(native) == feed
    assert adapter.native(feed) == adapter.native(f"={adapter.native(feed)}")
    assert adapter.native(feed).upper() == native.upper()
    assert adapter.canonical(f"={native}") == feed  # so a person can ask for it
    assert [connection.symbols for connection in adapter.plan([feed], adapter.default_streams[:1])] == [(feed,)]


FRAMES = {  # a frame of each venue that names its instrument, and what that is called when it is not read
    "binance": ('{"stream":"%s@trade","data":{}}', "trade"),
    "binance-usdm": ('{"e":"trade","E":1,"s":"%s","t":5}', "trade"),
    "bitfinex": ("[5,[1,2]]", "trades"),
    "bitstamp": ('{"data":{},"channel":"live_trades_%s","event":"trade"}', "live_trades"),
    "bybit": ('{"topic":"publicTrade.%s","data":[]}', "publicTrade"),
    "coinbase": ('{"type":"ticker","sequence":1,"product_id":"%s"}', "ticker"),
    "coinbase-advanced": ('{"channel":"ticker","events":[{"tickers":[{"product_id":"%s"}]}]}', "ticker"),
    "deribit": ('{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.%s","data":{}}}', "quote"),
    "gate": ('{"time":1,"channel":"spot.trades","event":"update","result":{"currency_pair":"%s"}}', "trades"),
    "hyperliquid": ('{"channel":"trades","data":[{"coin":"%s"}]}', "trades"),
    "kraken": ('{"channel":"trade","type":"update","data":[{"symbol":"%s"}]}', "trade"),
    "kucoin": ('{"data":{},"topic":"/market/match:%s","type":"message"}', "match"),
    "okx": ('{"arg":{"channel":"trades","instId":"%s"},"data":[]}', "trades"),
}


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize("native", ["币安X", "🚀X", "ÑX"])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_name_in_any_script_has_its_feed(venue, native, escaped):
    """As UTF-8, and as JSON escapes it; none of it is lost to the session feed."""
    adapter = catalog.get(venue)
    router = adapter.router()
    written = json.dumps(native, ensure_ascii=escaped)[1:-1]
    if venue == "bitfinex":
        router.route(f'{{"event":"subscribed","channel":"trades","chanId":5,"symbol":"{written}"}}'.encode())
    form, stream = FRAMES[venue]
    payload = (form % written if "%s" in form else form).encode()
    place = adapter.place(router.route(payload))
    assert place == Place(adapter.named(native), stream)
    assert adapter.native(place.symbol) == (native.replace("X", "x") if venue == "bitstamp" else native)
    if venue.startswith("binance"):
        assert adapter.canonical(f"{native}usdt") == f"{native}_USDT"


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize("native", ["A\\u0022", "A\\ud800", "A\\u0000", "A%00/../B", "\u202eA", "A" * 90])
def test_a_name_that_can_be_none_is_the_sessions(venue, native):
    adapter = catalog.get(venue)
    router = adapter.router()
    if venue == "bitfinex":
        router.route(f'{{"event":"subscribed","channel":"trades","chanId":5,"symbol":"{native}"}}'.encode())
    form, _ = FRAMES[venue]
    key = router.route((form % native if "%s" in form else form).encode("utf-8", "surrogatepass"))
    assert key is None or adapter.place(key).symbol is None


NAMES = st.text(st.sampled_from("ABCUSDTEHk10_-.:=@x币"), min_size=1, max_size=14)


@pytest.mark.parametrize("venue", catalog.names())
@given(st.lists(NAMES, min_size=1, max_size=8, unique_by=str.upper))
def test_two_instruments_never_share_a_feed(venue, natives):
    adapter = catalog.get(venue)
    feeds = {}
    for native in natives:
        try:
            feed = adapter.named(native)
        except UnknownSymbol:
            continue
        assert is_symbol(feed) and symbol_of_folder(folder_name(feed)) == feed
        assert adapter.named(adapter.native(feed)) == feed
        written = adapter.native(feed).upper()
        assert written == native.upper() or (venue == "kraken" and "/" in native)  # XBT/USD is BTC/USD
        assert feeds.setdefault(feed, written) == written


@pytest.mark.parametrize("venue", catalog.names())
@pytest.mark.parametrize(
    "name", ["", "/", "a/../b", "..", "BTC USDT", 'B"T', "B\\T", "B\nT", "\u202eBTC", "\ud800", "%41", "B" * 64]
)
def test_what_nothing_can_be_called(venue, name):
    adapter = catalog.get(venue)
    for ask in (adapter.named, adapter.native, adapter.canonical):
        with pytest.raises(UnknownSymbol) as caught:
            ask(name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


FEEDS = [
    "binance-usdm/BTC_USDT",
    "binance-usdm/BTC_USDT_250926",
    "binance-usdm/ETH_USDT",
    "binance-usdm/_session",
    "binance/BTCDOM_USDT",
    "binance/BTC_USDC",
    "binance/BTC_USDT",
    "binance/_session",
    "kraken/BTC_USD",
    "okx/BTC_USDT",
    "okx/XMR_USDT_PERP",
    "deribit/ETH_USD_210730_2800_C",
    "binance/AD_AEUR",
    "binance/ADA_EUR",
    "binance/币安人生_USDT",
    "binance/=FOO_BAR",
    "kucoin/BCHSV_USDT",
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
        ("btcusd*", [*FEEDS[:2], "binance/BTC_USDC", "binance/BTC_USDT", "kraken/BTC_USD", "okx/BTC_USDT"]),
        ("XBT/USD", ["kraken/BTC_USD"]),
        ("kraken/xbt/usd", ["kraken/BTC_USD"]),
        ("kraken/XBT*", ["kraken/BTC_USD"]),
        ("*/USD", ["kraken/BTC_USD"]),
        ("okx/XMR-USDT-SWAP", ["okx/XMR_USDT_PERP"]),
        ("xmr-*-swap", ["okx/XMR_USDT_PERP"]),
        ("deribit/ETH-30JUL21-2800-C", ["deribit/ETH_USD_210730_2800_C"]),
        ("deribit/eth-30jul21-*", ["deribit/ETH_USD_210730_2800_C"]),
        ("ADAEUR", ["binance/AD_AEUR", "binance/ADA_EUR"]),  # a feed of before is still found
        ("binance/AD_AEUR", ["binance/AD_AEUR", "binance/ADA_EUR"]),
        ("币安人生usdt", ["binance/币安人生_USDT"]),
        ("binance/币*", ["binance/币安人生_USDT"]),
        ("binance/=foo_bar", ["binance/=FOO_BAR"]),
        ("kucoin/BCHSV-USDT", ["kucoin/BCHSV_USDT"]),
        ("*", [name for name in FEEDS if "_session" not in name]),
        ("binance/B*", ["binance/BTCDOM_USDT", "binance/BTC_USDC", "binance/BTC_USDT"]),
        ("binance/_session", ["binance/_session"]),
        ("*/_*", ["binance-usdm/_session", "binance/_session"]),
        ("_session", ["binance-usdm/_session", "binance/_session"]),
        (["okx/B*", "ETH_USDT", "okx/BTC_USDT"], ["binance-usdm/ETH_USDT", "okx/BTC_USDT"]),
        ([], []),
    ],
)
def test_patterns(patterns, meant):
    assert match(patterns, FEEDS, VENUES) == meant


def test_a_pattern_that_means_nothing_names_what_is_near():
    with pytest.raises(FeedNotFound, match=r"^BTC_USTD: no such feed; near it: .*BTC_USDT"):
        match("BTC_USTD", FEEDS)
    with pytest.raises(FeedNotFound, match=r"there are: binance-usdm/BTC_USDT.*\.\.\.$"):
        match(["BTC_USDT", "kraken/zzz"], FEEDS)
    with pytest.raises(FeedNotFound, match=r"there are: none$"):
        match("x", [])
