"""A venue's lists of instruments from the exchange's side: as a recording has them, else of what is served.

Rule: a list that is made names what the source serves and nothing else, in the fields that public clients read; it is
all in the answer to the first request, and the venue's other lists are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from mdtool.exchange.source import Instrument, Source
from mdtool.venues import catalog

Form = Callable[[Sequence[Instrument]], Any]


def _bybit(served: Sequence[Instrument]) -> Any:
    rows = [{"symbol": one.native, "baseCoin": one.base, "quoteCoin": one.quote} for one in served]
    return {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": ""}}


def _coinbase(served: Sequence[Instrument]) -> Any:
    return [
        {"id": one.native, "base_currency": one.base, "quote_currency": one.quote, "status": "online"} for one in served
    ]


def _coinbase_advanced(served: Sequence[Instrument]) -> Any:
    rows = [{"product_id": one.native, "base_currency_id": one.base, "quote_currency_id": one.quote} for one in served]
    return {"products": rows, "num_products": len(rows)}


def _kraken(served: Sequence[Instrument]) -> Any:
    rows = {one.native.replace("/", ""): {"wsname": one.native, "status": "online"} for one in served}
    return {"error": [], "result": rows}


def _kucoin(served: Sequence[Instrument]) -> Any:
    rows = [{"symbol": one.native, "name": f"{one.base}-{one.quote}", "enableTrading": True} for one in served]
    return {"code": "200000", "data": rows}


def _bitget(served: Sequence[Instrument]) -> Any:
    rows = [{"symbol": one.native, "baseCoin": one.base, "quoteCoin": one.quote, "status": "online"} for one in served]
    return {"code": "00000", "msg": "success", "data": rows}


_FORMS: dict[str, Form] = {
    "bitfinex": lambda served: [[one.native.removeprefix("t") for one in served], []],
    "bitget": _bitget,
    "bitstamp": lambda served: [
        {"name": f"{one.base}/{one.quote}", "url_symbol": one.native, "trading": "Enabled"} for one in served
    ],
    "bybit": _bybit,
    "bybit-inverse": _bybit,
    "bybit-linear": _bybit,
    "coinbase": _coinbase,
    "coinbase-advanced": _coinbase_advanced,
    "gate": lambda served: [{"id": one.native, "base": one.base, "quote": one.quote} for one in served],
    "gate-futures": lambda served: [{"name": one.native} for one in served],
    "kraken": _kraken,
    "kucoin": _kucoin,
    "okx": lambda served: {"code": "0", "msg": "", "data": [{"instId": one.native} for one in served]},
}


class InstrumentLists:
    """What one server answers to who asks what there is."""

    def __init__(self, venue: str, source: Source) -> None:
        self._recorded = {_asked(path): body for path, body in source.lists().items()}
        self._made: dict[object, bytes] = {}
        form = _FORMS.get(venue)
        for number, request in enumerate(catalog.get(venue).instrument_requests() if form is not None else ()):
            assert form is not None
            self._made[_asked(request.path)] = msgspec.json.encode(form([] if number else source.instruments))

    def answer(self, path: str, query: Mapping[str, str]) -> bytes | None:
        """The list at that path; None where there is none, or the protocol has a word of its own for it."""
        key = path, frozenset(query.items())
        return self._recorded.get(key, self._made.get(key))


def _asked(path: str) -> object:
    plain, _, query = path.partition("?")
    return unquote(plain), frozenset(parse_qsl(query, keep_blank_values=True))
