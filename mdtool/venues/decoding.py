"""What decoders share: whatever the bytes, the answer is messages or WireError.

Rule: a decoder that is wrapped here may fail as msgspec and Python's own conversions do; none of that gets out. A value
that neither levels nor sequence need (a time, above all) may be odd: the message is read as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from mdtool.errors import WireError
from mdtool.model import NO_TIME, Message, Other, Side
from mdtool.units import count
from mdtool.venues.numbers import plain
from mdtool.venues.venue import Decoder

HEAD = 60  # characters of a message shown in an error
MAX_MS = 9_223_372_036_854  # the last millisecond whose nanoseconds fit an int64
EMPTY = msgspec.Raw(b"[]")  # a side the message does not have
MISSING = msgspec.Raw(b"")  # a field the message does not have
MAX_ODD = 100  # odd values of one message that are read over; a message has a few, or is something else
_WHERE = re.compile(r" - at `\$((?:\.\w+|\[\d+\])+)`$", re.ASCII)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)

T = TypeVar("T")
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


def strict(stream: str, decode: Callable[[bytes], Sequence[Message]], spare: Iterable[str] = ()) -> Decoder:
    """`decode` that fails with WireError only, and says of which stream. `spare`: keys whose values may be odd."""
    names = frozenset(spare)

    def decoded(payload: bytes) -> Sequence[Message]:
        try:
            return decode(payload)
        except (WireError, msgspec.MsgspecError, RecursionError, ValueError, IndexError) as error:
            try:
                return decode_spared(payload, error, names, decode)
            except (WireError, msgspec.MsgspecError, RecursionError, ValueError, IndexError) as last:
                shown = payload[:HEAD].decode("utf-8", "replace")
                raise WireError(f"{stream}: {last}; in {count(len(payload), 'byte')} {shown!r}") from last

    return decoded


def decode_spared(payload: bytes, error: Exception, names: frozenset[str], decode: Callable[[bytes], T]) -> T:
    """`decode` of what failed with `error`, without the odd values that caused it. Raises the last error where one
    comes from something else than a key of `names`."""
    try:
        for _ in range(MAX_ODD):
            where = _WHERE.search(str(error)) if isinstance(error, msgspec.ValidationError) else None
            steps = [key or int(index) for key, index in _STEP.findall(where[1])] if where else []
            if not steps or steps[-1] not in names:
                break
            payload = _without(payload, steps)
            try:
                return decode(payload)
            except msgspec.ValidationError as another:
                error = another
        raise error
    finally:
        del error  # it would hold this frame, which holds it: nothing below would go before a collector came by


def _without(payload: bytes, steps: Sequence[str | int]) -> bytes:
    """The JSON without the key at the end of the path; all else to the byte."""
    kind: Any = list[msgspec.Raw] if isinstance(steps[0], int) else dict[str, msgspec.Raw]
    here: Any = msgspec.json.decode(payload, type=kind)
    if len(steps) == 1:
        del here[steps[0]]
    else:
        here[steps[0]] = msgspec.Raw(_without(bytes(here[steps[0]]), steps[1:]))
    return msgspec.json.encode(here)


def told(read: Callable[[str], int], text: str) -> int:
    """A time in ns as `read` understands it; NO_TIME where the venue wrote none that can be meant, as the year 1."""
    try:
        return read(text)
    except WireError:
        return NO_TIME


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


def price_text(raw: msgspec.Raw) -> str:
    """The digits of a price that is bare or in quotes, without an exponent; of a spread it may be below 0."""
    negative, text = signed_text(raw)
    return f"-{text}" if negative else text


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
