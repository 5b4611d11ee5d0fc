"""A text stream in front of stderr that nobody ever waits for.

Rule: whoever writes here goes on at once. A thread does the writing; where the other side does not read (a pager at its
first page, a terminal after Ctrl-S, a log shipper that hangs) lines wait up to a limit, and what is beyond it is
counted, and said when there is room again.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import deque
from typing import TextIO

from mdtool.units import count

MOST_WAITING = 1000  # pieces of text; a line or a redrawn progress line each
LAST_WORDS = 1.0  # seconds at the end for what is still waiting


class Talker(io.TextIOBase):
    """Stands in for `stream`, usually sys.stderr."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._writing = False
        self._wanted = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="talking", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        with self._wanted:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(text)
            else:
                self._dropped += 1
            self._wanted.notify()
        return len(text)

    @property
    def idle(self) -> bool:
        """Whether all that was given is written: who draws a screen waits for that, as half of one is none."""
        with self._wanted:
            return not self._waiting and not self._writing

    def flush(self) -> None:
        """Nothing: that would be to wait."""

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def finish(self) -> bool:
        """Have what waits written, for a moment; whether all of it was. Nothing more is taken."""
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join(LAST_WORDS)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (text := self._next()) is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody is there any more
                self._put(text)
            self._writing = False

    def _next(self) -> str | None:
        with self._wanted:
            while not self._waiting and not self._closing:
                self._wanted.wait()
            if not self._waiting:
                return None
            text = "".join(self._waiting)
            self._writing = True
            self._waiting.clear()
            if self._dropped:
                text += f"({count(self._dropped, 'more line was', 'more lines were')} not shown: nobody read them)\n"
                self._dropped = 0
            return text

    def _put(self, text: str) -> None:
        try:
            fd = self.stream.fileno()
        except (OSError, ValueError):  # no file: a test's
            self.stream.write(text)
            self.stream.flush()
            return
        # Not through the stream: its lock would be held while this waits, and the interpreter takes it at its end.
        data = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]
