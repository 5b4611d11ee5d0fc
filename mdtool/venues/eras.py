"""Old protocols of a venue, of which captures are still imported: what their streams are called, and which of them this
version decodes.

Rule: which protocol a message is of, its own form says, so that a record reads alike wherever it stands. A stream of an
old one has its mark in front, as in "v2:trade", and is taken for none of today; one that is not decoded says so, with
the protocol's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mdtool.model import Message, Other
from mdtool.venues.decoding import strict
from mdtool.venues.sequence import Rule
from mdtool.venues.venue import BookTraits, Decoder


@dataclass(frozen=True, slots=True)
class OldStream:
    """One that is decoded. `book`: how its book is kept; None where it builds none."""

    decode: Callable[[bytes], Sequence[Message]]
    rule: Callable[[], Rule]
    book: BookTraits | None = None


@dataclass(frozen=True, slots=True)
class OldProtocol:
    """One protocol. Its streams are named here without the mark."""

    mark: str
    title: str
    streams: Mapping[str, OldStream]
    spare: Sequence[str] = ()  # keys that no level is lost for

    def has(self, stream: str) -> bool:
        """Whether a stream is this protocol's."""
        return stream.startswith(self.mark)

    def of(self, stream: str) -> OldStream | None:
        return self.streams.get(stream.removeprefix(self.mark)) if self.has(stream) else None

    def decoder(self, stream: str) -> Decoder:
        found = self.of(stream)
        if found is not None:
            return strict(stream, found.decode, self.spare)
        said = (Other(f"{self.title} {stream.removeprefix(self.mark)}: not decoded by this version", known=False),)
        return lambda payload: said

    def rule(self, stream: str) -> Rule | None:
        found = self.of(stream)
        return None if found is None else found.rule()

    def book(self, stream: str) -> BookTraits | None:
        """How the stream's book is kept; None where it builds none."""
        found = self.of(stream)
        return None if found is None else found.book
