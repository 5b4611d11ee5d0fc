"""How tests wait: for what is to happen, as long as it takes.

Rule: no test passes or fails by how fast the machine is. The seconds here are safety nets, so that what never happens
fails instead of hanging; MDTOOL_TEST_PATIENCE (a factor, 1 where it is not set) widens all of them, pytest's too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("MDTOOL_TEST_PATIENCE") or 1)
LONGEST = 60.0 * PATIENCE  # seconds for one thing to happen
TIMEOUT = 5 * LONGEST  # for a whole test
LOOK = 0.005  # seconds between two looks whether it has


async def until(condition: Callable[[], object], *beside: asyncio.Future[object]) -> None:
    """Returns once the condition holds. What runs beside and fails meanwhile, fails this at once."""
    began = time.monotonic()
    while not condition():
        for task in beside:
            if task.done():
                task.result()
                raise AssertionError("it ended before what was waited for had happened")
        assert time.monotonic() - began < LONGEST, f"waited {LONGEST:g} s in vain"
        await asyncio.sleep(LOOK)


def wait_until(condition: Callable[[], object]) -> None:
    """The same where no event loop runs."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < LONGEST, f"waited {LONGEST:g} s in vain"
        time.sleep(LOOK)
