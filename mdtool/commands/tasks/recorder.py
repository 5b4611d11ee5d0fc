"""A recorder for as long as a screen is up: `mdtool record` as a child process."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

PATIENCE = 10.0  # seconds for END records and files to be closed


class RecorderChild:
    """A context in which a symbol of a venue is recorded into a store. It is not of the terminal's process group: an
    interrupt at the keyboard is the screen's to handle, which then stops it."""

    def __init__(self, store: Path, venue: str, symbol: str, url: str | None = None) -> None:
        at = ["--url", url] if url is not None else []
        self._command = [
            sys.executable, "-m", "mdtool", "--store", str(store), "record", venue, symbol, *at, "--fail-fast",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
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
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"the recorder ended with code {code}"

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
