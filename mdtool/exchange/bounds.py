"""What a hostile client can take of a server, and no more.

Rule: who sends too much is read more slowly, who reads too slowly is cut, and who neither speaks nor leaves gives way
to who comes. None of it costs the others more than a client of good manners would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from aiohttp import web

    from mdtool.exchange.client import Client

RATE = 200.0  # messages a second of one client that are looked at; KiB count as messages
BURST = 1_000.0  # before that: a client with very many streams subscribes to them one by one
IN_A_ROW = 16  # messages of one client handled before the others have their turn
MOST_CONNECTIONS = 1_000  # that stand at once
MOST_BUFFERED = 256 << 20  # bytes that all clients together may lag behind


class Pace:
    """How fast one client is read."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._allowance = BURST
        self._seen = now()
        self._in_a_row = 0

    async def turn(self, size: int) -> None:
        """Before a message of that size is handled: returns when it is its turn."""
        now = self._now()
        self._allowance = min(BURST, self._allowance + RATE * (now - self._seen)) - 1 - size / 1024
        self._seen = now
        self._in_a_row += 1
        if self._allowance < 0:
            await asyncio.sleep(-self._allowance / RATE)
        elif self._in_a_row >= IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)


def relieve(clients: Iterable[Client]) -> Client | None:
    """Cuts the client that lags behind most where all together lag behind by too much."""
    clients = list(clients)
    if sum(client.buffered for client in clients) <= MOST_BUFFERED:
        return None
    worst = max(clients, key=lambda client: client.buffered)
    worst.cut("too slow")
    return worst


class Door:
    """Makes the protocol of each connection that is accepted. `server` handles requests."""

    def __init__(self, server: web.Server, most: int = MOST_CONNECTIONS) -> None:
        self._server = server
        self._most = most
        self._spoke: WeakSet[asyncio.BaseTransport] = WeakSet()  # those that have made a request

    def spoke(self, transport: asyncio.BaseTransport | None) -> None:
        """A request came over it."""
        if transport is not None:
            self._spoke.add(transport)

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most:
            silent = next((one for one in self._server.connections if one.transport not in self._spoke), None)
            if silent is None or silent.transport is None:
                return _Full()
            silent.transport.abort()
        return self._server()


class _Full(asyncio.Protocol):
    """Nobody is there to handle it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
