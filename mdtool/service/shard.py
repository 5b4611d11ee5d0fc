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

from mdtool.capture.lists import known
from mdtool.capture.options import TIME_IS_OVER, RecorderEvent
from mdtool.capture.protocol import text
from mdtool.capture.recorder import Recorder
from mdtool.clock import SystemClock
from mdtool.errors import MdtoolError, StoreError
from mdtool.service import assignment as told
from mdtool.service.assignment import Assignment
from mdtool.service.control import Control, Reconnect, Reload, Request, Reread, Snapshot, Stop
from mdtool.service.page import TOTALS
from mdtool.service.roster import Ended, Roster, Seat
from mdtool.storage.store import Store
from mdtool.venues import catalog

ENDING = "the recorder is ending"
STARTING = "the recorder is starting: try again"


def main() -> int:
    """Until it is told to stop. 0, or the exit code of what it failed with, which is the last line on stderr."""
    try:
        assignment = told.read(sys.stdin.buffer.readline())
        _let_go_of_stdin()
        if assignment.cpus:
            _pin(assignment.cpus)
        with Store.create(assignment.store) as store:
            now_ns = SystemClock().now_ns()
            with Roster(store.path).on_duty(assignment, store, now_ns) as seat:
                return asyncio.run(_Shard(store, assignment, seat).run())
    except MdtoolError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _let_go_of_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)


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
        self._roster = Roster(store.path)
        self._clock = SystemClock()
        self._changing = asyncio.Lock()  # what is recorded, and what stands in the roster about it
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
                self._ends(error.exit_code, "failed", str(error), type(error).__name__)
                raise
            except Exception as error:
                self._ends(1, "failed", text(f"{type(error).__name__}: {error}"), type(error).__name__)
                raise
            self._ends(0, self._why or TIME_IS_OVER)
        return 0

    def _ends(self, code: int, why: str, error: str = "", kind: str = "") -> None:
        ended = Ended(
            code, why, error, kind, self._totals(),
            began=self._recorder is not None, timed=code == 0 and not self._why, life=self._assignment.life,
        )  # fmt: skip
        try:
            self._roster.has_ended(self._assignment.name, ended)
        except StoreError as refused:  # a full disk is why it ends, more often than not
            sys.stderr.write(f"{refused}\n")

    async def _record(self) -> None:
        given = self._assignment
        venue = catalog.called(given.venue)
        if given.instruments:
            venue = await known(self._store, venue, given.symbols, given.rest_url, given.ca)
        options = given.options(venue)
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
            with contextlib.suppress(StoreError):  # what there is no room for ends the run by itself
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
        if isinstance(request, Reread):
            raise MdtoolError("a recorder reads no settings: ask who keeps it running")
        if recorder is None:
            raise MdtoolError(ENDING if self._over else STARTING)
        if isinstance(request, Snapshot):
            return {"symbols": recorder.request_books(request.symbols)}
        if isinstance(request, Reconnect):
            return {"symbols": recorder.reconnect(request.symbols)}
        async with self._changing:
            try:
                if isinstance(request, Reload):
                    await recorder.replan(request.symbols)
                else:
                    assert isinstance(request, Stop)
                    await recorder.leave(request.symbols)
            finally:  # a change that a disk refused to take in whole stands all the same
                self._assignment = structs.replace(self._assignment, symbols=recorder.symbols)
                await asyncio.to_thread(self._seat.reassigned, self._assignment)
        return {"symbols": recorder.symbols}


if __name__ == "__main__":
    raise SystemExit(main())
