"""What decoders share: whatever the bytes, the answer is messages or WireError.

Rule: a decoder that is wrapped here may fail as msgspec and Python's own conversions do; none of that gets out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec

from mdtool.errors import WireError
from mdtool.model import Message, Other, Side
from mdtool.venues.numbers import plain
from mdtool.venues.venue import Decoder

HEAD = 60  # characters of a message shown in an error
MAX_MS = 9_223_372_036_854  # the last millisecond whose nanoseconds fit an int64
EMPTY = msgspec.Raw(b"[]")  # a side the message does not have
MISSING = msgspec.Raw(b"")  # a field the message does not have

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


def strict(stream: str, decode: Callable[[bytes], Sequence[Message]]) -> Decoder:
    """`decode` that fails with WireError only, and says of which stream."""

    def decoded(payload: bytes) -> Sequence[Message]:
        try:
            return decode(payload)
        except (WireError, msgspec.MsgspecError, RecursionError, ValueError, IndexError) as error:
            shown = payload[:HEAD].decode("utf-8", "replace")
            raise WireError(f"{stream}: {error}; in {len(payload)} bytes {shown!r}") from error

    return decoded


def other(what: str) -> Decoder:
    """Of a stream that is recorded and not decoded."""
    found = (Other(what),)
    return lambda payload: found


def ladder(levels: Iterable[tuple[str, str]]) -> bytes:
    """Levels as the wire text of a ladder; a text that is no number stays none."""
    return msgspec.json.encode(list(levels))


def number_text(raw: msgspec.Raw) -> str:
    """The digits of a number that is bare or in quotes, without an exponent. Raises WireError for a negative one."""
    negative, text = signed_text(raw)
    if negative:
        raise WireError(f"-{text}, expected a number that is not negative")
    return text


def signed_text(raw: msgspec.Raw) -> tuple[bool, str]:
    """(negative, digits) of a number that is bare or in quotes."""
    text = bytes(raw).decode("ascii")
    return plain(text[1:-1] if text[:1] == '"' else text)


def whole_number(text: str) -> int:
    """Decimal digits as an int that fits 64 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or (number := int(text)) >= 2**63:
        raise WireError(f"{text[:40]!r}, expected a whole number of at most 63 bits")
    return number


def side_of(word: str) -> Side:
    """ "buy" or "sell"."""
    if word == "buy":
        return Side.BID
    if word == "sell":
        return Side.ASK
    raise WireError(f"side {word[:20]!r}, expected buy or sell")


def opposite(side: Side) -> Side:
    """The side that trades against it."""
    return Side.ASK if side is Side.BID else Side.BID
