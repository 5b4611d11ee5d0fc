"""An emulated exchange from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence

from mdtool.errors import UsageError
from mdtool.exchange.server import Server
from mdtool.venues.venue import Venue


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
