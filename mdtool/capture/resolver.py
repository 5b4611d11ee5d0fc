"""Names of hosts to addresses, each in a thread that nothing waits for.

Rule: a look-up that hangs holds up nobody: not the other look-ups, not what else is done in threads, not the end of the
program. The system's resolver knows no cancelling, so its threads are left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Found = list[tuple[Any, ...]]


class Resolver(AbstractResolver):
    """The system's resolver, for aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def look_up() -> None:
            try:
                found: Found | OSError = socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                found = error
            except UnicodeError as error:  # of a name that is none
                found = OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(_answer, answer, found)

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=found, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for found, _, proto, _, address in await answer
        ]

    async def close(self) -> None:
        """Nothing to let go."""


def _answer(future: asyncio.Future[Found], found: Found | OSError) -> None:
    if future.done():
        return
    if isinstance(found, OSError):
        future.set_exception(found)
    else:
        future.set_result(found)
