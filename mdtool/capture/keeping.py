"""What retention must leave so that what it leaves makes sense, and the worker that applies the feeds' own policies.

Rule: a book update that is kept keeps the snapshot its book is built from, and every update in between. Where a
snapshot cannot be told cheaply from an update, the one before it counts: too much is kept, never too little.

The worker is a process of its own: `python -m mdtool.capture.keeping STORE FEED...` makes one round and writes a JSON
line a feed. So neither its reading of parts nor its waiting for the disk is ever felt by the recorder that starts it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdtool.clock import DAY, Clock, SystemClock
from mdtool.errors import MdtoolError, UnknownVenue, WireError
from mdtool.model import SESSION_SYMBOL, SNAPSHOT_STREAM, Flag, Kind, Update
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.batch import Batch
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import FeedInfo, Store
from mdtool.storage.upkeep.removal import Effect, apply_policies
from mdtool.storage.upkeep.retention import FeedPlan, Needs, RetentionLimits
from mdtool.venues import catalog
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Decoder, Venue

EVERY = 600.0  # seconds between two rounds
PAUSE = 0.2  # seconds between two batches of files removed while a recorder writes to the same disk
NICE = 10
OPENERS = 3  # messages at the start of a session's stream among which its snapshot is looked for
LARGE = 0.999  # quantile of length above which a message may be a snapshot within a session

Rows = npt.NDArray[Any]


def needs(reader: Reader, position: int) -> int | None:
    """From which position on records are needed so that the book updates from `position` on can be applied; None where
    nothing before it is. As storage.retention asks.

    Judged by the first book message of each book stream from `position` on, within the first chunk that has any: an
    update that comes before any snapshot needs the newest snapshot before `position`, unless its numbers show that it
    does not follow what stands there. Where there is none (nothing was ever whole, or the venue has no adapter),
    nothing can be kept for it.
    """
    try:
        venue = catalog.get(reader.feed.venue)
    except UnknownVenue:
        return None
    decoders = {
        stream: venue.decoder(name) for stream, name in enumerate(reader.streams) if venue.is_book(name)
    }  # fmt: skip
    orphans = _orphans(reader, position, decoders) if decoders else {}
    return _newest_snapshots(reader, position, venue, decoders, orphans) if orphans else None


def _orphans(reader: Reader, position: int, decoders: dict[int, Decoder]) -> dict[int, Update]:
    """By book stream: its first message from `position` on, where that is an update that no snapshot precedes."""
    undecided, orphans = set(decoders), dict[int, Update]()
    reader.move_to(position)
    chunk = position >> ROW_BITS
    for batch in reader.batches():
        if batch.position >> ROW_BITS != chunk:
            if undecided != set(decoders):
                break  # a stream that does not appear in the first chunk has nothing to go on with
            chunk = batch.position >> ROW_BITS
        answers = _answers(reader, batch)
        until = int(answers[0]) if len(answers) else len(batch)
        for stream in sorted(undecided):
            for row in _rows_of(batch, stream, until):
                if (update := _update(decoders[stream], batch, row)) is not None:
                    undecided.discard(stream)
                    if not update.snapshot:
                        orphans[stream] = update
                    break
        if len(answers) or not undecided:
            break
    return orphans


def _newest_snapshots(
    reader: Reader, position: int, venue: Venue, decoders: dict[int, Decoder], orphans: dict[int, Update]
) -> int | None:
    """Position of the oldest of the newest snapshots before `position` that these updates go back to."""
    in_stream = venue.snapshot_request(reader.feed.symbol) is None
    found: dict[int, int] = {}
    last: dict[int, Update] = {}  # the last update before `position`
    for chunk in reversed([one for one in reader.chunks() if one.chunk_id < position >> ROW_BITS and one.rows]):
        for batch in reversed(list(_batches_of(reader, chunk.chunk_id))):
            answers = _answers(reader, batch)
            for stream in set(orphans) - set(found):
                if stream not in last and (update := _last_update(decoders[stream], batch, stream)) is not None:
                    last[stream] = update
                    if not _follows(venue.rule(reader.stream_name(stream)), update, orphans[stream]):
                        del orphans[stream]
                        continue
                rows = [int(answers[-1])] if len(answers) else []
                if in_stream:
                    rows += _snapshots(batch, stream, decoders[stream])
                if rows:
                    found[stream] = batch.position + max(rows)
            if len(found) == len(orphans):
                return min(found.values(), default=None)
    return min(found.values(), default=None)


def _last_update(decoder: Decoder, batch: Batch, stream: int) -> Update | None:
    rows = reversed(_rows_of(batch, stream, len(batch)))
    return next((update for row in rows if (update := _update(decoder, batch, row)) is not None), None)


def _follows(rule: Rule | None, before: Update, update: Update) -> bool:
    """Whether `update` may go on from `before`; a stream without numbers does not tell."""
    if rule is None:
        return True
    rule.judge(before)
    return rule.judge(update) not in (Verdict.GAP, Verdict.RESET)


def _batches_of(reader: Reader, chunk_id: int) -> Iterator[Batch]:
    reader.move_to(chunk_id << ROW_BITS)
    for batch in reader.batches():
        if batch.position >> ROW_BITS != chunk_id:
            return
        yield batch


def _answers(reader: Reader, batch: Batch) -> Rows:
    """Rows that are whole books fetched by REST."""
    names = reader.streams
    if SNAPSHOT_STREAM not in names:
        return np.zeros(0, np.intp)
    rows: Any = batch.rows
    good = (rows["kind"] == Kind.RESPONSE) & (rows["flags"] & Flag.FAILED == 0)
    return np.flatnonzero(good & (rows["stream"] == names.index(SNAPSHOT_STREAM)))


def _rows_of(batch: Batch, stream: int, until: int) -> list[int]:
    rows: Any = batch.rows[:until]
    found: list[int] = np.flatnonzero((rows["kind"] == Kind.DATA) & (rows["stream"] == stream)).tolist()
    return found


def _snapshots(batch: Batch, stream: int, decoder: Decoder) -> list[int]:
    """The newest row of the stream that is a snapshot, among those that may be one: decoding all would take as long as
    they took to come."""
    numbers = np.array(_rows_of(batch, stream, len(batch)), np.intp)
    if not len(numbers):
        return []
    rows: Any = batch.rows[numbers]
    openers = [np.flatnonzero(rows["session"] == session)[:OPENERS] for session in np.unique(rows["session"])]
    large = np.flatnonzero(rows["length"] >= np.quantile(rows["length"], LARGE))
    for row in numbers[np.unique(np.concatenate([*openers, large]))][::-1].tolist():
        update = _update(decoder, batch, row)
        if update is not None and update.snapshot:
            return [row]
    return []


def _update(decoder: Decoder, batch: Batch, row: int) -> Update | None:
    """The first change of the book in a record, if it holds one that decodes."""
    try:
        return next((message for message in decoder(batch.payload(row)) if isinstance(message, Update)), None)
    except WireError:
        return None


# -- the worker --------------------------------------------------------------------------------------------------------


class Keeper:
    """Has the policies of some feeds of one venue applied while they are recorded.

    `ask(symbol)` has a whole book fetched: once a day for each feed that has a policy, since without a newer snapshot
    nothing behind the last one could ever go. `tell(said)` gets what each round removed or failed at, and what it held
    where that has changed, as JSON values.
    """

    def __init__(
        self, store: Store, venue: Venue, symbols: Sequence[str], streams: Sequence[str],
        ask: Callable[[str], None], tell: Callable[[dict[str, Any]], None], clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._venue = venue
        self._feeds = {f"{venue.name}/{symbol}" for symbol in symbols}
        self._streams = [stream for stream in streams if venue.is_book(stream)]
        self._ask = ask
        self._tell = tell
        self._clock = clock
        self._held: dict[str, list[str]] = {}
        self._failed = ""

    async def run(self) -> None:
        """Rounds until cancelled. A round that fails is told and tried again: recording goes on."""
        today = self._clock.now_ns() // DAY  # a run begins with a whole book of each
        while True:
            await asyncio.sleep(EVERY)
            feeds = self._with_policy()
            if self._clock.now_ns() // DAY != today:
                today = self._clock.now_ns() // DAY
                for symbol in (feed.symbol for feed in feeds):
                    if self._can_ask(symbol):
                        self._ask(symbol)
            for said in await self.round(feeds):
                if self._is_news(said):
                    self._tell(said)

    def _with_policy(self) -> list[FeedInfo]:
        return [feed for feed in self._store.feeds() if feed.name in self._feeds and RetentionLimits.of(feed)]

    def _can_ask(self, symbol: str) -> bool:
        """Not where it would take a new connection: those bring a book of their own, and come often enough."""
        if symbol == SESSION_SYMBOL or not self._streams:
            return False
        if self._venue.snapshot_request(symbol, self._streams[0]) is not None:
            return True
        return any(self._venue.resubscribe(symbol, stream) for stream in self._streams)

    def _is_news(self, said: dict[str, Any]) -> bool:
        if "error" in said:
            before, self._failed = self._failed, said["error"]
            return bool(before != self._failed)
        before_held = self._held.get(said["feed"], [])
        self._held[said["feed"]] = said["held"]
        return bool(said["removed"] or said["held"] != before_held)

    async def round(self, feeds: Sequence[FeedInfo]) -> list[dict[str, Any]]:
        """One round over these feeds, in a process of its own; none is started for no feed."""
        if not feeds:
            return []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(self._store.path), *(feed.name for feed in feeds),
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
            last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
            done.append({"error": last or f"exit {process.returncode}"})
        return done


def main(arguments: Sequence[str], needed: Needs = needs) -> int:
    """One round over the named feeds of a store; a JSON line for each that lost or held something."""
    path, *names = arguments
    os.nice(NICE)
    code = 0
    with Store.open(Path(path)) as store:
        for name in names:
            try:
                for made, effect in apply_policies([store.feed(name)], SystemClock().now_ns(), needed, pause=PAUSE):
                    _say(made, effect)
            except MdtoolError as error:  # of this feed: the others have theirs all the same
                sys.stderr.write(f"{error}\n")
                code = error.exit_code
    return code


def _say(made: FeedPlan, effect: Effect | None) -> None:
    removed = [unit.name for unit in effect.removed] if effect else []
    held = [f"{held.unit.name}: {held.by}" for held in made.held]
    if removed or held:
        freed = effect.freed_bytes if effect else 0
        said = {"feed": made.feed.name, "removed": removed, "freed_bytes": freed, "held": held}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
