"""Recorders that run already, and names for those that do not: who may be taken over, and who has somebody.

Rule: none is taken from a process that keeps it running.
"""

from __future__ import annotations

from mdtool.errors import FeedLocked, MdtoolError
from mdtool.service.assignment import Assignment
from mdtool.service.control import Ping, ask
from mdtool.service.roster import Member, Roster

ANSWER = 10.0  # seconds for a recorder to say whether it has somebody


def take_over(roster: Roster, wanted: Assignment) -> list[Member]:
    """The recorders that do part of this work already and have nobody who would start them again. Raises FeedLocked
    where one has somebody, or does not answer."""
    found = []
    for member in roster.members():
        if not member.alive or not member.duty.assignment.is_part_of(wanted):
            continue
        must_have_nobody(member)
        found.append(member)
    return found


def must_have_nobody(member: Member) -> None:
    """Raises FeedLocked where somebody keeps it running, or it does not answer."""
    try:
        supervised = ask(member.socket, Ping(), ANSWER).get("supervised")
    except MdtoolError as error:
        raise FeedLocked(f"{_records_this(member.name, member.duty.pid)}, and does not answer: {error}") from None
    if supervised:
        raise FeedLocked(has_somebody(member.name, member.duty.pid))


def has_somebody(name: str, pid: int) -> str:
    """Why it is not taken over, in a line."""
    return f"{_records_this(name, pid)}; see: mdtool status, to end it: mdtool stop"


def _records_this(name: str, pid: int) -> str:
    return f"the recorder {name!r} (pid {pid}) records this already"


def free_name(roster: Roster, venue: str, taken: set[str]) -> str:
    """A name for another recorder of a venue that nobody on duty has."""
    number = 1
    while True:
        name = venue if number == 1 else f"{venue}-{number}"
        if name not in taken and not roster.is_on_duty(name):
            taken.add(name)
            return name
        number += 1
