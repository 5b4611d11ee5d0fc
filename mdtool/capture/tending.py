"""Work beside the hot path: what fails in it is told and begun again.

Rule: nothing that reads what a venue sent can end a recording by failing at it. Only a store that is full does that,
as no record can be kept any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.errors import StoreFull

Failed = Callable[[str, BaseException, float], None]  # what failed, with what, and after how many seconds it goes on


async def tended(name: str, work: Callable[[], Awaitable[None]], failed: Failed, backoff: Backoff) -> None:
    """Until `work` ends of its own will. Raises StoreFull."""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await work()
            return
        except StoreFull:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this work alone
            if clock() - began >= STABLE:
                backoff.succeeded()
            wait = backoff.next_wait()
            failed(name, error, wait)
            await asyncio.sleep(wait)
