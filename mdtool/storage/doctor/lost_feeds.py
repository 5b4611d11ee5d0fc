"""Feeds of which only parts are left: no entry in registry.bin names them, and no directory below feeds/ is theirs.

Rule: a part says itself whose it is. One that cannot be read names nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mdtool.errors import StoreError
from mdtool.storage.doctor.part_evidence import GARBAGE
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.archive import PARTS, feeds_in_archive, own_place, place_of
from mdtool.storage.parts.place import LocalPlace


def folders_of_parts(path: Path) -> list[tuple[str, str]]:
    """Venue and symbol of each folder in the store's own folder of parts."""
    return _named(LocalPlace(path / PARTS).folders())


def of_parts(path: Path, folders: Sequence[tuple[str, str]], known: Collection[str], store_id: str) -> list[FeedInfo]:
    """Those of the folders that are of no known feed, as feeds. `store_id`: where that is known, parts of others are
    not taken for this store's."""
    blanks = (_blank(path, venue, symbol, store_id) for venue, symbol in folders)
    return [found for blank in blanks if blank.name not in known and (found := _said(blank)) is not None]


def of_archives(path: Path, feeds: Sequence[FeedInfo]) -> Iterator[FeedInfo | StoreError]:
    """Feeds that archives have and that are none of these, whose archives those are; why, where one cannot be looked
    at."""
    known = {feed.name for feed in feeds}
    for feed in {feed.archive: feed for feed in feeds if feed.archive}.values():
        try:
            for venue, symbol in _named(feeds_in_archive(feed)):
                blank = replace(_blank(path, venue, symbol, feed.store_id), archive=feed.archive)
                if blank.name not in known and (found := _said(blank)) is not None:
                    known.add(found.name)
                    yield found
        except StoreError as error:
            yield error


def has_parts(feed: FeedInfo) -> bool:
    """Whether any part is where this feed's are. Raises StoreError where its archive cannot be looked at."""
    return bool(place_of(feed).names())


def _blank(path: Path, venue: str, symbol: str, store_id: str) -> FeedInfo:
    """A feed of which nothing is known but its name."""
    directory = layout.feed_directory(path, venue, symbol)
    return FeedInfo(0, venue, symbol, directory, Location.DISK, 64 << 20, None, 0, store_id)


def _said(blank: FeedInfo) -> FeedInfo | None:
    """The feed as the first of its parts that can be read says."""
    from mdtool.storage.parts.part import Part

    place = place_of(blank) if blank.archive else own_place(blank)
    for name in place.names():
        try:
            with closing(Part(place.open(name), place.where(name))) as part:
                said = part.manifest
        except (*GARBAGE, StoreError):
            continue
        if said.feed == blank.name and (not blank.store_id or said.store == blank.store_id):
            created_ns = min(chunk.created_ns for chunk in said.chunks)
            return replace(blank, feed_id=said.feed_id, store_id=said.store, created_ns=created_ns)
    return None


def _named(folders: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for folder in folders:
        venue, _, symbol = folder.removeprefix("venue=").partition("/symbol=")
        name = layout.symbol_of_folder(symbol)
        if layout.VENUE_NAME.fullmatch(venue) and name is not None:
            found.append((venue, name))
    return found
