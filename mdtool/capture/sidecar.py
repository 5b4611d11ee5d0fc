"""The process beside a recorder that does what may be slow or fail: it follows the store and says what it finds.

Started as `python -m mdtool.capture.sidecar` it is told what to follow in a line on stdin, and says lines on stdout
(capture.protocol). The end of stdin is the end of its parent, or of its work: it reads what is there to its end and
goes. It writes to no feed, and whatever becomes of it, recording goes on.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

from mdtool.capture.protocol import Alive, Said, line, read_start
from mdtool.capture.watcher import Watcher
from mdtool.clock import SystemClock
from mdtool.storage.store import Store
from mdtool.venues import catalog

INTERVAL = 0.05  # seconds between two looks: a gap is answered within this
SIGN_OF_LIFE = 5.0  # seconds between two, each with where the feeds stand
LAST_LOOK = 10.0  # seconds after the end of its input in which it ends, come what may
NICE = 5


def main() -> int:
    """Until stdin ends."""
    start = read_start(sys.stdin.buffer.readline())
    os.nice(NICE)
    ending = threading.Event()
    threading.Thread(target=_await_the_end, args=(ending,), daemon=True).start()
    with Store.open(start.store) as store:
        venue, clock = catalog.called(start.venue), SystemClock()
        watcher = Watcher(store, venue, start.streams, start.marks, clock, _say, start.counted)
        try:
            _watch(watcher, ending)
        except BrokenPipeError:  # the parent has gone
            pass
    return 0


def _watch(watcher: Watcher, ending: threading.Event) -> None:
    next_sign = 0.0
    while True:
        last = ending.is_set()  # before looking: what was committed until then is looked at
        now = time.monotonic()
        if now >= next_sign:
            next_sign = now + SIGN_OF_LIFE
            _say([Alive(), *watcher.marks()])
            watcher.rest()
        if not watcher.look():
            if last:
                _say(watcher.marks())
                return
            ending.wait(INTERVAL)


def _await_the_end(ending: threading.Event) -> None:
    # A thread, so that a message which takes for ever to decode keeps no orphan alive.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ending.set()
    time.sleep(LAST_LOOK)
    os._exit(1)


def _say(said: Sequence[Said]) -> None:
    """In one piece: the parent takes all of it or, where this process dies, none."""
    data = b"".join(map(line, said))
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


if __name__ == "__main__":
    raise SystemExit(main())
