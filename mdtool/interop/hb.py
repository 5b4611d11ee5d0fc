"""`.hb`: what hftbacktest's collectors write, `<recv ns> <raw json>`, one symbol a file.

Some of that family stamp microseconds or milliseconds, which the number's magnitude tells. A REST snapshot's body
stands between the frames like one of them; the venue tells which it is.
"""

from __future__ import annotations

from mdtool.interop.item import Item, LineError, epoch_ns, plausible
from mdtool.model import Kind

EXPECTED = "<recv ns> <raw json>"


def parse_line(line: bytes) -> Item | None:
    """One line, as DATA; the payload is what stands after the first space."""
    stamp, space, payload = line.partition(b" ")
    if not space or len(stamp) > 19 or not stamp.isdigit():
        if not line:
            return None
        raise LineError(EXPECTED)
    return Item(plausible(int(stamp)) if len(stamp) == 19 else epoch_ns(stamp), Kind.DATA, payload)
