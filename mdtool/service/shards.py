"""Keeps the recorders of one job running: starts each as a process of its own, listens to it, starts it again.

Which recorders there are may change while they run: `add`, `end`, `give`. Who does several of these at once does it
`while_changing`, so that the job is not taken for over in between.

Rule: a recorder needs nobody. Where this process dies they record on; the next one that has the same work to give takes
them over as they are, and what neither has to do is to stop one in order to know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from msgspec import DecodeError, Struct, ValidationError, structs
from msgspec.json import Decoder, encode

from mdtool.capture.backoff import STABLE, Backoff
from mdtool.capture.child import command, environment
from mdtool.capture.options import TIME_IS_OVER, RecorderEvent
from mdtool.errors import FeedLocked, MdtoolError, StoreError
from mdtool.service.assignment import Assignment
from mdtool.service.control import LONGEST_LINE, SUPERVISED, Follow, Reload, Stop, ask, short
from mdtool.service.page import PageReader, summed
from mdtool.service.roster import Ended, NameTaken, Roster
from mdtool.service.taking import free_name, has_somebody
from mdtool.units import count
from mdtool.venues import catalog

SHARD = "mdtool.service.shard"
LOOK = 0.02  # seconds between two looks for a recorder that is starting, or ending
GRACE = 20.0  # seconds to end in once told, after which it is signalled, and as long again until it is killed
STOPPING = RecorderEvent.STOPPING.value
SETTLING = 60.0  # seconds for a recorder to have other connections
NEVER = 1e9  # seconds
ONLY_NEW = 2**53  # of events: those that are told from now on

Notify = Callable[[str, str, str], None]  # the recorder's name, the event, and one line about it; must not block


class _Heard(Struct):
    """A line of a recorder: an event, an answer, or how many events were not told."""

    number: int = 0
    event: str = ""
    text: str = ""
    lost: int = 0
    error: str = ""


_heard = Decoder(_Heard)


@dataclass(frozen=True, slots=True)
class Work:
    """An assignment, and the pid of the recorder that does it already; 0: none."""

    assignment: Assignment
    pid: int = 0


class ShardFailed(MdtoolError):
    """A recorder that cannot do its work, in its own words."""


class _Shard:
    """One recorder and the lives it has had."""

    def __init__(self, work: Work, backoff: Backoff) -> None:
        self.assignment = work.assignment
        self.backoff = backoff
        self.pid = work.pid  # of the life that lasts; 0: none does
        self.taken_over = bool(work.pid)  # so that life was begun by somebody else
        self.has_begun = self.taken_over  # some life had its feeds open
        self.process: asyncio.subprocess.Process | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.page: PageReader | None = None
        self.past: list[dict[str, int]] = []  # the totals of its earlier lives
        self.ending = ""  # why it is to end
        self.told_to_end = asyncio.Event()
        self.symbols: tuple[str, ...] = ()  # to be recorded from its next life on; none: as it is
        self.must = True  # a failure of it is one of the whole job

    @property
    def name(self) -> str:
        return self.assignment.name

    def end(self, why: str) -> None:
        """Have it end gracefully, now or once it can be told."""
        self.ending = self.ending or why
        self.told_to_end.set()
        if self.writer is not None:
            self.writer.write(encode(Stop(self.ending)) + b"\n")

    def signal(self, *numbers: int) -> None:
        """These signals to its process, while that is its process."""
        if not self.pid or (self.process is not None and self.process.returncode is not None):
            return
        for number in numbers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


class Shards:
    """The recorders of these assignments. `run` once; `stop` from a signal handler or another task."""

    def __init__(self, roster: Roster, works: Sequence[Work], notify: Notify, random: Random) -> None:
        self._roster = roster
        self._notify = notify
        self._random = random
        self._stopping = ""
        self._shards = [_Shard(work, Backoff(Random(random.random()))) for work in works]
        self._running: dict[asyncio.Task[Ended], _Shard] = {}
        self._runs = False
        self._changes = 0  # that are under way
        self._woken = asyncio.Event()  # by a change, to look at what runs
        self._earlier: list[dict[str, int]] = []  # the totals of recorders that are no more

    def stop(self, why: str) -> None:
        """Have each end gracefully."""
        if not self._stopping:
            self._stopping = why
            self._notify("", STOPPING, f"stopping: {why}")
        for shard in self._shards:
            shard.end(why)

    def kill(self) -> None:
        """End each at once."""
        for shard in self._shards:
            shard.signal(signal.SIGKILL)

    async def run(self) -> list[Ended]:
        """Until all have ended. Raises ShardFailed with what one says that cannot do its work, and FeedLocked where it
        has somebody else; the others have been told to end then. One that was added meanwhile fails alone, and that is
        told."""
        self._runs = True
        for shard in self._shards:
            self._begin(shard)
        ends: list[Ended] = []
        failure: MdtoolError | None = None
        try:
            while self._running or self._changes:
                await self._something_ends()
                for task, shard in [(task, shard) for task, shard in self._running.items() if task.done()]:
                    del self._running[task]
                    try:
                        ends.append(task.result())
                    except MdtoolError as error:
                        if not shard.must:
                            self._notify(shard.name, "failed", f"the recorder {shard.name} has failed: {error}")
                            continue
                        failure = failure or error
                        if self._running:
                            self.stop("another recorder of this run has failed")
            if failure is not None:
                raise failure
            return ends
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _begin(self, shard: _Shard) -> None:
        self._running[asyncio.create_task(self._keep(shard))] = shard

    async def _something_ends(self) -> None:
        """Or is changed."""
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({woken, *self._running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self._woken.clear()

    # -- which there are -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def while_changing(self) -> Iterator[None]:
        """A context in which recorders come and go: the job is not over where none is left."""
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            self._woken.set()

    @property
    def stopping(self) -> bool:
        return bool(self._stopping)

    def assignments(self) -> list[Assignment]:
        """What each that has not ended records now."""
        return [self._latest(shard) for shard in self._running.values() if not shard.ending]

    def add(self, work: Work, *, must: bool) -> None:
        """One more recorder. `must`: where it fails the job has failed."""
        shard = _Shard(work, Backoff(Random(self._random.random())))
        shard.must = must
        if self._stopping:
            shard.end(self._stopping)
        if self._runs:
            self._forget_ended()
            self._begin(shard)
            self._woken.set()
        self._shards.append(shard)

    async def has_begun(self, name: str) -> bool:
        """Wait until the recorder has its feeds open, or has ended; whether it has them."""
        while (found := self._named(name)) is not None:
            task, shard = found
            page = shard.page
            if page is not None and page.beat_ns > page.started_ns:
                return True
            if task.done() or (shard.has_begun and not shard.pid):
                return False
            await asyncio.sleep(LOOK)
        return False

    async def end(self, name: str, why: str) -> None:
        """Have one end gracefully, and wait until it has."""
        if (found := self._named(name)) is not None:
            task, shard = found
            shard.end(why)
            await asyncio.wait({task})

    async def give(self, name: str, symbols: tuple[str, ...]) -> None:
        """Have one record these symbols and no others: at once, or from its next life on where it has none just now.
        Raises MdtoolError; then it is as it was."""
        found = self._named(name)
        if found is None:
            raise MdtoolError(f"the recorder {name} has ended")
        member = await asyncio.to_thread(self._roster.member, name)
        if member is not None and member.alive:
            await asyncio.to_thread(ask, member.socket, Reload(symbols), SETTLING)
        else:
            found[1].symbols = symbols

    def _named(self, name: str) -> tuple[asyncio.Task[Ended], _Shard] | None:
        return next(((task, shard) for task, shard in self._running.items() if shard.name == name), None)

    def _latest(self, shard: _Shard) -> Assignment:
        """What a recorder was told last, by whomever."""
        member = self._roster.member(shard.name)
        known = shard.assignment
        if member is not None and member.duty.assignment.life == known.life:
            known = member.duty.assignment
        return structs.replace(known, symbols=shard.symbols) if shard.symbols else known

    def _forget_ended(self) -> None:
        """Keep of those that are no more only what they have counted."""
        running = set(self._running.values())
        for shard in [shard for shard in self._shards if shard not in running]:
            self._shards.remove(shard)
            self._earlier += shard.past

    def names(self) -> list[str]:
        """What they are called just now."""
        return [shard.name for shard in self._shards]

    def totals(self) -> dict[str, int]:
        """The counters of all recorders and all their lives."""
        now = [shard.page.totals() for shard in self._shards if shard.page is not None]
        return summed([*self._earlier, *(past for shard in self._shards for past in shard.past), *now])

    # -- one recorder --------------------------------------------------------------------------------------------------

    async def _keep(self, shard: _Shard) -> Ended:
        """Life after life, until it ends of its own will."""
        loop = asyncio.get_running_loop()
        seconds = shard.assignment.seconds
        over = loop.time() + (NEVER if seconds is None else seconds)
        timer = loop.call_at(over, shard.end, TIME_IS_OVER) if shard.taken_over else None
        try:
            while True:
                began = loop.time()
                ended = await self._live(shard)
                shard.has_begun |= ended.began
                others = shard.taken_over and ended.timed and not shard.ending  # its time was over, and not ours
                shard.taken_over, shard.pid = False, 0
                if ended.code == NameTaken.exit_code:
                    name = free_name(self._roster, catalog.called(shard.assignment.venue).name, set(self.names()))
                    shard.assignment = structs.replace(shard.assignment, name=name)
                    continue
                if ended.error and (shard.ending or shard.assignment.fail_fast or not shard.has_begun):
                    raise ShardFailed(ended.error)
                if shard.ending or (ended.code == 0 and not others):
                    return ended
                if loop.time() - began >= STABLE:
                    shard.backoff.succeeded()
                why = ended.error or ended.why
                wait = 0.0 if others else shard.backoff.next_wait()
                self._notify(
                    shard.name, "recorder", f"the recorder has ended: {why}; starting it again in {wait:.1f} s"
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await shard.told_to_end.wait()
                        return ended
                told = self._roster.ended(shard.name, shard.assignment.life)
                if told is not None and told.code == 0 and not others:
                    return told  # it was told to end while there was none
                left = over - loop.time()
                if left <= 0:
                    return ended
                # It may have been told to record something else.
                shard.assignment = structs.replace(
                    self._latest(shard), after=why, seconds=None if seconds is None else left
                )
                shard.symbols = ()
        finally:
            if timer is not None:
                timer.cancel()

    async def _live(self, shard: _Shard) -> Ended:
        """One life: begun or taken over, listened to, to its end."""
        try:
            if not shard.taken_over:
                await self._start(shard)
        except (OSError, StoreError) as error:
            return Ended(1, "not started", f"the recorder cannot be started: {error}", began=False)
        after = ONLY_NEW if shard.taken_over else 0
        ending = asyncio.create_task(self._see_it_end(shard))
        try:
            while (streams := await self._connected(shard)) is not None:
                after = await self._listen(shard, *streams, after)
                await asyncio.sleep(LOOK)
        finally:
            ending.cancel()
        code = await shard.process.wait() if shard.process is not None else None
        ended = self._roster.ended(shard.name, shard.assignment.life)
        if ended is None:
            ended = self._without_a_word(shard, code)
        elif ended.code and not ended.error:
            ended = structs.replace(ended, error=ended.why)
        if ended.totals:
            shard.past.append({**ended.totals, "connections": 0})
        shard.page = None
        return ended

    def _without_a_word(self, shard: _Shard, code: int | None) -> Ended:
        """It was killed, never came as far as its duty, or had no room for a word."""
        page = shard.page
        totals = page.totals() if page is not None else {}
        began = page is not None and page.beat_ns > page.started_ns
        if code is None or code < 0:
            how = "it is gone" if code is None else f"killed by signal {-code}"
            return Ended(1, how, totals=totals, began=True)  # whose fault is it?
        words = self._roster.last_words(shard.name) or f"exit code {code}"
        return Ended(code or 1, "failed", words, totals=totals, began=began)

    async def _start(self, shard: _Shard) -> None:
        shard.assignment = structs.replace(shard.assignment, life=secrets.token_hex(8))
        with self._roster.log(shard.name) as log:
            shard.process = process = await asyncio.create_subprocess_exec(
                *command(SHARD), env=environment(), start_new_session=True,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        assert process.stdin is not None
        shard.pid = process.pid
        process.stdin.write(shard.assignment.to_line())
        process.stdin.close()

    async def _connected(self, shard: _Shard) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """To its socket; None where it is no more."""
        while shard.process is None or shard.process.returncode is None:
            member = self._roster.member(shard.name)
            mine = member is not None and member.duty.assignment.life == shard.assignment.life
            if mine and member is not None and member.alive:
                with contextlib.suppress(OSError), short(member.socket) as path:
                    streams = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
                    shard.page = shard.page or member.page()
                    return streams
            elif shard.process is None:
                return None
            await asyncio.sleep(LOOK)
        return None

    async def _listen(
        self, shard: _Shard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int
    ) -> int:
        """Hand on what it tells until it is silent for good; the number of the last event. Raises FeedLocked."""
        shard.writer = writer
        heard = False
        try:
            writer.write(encode(Follow(after, supervisor=True)) + b"\n")
            if shard.ending:
                shard.end(shard.ending)
            while line := await reader.readline():
                with contextlib.suppress(ValidationError, DecodeError, UnicodeDecodeError):
                    said = _heard.decode(line)
                    if said.error == SUPERVISED and shard.taken_over and not heard:
                        raise FeedLocked(has_somebody(shard.name, shard.pid))
                    heard = True
                    if said.lost:
                        self._notify(shard.name, "lost", f"{count(said.lost, 'line')} of the recorder not told")
                    if said.number:
                        after = said.number
                        if not (self._stopping and said.event == STOPPING):  # it has been said
                            self._notify(shard.name, said.event, said.text)
        except (OSError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            shard.writer = None
            writer.close()
        return after

    async def _see_it_end(self, shard: _Shard) -> None:
        """One that was told to stop and does not is made to."""
        await shard.told_to_end.wait()
        await asyncio.sleep(GRACE)
        shard.signal(signal.SIGTERM, signal.SIGCONT)  # it may only have been held
        await asyncio.sleep(GRACE)
        self._notify(shard.name, "recorder", f"told to end {2 * GRACE:g} s ago, and has not: killed")
        shard.signal(signal.SIGKILL)
