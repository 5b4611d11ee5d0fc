"""An emulated exchange from its start to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from mdtool.exchange.server import Server


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
