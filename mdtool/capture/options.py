"""What one run of the recorder was asked for, and what it reports."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from operator import attrgetter
from urllib.parse import urlsplit

from mdtool.books.phases import BookState
from mdtool.capture.tls import trusting
from mdtool.errors import UsageError
from mdtool.storage.journal.writer import Sync
from mdtool.storage.store import Live
from mdtool.venues.venue import Venue


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """One run: a venue, canonical symbols, streams in the venue's words, where to connect, how to keep."""

    venue: Venue
    symbols: tuple[str, ...]
    streams: tuple[str, ...]
    ws_url: str
    rest_url: str
    duration: float | None = None  # seconds; None: until stopped
    fail_fast: bool = False  # give up at the first connection that cannot be made, or stream that is refused
    live: Live | None = None  # None: as the feed was set before, else disk
    chunk_bytes: int | None = None
    sync: Sync = "1s"
    seed: int | None = None  # of the jitter
    instruments: bool = True  # fetch the venue's lists of instruments beside the recording
    ca: str | None = None  # a file of certificates to believe beside the system's
    deflate: bool = False  # have frames packed, where the venue offers that


TIME_IS_OVER = "the time asked for is over"  # why a run of a duration ends


def record_options(
    venue: Venue,
    symbols: tuple[str, ...] = (),
    *,
    streams: tuple[str, ...] = (),
    ws_url: str | None = None,
    rest_url: str | None = None,
    duration: float | None = None,
    fail_fast: bool = False,
    live: Live | None = None,
    chunk_bytes: int | None = None,
    sync: Sync = "1s",
    instruments: bool = True,
    ca: str | None = None,
    deflate: bool = False,
) -> RecordOptions:
    """Options with the venue's defaults filled in. Symbols in either spelling. With `ws_url` alone REST goes to the
    same host: a recorder pointed at a test server must not talk to the real one. Raises UnknownSymbol, UsageError."""
    if ca is not None:
        trusting(ca)  # said now, and not by a process that was started for it
    websocket, rest = base_urls(venue, ws_url, rest_url)
    return RecordOptions(
        venue=venue,
        symbols=tuple(dict.fromkeys(venue.canonical(symbol) for symbol in symbols)) or venue.default_symbols,
        streams=streams or venue.default_streams,
        ws_url=websocket,
        rest_url=rest,
        duration=duration,
        fail_fast=fail_fast,
        live=live,
        chunk_bytes=chunk_bytes,
        sync=sync,
        instruments=instruments,
        ca=ca,
        deflate=deflate,
    )


def base_urls(venue: Venue, ws_url: str | None, rest_url: str | None) -> tuple[str, str]:
    """Where to connect and where to ask, the venue's own unless given. Raises UsageError."""
    websocket = _url(venue.ws_url if ws_url is None else ws_url, ("ws", "wss"))
    if rest_url is None and ws_url is not None:
        parts = urlsplit(websocket)
        rest_url = f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
    return websocket, _url(venue.rest_url if rest_url is None else rest_url, ("http", "https"))


def _url(text: str, schemes: tuple[str, str]) -> str:
    """A base URL without its trailing slash. Raises UsageError."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"URL {text!r}: expected {schemes[0]}://host[:port] or {schemes[1]}://host[:port]")
    return text.rstrip("/")


class RecorderEvent(Enum):
    """What a run has to tell while it goes on."""

    CONNECTED = "connected"
    UNREACHABLE = "unreachable"
    DISCONNECTED = "disconnected"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    SILENT = "silent"
    SNAPSHOT = "snapshot"
    SNAPSHOT_FAILED = "snapshot failed"
    LIST = "list"
    LIST_FAILED = "list failed"
    GAP = "gap"
    UNDECODABLE = "undecodable"
    SIDECAR = "sidecar"
    FAILED = "failed"
    STORE_FULL = "store full"
    ROOM = "room"
    SEALED = "sealed"
    RETENTION = "retention"
    STOPPING = "stopping"


Notify = Callable[[RecorderEvent, str], None]  # the event and one line about it; must not block


BUCKETS = 64  # of a histogram: by powers of two of nanoseconds


@dataclass(slots=True)
class FeedCounters:
    """Of one feed what the store itself does not tell at a glance."""

    gaps: int = 0
    resets: int = 0  # ids that began anew
    snapshots: int = 0
    connects: int = 0  # connections that carried it
    undecodable: int = 0
    refused: int = 0  # subscriptions
    unanswered: int = 0
    parked: int = 0  # 1: let go until there is room
    early: int = 0  # updates that came before the venue's own time of them: its clock and this one differ
    connected: int = 0  # connections that carry it now
    missing: int = 0  # streams of the plan that are not there now, as far as anything proves
    book: int = 0  # what it is worth: its place in BOOK_STATES


COUNTERS = tuple(field.name for field in fields(FeedCounters))
counters_of = attrgetter(*COUNTERS)  # as a tuple, in this order
NOT_COUNTED = frozenset({"parked", "connected", "missing", "book"})  # of FeedCounters, what stands for now
BOOK_STATES = (None, *BookState)  # None: nobody has said so far


@dataclass(slots=True)
class RecordStatus:
    """Counters of a run, kept as it goes."""

    records: int = 0  # frames received and committed
    payload_bytes: int = 0  # appended, as of the last heartbeat or the end
    connections: int = 0  # open now
    sessions: int = 0  # opened in all
    failures: int = 0  # attempts to connect that failed
    acknowledged: int = 0  # subscriptions, as often as they were
    refused: int = 0
    unanswered: int = 0
    snapshots: int = 0
    gaps: int = 0
    undecodable: int = 0  # records that a venue's own code could not route or decode; they are kept
    unknown_lines: int = 0  # of the sidecar, that were no message
    signs: int = 0  # of life, of what watches
    behind: bool = False  # the run ended before the sidecar had read all of it: there may be more gaps
    feeds: dict[str, FeedCounters] = field(default_factory=dict)  # by symbol
    delays: dict[str, array[int]] = field(default_factory=dict)  # by symbol: from the venue's time to the receiving
    changed: set[str] = field(default_factory=set)  # symbols whose counters have, since whoever shows them looked

    def of(self, symbol: str) -> FeedCounters:
        """The counters of a feed, to be changed."""
        self.changed.add(symbol)
        return self.feeds.setdefault(symbol, FeedCounters())

    def delayed(self, symbol: str, counts: Sequence[tuple[int, int]]) -> None:
        """More updates of a feed: so many each that took 2**n to 2**(n+1) ns from the venue to here."""
        self.changed.add(symbol)
        histogram = self.delays.setdefault(symbol, array("q", bytes(8 * BUCKETS)))
        for bucket, count in counts:
            histogram[bucket] += count
