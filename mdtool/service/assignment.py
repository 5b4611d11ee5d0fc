"""What a recorder process is told to record: a line of JSON that says all of it, so that another can be told the same.

Rule: it comes from a process of the same user over a pipe or out of the store, and is checked all the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Struct, ValidationError, structs
from msgspec.json import decode, encode

from mdtool.capture.options import RecordOptions, record_options
from mdtool.errors import UsageError
from mdtool.venues import catalog
from mdtool.venues.venue import Venue

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,60}\Z")]  # of a recorder: its files in the store begin so


class Assignment(Struct, frozen=True, forbid_unknown_fields=True):
    """One recorder: its name in the store, and what it records there."""

    name: Name
    store: str
    venue: str  # as `catalog.name_of` has it
    symbols: tuple[str, ...]
    streams: tuple[str, ...]
    ws_url: str
    rest_url: str
    seconds: float | None = None  # how long; none: until it is told to end
    fail_fast: bool = False
    live: Literal["disk", "shm"] | None = None
    chunk_bytes: int | None = None
    sync: Literal["none", "1s", "chunk"] = "1s"
    instruments: bool = True  # whether to fetch what the venue lists
    ca: str | None = None
    deflate: bool = False
    cpus: tuple[int, ...] = ()  # where it may run; none: anywhere
    life: str = ""  # tells this life from any other; a pid comes again, in a container the same one each time
    origin: str = ""  # the file of settings it is from; none: a command line
    after: str = ""  # why the one before it ended, where this one takes its place

    def options(self, venue: Venue | None = None) -> RecordOptions:
        """What the recorder is given, of a venue that may know more than what ships. Raises UnknownVenue,
        UnknownSymbol, UsageError."""
        return record_options(
            venue or catalog.called(self.venue),
            self.symbols,
            streams=self.streams,
            ws_url=self.ws_url,
            rest_url=self.rest_url,
            fail_fast=self.fail_fast,
            live=self.live,
            chunk_bytes=self.chunk_bytes,
            sync=self.sync,
            duration=self.seconds,
            instruments=self.instruments,
            ca=self.ca,
            deflate=self.deflate,
        )

    def is_part_of(self, other: Assignment) -> bool:
        """Whether that one asks for all that this one does, done the same way; whatever they are called, wherever they
        run and whenever they end."""
        return self.is_done_as(other) and set(self.symbols) <= set(other.symbols)

    def is_done_as(self, other: Assignment) -> bool:
        """Whether both say the same of how to record, whatever it is of one venue."""
        return _way(self) == _way(other)

    def to_line(self) -> bytes:
        return encode(self) + b"\n"


def assignment(name: str, store: str, options: RecordOptions, cpus: tuple[int, ...] = ()) -> Assignment:
    """The assignment that leads to these options. Raises LookupError where another process cannot make the venue."""
    return Assignment(
        name=name,
        store=store,
        venue=catalog.name_of(options.venue),
        symbols=options.symbols,
        streams=options.streams,
        ws_url=options.ws_url,
        rest_url=options.rest_url,
        seconds=options.duration,
        fail_fast=options.fail_fast,
        live=options.live,
        chunk_bytes=options.chunk_bytes,
        sync=options.sync,
        instruments=options.instruments,
        ca=options.ca,
        deflate=options.deflate,
        cpus=cpus,
    )


def read(line: bytes) -> Assignment:
    """The assignment in a line. Raises UsageError."""
    try:
        return decode(line, type=Assignment)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"no assignment of a recorder: {error}") from None


def _way(of: Assignment) -> Assignment:
    return structs.replace(of, name="any", store="", symbols=(), seconds=None, life="", origin="", after="", cpus=())
