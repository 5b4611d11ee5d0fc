"""Where a feed's parts are: the store's own folder of them, or an archive, below a path that begins with the store's
own id.

Rule: what another store put into a shared archive is left alone. Its parts are never moved, nor taken for this feed's.
"""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mdtool.errors import ChunkUnavailable, CorruptStore, StoreError
from mdtool.storage.format.layout import folder_name
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.place import LocalPlace, OwnPlace, PartPlace

if TYPE_CHECKING:
    from mdtool.storage.parts.remote import RemotePlace

PARTS = "parts"  # of a store: a folder that holds parts and nothing else, for any tool to read


def place_of(feed: FeedInfo) -> PartPlace:
    """Where the feed's parts are. Raises StoreError for an archive nothing can be kept in."""
    own = own_place(feed)
    if not feed.archive:
        return own
    symbol = folder_name(feed.symbol)
    below = f"recorder={feed.store_id}/venue={feed.venue}/symbol={symbol}"
    return ArchivePlace(_archive(feed, below), OlderPlace(feed, _archive(feed, f"{feed.venue}/{symbol}")), own)


def own_place(feed: FeedInfo) -> OwnPlace:
    """The feed's place in the store itself."""
    store, symbol = feed.directory.parents[2], feed.directory.name
    return OwnPlace(store / PARTS / f"venue={feed.venue}" / f"symbol={symbol}", feed.directory)


def places_of(feed: FeedInfo) -> list[PartPlace]:
    """Each place on its own that a part of the feed may be in. Raises StoreError as `place_of`."""
    place = place_of(feed)
    return place.places() if isinstance(place, ArchivePlace) else [place]


def feeds_in_archive(feed: FeedInfo) -> list[str]:
    """`venue=VENUE/symbol=SYMBOL` of every feed of the store that has something in this feed's archive. Raises
    StoreError."""
    return _archive(feed, f"recorder={feed.store_id}").folders()


def _archive(feed: FeedInfo, below: str) -> LocalPlace | RemotePlace:
    split = urlsplit(feed.archive)
    if "://" not in feed.archive or split.scheme == "file":
        root = Path(split.path if split.scheme == "file" else feed.archive).expanduser()
        return LocalPlace(root / below)
    from mdtool.storage.parts.remote import RemotePlace

    return RemotePlace(feed, below)


class OlderPlace:
    """Where an archive had a feed's parts before its paths began with the store's id. Other stores with a feed of that
    name had theirs there too, so only what is this feed's counts."""

    def __init__(self, feed: FeedInfo, place: PartPlace) -> None:
        self.place = place
        self._feed = feed
        self._ours: dict[str, bool | None] = {}

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.place.names())

    @property
    def trashes(self) -> list[Path]:
        return self.place.trashes if self._listed else []

    def names(self) -> list[str]:
        """The parts that say they are this feed's."""
        return sorted(name for name in self._listed if self._is_ours(name))

    def holds(self, name: str) -> bool:
        """Whether something stands under the name, and does not say that it is another's."""
        return name in self._listed and self.place.size(name) is not None and self._is_ours(name) is not False

    def _is_ours(self, name: str) -> bool | None:
        if name not in self._ours:
            self._ours[name] = is_ours(self._feed, self.place, name)
        return self._ours[name]


def is_ours(feed: FeedInfo, place: PartPlace, name: str) -> bool | None:
    """Whether a part says that it is this feed's; None where it does not say, being damaged or no part at all."""
    from mdtool.storage.parts.part import Part

    try:
        with closing(Part(place.open(name), place.where(name))) as part:
            return (part.manifest.store, part.manifest.feed_id) == (feed.store_id, feed.feed_id)
    except (ChunkUnavailable, CorruptStore, StoreError, OSError):
        return None


class ArchivePlace:
    """An archive, what it held when its paths did not begin with the store's id yet, and what the store itself held
    before the feed was given one."""

    def __init__(self, archive: PartPlace, older: OlderPlace, own: OwnPlace) -> None:
        self._archive = archive
        self._older = older
        self._own = own

    @property
    def trashes(self) -> list[Path]:
        return [*self._archive.trashes, *self._older.trashes, *self._own.trashes]

    def like(self, name: str) -> list[str]:
        return self._holder(name).like(name)

    def places(self) -> list[PartPlace]:
        """All of them."""
        return [self._archive, self._older.place, self._own]

    def draft(self, number: int) -> Path:
        return self._archive.draft(number)

    def drafts(self) -> list[Path]:
        return list(dict.fromkeys([*self._archive.drafts(), *self._own.drafts()]))

    def publish(self, draft: Path, name: str) -> None:
        self._archive.publish(draft, name)

    def settle(self, name: str) -> None:
        self._holder(name).settle(name)

    def names(self) -> list[str]:
        return sorted({*self._archive.names(), *self._older.names(), *self._own.names()})

    def where(self, name: str) -> str:
        return self._holder(name).where(name)

    def size(self, name: str) -> int | None:
        return self._holder(name).size(name)

    def open(self, name: str) -> Any:
        return self._holder(name).open(name)

    def set_aside(self, name: str) -> str:
        return self._holder(name).set_aside(name)

    def remove(self, name: str) -> None:
        self._holder(name).remove(name)

    def discard(self, name: str) -> None:
        self._holder(name).discard(name)

    def _holder(self, name: str) -> PartPlace:
        if self._own.size(name) is not None:
            return self._own
        if self._older.holds(name) and self._archive.size(name) is None:
            return self._older.place
        return self._archive
