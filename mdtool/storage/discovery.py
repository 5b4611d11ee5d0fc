"""Waiting, without asking anybody, for a feed or a whole store that does not exist yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mdtool.errors import FeedNotFound, NotAStore
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store

LOOK_EVERY = 0.02  # seconds; a look at a store without the feed costs some 50 us


def discover(
    path: Path | str,
    name: str,
    *,
    timeout: float | None = None,
    stop: Callable[[], bool] | None = None,
    verify: bool = True,
) -> Reader:
    """A reader at the beginning of the feed `venue/SYMBOL` of the store at `path`, as soon as both exist. Nothing is
    created and no lock is taken, so it may wait for a recorder that was not started yet.

    `timeout`: seconds to wait, None for ever; `stop()` ends the wait too. Then the error of the last look is raised:
    NotAStore or FeedNotFound. CorruptStore where the registry is damaged, at once.

    >>> with mdtool.discover(store.path, "sim/BRAVO_USDT", timeout=60) as reader:
    ...     print([record.payload for record in reader.follow(until_end=True)])
    [b'{"p":"7"}', b'{"reason": "done"}']
    >>> mdtool.discover(store.path, "sim/NOBODY", timeout=0.1)
    Traceback (most recent call last):
    mdtool.errors.FeedNotFound: ...
    """
    path = Path(path).expanduser()
    deadline = None if timeout is None else time.monotonic() + timeout
    store: Store | None = None
    try:
        while True:
            try:
                store = store or Store.open(path)
                return store.reader(name, verify=verify)
            except (NotAStore, FeedNotFound):
                late = deadline is not None and time.monotonic() >= deadline
                if late or (stop is not None and stop()):
                    raise
            time.sleep(LOOK_EVERY)
    finally:
        if store is not None:
            store.close()
