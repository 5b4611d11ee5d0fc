"""Single key presses, for as long as a screen is up."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

# What terminals send for keys that are no character, in either cursor mode.
NAMED = {"A": "up", "B": "down", "C": "right", "D": "left"}
SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*([A-Za-z~])|\x1b|.", re.DOTALL)


def presses(text: str) -> list[str]:
    """What a terminal sent as keys: single characters, arrows by name, "escape"; other sequences are no key.

    >>> presses("q\\x1b[C\\x1b[3~")
    ['q', 'right']
    """
    found = []
    for match in SEQUENCE.finditer(text):
        if match[0] == "\x1b":
            found.append("escape")
        elif match[1] is None:
            found.append(match[0])
        elif match[1] in NAMED:
            found.append(NAMED[match[1]])
    return found


class Keys:
    """A context in which standard input, where it is a terminal, gives keys as they are pressed, unechoed."""

    def __enter__(self) -> Keys:
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A context in which the terminal is as it was found."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def wait(self, seconds: float) -> list[str]:
        """What was pressed, waiting `seconds` at most; empty where nothing was."""
        if self._fd < 0:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._fd], [], [], seconds)
        return presses(os.read(self._fd, 256).decode("utf-8", "replace")) if ready else []
