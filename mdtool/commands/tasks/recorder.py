"""A recorder for as long as a screen is up: `mdtool record` as a child process."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mdtool.capture.child import command, complaint, environment

PATIENCE = 10.0  # seconds for END records and files to be closed


class RecorderChild:
    """A context in which a symbol of a venue is recorded into a store. It is not of the terminal's process group: an
    interrupt at the keyboard is the screen's to handle, which then stops it."""

    def __init__(self, store: Path, venue: str, symbol: str, url: str | None = None) -> None:
        at = ["--url", url] if url is not None else []
        self._command = command("mdtool", "--store", str(store), "record", venue, symbol, *at, "--fail-fast")
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )
        return self

    def failure(self) -> str | None:
        """What it had to say last, where it has ended; None while it runs."""
        assert self._process is not None and self._said is not None
        code = self._process.poll()
        if code is None:
            return None
        self._said.seek(0)
        return complaint(self._said.read(), code)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._said is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._said.close()
