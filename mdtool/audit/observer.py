"""What the audit of a stream tells the audit of its feed, and asks of it.

Rule: a stream knows nothing of the others beside it; what needs them is asked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mdtool.audit.findings import Finding
from mdtool.model import UNKNOWN, Message, Quote, Trade, Update

if TYPE_CHECKING:
    from mdtool.audit.stream import StreamAudit


class StreamObserver(Protocol):
    """Who is told what a stream meets."""

    def found(self, finding: Finding) -> None:
        """Something is wrong."""
        ...

    def withdrawn(self, finding: Finding) -> None:
        """What was found is not so, as has turned out."""
        ...

    def is_told(self, position: int) -> bool:
        """Whether the numbers of its connection tell of a record already that it is there again, or came late."""
        ...

    def begins_whole(self, stream: str, session: int) -> bool:
        """Whether the feed has this connection from its beginning, where the stream begins with the whole book."""
        ...

    def quoted(self, quote: Quote, recv_ns: int) -> None:
        """The venue's own word on the top of the book."""
        ...

    def is_open(self, session: int) -> bool:
        """Whether a connection is known to be up: opened, and not closed yet."""
        ...

    def session_began(self, stream: StreamAudit, session: int, recv_ns: int) -> None:
        """The stream's first message from this connection; the stream still has the session and time of the one
        before."""
        ...


def ids_of(message: Message) -> tuple[int | None, int | None, int | None]:
    """First, last and previous id of a message, None where it gives none."""
    if isinstance(message, Update):
        found = (message.first_seq, message.last_seq, message.prev_seq)
    elif isinstance(message, Trade):
        end, count = message.trade_id, message.count
        found = (UNKNOWN,) * 3 if end == UNKNOWN else (end - count + 1, end, end - count)
    elif isinstance(message, Quote):
        found = (message.seq, message.seq, UNKNOWN)
    else:
        return None, None, None
    first, last, prev = (None if number == UNKNOWN else number for number in found)
    return first, last, prev
