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

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, repeat
from operator import attrgetter

from mdtool.clock import SECOND, Clock, SystemClock
from mdtool.errors import StoreError
from mdtool.model import Kind
from mdtool.storage.reading.reader import Reader, Record
from mdtool.storage.reading.waits import Wait, Waiting

Item = tuple[Reader, Record]

WINDOW_NS = SECOND // 100  # a commit follows its stamp within microseconds; a roll or a stalled process takes longer
AHEAD = 1024  # records of a feed read at once: what is held is bounded by this, feed by feed
BEGINNING = -(1 << 63)
NEVER = (1 << 63, 0)
_recv_ns = attrgetter("recv_ns")


@dataclass(slots=True)
class _Feed:
    number: int
    reader: Reader
    waiting: list[Record] = field(default_factory=list)  # read; handed out up to `at`
    keys: list[int] = field(default_factory=list)  # where each belongs: the highest receive time up to it
    at: int = 0
    shown_ns: int = BEGINNING  # highest receive time read
    empty_ns: int = BEGINNING  # when it was last read to its end
    ended: bool = False  # the last record handed out is END

    @property
    def holds(self) -> bool:
        """Whether something was read and not handed out."""
        return self.at < len(self.waiting)


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
        items: list[Item] = []
        horizon = NEVER
        for feed in self._feeds:
            if not self._look(feed):
                horizon = min(horizon, self._earliest(feed))
        while len(items) < limit:
            holding = [feed for feed in self._feeds if feed.holds]
            bound = min(horizon, min(map(self._unread, holding), default=NEVER))
            taken = [(feed, stop) for feed in holding if (stop := self._stop(feed, bound)) > feed.at]
            if not taken:
                break
            self._hand_out(taken, limit - len(items), items)
            for feed, _ in taken:
                if not feed.holds and not self._look(feed):
                    horizon = min(horizon, self._earliest(feed))
        return items

    @staticmethod
    def _stop(feed: _Feed, bound: tuple[int, int]) -> int:
        """How far the feed's records come before `bound`, its own last one included."""
        side = bisect_right if feed.number <= bound[1] else bisect_left
        return side(feed.keys, bound[0], feed.at)

    def _hand_out(self, taken: list[tuple[_Feed, int]], room: int, items: list[Item]) -> None:
        """Append to `items` what was taken of each feed, in order, and no more than `room`."""
        keys: list[int] = []
        pairs: list[Item] = []
        for feed, stop in taken:
            keys += feed.keys[feed.at : stop]
            pairs += zip(repeat(feed.reader), feed.waiting[feed.at : stop])
        counts = {feed.number: stop - feed.at for feed, stop in taken}
        if len(taken) > 1:
            order = sorted(range(len(keys)), key=keys.__getitem__)[:room]  # stable: ties by feed, a feed in its order
            if len(order) < len(keys):
                owners = [number for number, count in counts.items() for _ in range(count)]
                counts = Counter(map(owners.__getitem__, order))
            items += map(pairs.__getitem__, order)
        else:
            items += pairs[:room]
            counts = {number: min(room, count) for number, count in counts.items()}
        highest = self._handed_out_ns
        for feed, _ in taken:
            if count := counts.get(feed.number, 0):
                first, feed.at = feed.at, feed.at + count
                self.late += bisect_left(feed.keys, self._handed_out_ns, first, feed.at) - first
                feed.ended = feed.waiting[feed.at - 1].kind == Kind.END
                highest = max(highest, feed.keys[feed.at - 1])
        self._handed_out_ns = highest

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
            held = any(feed.holds for feed in self._feeds)
            if not held and until_end and all(feed.ended or feed.reader.ended for feed in self._feeds):
                return
            if stop is not None and stop():
                return
            waiting.idle(*([self._window_ns / SECOND] if held else []))

    def position(self, reader: Reader) -> int:
        """The position of a reader's next record that has not been handed out: what to commit to its cursor."""
        feed = next(feed for feed in self._feeds if feed.reader is reader)
        return feed.waiting[feed.at].position if feed.holds else reader.position

    def _look(self, feed: _Feed) -> bool:
        """Whether the feed has a record to hand out."""
        if feed.holds:
            return True
        now_ns = self._clock.now_ns()  # before the look: what comes after it was stamped after this, or nearly
        found = feed.reader.poll(AHEAD)
        feed.waiting, feed.at = found[:], 0
        while found and len(feed.waiting) < AHEAD:  # which may be all there is, or the rest of a chunk
            try:
                found = feed.reader.poll(AHEAD - len(feed.waiting))
            except StoreError:
                break  # it is the next look's
            feed.waiting += found
        if not found:
            feed.empty_ns = now_ns
        if not feed.waiting:
            return False
        times = map(_recv_ns, feed.waiting)
        feed.keys = list(islice(accumulate(times, max, initial=feed.shown_ns), 1, None))
        feed.shown_ns = feed.keys[-1]
        return True

    def _unread(self, feed: _Feed) -> tuple[int, int]:
        """The earliest place that what a feed has not been read of may take. Where it was read to its end that is as
        late as for one that is empty: of many feeds with a few records each, all that is due goes out at once."""
        return max(feed.keys[-1], feed.empty_ns - self._window_ns), feed.number

    def _earliest(self, feed: _Feed) -> tuple[int, int]:
        """The earliest place that the next record of a feed without any may take."""
        return NEVER if feed.ended else (max(feed.shown_ns, feed.empty_ns - self._window_ns), feed.number)
