"""What the recorders of a store are told: which of them are meant, and what each answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mdtool.errors import MdtoolError
from mdtool.service.control import Reconnect, Request, Snapshot, Stop, ask
from mdtool.service.roster import Ended, Member, Roster
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
    """Tell each recorder to end, and wait until it has. One that has died and would be started again is not. `waiting`
    is told whom for."""
    roster = Roster(store.path)
    members = on_duty(store)
    with ThreadPoolExecutor(max(1, len(members))) as asking:  # one that is stuck keeps no other running
        told = list(asking.map(lambda member: _ask(member, member.duty.assignment.symbols, Stop()), members))
    until = time.monotonic() + PATIENCE
    found = []
    for member, said in zip(members, told, strict=True):
        while said.error is None and _is_there(roster, member):
            if time.monotonic() > until:
                said = Told(said.recorder, said.feeds, f"told to stop, and has not within {PATIENCE:g} s")
            waiting(f"waiting for the recorder {member.name} to close {count(len(said.feeds), 'feed')}")
            time.sleep(LOOK)
        ended = roster.ended(member.name, member.duty.assignment.life) if said.error is None else None
        if said.error is None and (ended is None or ended.error):
            said = Told(said.recorder, said.feeds, ended.error if ended is not None else "it died without a word")
        found.append(said)
    for member in roster.members():
        life = member.duty.assignment.life
        ended = roster.ended(member.name, life)
        if not member.alive and (ended is None or ended.code):
            totals = ended.totals if ended is not None else {}
            roster.has_ended(member.name, Ended(0, Stop().why, totals=totals, life=life))
            found.append(Told(member.name, _feeds(member, member.duty.assignment.symbols)))
    return found


def _is_there(roster: Roster, member: Member) -> bool:
    now = roster.member(member.name)
    return now is not None and now.alive and now.duty.assignment.life == member.duty.assignment.life


def _feeds(member: Member, symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{member.duty.venue}/{symbol}" for symbol in symbols)


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
    feeds = _feeds(member, symbols)
    try:
        ask(member.socket, request, PATIENCE)
    except MdtoolError as error:
        return Told(member.name, feeds, str(error))
    return Told(member.name, feeds)
