"""Brings the recorders of a job to what is wanted now, while they run.

Rule: what leaves has left before anything is begun that may be given the same feeds; and what one recorder refuses
keeps none of the others from what they are to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdtool.errors import MdtoolError
from mdtool.service.assignment import Assignment
from mdtool.service.shards import Shards, Work
from mdtool.venues import catalog

NO_LONGER = "no longer asked for"


@dataclass(frozen=True, slots=True)
class Followed:
    """What has changed: feeds, recorders by name, and what could not be done by the recorder it was to be done by."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()  # from one recorder to another: with an END in between
    begun: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "moved": list(self.moved),
            "recorders_begun": list(self.begun),
            "recorders_ended": list(self.ended),
            "errors": [{"recorder": name, "text": text} for name, text in self.errors],
        }


async def follow(shards: Shards, wanted: Sequence[Assignment], *, must: bool = False) -> Followed:
    """Until each recorder does what is wanted, or has said why not. `must`: those that are begun have to be; where one
    cannot, the job has failed."""
    with shards.while_changing():
        before = {one.name: one for one in await asyncio.to_thread(shards.assignments)}
        after = {one.name: one for one in wanted}
        errors: list[tuple[str, str]] = []
        ended = [name for name in before if name not in after]
        await asyncio.gather(*(shards.end(name, NO_LONGER) for name in ended))
        kept = [name for name in before if name in after]
        # What others are to have is given up first; the rest that leaves goes with what comes.
        elsewhere = {
            feed for name, one in after.items() for feed in _feeds(one) if feed not in _feeds(before.get(name))
        }
        releasing = {}
        for name in kept:
            stays = tuple(
                symbol
                for symbol, feed in zip(before[name].symbols, _feeds(before[name]), strict=True)
                if feed not in elsewhere
            )
            if stays and stays != before[name].symbols:
                releasing[name] = stays
        await _give(shards, releasing, errors)
        giving = {name: after[name].symbols for name in kept if set(after[name].symbols) != set(before[name].symbols)}
        await _give(shards, giving, errors)
        begun = [name for name in after if name not in before]
        for name in begun:
            shards.add(Work(after[name]), must=must)
        for name, there in zip(begun, await asyncio.gather(*map(shards.has_begun, begun)), strict=True):
            if not there and not shards.stopping:
                errors.append((name, "it could not begin; the log says why"))
    return followed(before, after, errors)


async def _give(shards: Shards, symbols: dict[str, tuple[str, ...]], errors: list[tuple[str, str]]) -> None:
    async def one(name: str) -> None:
        try:
            await shards.give(name, symbols[name])
        except MdtoolError as error:
            errors.append((name, str(error)))

    await asyncio.gather(*map(one, symbols))


def followed(
    before: Mapping[str, Assignment], after: Mapping[str, Assignment], errors: Sequence[tuple[str, str]]
) -> Followed:
    """The difference between what recorders did and what they do, by their names."""
    had = {feed: name for name, one in before.items() for feed in _feeds(one)}
    has = {feed: name for name, one in after.items() for feed in _feeds(one)}
    return Followed(
        added=tuple(sorted(has.keys() - had.keys())),
        removed=tuple(sorted(had.keys() - has.keys())),
        moved=tuple(sorted(feed for feed in has.keys() & had.keys() if has[feed] != had[feed])),
        begun=tuple(name for name in after if name not in before),
        ended=tuple(name for name in before if name not in after),
        errors=tuple(sorted(errors)),
    )


def _feeds(one: Assignment | None) -> list[str]:
    if one is None:
        return []
    venue = catalog.called(one.venue).name
    return [f"{venue}/{symbol}" for symbol in one.symbols]
