"""REST as Binance answers it, asked over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from patience import until

from mdtool.errors import UnknownVenue
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, profile_of
from mdtool.exchange.source import BookView, Instrument, Outlet
from mdtool.model import Scale

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000


class Still:
    """A source with one fixed book."""

    def __init__(self, book: BookView | bytes | None) -> None:
        self.instruments: Sequence[Instrument] = (Instrument("ETH_USDT", "ETHUSDT", Scale(-2, -3)),)
        self.asked: list[tuple[str, int]] = []
        self._book = book

    async def run(self, outlet: Outlet) -> None:
        await asyncio.Event().wait()

    def listened(self) -> None:
        pass

    def depth(self, symbol: str, limit: int) -> BookView | bytes | None:
        self.asked.append((symbol, limit))
        return self._book

    def lists(self) -> dict[str, bytes]:
        return {}

    def streams(self, symbol: str) -> tuple[str, ...]:
        return ()

    def now_ms(self) -> int:
        return 1_723_161_256_567


BOOK = BookView(
    5123107856276,
    1_723_161_256_561_000_000,
    Scale(-2, -3),
    [(268162, 16969), (268160, 15)],
    [(268163, 7), (268164, 120_000)],
)
LADDERS = '"bids":[["2681.62","16.969"],["2681.60","0.015"]],"asks":[["2681.63","0.007"],["2681.64","120.000"]]}'


def get(source: Any, venue: str, *paths: str, method: str = "GET") -> list[tuple[int, str]]:
    async def main() -> list[tuple[int, str]]:
        answers = []
        async with Server(source, protocol_for(venue)) as server, aiohttp.ClientSession() as session:
            for path in paths:
                async with session.request(method, server.rest + path) as answer:
                    answers.append((answer.status, await answer.text()))
        return answers

    return asyncio.run(main())


def test_depth_is_printed_as_the_venue_prints_it() -> None:
    assert get(Still(BOOK), "binance", "/api/v3/depth?symbol=ETHUSDT") == [
        (200, '{"lastUpdateId":5123107856276,' + LADDERS)
    ]
    assert get(Still(BOOK), "binance-usdm", "/fapi/v1/depth?symbol=ETHUSDT&limit=1000") == [
        (200, '{"lastUpdateId":5123107856276,"E":1723161256561,"T":1723161256561,' + LADDERS)
    ]


def test_a_recorded_answer_passes_through() -> None:
    body = b'{ "lastUpdateId": 7, "bids":[], "asks":[] }'
    assert get(Still(body), "binance", "/api/v3/depth?symbol=ETHUSDT") == [(200, body.decode())]


def test_limits() -> None:
    spot = Still(BOOK)
    answers = get(spot, "binance", *(f"/api/v3/depth?symbol=ETHUSDT&limit={n}" for n in (1, 37, 9999)))
    assert spot.asked == [("ETH_USDT", 1), ("ETH_USDT", 37), ("ETH_USDT", 5000)]
    assert answers[0] == (
        200,
        '{"lastUpdateId":5123107856276,"bids":[["2681.62","16.969"]],"asks":[["2681.63","0.007"]]}',
    )
    get(spot, "binance", "/api/v3/depth?symbol=ETHUSDT")
    assert spot.asked[-1] == ("ETH_USDT", 100)
    usdm = Still(BOOK)
    assert get(usdm, "binance-usdm", "/fapi/v1/depth?symbol=ETHUSDT", "/fapi/v1/depth?symbol=ETHUSDT&limit=37")[1] == (
        400,
        '{"code":-4021,"msg":"37 is not valid depth limit."}',
    )
    assert usdm.asked == [("ETH_USDT", 500)]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/api/v3/depth?symbol=NOPE", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
        ("/api/v3/depth?symbol=ethusdt", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
        (
            "/api/v3/depth",
            400,
            '{"code":-1102,"msg":"Mandatory parameter \'symbol\' was not sent, was empty/null, or malformed."}',
        ),
        (
            "/api/v3/depth?symbol=ETHUSDT&limit=-5",
            400,
            '{"code":-1100,"msg":"Illegal characters found in parameter \'limit\'; legal range is \'^[0-9]{1,20}$\'."}',
        ),
        (
            "/api/v3/depth?symbol=ETHUSDT&limit=%D9%A3",
            400,
            '{"code":-1100,"msg":"Illegal characters found in parameter \'limit\'; legal range is \'^[0-9]{1,20}$\'."}',
        ),
        (
            "/api/v3/depth?symbol=ETHUSDT&limit=0",
            400,
            '{"code":-1130,"msg":"Data sent for parameter \'limit\' is not valid."}',
        ),
        (
            "/api/v3/exchangeInfo?symbols=[1",
            400,
            '{"code":-1100,"msg":"Illegal characters found in parameter \'symbols\'."}',
        ),
        ("/api/v3/exchangeInfo?symbol=NOPE", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
        ("/fapi/v1/depth?symbol=ETHUSDT", 404, "no such path: /fapi/v1/depth"),
        ("/", 404, "no such path: /"),
        ("/api/v3/ping", 200, "{}"),
        ("/api/v3/time", 200, '{"serverTime":1723161256567}'),
    ],
)
def test_answers(path: str, status: int, body: str) -> None:
    assert get(Still(BOOK), "binance", path) == [(status, body)]


def test_no_book_yet_and_wrong_method() -> None:
    assert get(Still(None), "binance", "/api/v3/depth?symbol=ETHUSDT") == [
        (503, '{"code":-1000,"msg":"No book of ETHUSDT is known at this point of the recording."}')
    ]
    assert get(Still(None), "binance", "/api/v3/ping", method="POST") == [(405, "")]


def test_exchange_info_carries_what_clients_build_their_markets_from() -> None:
    async def main() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        source = SimulatedSource(Simulator(seed=1, start_ns=START))
        async with (
            Server(source, protocol_for("sim")) as spot,
            Server(source, protocol_for("binance-usdm")) as usdm,
            aiohttp.ClientSession() as session,
        ):
            found = []
            for url in (
                f"{spot.rest}/api/v3/exchangeInfo",
                f"{spot.rest}/api/v3/exchangeInfo?symbols=%5B%22DELTAUSDT%22%5D",
                f"{usdm.rest}/fapi/v1/exchangeInfo",
            ):
                async with session.get(url) as answer:
                    assert answer.status == 200
                    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
                    found.append(await answer.json())
        return found[0], found[1], found[2]

    spot, one, usdm = asyncio.run(main())
    names = ["ALPHAUSDT", "BRAVOUSDT", "CHARLIEUSDT", "DELTAUSDT"]
    assert [symbol["symbol"] for symbol in spot["symbols"]] == names
    assert [symbol["symbol"] for symbol in usdm["symbols"]] == names
    assert [symbol["symbol"] for symbol in one["symbols"]] == ["DELTAUSDT"]
    filters = {f["filterType"]: f for f in one["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.5"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001"
    assert Decimal(filters["PRICE_FILTER"]["maxPrice"]) > 10**8
    assert {k: one["symbols"][0][k] for k in ("baseAsset", "quoteAsset", "status", "isSpotTradingAllowed")} == {
        "baseAsset": "DELTA",
        "quoteAsset": "USDT",
        "status": "TRADING",
        "isSpotTradingAllowed": True,
    }
    contract = usdm["symbols"][0]
    assert (contract["contractType"], contract["marginAsset"]) == ("PERPETUAL", "USDT")
    assert (contract["pricePrecision"], contract["quantityPrecision"]) == (2, 4)


def test_the_simulators_depth_is_its_true_book() -> None:
    async def main() -> None:
        simulator = Simulator(seed=5, rate=200.0, start_ns=START, keep_truth=True)
        async with (
            Server(SimulatedSource(simulator), protocol_for("sim")) as server,
            aiohttp.ClientSession() as session,
        ):
            for _ in range(5):
                now_ns = simulator.now_ns
                await until(lambda now_ns=now_ns: simulator.now_ns > now_ns)
                async with session.get(f"{server.rest}/api/v3/depth?symbol=CHARLIEUSDT&limit=5000") as answer:
                    body = await answer.json()
                truth = simulator.truth("CHARLIE_USDT").at(body["lastUpdateId"])
                scale = profile_of("CHARLIE_USDT").scale
                for rows, half in ((body["bids"], truth.bids), (body["asks"], truth.asks)):
                    levels = [
                        (int(Decimal(p).scaleb(-scale.price_exp)), int(Decimal(s).scaleb(-scale.size_exp)))
                        for p, s in rows
                    ]
                    assert levels == list(half.items())

    asyncio.run(main())


def test_an_unknown_venue_is_named() -> None:
    with pytest.raises(
        UnknownVenue, match="cannot serve 'nasdaq': the emulator speaks for binance, binance-coinm, binance-usdm, sim"
    ):
        protocol_for("nasdaq")
