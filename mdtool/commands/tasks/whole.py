"""A run of all that a file of settings asks for: recorders of several venues kept by one process, which reads the file
anew when it is told to.

Rule: what the file says is taken as a whole or not at all. One that does not hold changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from msgspec import structs

from mdtool.commands.tasks.recording import Recorded, Watching, looked_at, status, stop_on_signals
from mdtool.config import BadConfig, Config, Finding
from mdtool.errors import MdtoolError, UsageError
from mdtool.service.control import Control, Request, Reread, Stop
from mdtool.service.following import Followed, follow
from mdtool.service.jobs import Job, load_jobs
from mdtool.service.presence import resolved, taking_its_place
from mdtool.service.roster import Member, Roster
from mdtool.service.shards import Shards, Work
from mdtool.service.taking import must_have_nobody
from mdtool.service.wanted import arranged, from_file, keep
from mdtool.storage.store import Store
from mdtool.units import count


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of such a run, and how the file is read."""

    load: Callable[[], Config]
    seconds: float | None = None
    fail_fast: bool = False


def wanted(asked: Asked) -> tuple[Config, list[Job]]:
    """The settings and what they have recorded. Raises BadConfig, UsageError where that is nothing."""
    config, jobs = load_jobs(asked.load)
    _must_ask_for_something(config, jobs)
    return config, jobs


def record_all(store: Store, asked: Asked, config: Config, jobs: Sequence[Job], watching: Watching) -> Recorded:
    """Record what the file asks for, until the time asked for is over or a signal comes. Raises FeedLocked where
    another process does that, ShardFailed, StoreError."""
    assert config.file is not None
    roster = Roster(store.path)
    with taking_its_place(roster, config.file) as socket:
        return asyncio.run(_Run(store, asked, config.file, watching).run(socket, jobs))


@dataclass(slots=True)
class _Run:
    store: Store
    asked: Asked
    file: Path
    watching: Watching
    names: list[str] = field(default_factory=list)  # of the recorders
    feeds: list[str] = field(default_factory=list)
    until: float | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    rereading: set[asyncio.Task[Any]] = field(default_factory=set)

    async def run(self, socket: Path, jobs: Sequence[Job]) -> Recorded:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.until = None if self.asked.seconds is None else began + self.asked.seconds
        roster, origin = Roster(self.store.path), resolved(self.file)
        works = [self._taken_over(member) for member in await asyncio.to_thread(from_file, roster, origin)]
        shards = Shards(roster, works, self._told, Random())
        interrupted = stop_on_signals(shards, (signal.SIGINT, signal.SIGTERM))
        there_was_a_terminal = sys.stderr.isatty() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

        def hung_up() -> None:
            if there_was_a_terminal and not os.isatty(2):
                shards.stop("the terminal is gone")
                return
            task = asyncio.create_task(self._reread(shards))
            self.rereading.add(task)
            task.add_done_callback(self.rereading.discard)

        async def obey(request: Request) -> dict[str, Any]:
            if isinstance(request, Reread):
                return await self._reread(shards)
            if isinstance(request, Stop) and not request.symbols:
                shards.stop(request.why)
                return {}
            raise MdtoolError("that is said to a recorder, and not to who keeps it running")

        loop.add_signal_handler(signal.SIGHUP, hung_up)
        async with (
            Control(socket, obey, lambda _: None),
            looked_at(self.store, shards, self.feeds, self.watching),
        ):
            with shards.while_changing():
                running = asyncio.create_task(shards.run())
                await asyncio.sleep(0)  # what is taken over is listened to before anything changes
                try:
                    async with self.changing:
                        await self._follow(shards, jobs, must=True)
                except BaseException:
                    shards.stop("it could not begin")
                    raise
            await running
            await asyncio.gather(*self.rereading, return_exceptions=True)
        return Recorded(
            status(shards), interrupted.is_set(), None, (), loop.time() - began, feeds=tuple(sorted(self.feeds))
        )

    def _told(self, name: str, event: str, text: str) -> None:
        self.watching.notify(event, f"{name}: {text}" if name and len(self.names) > 1 else text)

    def _taken_over(self, member: Member) -> Work:
        """Raises FeedLocked where it has somebody else."""
        must_have_nobody(member)
        self._told(member.name, "recorder", f"the recorder {member.name} runs already: taken over")
        return Work(structs.replace(member.duty.assignment, seconds=self.asked.seconds), member.duty.pid)

    async def _reread(self, shards: Shards) -> dict[str, Any]:
        """What has changed, or what is wrong with the file; both are told as well."""
        notify = self.watching.notify
        async with self.changing:
            if shards.stopping:
                raise MdtoolError("the recording is ending")
            try:
                jobs = await asyncio.to_thread(self._read)
            except BadConfig as bad:
                findings = bad.findings
            except UsageError as error:
                findings = (Finding(self.file, None, str(error).removeprefix(f"{self.file}: ")),)
            else:
                done = await self._follow(shards, jobs, must=False)
                notify("reloaded", f"{self.file} read anew: {_summary(done)}")
                for name, text in done.errors:
                    notify("reloaded", f"{name}: {text}")
                return done.to_json()
        for finding in findings:
            notify("refused", str(finding))
        notify("refused", f"{self.file}: refused; the recording goes on as it was")
        return {"findings": [finding.to_json() for finding in findings]}

    def _read(self) -> list[Job]:
        config, jobs = load_jobs(self.asked.load)
        if config.store != self.store.path:
            text = f"the store is {config.store} now, and what runs records into {self.store.path}; to move, start anew"
            raise BadConfig([config.finding(("store",), text)])
        _must_ask_for_something(config, jobs)
        return jobs

    async def _follow(self, shards: Shards, jobs: Sequence[Job], *, must: bool) -> Followed:
        left = None if self.until is None else max(0.0, self.until - asyncio.get_running_loop().time())
        with shards.while_changing():
            there = await asyncio.to_thread(shards.assignments)
            await asyncio.to_thread(keep, self.store, jobs)
            plan = await asyncio.to_thread(
                arranged, self.store, jobs, there, resolved(self.file), seconds=left, fail_fast=self.asked.fail_fast
            )
            self.names[:] = sorted({one.name for one in (*there, *plan)})
            self.feeds[:] = [feed for job in jobs for feed in job.feeds]
            done = await follow(shards, plan, must=must)
            self.names[:] = sorted(one.name for one in plan)
        return done


def _must_ask_for_something(config: Config, jobs: Sequence[Job]) -> None:
    if not jobs:
        where = config.file or "there is no file of settings"
        raise UsageError(
            f"{where}: no [[recording]] that says what to record; name a venue, as in: mdtool record binance, or write "
            f"{'one' if config.file else 'a file'}: mdtool config init"
        )


def _summary(done: Followed) -> str:
    parts = [
        f"{count(len(feeds), 'feed')} {what}"
        for what, feeds in (("begun", done.added), ("ended", done.removed), ("moved", done.moved))
        if feeds
    ]
    return ", ".join(parts) or "nothing has changed"
