"""Signals that end a task which knows how to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def on_stop(ask: Callable[[], None]) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM call `ask`, which may raise KeyboardInterrupt."""

    def told(number: int, frame: FrameType | None) -> None:
        ask()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
