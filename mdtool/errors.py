"""One error tree. Every message says where, what was found, what was expected and what to do next.

Findings (a gap, a stale book) are values and never raised; these are failures. A command prints the message as
one line and exits with `exit_code`.
"""

from __future__ import annotations


class MdtoolError(Exception):
    """Base of every failure mdtool reports."""

    exit_code = 2


class UsageError(MdtoolError):
    """What was asked for makes no sense: an unknown venue, symbol or feed, a time that does not parse."""


class UnknownVenue(UsageError):
    """No venue of that name."""


class UnknownSymbol(UsageError):
    """The venue cannot have a symbol of that spelling, or no feed of it is recorded."""


class StoreError(MdtoolError):
    """The store cannot serve the request."""


class NotAStore(StoreError):
    """The directory is no mdtool store (or a file, or missing)."""


class FeedNotFound(StoreError):
    """The store has no such feed."""


class FeedLocked(StoreError):
    """Another process writes the feed."""


class ChunkUnavailable(StoreError):
    """A chunk the registry names cannot be opened (shared memory gone or not shared, file missing)."""


class RecordsRemoved(StoreError):
    """Retention removed records before a reader that was under way came to them."""


class StoreFull(StoreError):
    """No space is left for what was to be appended. What was committed stands."""


class SyncFailed(StoreError):
    """The disk refused to take what was written. Asked again it would say that all is well, and it is not."""


class CorruptStore(StoreError):
    """Bytes of the store that contradict their checksum or their own header."""


class WireError(MdtoolError):
    """A message that is not what its venue documents. The raw bytes are kept all the same."""


class TooLarge(MdtoolError, OverflowError):
    """A value that the 64 bits of what was asked for do not hold. The message says what holds it."""


class ImportFormatError(MdtoolError):
    """A file to import that is of the wrong format, damaged or cut short."""


class ImportInterrupted(MdtoolError):
    """An import that was told to stop. What it did stands, and the same import goes on with it."""

    exit_code = 130


class ConnectError(MdtoolError):
    """A venue that could not be reached, or refused us."""


class PortInUse(MdtoolError):
    """The address to serve on is taken."""
