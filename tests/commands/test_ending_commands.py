"""Signals end a command in order: nothing it made for the time being stays behind."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest


@pytest.mark.parametrize(
    ("command", "how"),
    [
        (("demo", "--for", "90s"), signal.SIGTERM),
        (("demo", "--for", "90s"), signal.SIGHUP),
        (("bench", "append"), signal.SIGTERM),
        (("torture", "--rounds", "5000"), signal.SIGTERM),
    ],
)
def test_temporary_directories_are_taken_away(
    start: Callable[..., Popen[str]],
    command: tuple[str, ...],
    how: signal.Signals,
) -> None:
    scratch = Path(tempfile.mkdtemp())  # of a short name: the path of a Unix socket has 108 bytes
    running = start(*command, environment={"TMPDIR": str(scratch)})
    for _ in range(6_000):
        if any(any(path.iterdir()) for path in scratch.iterdir() if path.is_dir()):
            break
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, how)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "")
    scratch.rmdir()  # empty
