"""Many feeds followed as one, live, in order of receive time.

What order means while feeds are being written: nobody can know that a quiet feed will not show an older record in the
next instant. But a record is stamped just before it is committed, so a feed that was empty at time t will show nothing
stamped much before t. "Much" is the `window`: how long a record may take from its stamp to its commit. A record is
handed out as soon as every other feed has shown, or by now would have shown, all that comes before it.

- Records come in order of receive time over all feeds, ties by the order in which the feeds were named, as long as no
  record takes longer than the window. One that does is never dropped: it is handed out at once, and counted in `late`.
- A feed's own order is never changed. Where its clock stepped back, its records are placed by the highest receive time
  it has shown so far.
- While one feed is quiet, the records of the others wait, for at most the window. A backlog waits for nothing, and
  nobody waits for a feed that has ended (its last record is END) until it is written again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mdtool.clock import SECOND, Clock, SystemClock
from mdtool.model import Kind
from mdtool.storage.reader import Reader, Record
from mdtool.storage.waits import Wait, Waiting

Item = tuple[Reader, Record]

WINDOW_NS = SECOND // 100  # a commit follows its stamp within microseconds; a roll or a stalled process takes longer
AHEAD = 1024  # records of a feed read at once: what is held is bounded by this, feed by feed
BEGINNING = -(1 << 63)
NEVER = (1 << 63, 0)


@dataclass(slots=True)
class _Feed:
    number: int
    reader: Reader
    waiting: deque[Record] = field(default_factory=deque)  # read, not handed out
    shown_ns: int = BEGINNING  # highest receive time handed out
    empty_ns: int = BEGINNING  # when it was last found to have nothing more
    ended: bool = False  # the last record handed out is END

    def key(self) -> tuple[int, int]:
        """Where its next record belongs."""
        return max(self.shown_ns, self.waiting[0].recv_ns), self.number


class FanIn:
    """Several readers as one. It moves them: leave them alone while it has them.

    `window_ns`: how long a record may take from its stamp to its commit; `clock` is the one that the recorders stamp
    with, which is this machine's. Raises what `Reader.poll` raises.

    >>> with store.reader("sim/ALPHA_USDT") as alpha, store.reader("sim/BRAVO_USDT") as bravo:
    ...     for reader, record in mdtool.FanIn([alpha, bravo]).follow(until_end=True):
    ...         print(record.recv_ns % 10**9 // 10**6, reader.feed.name, record.payload)
    0 sim/ALPHA_USDT b'{"p":"64.2","q":"1"}'
    100 sim/BRAVO_USDT b'{"p":"7"}'
    250 sim/ALPHA_USDT b'{"p":"64.3","q":"2"}'
    500 sim/ALPHA_USDT b'{"note":"half way"}'
    900 sim/BRAVO_USDT b'{"reason": "done"}'
    0 sim/ALPHA_USDT b'{"reason": "done"}'
    """

    def __init__(self, readers: Sequence[Reader], *, window_ns: int = WINDOW_NS, clock: Clock | None = None) -> None:
        self.late = 0  # records that came after a younger one had been handed out
        self._window_ns = window_ns
        self._clock = clock or SystemClock()
        self._feeds = [_Feed(number, reader) for number, reader in enumerate(readers)]
        self._handed_out_ns = BEGINNING

    def poll(self, limit: int = 4096) -> list[Item]:
        """What may be handed out now, in order, at most `limit`; empty where there is nothing. Never waits."""
        heap = [feed.key() for feed in self._feeds if self._look(feed)]
        heapq.heapify(heap)
        empty = (self._earliest(feed) for feed in self._feeds if not feed.waiting)
        horizon = min(empty, default=NEVER)
        items: list[Item] = []
        while heap and len(items) < limit and heap[0] < horizon:
            key_ns, number = heap[0]
            feed = self._feeds[number]
            # All of this feed's records up to where another's turn comes, without the heap.
            turn = min(horizon, min(heap[1:3], default=horizon))
            while (key_ns, number) < turn and len(items) < limit:
                items.append((feed.reader, self._take(feed, key_ns)))
                if not self._look(feed):
                    heapq.heappop(heap)
                    horizon = min(horizon, self._earliest(feed))
                    break
                key_ns = feed.key()[0]
            else:
                heapq.heapreplace(heap, (key_ns, number))
        return items

    def follow(
        self, *, wait: Wait = "sleep", stop: Callable[[], bool] | None = None, until_end: bool = False
    ) -> Iterator[Item]:
        """Every record of all feeds from where their readers stand, waiting for more. Ends when nothing may be handed
        out and `stop()` is true, or (`until_end`) when the last record of every feed is END. `wait` as in
        `Reader.follow`."""
        waiting = Waiting(wait)
        while True:
            if items := self.poll():
                yield from items
                waiting.busy()
                continue
            held = any(feed.waiting for feed in self._feeds)
            if not held and until_end and all(feed.ended or feed.reader.ended for feed in self._feeds):
                return
            if stop is not None and stop():
                return
            waiting.idle(*([self._window_ns / SECOND] if held else []))

    def position(self, reader: Reader) -> int:
        """The position of a reader's next record that has not been handed out: what to commit to its cursor."""
        feed = next(feed for feed in self._feeds if feed.reader is reader)
        return feed.waiting[0].position if feed.waiting else reader.position

    def _look(self, feed: _Feed) -> bool:
        """Whether the feed has a record to hand out."""
        if not feed.waiting:
            now_ns = self._clock.now_ns()  # before the look: what comes after it was stamped after this, or nearly
            records = feed.reader.poll(AHEAD)
            if not records:
                feed.empty_ns = now_ns
                return False
            feed.waiting.extend(records)
        return True

    def _earliest(self, feed: _Feed) -> tuple[int, int]:
        """The earliest place that the next record of a feed without any may take."""
        return NEVER if feed.ended else (max(feed.shown_ns, feed.empty_ns - self._window_ns), feed.number)

    def _take(self, feed: _Feed, key_ns: int) -> Record:
        record = feed.waiting.popleft()
        feed.shown_ns = key_ns
        feed.ended = record.kind == Kind.END
        if key_ns < self._handed_out_ns:
            self.late += 1
        else:
            self._handed_out_ns = key_ns
        return record
