"""An emulated exchange from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdtool.clock import SystemClock
from mdtool.errors import UsageError
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.units import parse_duration, parse_speed
from mdtool.venues import catalog
from mdtool.venues.venue import Venue

MOST_SYMBOLS = 9999  # each has a book of several hundred orders


@dataclass(frozen=True, slots=True)
class Synthetic:
    """What a synthetic exchange is asked for, as it was given on the command line."""

    symbols: str
    venue: str
    host: str
    port: int
    seed: int
    rate: float
    speed: str
    duration: str | None

    def names(self) -> tuple[str, ...]:
        """Its symbols. Raises UsageError."""
        if not self.symbols.isdecimal():
            return tuple(catalog.get(self.venue).canonical(name) for name in self.symbols.split(","))
        if len(self.symbols) > len(str(MOST_SYMBOLS)):
            raise UsageError(f"--symbols {self.symbols}: expected at most {MOST_SYMBOLS:,}")
        return symbol_names(int(self.symbols))

    def server(self, names: tuple[str, ...]) -> Server:
        """The exchange with these symbols. Raises UsageError."""
        for_ns = parse_duration(self.duration) if self.duration is not None else None
        start_ns = SystemClock().now_ns()
        simulator = Simulator(names, seed=self.seed, rate=self.rate, start_ns=start_ns, venue=self.venue)
        source = SimulatedSource(simulator, speed=parse_speed(self.speed), for_ns=for_ns)
        return Server(source, protocol_for(self.venue), ServerOptions(host=self.host, port=self.port))


def recordable(venue: Venue, words: Sequence[str]) -> list[str]:
    """The streams to name to a recorder so that it asks for what is there; none where its own choice is all there."""
    if set(venue.default_streams) <= set(words):
        return []
    found = []
    for word in words:
        with contextlib.suppress(UsageError):
            venue.plan(venue.default_symbols[:1], [word])
            found.append(word)
    return found


def serve(server: Server, ready: Callable[[Server], None]) -> None:
    """Serves until the source is through or the process is told to stop (SIGTERM); `ready` is called once clients can
    connect. Raises PortInUse, UsageError, and KeyboardInterrupt on SIGINT."""
    asyncio.run(_serve(server, ready))


async def _serve(server: Server, ready: Callable[[Server], None]) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with server:
        ready(server)
        waits = [asyncio.create_task(server.finished()), asyncio.create_task(stopped.wait())]
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()  # raises what the source failed with
