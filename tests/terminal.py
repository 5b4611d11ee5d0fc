"""The one pseudo-terminal of the tests."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from patience import LONGEST

ROOT = Path(__file__).parents[1]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"


def ready(fd: int, seconds: float) -> bool:
    """Whether there is something to read, or the other side has closed."""
    poll = select.poll()  # and not select(), which knows no descriptor beyond 1,023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Terminal:
    """A command line with a pseudo-terminal for standard input, output and error."""

    def __init__(self, arguments: list[str | Path], columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.fd, child = pty.openpty()
        termios.tcsetwinsize(self.fd, (lines, columns))
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mdtool", *map(str, arguments)],
            stdin=child,
            stdout=child,
            stderr=child,
            env=kept | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | environment,
            start_new_session=True,
        )
        self.before = termios.tcgetattr(self.fd)
        os.close(child)
        self.text = ""

    def read(self, until: Callable[[str], bool], seconds: float = LONGEST) -> str:
        """What has come once `until` says it is enough, or the program has ended."""
        deadline = time.monotonic() + seconds
        while not until(self.text) and time.monotonic() < deadline:
            if ready(self.fd, 0.1):
                try:
                    self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:  # how Linux says that the other side has closed
                    break
        return self.text

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        self.read(lambda text: False)
        return self.process.wait(LONGEST)
