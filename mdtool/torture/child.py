"""A job in a process of its own that is killed with SIGKILL when its time is over.

The processes come from a fork server that has imported what they need, so a thousand rounds take minutes; and they
share no thread with the parent, which a fork would break.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from mdtool.capture.child import own_modules

PRELOAD = ["mdtool.torture.jobs"]
SLOWEST_START = 30.0  # seconds a process may take before it says anything; beyond it the machine is at fault
POLL = 0.0005


@dataclass(slots=True)
class Ended:
    """How a job ended."""

    said: list[int] = field(default_factory=list)
    killed: bool = False
    error: str = ""  # what it failed with, if it was not killed

    @property
    def promised(self) -> int:
        """The highest number it said before it ended."""
        return max(self.said, default=0)


def _main(connection: Connection, job: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    def say(number: int) -> None:
        connection.send_bytes(b"%d" % number)

    with suppress(BrokenPipeError):  # nobody is there any more to be told anything
        try:
            say(0)
            job(*arguments, say)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001  the parent judges what a job may fail with; it has to get there
            connection.send_bytes(f"!{type(error).__name__}: {error}".encode())
    connection.close()


def run(
    job: Callable[..., None],
    *arguments: Any,
    kill_after: float | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Ended:
    """Run `job(*arguments, say)` elsewhere. `kill_after` seconds from its start it is killed, if it has not ended;
    `meanwhile()` is called over and over until then."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(there, job, arguments), daemon=True)
    ended = Ended()
    try:
        with own_modules(), _undisturbed():
            process.start()
        there.close()
        _listen(here, ended, SLOWEST_START)
        deadline = None if kill_after is None else time.monotonic() + kill_after
        while process.is_alive():
            _listen(here, ended, 0.0 if meanwhile else POLL)
            if meanwhile is not None:
                meanwhile()
            if deadline is not None and time.monotonic() >= deadline:
                process.kill()
                break
        process.join()
        ended.killed = process.exitcode == -signal.SIGKILL
        while _listen(here, ended, 0.0):
            pass
        if process.exitcode is not None and process.exitcode < 0 and not ended.killed:
            ended.error = f"the process died of {signal.Signals(-process.exitcode).name}"
        if not ended.said and not ended.error and not ended.killed:
            ended.error = f"the process could not start: exit {process.exitcode}"
    finally:
        if process.pid is not None and process.is_alive():  # first: it must not find nobody to speak to, and say so
            process.kill()
            process.join()
        here.close()
    return ended


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end this process wait: a child that is told half of what it is to do complains of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(connection: Connection, ended: Ended, wait: float) -> bool:
    """Take one word, if there is one within `wait` seconds."""
    try:
        if not connection.poll(wait):
            return False
        word = connection.recv_bytes()
    except (EOFError, OSError):
        return False
    if word.startswith(b"!"):
        ended.error = word[1:].decode("utf-8", "replace")
    else:
        ended.said.append(int(word))
    return True
