"""How much of an import anybody understood.

Rule: understood is what its venue's adapter makes something of: a message that decodes, or one whose place is the
session's. Whatever else came is counted under the name it gives itself, or as what it is: no JSON, undecodable. What is
the session's alone is no market: another venue's messages can look like answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import msgspec

from mdtool.errors import WireError
from mdtool.model import Other
from mdtool.venues.venue import Decoder, Place, Venue

NOT_JSON = "not JSON"
UNDECODABLE = "undecodable"
UNNAMED = "unnamed"
MAX_NAMES = 50  # channels told apart; the rest is counted together
REST = "others"
_NAMED = re.compile(rb'"(?:channel|stream|topic|e|event|type|table|method|feed)"\s*:\s*"([^"\\]{1,60})"')
_LISTED = re.compile(rb'"([A-Za-z][A-Za-z0-9_.:-]{0,40})"(?:\s*,\s*"[^"]{0,60}")?\s*\]\s*$')  # `...,"book-10","X/Y"]`
_OF_SESSION = frozenset({"session", "ping"})
_SIGNS = frozenset({b"ping", b"pong"})  # of life, which some venues send as bare words
_HEAD = 512  # bytes in which a message has named its channel
_JSON = msgspec.json.Decoder(msgspec.Raw)


class Understanding:
    """Looks at every message of an import once it has a place."""

    def __init__(self, venue: Venue, other: str) -> None:
        self._venue = venue
        self._other = other  # the stream of what has no place
        self._readers: dict[tuple[str | None, str], Callable[[bytes], None]] = {}
        self.messages = 0
        self.of_market = 0  # of them, those that have a place outside the session
        self.not_understood: Counter[str] = Counter()  # by name

    def look(self, place: Place, payload: bytes) -> None:
        """Counts one message received."""
        self.messages += 1
        key = (place.symbol, place.stream)
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = self._reader(place)
        reader(payload)

    def _reader(self, place: Place) -> Callable[[bytes], None]:
        if place.symbol is None and place.stream == self._other:
            return self._placeless
        if place.symbol is None and place.stream in _OF_SESSION:
            return self._of_session
        decode = self._venue.decoder(place.stream)
        return lambda payload: self._decoded(place.stream, decode, payload)

    def _decoded(self, stream: str, decode: Decoder, payload: bytes) -> None:
        self.of_market += 1
        try:
            messages = decode(payload)
        except WireError:
            self._count(UNDECODABLE if _is_json(payload) else NOT_JSON)
            return
        # A decoder of a stream the venue's adapter does not know calls all of it by the stream's name.
        only = messages[0] if len(messages) == 1 else None
        if isinstance(only, Other) and (only.what == stream or not only.known):
            self._count(only.what if _is_json(payload) else NOT_JSON)

    def _placeless(self, payload: bytes) -> None:
        self._count(_name(payload) if _is_json(payload) else NOT_JSON)

    def _of_session(self, payload: bytes) -> None:
        if not _is_json(payload) and payload not in _SIGNS:
            self._count(NOT_JSON)

    def _count(self, name: str) -> None:
        known = name in self.not_understood or len(self.not_understood) < MAX_NAMES
        self.not_understood[name if known else REST] += 1


def _is_json(payload: bytes) -> bool:
    try:
        _JSON.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _name(payload: bytes) -> str:
    found = _NAMED.search(payload[:_HEAD])
    if found is None and payload[:1] == b"[":
        found = _LISTED.search(payload[-_HEAD:])
    return found[1].decode("utf-8", "replace") if found else UNNAMED
