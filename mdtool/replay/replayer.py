"""A stored stretch of feeds, played back: merged by time, paced as recorded, written to a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from mdtool.clock import Clock
from mdtool.replay.merge import merge
from mdtool.replay.pacing import Pacer
from mdtool.replay.sinks.stream import ByteStream, write_all

if TYPE_CHECKING:
    from mdtool.storage.reading.reader import Reader, Record

Encoder = Callable[[Sequence[tuple["Reader", "Record"]]], bytes]

CHUNK = 256  # records a write: the call's cost vanishes, and they fit in memory whatever they are


class Replay:
    """(reader, record) of many feeds, each released when it is due.

    Plays [from_ns, to_ns) of receive time; from where each reader stands where `from_ns` is None, to the
    end as of now where `to_ns` is None. `speed` 1.0 is the recorded rhythm, None as fast as possible.
    Iterate it once.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        from_ns: int | None = None,
        to_ns: int | None = None,
        speed: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.readers = tuple(readers)
        self.pacer = Pacer(speed, clock)
        self.late_ns = 0  # how late the record last yielded was released
        self._to_ns = to_ns
        if from_ns is not None:
            for reader in self.readers:
                reader.seek(from_ns)

    @property
    def paced(self) -> bool:
        return self.pacer.speed is not None

    def __iter__(self) -> Iterator[tuple[Reader, Record]]:
        merged = merge(self.readers, self._to_ns)
        return self._paced(merged) if self.paced else merged

    def _paced(self, merged: Iterator[tuple[Reader, Record]]) -> Iterator[tuple[Reader, Record]]:
        wait = self.pacer.wait
        for item in merged:
            self.late_ns = wait(item[1].recv_ns)
            yield item


@dataclass(frozen=True, slots=True)
class Played:
    """What `play` wrote."""

    records: int
    payload_bytes: int
    closed: bool  # whoever read the stream closed it before the end


def play(replay: Replay, encode: Encoder, stream: ByteStream) -> Played:
    """Writes a replay to `stream`: record by record and flushed when paced, in large writes otherwise.

    A closed pipe is a clean end. Best given an unbuffered stream: what a buffered one still holds when its
    pipe breaks fails again when it is closed.
    """
    records = payload_bytes = 0
    items = iter(replay)
    size = 1 if replay.paced else CHUNK
    try:
        while chunk := list(islice(items, size)):
            write_all(stream, encode(chunk))
            records += len(chunk)
            payload_bytes += sum([record.length for _, record in chunk])
            if replay.paced:
                stream.flush()
        stream.flush()
    except BrokenPipeError:
        return Played(records, payload_bytes, closed=True)
    return Played(records, payload_bytes, closed=False)
