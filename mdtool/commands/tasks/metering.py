"""What is served of a store's recorders, and what comes with the package to make use of it."""

from __future__ import annotations

import asyncio
import socket
from importlib import resources

from mdtool.storage.store import Store


def serve_until_stopped(store: Store, listening: socket.socket) -> None:
    """Until SIGTERM. Raises KeyboardInterrupt on SIGINT."""
    from mdtool.service.web import serve

    async def run() -> None:
        await serve(store, listening, asyncio.Event())

    asyncio.run(run())


def packaged(name: str) -> str:
    """A file that comes with the package, without the end of its last line."""
    return resources.files("mdtool.service").joinpath(name).read_text(encoding="utf-8").rstrip("\n")
