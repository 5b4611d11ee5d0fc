"""What the sidecar says to the recorder, and what it is told first: a JSON object a line.

Rule: nothing that comes over the pipe is believed unread. A line that is too long, no message, or of an unknown kind is
counted and passed over; what went before it and comes after it holds.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from mdtool.books.phases import BookState
from mdtool.capture.options import BUCKETS

LONGEST_LINE = 8192
LONGEST_TEXT = 1000  # characters of a reason: they come off the wire of a venue

Position = Annotated[int, Meta(ge=0)]
Exponent = Annotated[int, Meta(ge=-100, le=100)]
MOST_GROWN = 2**32  # updates since it was said last
Bucket = Annotated[int, Meta(ge=0, lt=BUCKETS)]
Grown = Annotated[int, Meta(ge=1, le=MOST_GROWN)]


class Alive(Struct, frozen=True, tag="alive"):
    """It has started, and goes on."""


class Ask(Struct, frozen=True, tag="ask"):
    """The whole book of a symbol is needed."""

    symbol: str


class Gap(Struct, frozen=True, tag="gap"):
    """An update is missing, or the book is not what its checksum says."""

    symbol: str
    text: str


class Reset(Struct, frozen=True, tag="reset"):
    """The venue's numbers have begun anew."""

    symbol: str


class Missed(Struct, frozen=True, tag="missed"):
    """Frames of a connection are missing: of which feed nobody knows. `since_ns`: when the one behind them came."""

    session: Position
    after: Position
    next: Position
    since_ns: int


class Undecodable(Struct, frozen=True, tag="undecodable"):
    """So many records more of a feed could not be read. `text`: why, of the first."""

    symbol: str
    records: Annotated[int, Meta(ge=1)]
    text: str = ""


class NoBook(Struct, frozen=True, tag="no-book"):
    """What a REST request brought is no whole book."""

    symbol: str
    text: str


class Learned(Struct, frozen=True, tag="learned"):
    """The digits a venue quotes a symbol with."""

    symbol: str
    price_exp: Exponent
    size_exp: Exponent


class Book(Struct, frozen=True, tag="book"):
    """What the book of a symbol is worth from now on."""

    symbol: str
    state: BookState


class Unwatched(Struct, frozen=True, tag="unwatched"):
    """A feed is not followed any more."""

    symbol: str
    text: str


class Delays(Struct, frozen=True, tag="delays"):
    """More updates of a feed, by the time from the venue's clock to the receiving: (n, how many), of 2**n to 2**(n+1)
    ns. `early`: so many came before the venue's own time of them."""

    symbol: str
    counts: Annotated[tuple[tuple[Bucket, Grown], ...], Meta(max_length=BUCKETS)]
    early: Annotated[int, Meta(ge=0, le=MOST_GROWN)] = 0


class Mark(Struct, frozen=True, tag="mark"):
    """How far a feed is followed: another sidecar comes to know the same if it reads from `anchor` on, and what was to
    be told before `told` is told. `book`: what that was said to be worth, which is not to be seen from there on.
    `counted`: from where on it needs the numbers of connections; None where there are none."""

    symbol: str
    anchor: Position
    told: Position
    counted: Position | None = None
    book: BookState | None = None


class Counted(Struct, frozen=True, tag="counted"):
    """What is known of a connection's numbers at the marks: all up to `last` are there or are told as missing (None:
    none has come), and so is what is missing before `told`."""

    session: Position
    last: Position | None
    told: Annotated[int, Meta(ge=-1)] = -1


Said = Alive | Ask | Gap | Reset | Missed | Undecodable | NoBook | Learned | Book | Unwatched | Delays | Mark | Counted


class Start(Struct, frozen=True):
    """What the sidecar is told first. `venue`: a name of the catalog, or `module:Class` of one that is not in
    it, which is made without arguments."""

    store: str
    venue: str
    streams: tuple[str, ...]
    marks: tuple[Mark, ...]
    counted: tuple[Counted, ...] = ()


_encoder = Encoder()
_said: Decoder[Said] = Decoder(Said)
_start: Decoder[Start] = Decoder(Start)


def line(message: Said | Start) -> bytes:
    """A message as it goes over the pipe."""
    return _encoder.encode(message) + b"\n"


def text(reason: object) -> str:
    """A reason that fits a line and can be encoded, whatever the bytes it speaks of."""
    return str(reason)[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def read_start(told: bytes) -> Start:
    """Raises ValueError."""
    return _start.decode(told)


class Lines:
    """Messages out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self.unknown = 0  # lines that were no message
        self._begun = b""
        self._skipping = False  # the rest of a line that is too long

    def take(self, data: bytes) -> list[Said]:
        """The messages that are whole now. Never raises."""
        *whole, self._begun = (self._begun + data).split(b"\n")
        if self._skipping and whole:
            del whole[0]
            self._skipping = False
        messages = [message for one in whole if (message := self._read(one)) is not None]
        if len(self._begun) > LONGEST_LINE:
            self.unknown += not self._skipping
            self._begun, self._skipping = b"", True
        elif self._skipping:
            self._begun = b""
        return messages

    def _read(self, one: bytes) -> Said | None:
        if len(one) <= LONGEST_LINE:
            try:
                return _said.decode(one)
            except (DecodeError, ValidationError, RecursionError):
                pass
        self.unknown += 1
        return None
