"""The store as Python code meets it: its feeds are found by whatever the command line would take for them.

Rule: a name that is a feed's own always means that feed; only another one is looked for among the spellings.
"""

from __future__ import annotations

from mdtool.errors import FeedNotFound, UsageError
from mdtool.history.lists import meant
from mdtool.storage import store as storage
from mdtool.storage.store import FeedInfo


class Store(storage.Store):
    """Open one with `Store.open` (it must exist) or `Store.create` (made if missing). Closes as a context manager.

    Iterating gives its feeds. A feed that is there is named as on the command line: `venue/SYMBOL`, a bare symbol where
    it is recorded once, canonical or as the venue spells it. `writer` alone makes feeds, so it takes the name itself.

    >>> for feed in store:
    ...     with store.reader(feed.name) as reader:
    ...         print(feed.name, feed.scale, reader.count(), reader.first_ns, reader.last_ns)
    sim/ALPHA_USDT Scale(price_exp=-1, size_exp=0) 4 1760000000000000000 1760000001000000000
    sim/BRAVO_USDT None 2 1760000000100000000 1760000000900000000
    >>> store.reader("alphausdt").feed.name, "BRAVO_USDT" in store, "sim/DELTA_USDT" in store
    ('sim/ALPHA_USDT', True, False)
    >>> store.reader("sim/*")
    Traceback (most recent call last):
    mdtool.errors.UsageError: sim/* is recorded more than once; name one of sim/ALPHA_USDT, sim/BRAVO_USDT
    """

    def feed(self, name: str) -> FeedInfo:
        """The feed a name means. Raises FeedNotFound with the nearest there are, and UsageError where it means
        several."""
        feed = self._registry.find(name)
        if feed is not None:
            return feed
        found = self._meant(name)
        if len(found) > 1:
            raise UsageError(f"{name} is recorded more than once; name one of {', '.join(found)}")
        return super().feed(found[0])

    def __contains__(self, feed: object) -> bool:
        """Whether a name means a feed of this store, or several; of a FeedInfo, whether it is one."""
        if super().__contains__(feed):
            return True
        try:
            return isinstance(feed, str) and bool(self._meant(feed))
        except FeedNotFound:
            return False

    def _meant(self, name: str) -> list[str]:
        return meant(self, name, [feed.name for feed in self.feeds()])
