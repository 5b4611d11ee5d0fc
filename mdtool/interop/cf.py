"""`.cf`: what cryptofeed's raw data collection writes.

    <s>: <frame>              received
    <url> <- <s>: <frame>     sent
    <url> <-> <s>             a connect
    <url> -> <s>: <body>      a REST answer
    configuration: <json>     what was subscribed, at the head of some files

<s> are epoch seconds as Python prints a float; the digits are kept as they stand.
"""

from __future__ import annotations

import re

from mdtool.interop.item import UNTIMED, Item, LineError, plausible
from mdtool.model import Kind

EXPECTED = "<recv s.frac>: <raw>, or <url> with <-> (connect), <- (sent) or -> (REST answer)"
_DIRECTED = re.compile(rb"(\S+) (<->|<-|->) ([0-9.]+)(?:: (.*))?", re.DOTALL)
_CONFIGURATION = b"configuration: "
_KINDS = {b"<-": Kind.SENT, b"->": Kind.RESPONSE}


def parse_line(line: bytes) -> Item | None:
    """One line; the payload is what stands after the first `: ` that ends the time."""
    stamp, colon, payload = line.partition(b": ")
    if colon and stamp[:1].isdigit():
        return Item(seconds_to_ns(stamp), Kind.DATA, payload)
    if not line:
        return None
    if line.startswith(_CONFIGURATION):
        return Item(UNTIMED, Kind.NOTE, payload)
    match = _DIRECTED.fullmatch(line)
    if match is None:
        raise LineError(EXPECTED)
    url, arrow, stamp, content = match.groups()
    recv_ns = seconds_to_ns(stamp)
    if (arrow == b"<->") != (content is None):
        raise LineError(EXPECTED)
    return Item(recv_ns, _KINDS.get(arrow, Kind.OPEN), content or b"", url.decode("utf-8", "replace"))


def seconds_to_ns(text: bytes) -> int:
    """b"1633998512.0633569" -> 1633998512063356900: exact, never through a float. Raises LineError."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or len(whole) > 10 or len(fraction) > 9 or not (fraction.isdigit() or not fraction):
        raise LineError("epoch seconds with at most nine decimals")
    return plausible(int(whole) * 10**9 + int(fraction.ljust(9, b"0")))
