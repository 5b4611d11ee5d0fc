"""Whether a feed has a writer, and if not, why not: told by what a writer leaves behind, never by asking it.

A writer holds the feed's lock from before its first record until after its last, says in its chunk about once a second
that it lives, and ends with an END record where it stopped of its own will. Each of these alone can mislead: a lock
says nothing of a writer that hangs, a heartbeat nothing of the time between two chunks, an END nothing of a crash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from mdtool.clock import SECOND
from mdtool.kernel.journal import Record
from mdtool.model import Kind
from mdtool.storage.format.layout import ChunkState
from mdtool.storage.journal.locks import Holder
from mdtool.storage.journal.registry import ChunkInfo

WRITER_TTL_NS = 5 * SECOND  # a writer says it lives once a second; five missed are no accident


class WriterStatus(Enum):
    """Whether the feed has a writer."""

    ALIVE = "alive"  # it holds the feed's lock, and its heartbeat is younger than the ttl
    STALE = "stale"  # it died without giving the lock back, or it hangs: its heartbeat is old
    GONE = "gone"  # it gave the feed back, or there never was one


class Reason(Enum):
    """Why a feed is not being written."""

    ENDED = "ended"  # the last record is END: its writer stopped of its own will
    LOCK_LOST = "lock lost"  # no process holds the feed's lock, and there is no END
    HEARTBEAT_STALE = "heartbeat stale"  # the lock is held, but the writer has been silent for longer than the ttl
    CHUNK_MISSING = "chunk missing"  # the chunk being written cannot be opened here
    NEVER_WRITTEN = "never written"  # no process has written it yet


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Why a feed is not being written. `since_ns`: ns since the epoch of its last sign of life, None where it left
    none; `text`: the same for people, and what to do."""

    reason: Reason
    since_ns: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Signs:
    """All that can be seen of a feed's writer at one moment."""

    feed: str
    lock: Holder
    latest: ChunkInfo | None  # newest chunk of the table
    heartbeat_ns: int | None  # of the newest chunk, where it can be opened
    missing: str | None  # why it cannot be
    last: Record | None  # the feed's last record, where it was asked for and can be read

    @property
    def ended(self) -> bool:
        return self.last is not None and self.last.kind == Kind.END


def turns_on_the_end(lock: Holder, latest: ChunkInfo | None) -> bool:
    """Whether it takes the feed's last record to tell the status."""
    left_open = latest is not None and latest.state == ChunkState.LIVE
    return not lock.held and bool(left_open or lock.left)


def status(signs: Signs, ttl_ns: int, now_ns: int) -> WriterStatus:
    """What the signs come to."""
    if not signs.lock.held:
        died = turns_on_the_end(signs.lock, signs.latest) and not signs.ended
        return WriterStatus.STALE if died else WriterStatus.GONE
    return WriterStatus.STALE if _silent(signs, ttl_ns, now_ns) else WriterStatus.ALIVE


def disconnect(signs: Signs, ttl_ns: int, now_ns: int) -> Disconnect | None:
    """Why the feed is not being written; None while it is."""
    feed, lock = signs.feed, signs.lock
    last_ns = signs.last.recv_ns if signs.last is not None else None
    if signs.missing is not None:
        return Disconnect(Reason.CHUNK_MISSING, last_ns, signs.missing)
    if signs.last is not None and signs.ended:
        why = _reason(signs.last.payload)
        return Disconnect(Reason.ENDED, last_ns, f"{feed}: its writer stopped of its own will: {why}")
    if lock.held:
        if not _silent(signs, ttl_ns, now_ns):
            return None
        assert signs.heartbeat_ns is not None  # what is silent has one
        silent = (now_ns - signs.heartbeat_ns) / 1e9
        text = f"{feed}: its writer holds the lock and has been silent for {silent:.1f} s: it hangs, or is stopped"
        return Disconnect(Reason.HEARTBEAT_STALE, signs.heartbeat_ns, text)
    since_ns = max((ns for ns in (signs.heartbeat_ns, last_ns) if ns is not None), default=None)
    if lock.left:
        text = f"{feed}: its writer (pid {lock.left}) died; what it committed is kept, record again to go on"
    elif since_ns is None:
        return Disconnect(Reason.NEVER_WRITTEN, None, f"{feed}: nothing was written yet, and no process has its lock")
    else:
        text = f"{feed}: no process has its lock, and its last record is no END: its writer failed or was not ended"
    return Disconnect(Reason.LOCK_LOST, since_ns, text)


def _reason(payload: bytes) -> str:
    """What an END says; as it stands, where that is not what this version writes."""
    text = payload.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    reason = said.get("reason") if isinstance(said, dict) else None
    return reason if isinstance(reason, str) else text


def _silent(signs: Signs, ttl_ns: int, now_ns: int) -> bool:
    # Between two chunks and before the first there is no heartbeat to judge by; the lock is what is left.
    live = signs.latest is not None and signs.latest.state == ChunkState.LIVE
    return live and signs.heartbeat_ns is not None and now_ns - signs.heartbeat_ns > ttl_ns
