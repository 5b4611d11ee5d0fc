"""What became of a connection's subscriptions: the requests that went out against the answers that came. Sans-IO.

Rule: every subscription asked for is acknowledged, refused or unanswered, and nothing else. A request that is refused
as a whole is taken apart, since one bad name in it may have cost the good ones: by symbols first, then by streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from mdtool.errors import MdtoolError
from mdtool.venues.venue import Acknowledged, Answer, Refused, Request, Venue, Wanted

ANSWER_TIMEOUT = 15.0  # seconds after which a request without an answer is told; venues answer within one


class State(Enum):
    """What is known of a subscription."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class Outcome(NamedTuple):
    """What became of a subscription."""

    wanted: Wanted
    state: State
    reason: str = ""


class Heard(NamedTuple):
    """What follows from an answer."""

    outcomes: tuple[Outcome, ...] = ()
    again: tuple[str, ...] = ()  # text frames to send


@dataclass(slots=True)
class _Open:
    """A request with subscriptions that have no answer yet."""

    request: Request
    sent_at: float
    wanted: dict[str, Wanted] = field(init=False)  # by topic
    told: bool = False  # that it has none

    def __post_init__(self) -> None:
        self.wanted = {one.topic: one for one in self.request.wanted}


class Conversation:
    """The requests and answers of one connection."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._open: list[_Open] = []  # in the order sent

    @property
    def waiting(self) -> bool:
        """Whether a subscription has no answer yet."""
        return bool(self._open)

    def sent(self, frame: str, now: float) -> None:
        """A frame went out at that time, in seconds."""
        request = self._venue.asks(frame)
        if request is not None and request.wanted:
            self._open.append(_Open(request, now))

    def heard(self, payload: bytes) -> Heard:
        """A frame came."""
        answer = self._venue.answer(payload)
        if answer is None:
            return Heard()
        requests = self._meant(answer)
        if isinstance(answer, Refused) and answer.topics is None:
            return self._taken_apart(requests[0], answer.reason) if requests else Heard()
        outcomes: list[Outcome] = []
        for one in requests:
            outcomes += _settled(one, answer)
        self._open = [one for one in self._open if one.wanted]
        return Heard(tuple(outcomes))

    def overdue(self, now: float) -> list[Outcome]:
        """What has gone without an answer for too long, each told once. One that comes late counts all the same."""
        late = [one for one in self._open if not one.told and now - one.sent_at >= ANSWER_TIMEOUT]
        for one in late:
            one.told = True
        return [Outcome(wanted, State.UNANSWERED) for one in late for wanted in one.wanted.values()]

    def _meant(self, answer: Answer) -> list[_Open]:
        """The requests that it answers."""
        fitting = [one for one in self._open if answer.number is None or one.request.number == answer.number]
        if answer.number is None and answer.topics:
            return [one for one in fitting if not one.wanted.keys().isdisjoint(answer.topics)]
        # One that got no answer in time is not the one that is answered next.
        return sorted(fitting, key=lambda one: one.told)[:1]

    def _taken_apart(self, one: _Open, reason: str) -> Heard:
        """Of a request that is refused as a whole: the smaller ones to send in its stead, or that this is it."""
        self._open.remove(one)
        groups: dict[object, list[Wanted]] = {}
        symbols = {wanted.symbol for wanted in one.wanted.values()}
        for wanted in one.wanted.values():
            groups.setdefault(wanted.symbol if len(symbols) > 1 else wanted.stream, []).append(wanted)
        if len(groups) == 1:
            return Heard(tuple(Outcome(wanted, State.REFUSED, reason) for wanted in one.wanted.values()))
        outcomes: list[Outcome] = []
        again: list[str] = []
        for group in groups.values():
            frames = self._frames(group)
            again += frames
            if not frames:
                outcomes += [Outcome(wanted, State.REFUSED, reason) for wanted in group]
        return Heard(tuple(outcomes), tuple(again))

    def _frames(self, group: Sequence[Wanted]) -> list[str]:
        """The frames that ask for these alone, which are of one symbol; none where there is no such plan."""
        symbols = [wanted.symbol for wanted in group[:1] if wanted.symbol is not None]
        try:
            plan = self._venue.plan(symbols, [wanted.stream for wanted in group])
        except MdtoolError:
            return []
        return [frame for connection in plan for frame in connection.send if self._venue.asks(frame) is not None]


def _settled(one: _Open, answer: Answer) -> Iterable[Outcome]:
    """What an answer says of a request's subscriptions, which are done with then."""
    topics = list(one.wanted) if answer.topics is None else [topic for topic in answer.topics if topic in one.wanted]
    state = State.ACKNOWLEDGED if isinstance(answer, Acknowledged) else State.REFUSED
    reason = answer.reason if isinstance(answer, Refused) else ""
    done = [Outcome(one.wanted.pop(topic), state, reason) for topic in dict.fromkeys(topics)]
    if isinstance(answer, Acknowledged) and answer.rest is not None:
        done += [Outcome(wanted, State.REFUSED, answer.rest) for wanted in one.wanted.values()]
        one.wanted.clear()
    return done


def said(payload: bytes | str) -> dict[str, Any]:
    """A JSON object; an empty one where it is none."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def number_of(value: object) -> str | None:
    """A request's number as an answer repeats it, whether as a number or as text."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) and value != "" else None


def listed(value: object) -> list[str]:
    """The texts of a list; none where it is no list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def inner(value: object) -> dict[str, Any]:
    """An object within another; an empty one where it is none."""
    return value if isinstance(value, dict) else {}
