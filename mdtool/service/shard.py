"""One recorder as a process of its own: told its assignment in a line on stdin, spoken to over its socket.

Started as `python -m mdtool.service.shard`. It belongs to nobody: whoever started it may go, and it records on until it
is told to stop, its time is over, or its store is full. How it ended is left in the roster.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

from msgspec import structs

from mdtool.capture.options import RecorderEvent
from mdtool.capture.recorder import Recorder
from mdtool.clock import SystemClock
from mdtool.errors import MdtoolError
from mdtool.service import assignment as told
from mdtool.service.assignment import Assignment
from mdtool.service.control import Control, Reconnect, Reload, Request, Snapshot, Stop
from mdtool.service.page import TOTALS
from mdtool.service.roster import Ended, Roster, Seat
from mdtool.storage.store import Store

ENDING = "the recorder is ending"
STARTING = "the recorder is starting: try again"


def main() -> int:
    """Until it is told to stop. 0, or the exit code of what it failed with, which is the last line on stderr."""
    try:
        assignment = told.read(sys.stdin.buffer.readline())
        with contextlib.suppress(OSError):
            os.close(sys.stdin.fileno())
        if assignment.cpus:
            _pin(assignment.cpus)
        with Store.create(assignment.store) as store:
            now_ns = SystemClock().now_ns()
            with Roster(store.path).on_duty(assignment, store, now_ns) as seat:
                return asyncio.run(_Shard(store, assignment, seat).run())
    except MdtoolError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _pin(cpus: tuple[int, ...]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        usable = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise MdtoolError(
            f"cannot run on CPUs {','.join(map(str, cpus))}: {error.strerror}; this process may use {usable}"
        ) from None


class _Shard:
    def __init__(self, store: Store, assignment: Assignment, seat: Seat) -> None:
        self._store = store
        self._assignment = assignment
        self._seat = seat
        self._clock = SystemClock()
        self._control = Control(seat.socket, self._obey, self._supervised)
        self._recorder: Recorder | None = None
        self._why = ""  # told to stop before it had begun
        self._had_supervisor = False
        self._over = False  # the feeds are closed

    async def run(self) -> int:
        """The whole life; its end goes into the roster."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, "interrupted" if number == signal.SIGINT else "terminated")
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # of a terminal that goes: not this process's business
        async with self._control:
            try:
                await self._record()
            except MdtoolError as error:
                began = self._recorder is not None
                self._seat.ends(
                    Ended(error.exit_code, "failed", str(error), type(error).__name__, self._totals(), began)
                )
                raise
            self._seat.ends(Ended(0, self._why or "the time asked for is over", totals=self._totals()))
        return 0

    async def _record(self) -> None:
        options = self._assignment.options()
        # In a thread: opening a thousand feeds takes a while, and who asks meanwhile is answered.
        page = self._seat.page
        recorder = await asyncio.to_thread(
            Recorder, self._store, options, self._notify, beat=self._beat, histogram=page.commit_ns
        )
        if after := self._assignment.after:
            recorder.note({"note": "restarted", "what": f"recorder {self._assignment.name}", "why": after})
        if self._why:
            recorder.stop(self._why)
        self._recorder = recorder
        try:
            await recorder.run()
        finally:
            self._beat()
            self._over = True

    # -- what it says --------------------------------------------------------------------------------------------------

    def _notify(self, event: RecorderEvent, text: str) -> None:
        self._control.tell(event.value, text, self._clock.now_ns())

    def _beat(self) -> None:
        if self._recorder is not None:
            self._seat.page.beat(self._recorder.status, self._clock.now_ns())

    def _totals(self) -> dict[str, int]:
        status = None if self._recorder is None else self._recorder.status
        return {name: 0 if status is None else int(getattr(status, name)) for name in TOTALS}

    def _supervised(self, present: bool) -> None:
        """Who keeps this process running has come, or gone: without one nobody would start it again."""
        if self._recorder is not None and not self._over and (not present or self._had_supervisor):
            self._recorder.note({"note": "supervisor", "there": present})
        self._had_supervisor |= present

    # -- what it is told -----------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        self._why = self._why or why
        if self._recorder is not None:
            self._recorder.stop(why)

    async def _obey(self, request: Request) -> dict[str, Any]:
        recorder = self._recorder if not self._over else None
        if isinstance(request, Stop) and not request.symbols:
            self._stop(request.why)
            return {}
        if recorder is None:
            raise MdtoolError(ENDING if self._over else STARTING)
        if isinstance(request, Snapshot):
            return {"symbols": recorder.request_books(request.symbols)}
        if isinstance(request, Reconnect):
            return {"symbols": recorder.reconnect(request.symbols)}
        if isinstance(request, Reload):
            symbols = await recorder.replan(request.symbols)
        else:
            assert isinstance(request, Stop)
            symbols = await recorder.leave(request.symbols)
        self._assignment = structs.replace(self._assignment, symbols=symbols)
        await asyncio.to_thread(self._seat.reassigned, self._assignment)
        return {"symbols": symbols}


if __name__ == "__main__":
    raise SystemExit(main())
