"""An emulated exchange from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdtool.clock import SystemClock
from mdtool.errors import UsageError
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server, ServerOptions
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.exchange.storm import Injected, Shares, Storm
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
    faults: str | None = None
    faults_for: str | None = None
    faults_log: Path | None = None

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
        options = ServerOptions(host=self.host, port=self.port)
        return Server(source, protocol_for(self.venue), options, faults=self._storm())

    def _storm(self) -> Storm | None:
        """The faults asked for. Raises UsageError."""
        if self.faults is None:
            for name, given in (("--faults-for", self.faults_for), ("--faults-log", self.faults_log)):
                if given is not None:
                    raise UsageError(f"{name} {given}: expected --faults beside it, which says what faults there are")
            return None
        shares = Shares.parse(self.faults)
        for_ns = parse_duration(self.faults_for) if self.faults_for is not None else None
        return Storm(shares, _log(self.faults_log), seed=self.seed, for_ns=for_ns)


def _log(path: Path | None) -> Callable[[Injected], None]:
    """What writes faults to a file as they are done. Raises UsageError."""
    if path is None:
        return lambda injected: None
    try:
        file = path.open("x", buffering=1, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--faults-log {path}: {error.strerror}; expected a file to be made") from None

    def write(injected: Injected) -> None:
        file.write(injected.line() + "\n")

    return write


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
