"""The worker that seals what is due and applies the feeds' own policies, while they are recorded.

It is a process of its own: `python -m mdtool.capture.keeping STORE FEED...` makes one round and writes a JSON line a
feed. So neither its reading of parts nor its waiting for the disk is ever felt by the recorder that starts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mdtool.capture.child import command, complaint, environment
from mdtool.clock import DAY, Clock, SystemClock
from mdtool.errors import MdtoolError
from mdtool.history.columns import decoding_of
from mdtool.history.needs import needs
from mdtool.model import is_session
from mdtool.storage.store import FeedInfo, Store
from mdtool.storage.upkeep.removal import Effect, apply_policies
from mdtool.storage.upkeep.retention import FeedPlan, Needs, RetentionLimits
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.venues.venue import Venue, book_stream

EVERY = 600.0  # seconds between two rounds
SOONEST = 30.0  # where they are asked to hurry
PAUSE = 0.2  # seconds between two batches of files removed while a recorder writes to the same disk
NICE = 10


class Keeper:
    """Has some feeds of one venue sealed, and their policies applied, while they are recorded.

    `ask(symbol)` has a whole book fetched: once a day for each feed that has a policy, since without a newer snapshot
    nothing behind the last one could ever go. `tell(said)` gets what each round sealed, removed or failed at, and what
    it held where that has changed, as JSON values.
    """

    def __init__(
        self, store: Store, venue: Venue, symbols: Sequence[str], streams: Sequence[str],
        ask: Callable[[str], None], tell: Callable[[dict[str, Any]], None], clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._venue = venue
        self.watch(symbols)
        self._stream = book_stream(venue, streams)
        self._ask = ask
        self._tell = tell
        self._clock = clock
        self._held: dict[str, list[str]] = {}
        self._failed = ""
        self._hurried = asyncio.Event()

    def watch(self, symbols: Sequence[str]) -> None:
        """From the next round on the feeds of these symbols."""
        self._feeds = {f"{self._venue.name}/{symbol}" for symbol in symbols}

    async def run(self) -> None:
        """Rounds until cancelled. A round that fails is told and tried again: recording goes on."""
        today = self._clock.now_ns() // DAY  # a run begins with a whole book of each
        while True:
            await self._wait()
            feeds = self._with_policy()
            if self._clock.now_ns() // DAY != today:
                today = self._clock.now_ns() // DAY
                for symbol in (feed.symbol for feed in feeds):
                    if self._can_ask(symbol):
                        self._ask(symbol)
            for said in await self.round([feed for feed in self._store.feeds() if feed.name in self._feeds]):
                if self._is_news(said):
                    self._tell(said)

    def hurry(self) -> None:
        """Have the next round soon: room is running out."""
        self._hurried.set()

    async def _wait(self) -> None:
        soonest = min(SOONEST, EVERY)
        await asyncio.sleep(soonest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY - soonest):
                await self._hurried.wait()
        self._hurried.clear()

    def _with_policy(self) -> list[FeedInfo]:
        return [feed for feed in self._store.feeds() if feed.name in self._feeds and RetentionLimits.of(feed)]

    def _can_ask(self, symbol: str) -> bool:
        """Not where it would take a new connection: those bring a book of their own, and come often enough."""
        if is_session(symbol) or self._stream is None:
            return False
        if self._venue.snapshot_request(symbol, self._stream) is not None:
            return True
        return bool(self._venue.resubscribe(symbol, self._stream))

    def _is_news(self, said: dict[str, Any]) -> bool:
        if "error" in said:
            before, self._failed = self._failed, said["error"]
            return bool(before != self._failed)
        if "sealed" in said:
            return True
        before_held = self._held.get(said["feed"], [])
        self._held[said["feed"]] = said["held"]
        return bool(said["removed"] or said["held"] != before_held)

    async def round(self, feeds: Sequence[FeedInfo]) -> list[dict[str, Any]]:
        """One round over these feeds, in a process of its own; none is started for no feed."""
        if not feeds:
            return []
        process = await asyncio.create_subprocess_exec(
            *command("mdtool.capture.keeping", str(self._store.path), *(feed.name for feed in feeds)),
            env=environment(), start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()  # the next round finishes what this one has begun
            await process.wait()
            raise
        done: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        if process.returncode:
            done.append({"error": complaint(err, process.returncode)})
        return done


def main(arguments: Sequence[str], needed: Needs = needs) -> int:
    """One round over the named feeds of a store; a JSON line for each that was sealed, lost or held something."""
    path, *names = arguments
    os.nice(NICE)
    code = 0
    with Store.open(Path(path)) as store:
        for name in names:
            try:
                feed, now_ns = store.feed(name), SystemClock().now_ns()
                if error := _seal(feed, now_ns):
                    sys.stderr.write(f"{error}\n")
                    code = MdtoolError.exit_code
                for made, effect in apply_policies([feed], now_ns, needed, pause=PAUSE):
                    _say_removal(made, effect)
            except MdtoolError as error:  # of this feed: the others have theirs all the same
                sys.stderr.write(f"{error}\n")
                code = error.exit_code
    return code


def _seal(feed: FeedInfo, now_ns: int) -> str | None:
    """Seal what is due; why not all of it. Where room is limited that is every closed chunk, as only parts can go."""
    at_once = bool(feed.retain_bytes) and not feed.live_window_ns
    report = seal_feed(feed, now_ns, decoding=decoding_of(feed.venue), everything=at_once)
    if report.parts:
        parts = [{"part": part.part, "records": part.records, "bytes": part.part_bytes} for part in report.parts]
        _say({"feed": feed.name, "sealed": parts})
    return report.error


def _say_removal(made: FeedPlan, effect: Effect | None) -> None:
    removed = [unit.name for unit in effect.removed] if effect else []
    held = [f"{held.unit.name}: {held.by}" for held in made.held]
    if removed or held:
        freed = effect.freed_bytes if effect else 0
        _say({"feed": made.feed.name, "removed": removed, "freed_bytes": freed, "held": held})


def _say(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
