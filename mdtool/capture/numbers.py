"""The numbers of a venue's connections, as they come in over many feeds: which are missing, once that is certain.

Rule: a frame is on record before the one behind it. So a number is missing that no feed has shown when each has been
read to its end after a higher one was seen; and of a connection that is not known from its beginning nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mdtool.capture.protocol import Counted, Missed

MOST_SESSIONS = 16  # connections looked after: those that stand, and some that have ended lately
MOST_AHEAD = 100_000  # numbers seen behind a hole; with more, feeds are too far apart to be judged


@dataclass(slots=True)
class _Session:
    """One connection. `ahead`: numbers beyond `last`, with when they came. `unread`: feeds that have not been read to
    their end since there is a hole; None: there is none."""

    last: int | None  # all up to it are there, or told as missing; None: none has come
    told: int = -1  # a hole that ends at or before this number is told
    feeds: set[str] = field(default_factory=set)  # that are known from the connection's beginning
    everywhere: bool = False  # all are
    ahead: dict[int, int] = field(default_factory=dict)
    unread: set[str] | None = None


class Numbers:
    """Of all connections that some feeds carry. `number` reads that of a frame, None where it has none."""

    def __init__(
        self, number: Callable[[bytes], int | None], feeds: Iterable[str], known: Sequence[Counted] = ()
    ) -> None:
        self._number = number
        self._feeds = frozenset(feeds)
        self._sessions = {one.session: _Session(one.last, one.told, everywhere=True) for one in known}
        self._counted = tuple(known)

    def opened(self, feed: str, session: int) -> None:
        """The connection begins, as this feed has it."""
        if session not in self._sessions:
            self._sessions[session] = _Session(None)
            for old in sorted(self._sessions)[:-MOST_SESSIONS]:
                del self._sessions[old]
        self._sessions[session].feeds.add(feed)

    def take(self, feed: str, session: int, payload: bytes, recv_ns: int) -> None:
        """The next frame of a feed."""
        number = self._number(payload)
        known = self._sessions.get(session)
        if number is None or known is None:
            return
        if (not known.everywhere and feed not in known.feeds) or len(known.ahead) > MOST_AHEAD:
            del self._sessions[session]
            return
        if known.last is None or number > known.last:
            known.ahead[number] = recv_ns
            self._advance(known)

    def at_end(self, feed: str) -> None:
        """A feed has been read to its end."""
        for known in self._sessions.values():
            if known.unread is not None:
                known.unread.discard(feed)

    def missed(self) -> list[Missed]:
        """What is missing for certain, each told once."""
        found = []
        for session, known in self._sessions.items():
            while known.unread is not None and not known.unread:
                after, number = known.last, min(known.ahead)
                if after is not None and number > known.told:
                    found.append(Missed(session, after, number, known.ahead[number]))
                    known.told = number
                known.last = number
                del known.ahead[number]
                known.unread = None
                self._advance(known)
        return found

    @property
    def settled(self) -> bool:
        """Whether all that was seen follows on what is known: who begins here needs to know no more than `counted`."""
        return not any(known.ahead for known in self._sessions.values())

    def settle(self) -> None:
        """Have `counted` say what is known now."""
        self._counted = tuple(Counted(session, known.last, known.told) for session, known in self._sessions.items())

    def counted(self) -> tuple[Counted, ...]:
        """What another one has to know that reads from where `settle` was called; and what has been told since."""
        told = {session: known.told for session, known in self._sessions.items()}
        return tuple(Counted(one.session, one.last, told.get(one.session, one.told)) for one in self._counted)

    def forget(self) -> None:
        """What is known holds no more: a feed cannot be read where it was."""
        self._sessions.clear()
        self._counted = ()

    def _advance(self, known: _Session) -> None:
        """Go on as far as the numbers follow each other."""
        ahead = known.ahead
        while known.last is not None and known.last + 1 in ahead:
            known.last += 1
            del ahead[known.last]
        if not ahead:
            known.unread = None
        elif known.unread is None:
            known.unread = set(self._feeds)
