"""The last records of some feeds, and those that follow, in order of receive time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.reading.fanin import FanIn
from mdtool.storage.reading.reader import Reader, Record

NAP = 0.02  # seconds between two looks at feeds that are quiet

Item = tuple[Reader, Record]


def last(readers: Sequence[Reader], count: int) -> list[Item]:
    """The last `count` records over all readers; each reader then stands behind what is there now."""
    items: list[Item] = []
    for reader in readers:
        _stand_before_last(reader, count)
        items += [(reader, record) for record in reader.records()]
    items.sort(key=_time)  # stable: a feed's own order is kept where times are equal
    return items[-count:] if count else []


def follow(readers: Sequence[Reader]) -> Iterator[list[Item]]:
    """What is new at each look, never empty; for ever. In order over the feeds, as `FanIn` has it."""
    fan = FanIn(readers)
    while True:
        if items := fan.poll():
            yield items
        else:
            time.sleep(NAP)


def _time(item: Item) -> int:
    return item[1].recv_ns


def _stand_before_last(reader: Reader, count: int) -> None:
    """Move to `count` records before the end, or to the start where there are fewer."""
    for chunk in reversed(reader.chunks()):
        if count <= chunk.rows:
            reader.move_to(chunk.chunk_id << ROW_BITS | (chunk.rows - count))
            return
        count -= chunk.rows
    reader.to_start()
