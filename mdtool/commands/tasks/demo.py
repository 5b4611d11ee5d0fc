"""The demonstration's steps: an exchange recorded over a real socket, the recording held against the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

from mdtool.capture.options import Notify, RecordStatus, record_options
from mdtool.capture.recorder import Recorder
from mdtool.clock import SECOND, SystemClock
from mdtool.commands.tasks.book import BookFollower
from mdtool.commands.tasks.daily import DayTrades
from mdtool.exchange.binance import DIALECTS, BinanceProtocol
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator
from mdtool.replay.replayer import Played, Replay, play
from mdtool.replay.sinks.ndjson import Ndjson
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.view.book import BookPicture

VENUE = "sim"
STRETCH_NS = SECOND  # how much of the end is replayed
REPLAY_SPEED = 10.0


@dataclass(frozen=True, slots=True)
class DemoSession:
    """An exchange that was recorded."""

    exchange: Simulator  # with its true books
    url: str
    status: RecordStatus


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """A recorded book and whether it is the exchange's own."""

    picture: BookPicture
    levels: int  # compared, of both sides
    agrees: bool


def record(store: Store, duration: float, seed: int, started: Callable[[str], None], notify: Notify) -> DemoSession:
    """Run the synthetic exchange and record it for `duration` seconds; `started` is told the exchange's URL."""
    return asyncio.run(_record(store, duration, seed, started, notify))


async def _record(
    store: Store, duration: float, seed: int, started: Callable[[str], None], notify: Notify
) -> DemoSession:
    exchange = Simulator(seed=seed, start_ns=SystemClock().now_ns(), keep_truth=True)
    async with Server(SimulatedSource(exchange), BinanceProtocol(DIALECTS[VENUE])) as server:
        started(server.url)
        symbols = tuple(instrument.symbol for instrument in exchange.instruments)
        options = record_options(catalog.get(VENUE), symbols, ws_url=server.url, duration=duration, fail_fast=True)
        status = await Recorder(store, options, notify).run()
    return DemoSession(exchange, server.url, status)


def replay_the_end(store: Store, names: list[str]) -> tuple[Played, list[str]]:
    """The last second of some feeds, at ten times its speed: what was played, and the lines."""
    readers = [store.reader(name) for name in names]
    last_ns = max(reader.last_ns or 0 for reader in readers)
    stream = BytesIO()
    try:
        played = play(Replay(readers, last_ns - STRETCH_NS, None, REPLAY_SPEED), Ndjson(), stream)
    finally:
        for reader in readers:
            reader.close()
    return played, stream.getvalue().decode().splitlines()


def compare_book(store: Store, exchange: Simulator, symbol: str, depth: int) -> DemoTruth:
    """The book rebuilt from the recording, against the exchange's true one at the same id."""
    venue = catalog.get(VENUE)
    with store.reader(f"{VENUE}/{symbol}") as reader, store.reader(f"{VENUE}/{symbol}") as another:
        follower = BookFollower(reader, venue)
        follower.catch_up()
        whole = follower.picture(depth=1_000_000)
        day = DayTrades(another, venue, None)
        day.advance()
        picture = follower.picture(depth)
        picture = replace(picture, day=day.window(picture.as_of_ns), day_since_ns=day.since_ns)
    truth = exchange.truth(symbol).at(picture.last_seq)
    scale = next(instrument.scale for instrument in exchange.instruments if instrument.symbol == symbol)
    factors = 10 ** (scale.price_exp - whole.scale.price_exp), 10 ** (scale.size_exp - whole.scale.size_exp)

    def same_scale(levels: dict[int, int]) -> list[tuple[int, int]]:
        return [(round(price * factors[0]), round(size * factors[1])) for price, size in levels.items()]

    agrees = (list(whole.bids), list(whole.asks)) == (same_scale(truth.bids), same_scale(truth.asks))
    return DemoTruth(picture, len(whole.bids) + len(whole.asks), agrees)
