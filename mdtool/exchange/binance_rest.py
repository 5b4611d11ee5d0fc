"""Binance's public REST from the exchange's side: depth, exchangeInfo, ping, time.

Error bodies are the venue's: `{"code":-1121,"msg":"Invalid symbol."}`. What exchangeInfo carries is what public clients
read of it to build their table of markets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from mdtool.exchange.protocol import Answer
from mdtool.exchange.source import BookView, Instrument, Level, Source
from mdtool.model import Scale, format_decimal

MILLISECOND = 1_000_000
FOREVER_MS = 4_133_404_800_000  # the delivery date the venue prints for a perpetual: 2100-12-25


@dataclass(frozen=True, slots=True)
class RestDialect:
    """What differs between two markets of Binance."""

    prefix: str  # "/api/v3/"
    default_limit: int
    limits: tuple[int, ...] | None  # the limits allowed; None: any up to max_limit, and more counts as that
    max_limit: int
    futures: bool


SPOT_REST = RestDialect("/api/v3/", 100, None, 5000, futures=False)
USDM_REST = RestDialect("/fapi/v1/", 500, (5, 10, 20, 50, 100, 500, 1000), 1000, futures=True)
COINM_REST = RestDialect("/dapi/v1/", 500, (5, 10, 20, 50, 100, 500, 1000), 1000, futures=True)


class _Refused(Exception):
    """A request the venue answers with an error."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer = Answer(status, msgspec.json.encode({"code": code, "msg": message}))


def answer(dialect: RestDialect, method: str, path: str, query: Mapping[str, str], source: Source) -> Answer:
    """The answer to a request."""
    endpoint = path.removeprefix(dialect.prefix) if path.startswith(dialect.prefix) else ""
    handler = _ENDPOINTS.get(endpoint)
    if handler is None:
        return Answer(404, f"no such path: {path[:200]}".encode("utf-8", "replace"), {}, "text/plain")
    if method not in ("GET", "HEAD"):
        return Answer(405, b"", {"Allow": "GET, HEAD"}, "text/plain")
    try:
        return Answer(200, handler(dialect, query, source))
    except _Refused as refused:
        return refused.answer


def _ping(dialect: RestDialect, query: Mapping[str, str], source: Source) -> bytes:
    return b"{}"


def _time(dialect: RestDialect, query: Mapping[str, str], source: Source) -> bytes:
    return msgspec.json.encode({"serverTime": source.now_ms()})


def _depth(dialect: RestDialect, query: Mapping[str, str], source: Source) -> bytes:
    native = query.get("symbol", "")
    if not native:
        raise _Refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    instrument = next((i for i in source.instruments if i.native == native), None)
    if instrument is None:
        raise _Refused(-1121, "Invalid symbol.")
    limit = _limit(dialect, query.get("limit"))
    book = source.depth(instrument.symbol, limit)
    if book is None:
        raise _Refused(-1000, f"No book of {native} is known at this point of the recording.", 503)
    return book if isinstance(book, bytes) else _render(dialect, book, limit)


def _limit(dialect: RestDialect, text: str | None) -> int:
    if text is None:
        return dialect.default_limit
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise _Refused(-1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.")
    limit = int(text)
    if dialect.limits is not None and limit not in dialect.limits:
        raise _Refused(-4021, f"{limit} is not valid depth limit.")
    if not limit:
        raise _Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, dialect.max_limit)


def _render(dialect: RestDialect, book: BookView, limit: int) -> bytes:
    ms = book.venue_ns // MILLISECOND
    times = f'"E":{ms},"T":{ms},' if dialect.futures else ""
    bids, asks = (_ladder(half[:limit], book.scale) for half in (book.bids, book.asks))
    return f'{{"lastUpdateId":{book.last_id},{times}"bids":[{bids}],"asks":[{asks}]}}'.encode()


def _ladder(levels: Sequence[Level], scale: Scale) -> str:
    price_exp, size_exp = scale
    return ",".join(
        f'["{format_decimal(price, price_exp)}","{format_decimal(size, size_exp)}"]' for price, size in levels
    )


def _exchange_info(dialect: RestDialect, query: Mapping[str, str], source: Source) -> bytes:
    chosen = list(source.instruments)
    if not dialect.futures and (wanted := _wanted(query)) is not None:
        by_native = {instrument.native: instrument for instrument in chosen}
        if not all(name in by_native for name in wanted):
            raise _Refused(-1121, "Invalid symbol.")
        chosen = [by_native[name] for name in wanted]
    describe = _contract if dialect.futures else _pair
    body: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": source.now_ms(),
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 2400 if dialect.futures else 6000,
            }
        ],
        "exchangeFilters": [],
    }
    if dialect.futures:
        assets = sorted({instrument.quote for instrument in chosen})
        body["futuresType"] = "U_MARGINED"
        body["assets"] = [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets]
    body["symbols"] = [describe(instrument) for instrument in chosen]
    return msgspec.json.encode(body)


def _wanted(query: Mapping[str, str]) -> list[str] | None:
    if "symbol" in query:
        return [query["symbol"]]
    if "symbols" not in query:
        return None
    try:
        return msgspec.json.decode(query["symbols"], type=list[str])
    except (msgspec.MsgspecError, UnicodeError):
        raise _Refused(-1100, "Illegal characters found in parameter 'symbols'.") from None


def _filters(instrument: Instrument) -> list[dict[str, Any]]:
    price_exp, size_exp = instrument.scale
    tick, step = format_decimal(instrument.tick, price_exp), format_decimal(instrument.step, size_exp)
    highest = format_decimal(instrument.tick * 10**9, price_exp)
    largest = format_decimal(instrument.step * 10**9, size_exp)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": largest, "stepSize": step},
    ]


def _pair(instrument: Instrument) -> dict[str, Any]:
    """A spot symbol."""
    return {
        "symbol": instrument.native,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_filters(instrument),
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _contract(instrument: Instrument) -> dict[str, Any]:
    """A perpetual, or a contract whose name ends in its delivery date."""
    pair, _, suffix = instrument.native.partition("_")
    return {
        "symbol": instrument.native,
        "pair": pair,
        "contractType": "CURRENT_QUARTER" if suffix.isdigit() else "PERPETUAL",
        "deliveryDate": _delivery_ms(suffix),
        "onboardDate": 1_567_965_300_000,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": max(0, -instrument.scale.price_exp),
        "quantityPrecision": max(0, -instrument.scale.size_exp),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "filters": [*_filters(instrument), {"filterType": "MIN_NOTIONAL", "notional": "5"}],
    }


def _delivery_ms(suffix: str) -> int:
    """Of a contract whose name ends in YYMMDD: 8:00 UTC of that day."""
    try:
        return int(datetime.strptime(f"{suffix} 08 +0000", "%y%m%d %H %z").timestamp()) * 1000
    except ValueError:
        return FOREVER_MS


_ENDPOINTS = {"ping": _ping, "time": _time, "depth": _depth, "exchangeInfo": _exchange_info}
