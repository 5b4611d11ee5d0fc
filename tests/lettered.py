"""A feed written as words, one record a letter and one chunk a word: what retention is tried on."""

from __future__ import annotations

from mdtool.clock import DAY, SECOND
from mdtool.model import Flag, Kind
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
MIDNIGHT = 1_700_006_400 * SECOND
UPDATE = (
    b'{"stream":"alphausdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ALPHAUSDT","U":2,"u":3,"b":[],"a":[]}}'
)
AFTER_A_GAP = UPDATE.replace(b'"U":2,"u":3', b'"U":8,"u":9')
TRADE = b'{"stream":"alphausdt@trade","data":{"e":"trade","E":1,"s":"ALPHAUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
SNAPSHOT = b'{"lastUpdateId":1,"bids":[],"asks":[]}'
RECORDS = {
    "u": (Kind.DATA, "depth@100ms", UPDATE, 0),
    "g": (Kind.DATA, "depth@100ms", AFTER_A_GAP, 0),
    "t": (Kind.DATA, "trade", TRADE, 0),
    "s": (Kind.RESPONSE, "snapshot", SNAPSHOT, 0),
    "f": (Kind.RESPONSE, "snapshot", b"{}", Flag.FAILED),
    "x": (Kind.DATA, "depth@100ms", b"not a message", 0),
}


def fill(store, days, *, sealed=True):
    """A feed with one chunk (or part) a day; `days` as words of the letters above, one record each."""
    with store.writer(FEED, sync="none") as writer:
        for day, word in enumerate(days):
            for number, letter in enumerate(word):
                kind, stream, payload, flags = RECORDS[letter]
                writer.append(MIDNIGHT + day * DAY + number, kind, writer.stream(stream), 1, payload, flags)
    if sealed:
        assert seal_feed(store.feed(FEED), MIDNIGHT + 99 * DAY, everything=True).error is None
