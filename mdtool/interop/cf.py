"""`.cf`: what cryptofeed's raw data collection writes.

    <s>: <frame>              received
    <url> <- <s>: <frame>     sent
    <url> <-> <s>             a connect
    <url> -> <s>: <body>      a REST answer
    configuration: <json>     what was subscribed, at the head of some files

<s> are epoch seconds as Python prints a float, or a smaller unit by their magnitude; the digits are kept as they stand.
"""

from __future__ import annotations

import re

from mdtool.interop.item import UNTIMED, Item, LineError, epoch_ns
from mdtool.model import Kind

EXPECTED = "<recv s.frac>: <raw>, or <url> with <-> (connect), <- (sent) or -> (REST answer)"
_DIRECTED = re.compile(rb"(\S+) (<->|<-|->) ([0-9.]+)(?:: (.*))?", re.DOTALL)
_CONFIGURATION = b"configuration: "
_KINDS = {b"<-": Kind.SENT, b"->": Kind.RESPONSE}


def parse_line(line: bytes) -> Item | None:
    """One line; the payload is what stands after the first `: ` that ends the time."""
    stamp, colon, payload = line.partition(b": ")
    if colon and stamp[:1].isdigit():
        return Item(_stamp_ns(stamp), Kind.DATA, payload)
    if not line:
        return None
    if line.startswith(_CONFIGURATION):
        return Item(UNTIMED, Kind.NOTE, payload)
    match = _DIRECTED.fullmatch(line)
    if match is None:
        raise LineError(EXPECTED)
    url, arrow, stamp, content = match.groups()
    recv_ns = _stamp_ns(stamp)
    if (arrow == b"<->") != (content is None):
        raise LineError(EXPECTED)
    return Item(recv_ns, _KINDS.get(arrow, Kind.OPEN), content or b"", url.decode("utf-8", "replace"))


def _stamp_ns(text: bytes) -> int:
    """b"1633998512.0633569" -> 1633998512063356900. Raises LineError."""
    whole, _, fraction = text.partition(b".")
    return epoch_ns(whole, fraction)
