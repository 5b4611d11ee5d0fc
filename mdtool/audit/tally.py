"""What the records of one stream were, counted by kind, message and verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mdtool.model import BookUpdate, Funding, Kind, Liquidation, OrderUpdate, Quote, Status, Trade
from mdtool.storage.reading.reader import Record
from mdtool.venues.sequence import Verdict

_NAMES: dict[type, str] = {
    BookUpdate: "book_update",
    OrderUpdate: "order_update",
    Trade: "trade",
    Quote: "quote",
    Funding: "funding",
    Liquidation: "liquidation",
    Status: "status",
}


class Tally:
    """Of the stream called `name`. What is counted for each message stands open: it is the hot path."""

    def __init__(self, name: str) -> None:
        self.messages = 0  # DATA records
        self.decoded: Counter[type] = Counter()
        self.named: Counter[str] = Counter()  # what has a word of its own
        self.strange: set[str] = set()  # of these words, those of messages that say what nobody here knows
        self.judged = 0  # messages that a rule has judged
        self.odd: Counter[Verdict] = Counter()  # their verdicts other than APPLY, which is the rest
        self._name = name
        self._others: Counter[int] = Counter()  # records of other kinds
        self._others_ns: tuple[int, int] | None = None  # first and last of them

    @property
    def understood(self) -> int:
        """Messages that the venue's adapter knows."""
        return self.decoded.total() + self.named.total() - self.unknown.total()

    @property
    def unknown(self) -> Counter[str]:
        """Messages that it does not know, by their names: they are named by nothing but the stream, or said to be."""
        words = {self._name, *self.strange} if self.messages else ()
        return Counter({word: self.named[word] for word in words if self.named[word]})

    def other(self, record: Record) -> None:
        """A record that is no message received."""
        self._others[record.kind] += 1
        self._others_ns = (self._others_ns[0] if self._others_ns else record.recv_ns, record.recv_ns)

    def times(self) -> Iterator[int]:
        """Receive times of the first and last record of other kinds."""
        yield from self._others_ns or ()

    def kinds(self) -> dict[str, int]:
        """Records by kind."""
        kinds = {Kind.DATA: self.messages, **self._others}
        return {Kind(kind).name.lower(): count for kind, count in sorted(kinds.items()) if count}

    def words(self) -> dict[str, int]:
        """Messages by what they are."""
        return {_NAMES[kind]: count for kind, count in self.decoded.items() if count} | dict(self.named)

    def verdicts(self) -> dict[str, int]:
        counts = {verdict.name.lower(): count for verdict, count in sorted(self.odd.items())}
        return {"apply": self.judged - self.odd.total()} | counts
