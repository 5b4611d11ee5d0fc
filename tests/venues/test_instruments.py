"""A venue's own list of instruments: what it says of names, and that no such text does harm.

The answers have the form of the venues' documentation, cut down to the fields that are read and one that is not.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import UnknownSymbol, WireError
from mdtool.storage.format.layout import is_symbol
from mdtool.venues import catalog, instruments

ANSWERS = {  # venue, path asked for, the answer, and what a feed of each name is called then
    "binance": (
        "/api/v3/exchangeInfo",
        {"timezone": "UTC", "symbols": [
            {"symbol": "ADANEW", "status": "TRADING", "baseAsset": "ADA", "quoteAsset": "NEW"},
            {"symbol": "币安人生新", "status": "TRADING", "baseAsset": "币安人生", "quoteAsset": "新"},
        ]},
        {"ADANEW": "ADA_NEW", "币安人生新": "币安人生_新", "BTCUSDT": "BTC_USDT"},
    ),
    "binance-usdm": (
        "/fapi/v1/exchangeInfo",
        {"symbols": [{"symbol": "BTCNEW_261225", "pair": "BTCNEW", "baseAsset": "BTC", "quoteAsset": "NEW"}]},
        {"BTCNEW_261225": "BTC_NEW_261225", "BTCNEW": "BTC_NEW"},
    ),
    "binance-coinm": (
        "/dapi/v1/exchangeInfo",
        {"symbols": [{"symbol": "NEWUSD_PERP", "pair": "NEWUSD", "baseAsset": "NEW", "quoteAsset": "USD"}]},
        {"NEWUSD_PERP": "NEW_USD_PERP"},
    ),
    "sim": ("/api/v3/exchangeInfo", {"symbols": []}, {"ALPHAUSDT": "ALPHA_USDT"}),
    "bitfinex": (
        "/v2/conf/pub:list:pair:exchange,pub:map:currency:sym",
        [["BTCUST", "NEWUSD", "LONGER:USD", "BTCF0:USTF0"], [["UST", "USDt"], ["NEW", "NEWER"], ["USTF0", "USDt0"]]],
        {"tBTCUST": "BTC_USDT", "tNEWUSD": "NEWER_USD", "tLONGER:USD": "LONGER_USD", "tBTCF0:USTF0": "BTC_USDT_PERP"},
    ),
    "bitget": (
        "/api/v2/spot/public/symbols",
        {"code": "00000", "data": [
            {"symbol": "ADANEW", "baseCoin": "ADA", "quoteCoin": "NEW", "status": "online"},
            {"symbol": "牛来USDT", "baseCoin": "牛来", "quoteCoin": "USDT", "status": "online"},
        ]},
        {"ADANEW": "ADA_NEW", "牛来USDT": "牛来_USDT", "BTCUSDT": "BTC_USDT"},
    ),
    "bitstamp": (
        "/api/v2/trading-pairs-info/",
        [{"name": "OM/GUSD", "url_symbol": "omgusd", "trading": "Enabled"}],
        {"omgusd": "OM_GUSD", "btcusd": "BTC_USD"},
    ),
    "bybit": (
        "/v5/market/instruments-info?category=spot&limit=1000",
        {"retCode": 0, "result": {"list": [{"symbol": "ADANEW", "baseCoin": "ADA", "quoteCoin": "NEW"}]}},
        {"ADANEW": "ADA_NEW"},
    ),
    "bybit-linear": (
        "/v5/market/instruments-info?category=linear&limit=1000",
        {"result": {"list": [{"symbol": "BTCPERP", "baseCoin": "BTC", "quoteCoin": "USDC"}]}},
        {"BTCPERP": "BTC_USDC", "BTC-26DEC25": "BTC_USDC_251226"},
    ),
    "bybit-inverse": (
        "/v5/market/instruments-info?category=inverse&limit=1000",
        {"result": {"list": [{"symbol": "NEWUSD", "baseCoin": "NEW", "quoteCoin": "USD"}]}},
        {"NEWUSD": "NEW_USD"},
    ),
    "coinbase": (
        "/products",
        [{"id": "NEW-USD", "base_currency": "NEW", "quote_currency": "USD", "status": "online"}],
        {"NEW-USD": "NEW_USD"},
    ),
    "coinbase-advanced": (
        "/api/v3/brokerage/market/products",
        {"products": [{"product_id": "NEW-USD", "base_currency_id": "NEW", "quote_currency_id": "USD"},
                      {"product_id": "BIT-28NOV25-CDE", "base_currency_id": ""}], "num_products": 2},
        {"NEW-USD": "NEW_USD", "BIT-28NOV25-CDE": "BIT-28NOV25-CDE"},
    ),
    "gate": (
        "/api/v4/spot/currency_pairs",
        [{"id": "NEW_USDT", "base": "NEW", "quote": "USDT"}],
        {"NEW_USDT": "NEW_USDT"},
    ),
    "gate-futures": ("/api/v4/futures/usdt/contracts", [{"name": "NEW_USDT"}], {"NEW_USDT": "NEW_USDT"}),
    "kraken": (
        "/0/public/AssetPairs",
        {"error": [], "result": {"XXBTZNEW": {"altname": "XBTNEW", "wsname": "XBT/NEW"}, "X.d": {"altname": "X.d"}}},
        {"XBT/NEW": "BTC_NEW", "BTC/NEW": "BTC_NEW"},
    ),
    "kucoin": (
        "/api/v2/symbols",
        {"code": "200000", "data": [{"symbol": "GALAX-USDT", "name": "GALA-USDT", "baseCurrency": "GALAX"}]},
        {"GALAX-USDT": "GALA_USDT", "GALA-USDT": "=GALA-USDT", "BCHSV-USDT": "BSV_USDT"},
    ),
    "okx": (
        "/api/v5/public/instruments?instType=SPOT",
        {"code": "0", "data": [{"instId": "NEW-USDT", "instType": "SPOT"}, {"instId": "BTC-USD-SWAP"}]},
        {"NEW-USDT": "NEW_USDT", "BTC-USD-SWAP": "BTC_USD_PERP"},
    ),
}  # fmt: skip
LISTS = [name for name in catalog.names() if catalog.get(name).instrument_requests()]


def test_every_list_is_tried():
    assert set(LISTS) == set(ANSWERS)
    assert [request.path for request in catalog.get("okx").instrument_requests()] == [
        f"/api/v5/public/instruments?instType={kind}" for kind in ("SPOT", "SWAP", "FUTURES")
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_list_says(name):
    path, answer, feeds = ANSWERS[name]
    venue = catalog.get(name)
    request = venue.instrument_requests()[0]
    assert (request.method, request.path) == ("GET", path)
    told = venue.knowing(venue.instruments(json.dumps(answer).encode()))
    assert {native: told.named(native) for native in feeds} == feeds
    assert all(told.named(told.native(feed)) == feed for feed in feeds.values())


def test_a_listed_pair_is_what_is_near():
    venue = catalog.get("kucoin")
    answer = {"data": [{"symbol": "ZYXWV-USDT", "name": "ZYXWV-USDT"}]}
    told = venue.knowing(venue.instruments(json.dumps(answer).encode()))
    with pytest.raises(UnknownSymbol, match=r"near it: ZYXWV_USDT, "):
        told.canonical("ZYXWVUSD")


ODD = st.one_of(
    st.none(), st.integers(), st.text(max_size=8),
    st.sampled_from(["", "..", "/", "A/B", "A-B", "A_B", "=", "币", "\x00", "A" * 99]),
)  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
@given(st.data())
def test_no_list_does_harm(name, data):
    """Rows that no venue would send are left out, or named so that they go both ways."""
    venue = catalog.get(name)
    text = json.dumps(ANSWERS[name][1])
    for word in data.draw(st.lists(st.sampled_from(["NEW", "USDT", "USD", "BTC", "ADA", "GALA"]), max_size=3)):
        text = text.replace(f'"{word}', json.dumps(data.draw(ODD)).rstrip('"'), 1)
    try:
        table = venue.instruments(text.encode("utf-8", "surrogatepass"))
    except WireError as error:
        assert len(str(error)) < 500
        return
    told = venue.knowing(table)
    for symbol in table.listed:
        assert is_symbol(symbol)
        assert told.named(told.native(symbol)) == symbol or symbol not in (told.canonical(symbol), symbol)
    for native in table.pairs:
        assert is_symbol(told.named(told.native(told.named(native))))


@pytest.mark.parametrize("name", LISTS)
@given(st.binary(max_size=60).filter(lambda body: body.strip() != b"[]"))
def test_what_is_no_list(name, body):
    with pytest.raises(WireError):
        catalog.get(name).instruments(body)


def test_a_list_is_bounded(monkeypatch):
    venue = catalog.get("coinbase")
    rows = [{"id": f"A{n}-USD", "base_currency": f"A{n}", "quote_currency": "USD"} for n in range(50)]
    body = json.dumps(rows).encode()
    monkeypatch.setattr(instruments, "MAX_ROWS", 20)
    assert len(venue.instruments(body).listed) == 20
    monkeypatch.setattr(instruments, "MAX_BYTES", len(body) - 1)
    with pytest.raises(WireError, match="expected a list of at most"):
        venue.instruments(body)


def test_a_venue_without_a_list():
    for name in ("deribit", "hyperliquid"):
        assert catalog.get(name).instrument_requests() == ()
        with pytest.raises(WireError, match="no list of instruments is asked for"):
            catalog.get(name).instruments(b"[]")
