"""What the recorders of a store are told: which of them are meant, and what each answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mdtool.errors import MdtoolError
from mdtool.service.control import Reconnect, Request, Snapshot, Stop, ask
from mdtool.service.roster import Member, Roster
from mdtool.storage.store import FeedInfo, Store
from mdtool.units import count

LOOK = 0.05  # seconds between two looks for one that ends
PATIENCE = 60.0  # seconds for connections to be replaced, and feeds to be closed


@dataclass(frozen=True, slots=True)
class Told:
    """What one recorder was told of some of its feeds, and what came of it."""

    recorder: str
    feeds: tuple[str, ...]
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"recorder": self.recorder, "feeds": list(self.feeds), "error": self.error}


def on_duty(store: Store) -> list[Member]:
    """The recorders that are at work."""
    return [member for member in Roster(store.path).members() if member.alive]


def snapshot(store: Store, feeds: Sequence[FeedInfo]) -> list[Told]:
    """Have the whole books of these feeds fetched."""
    return _tell(store, feeds, Snapshot)


def reconnect(store: Store, feeds: Sequence[FeedInfo]) -> list[Told]:
    """Have new connections for these feeds."""
    return _tell(store, feeds, Reconnect)


def leave(store: Store, feeds: Sequence[FeedInfo]) -> list[Told]:
    """End these feeds, and no others. A recorder that would have none left is told to end."""
    return _tell(store, feeds, lambda symbols: Stop("told to stop", symbols))


def stop(store: Store, waiting: Callable[[str], None]) -> list[Told]:
    """Tell each recorder to end, and wait until it has. `waiting` is told whom for."""
    roster = Roster(store.path)
    members = on_duty(store)
    told = [_ask(member, member.duty.assignment.symbols, Stop()) for member in members]
    until = time.monotonic() + PATIENCE
    found = []
    for member, said in zip(members, told, strict=True):
        while said.error is None and roster.is_on_duty(member.name):
            if time.monotonic() > until:
                said = Told(said.recorder, said.feeds, f"told to stop, and has not within {PATIENCE:g} s")
            waiting(f"waiting for the recorder {member.name} to close {count(len(said.feeds), 'feed')}")
            time.sleep(LOOK)
        ended = roster.ended(member.name) if said.error is None else None
        if said.error is None and (ended is None or ended.error):
            said = Told(said.recorder, said.feeds, ended.error if ended is not None else "it died without a word")
        found.append(said)
    return found


def _tell(store: Store, feeds: Sequence[FeedInfo], order: Callable[[tuple[str, ...]], Request]) -> list[Told]:
    wanted = {feed.name for feed in feeds}
    told = []
    for member in on_duty(store):
        duty = member.duty
        symbols = tuple(one for one in duty.assignment.symbols if f"{duty.venue}/{one}" in wanted)
        if not symbols:
            continue
        request = order(symbols)
        if isinstance(request, Stop) and len(symbols) == len(duty.assignment.symbols):
            request = Stop(request.why)
        told.append(_ask(member, symbols, request))
    return told


def _ask(member: Member, symbols: Sequence[str], request: Request) -> Told:
    feeds = tuple(f"{member.duty.venue}/{symbol}" for symbol in symbols)
    try:
        ask(member.socket, request, PATIENCE)
    except MdtoolError as error:
        return Told(member.name, feeds, str(error))
    return Told(member.name, feeds)
