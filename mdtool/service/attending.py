"""Keeps the process running that serves HTTP beside the recorders.

Rule: it gets a socket that is bound already, so that where to serve is settled before anything is recorded, and whoever
asks while it is started again waits instead of being refused. Whatever becomes of it costs nobody else anything.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from msgspec.json import encode

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.child import command, complaint, environment, last_said, put_away

WEB = "mdtool.service.web"
SILENCE = 60.0  # seconds without a sign of life after which it is taken for stuck
MOUTHFUL = 4096  # bytes


class Attendant:
    """One process for the socket. `notify` gets a line about it; must not block."""

    def __init__(self, store: Path, listening: socket.socket, notify: Callable[[str], None], random: Random) -> None:
        self._store = store
        self._listening = listening
        self._notify = notify
        self._backoff = Backoff(random)

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            why = await self._live()
            if clock() - began >= STABLE:
                self._backoff.succeeded()
            wait = self._backoff.next_wait()
            self._notify(f"what serves HTTP has ended: {why}; starting it again in {wait:.1f} s")
            await asyncio.sleep(wait)

    async def _live(self) -> str:
        """One life; why it ended."""
        fd = self._listening.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *command(WEB), env=environment(), start_new_session=True, pass_fds=(fd,),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            return f"it could not be started: {error}"
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        complaining = asyncio.create_task(last_said(process.stderr))
        try:
            process.stdin.write(encode({"store": str(self._store), "fd": fd}) + b"\n")
            if await _lives(process.stdout):
                return complaint(await complaining, await process.wait())
            return f"no sign of life for {SILENCE:g} s"
        finally:
            await put_away(process, complaining)


async def _lives(stdout: asyncio.StreamReader) -> bool:
    """Wait as long as it gives signs of life; whether it has ended, and does not hang."""
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                if not await stdout.read(MOUTHFUL):
                    return True
        except TimeoutError:
            return False
