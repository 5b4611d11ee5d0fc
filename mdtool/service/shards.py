"""Keeps the recorders of one job running: starts each as a process of its own, listens to it, starts it again.

Rule: a recorder needs nobody. Where this process dies they record on; the next one that has the same work to give takes
them over as they are, and what neither has to do is to stop one in order to know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from msgspec import DecodeError, ValidationError, structs
from msgspec.json import Decoder, encode

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.child import command, environment
from mdtool.capture.options import RecorderEvent
from mdtool.errors import FeedLocked, MdtoolError
from mdtool.service.assignment import Assignment
from mdtool.service.control import LONGEST_LINE, Event, Follow, Ping, Stop, ask, short
from mdtool.service.page import PageReader, summed
from mdtool.service.roster import Ended, Member, Roster

SHARD = "mdtool.service.shard"
LOOK = 0.02  # seconds between two looks for a recorder that is starting, or ending
GRACE = 20.0  # seconds to end in once told, after which it is signalled, and as long again until it is killed
STOPPING = RecorderEvent.STOPPING.value
ONLY_NEW = 2**53  # of events: those that are told from now on

Notify = Callable[[str, str, str], None]  # the recorder's name, the event, and one line about it; must not block
_events = Decoder(Event)


@dataclass(frozen=True, slots=True)
class Work:
    """An assignment, and whether a recorder does it already."""

    assignment: Assignment
    taken_over: bool


class ShardFailed(MdtoolError):
    """A recorder that cannot do its work, in its own words."""


@dataclass(slots=True)
class _Shard:
    """One recorder and the lives it has had."""

    assignment: Assignment
    taken_over: bool  # it ran already
    backoff: Backoff
    lives: int = 0
    process: asyncio.subprocess.Process | None = None
    writer: asyncio.StreamWriter | None = None
    past: list[dict[str, int]] = field(default_factory=list)  # the totals of its earlier lives
    page: PageReader | None = None
    pid: int = 0


class Shards:
    """The recorders of these assignments. `run` once; `stop` from a signal handler or another task."""

    def __init__(self, roster: Roster, works: Sequence[Work], notify: Notify, random: Random) -> None:
        self._roster = roster
        self._notify = notify
        self._shards = [_Shard(work.assignment, work.taken_over, Backoff(Random(random.random()))) for work in works]
        self._stopping = ""
        self._stop_asked = asyncio.Event()

    def stop(self, why: str) -> None:
        """Have each end gracefully."""
        if not self._stopping:
            self._stopping = why
            self._notify("", STOPPING, f"stopping: {why}")
        self._stop_asked.set()
        for shard in self._shards:
            self._tell_stop(shard)

    def kill(self) -> None:
        """End each at once."""
        for shard in self._shards:
            if shard.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(shard.pid, signal.SIGKILL)

    async def run(self) -> list[Ended]:
        """Until all have ended. Raises ShardFailed with what one says that cannot do its work; the others have been
        told to end then."""
        running = [asyncio.create_task(self._keep(shard)) for shard in self._shards]
        try:
            return list(await asyncio.gather(*running))
        except MdtoolError:
            if len(running) > 1:
                self.stop("another recorder of this run has failed")
            await asyncio.gather(*running, return_exceptions=True)
            raise
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def totals(self) -> dict[str, int]:
        """The counters of all recorders and all their lives."""
        now = [self._page_totals(shard) for shard in self._shards]
        return summed([*(past for shard in self._shards for past in shard.past), *(one for one in now if one)])

    # -- one recorder --------------------------------------------------------------------------------------------------

    async def _keep(self, shard: _Shard) -> Ended:
        """Life after life, until it ends of its own will."""
        clock = asyncio.get_running_loop().time
        name = shard.assignment.name
        while True:
            began = clock()
            ended = await self._live(shard)
            shard.lives += 1
            shard.writer, shard.pid = None, 0
            if ended.totals:
                shard.past.append(ended.totals)
            if ended.code == 0 or (self._stopping and not ended.error):
                return ended
            if ended.error and (shard.assignment.fail_fast or not ended.began):
                raise ShardFailed(ended.error)
            if clock() - began >= STABLE:
                shard.backoff.succeeded()
            why = ended.error or ended.why
            if self._stopping:
                return ended
            wait = shard.backoff.next_wait()
            self._notify(name, "recorder", f"the recorder has ended: {why}; starting it again in {wait:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stop_asked.wait()
                    return ended
            seconds = shard.assignment.seconds
            if seconds is not None:
                seconds = max(0.0, seconds - (clock() - began))
            member = self._roster.member(name)  # where it was told to record something else meanwhile, that
            latest = member.duty.assignment if member is not None else shard.assignment
            shard.assignment = structs.replace(latest, after=why, seconds=seconds)

    async def _live(self, shard: _Shard) -> Ended:
        """One life: begun or taken over, listened to, to its end."""
        name = shard.assignment.name
        after = 0
        if shard.taken_over and shard.lives == 0:
            after = ONLY_NEW
        else:
            shard.process = await self._start(shard)
        shard.page = None
        ending = asyncio.create_task(self._see_it_end(shard))
        try:
            while (streams := await self._connected(shard)) is not None:
                after = await self._listen(shard, *streams, after)
        finally:
            ending.cancel()
        code = await shard.process.wait() if shard.process is not None else None
        ended = self._roster.ended(name)
        if ended is not None:
            return ended
        words = self._roster.last_words(name)
        how = f"killed by signal {-code}" if code is not None and code < 0 else words or "it is gone"
        totals = self._page_totals(shard) or {}
        # Without a word of its own: it was killed, or never came as far as its duty.
        began = shard.page is not None or bool(code is not None and code < 0)
        return Ended(1 if code is None or code < 0 else code, how, "" if began else words, totals=totals, began=began)

    async def _start(self, shard: _Shard) -> asyncio.subprocess.Process:
        with self._roster.log(shard.assignment.name) as log:
            process = await asyncio.create_subprocess_exec(
                *command(SHARD), env=environment(), start_new_session=True,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        assert process.stdin is not None
        shard.pid = process.pid
        process.stdin.write(shard.assignment.to_line())
        process.stdin.close()
        return process

    async def _connected(self, shard: _Shard) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """To its socket; None where it is no more."""
        name = shard.assignment.name
        while True:
            alive = shard.process.returncode is None if shard.process is not None else self._roster.is_on_duty(name)
            if not alive:
                return None
            member = self._roster.member(name)
            if member is not None and (shard.process is None or member.duty.pid == shard.process.pid):
                with contextlib.suppress(OSError), short(member.socket) as path:
                    return await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
            await asyncio.sleep(LOOK)

    async def _listen(
        self, shard: _Shard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int
    ) -> int:
        """Hand on what it tells until it is silent for good; the number of the last event."""
        shard.writer = writer
        member = self._roster.member(shard.assignment.name)
        if member is not None:
            shard.page, shard.pid = member.page(), member.duty.pid
        try:
            writer.write(encode(Follow(after, supervisor=True)) + b"\n")
            if self._stopping:
                self._tell_stop(shard)
            while line := await reader.readline():
                with contextlib.suppress(ValidationError, DecodeError):
                    event = _events.decode(line)
                    after = event.number
                    if not (self._stopping and event.event == STOPPING):  # it has been said
                        self._notify(shard.assignment.name, event.event, event.text)
        except (OSError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            shard.writer = None
            writer.close()
        return after

    def _tell_stop(self, shard: _Shard) -> None:
        if shard.writer is not None:
            shard.writer.write(encode(Stop(self._stopping)) + b"\n")

    async def _see_it_end(self, shard: _Shard) -> None:
        """One that was told to stop and does not is made to."""
        await self._stop_asked.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            await asyncio.sleep(GRACE)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(shard.pid, number)

    def _page_totals(self, shard: _Shard) -> dict[str, int] | None:
        if shard.page is None or (shard.writer is None and shard.pid == 0):
            return None
        return shard.page.totals()


def take_over(roster: Roster, wanted: Assignment) -> Member | None:
    """The recorder that does this work already and has nobody who would start it again. Raises FeedLocked where it has
    somebody."""
    for member in roster.members():
        if member.alive and wanted.same_work(member.duty.assignment):
            if ask(member.socket, Ping()).get("supervised"):
                raise FeedLocked(
                    f"the recorder {member.name!r} (pid {member.duty.pid}) records this already; "
                    f"see: mdtool status, to end it: mdtool stop"
                )
            return member
    return None


def free_name(roster: Roster, venue: str, taken: set[str]) -> str:
    """A name for another recorder of a venue that nobody on duty has."""
    number = 1
    while True:
        name = venue if number == 1 else f"{venue}-{number}"
        if name not in taken and not roster.is_on_duty(name):
            taken.add(name)
            return name
        number += 1
