"""Which recorders there are to be for what is wanted, given those that there are.

Rule: as few feeds as possible change hands, since one that does has an END and begins anew: what comes goes where least
is done, what goes leaves, and a recorder gives something up only to one that would have nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from mdtool.service.assignment import Assignment

Load = Callable[[str], float]  # of a symbol
Free = Callable[[str], str]  # a name that no recorder has, for one of this venue


@dataclass(frozen=True, slots=True)
class Task:
    """All symbols that are to be recorded one way, whatever the assignment's name; by how many recorders, and where."""

    wanted: Assignment
    shards: int
    cpus: tuple[int, ...]
    load: Load


class _Share:
    """What one recorder is to have."""

    def __init__(self, there: Assignment | None, symbols: Sequence[str], load: Load) -> None:
        self.there = there
        self.symbols = list(symbols)
        self.load = sum(map(load, symbols))

    def add(self, symbol: str, load: float) -> None:
        self.symbols.append(symbol)
        self.load += load

    def drop(self, symbol: str, load: float) -> None:
        self.symbols.remove(symbol)
        self.load -= load


def arrange(
    tasks: Sequence[Task], there: Sequence[Assignment], free: Free, *, may_begin: bool = True
) -> list[Assignment]:
    """An assignment for each recorder there is to be. Those under a name of `there` are that recorder's; who is of
    `there` and not named is to end. Without `may_begin` there is a new one only where nobody does any of a task."""
    left = list(there)
    found = []
    for task in tasks:
        mine = _serving(task, left)
        left = [one for one in left if one not in mine]
        found += _shared(task, mine, free, may_begin=may_begin)
    return found


def _serving(task: Task, there: Sequence[Assignment]) -> list[Assignment]:
    """Those that do some of it already, and the way it is to be done; no more than there are to be, and of more those
    that do most."""
    wanted = set(task.wanted.symbols)

    def done(one: Assignment) -> float:
        return sum(task.load(symbol) for symbol in wanted.intersection(one.symbols))

    fit = [
        one
        for one in there
        if one.is_done_as(task.wanted)
        and wanted.intersection(one.symbols)
        and bool(one.cpus) == bool(task.cpus)
        and set(one.cpus) <= set(task.cpus)
    ]
    return sorted(fit, key=done, reverse=True)[: task.shards]


def _shared(task: Task, mine: Sequence[Assignment], free: Free, *, may_begin: bool) -> list[Assignment]:
    wanted, load = task.wanted.symbols, task.load
    taken: set[str] = set()
    shares = []
    for one in mine:
        symbols = [symbol for symbol in one.symbols if symbol in set(wanted) - taken]
        taken.update(symbols)
        shares.append(_Share(one, symbols, load))
    if may_begin or not shares:
        shares += [_Share(None, (), load) for _ in range(min(task.shards, len(wanted)) - len(shares))]
    homeless = [symbol for symbol in wanted if symbol not in taken]
    for symbol in sorted(homeless, key=load, reverse=True):
        least = min(shares, key=lambda share: (share.load, len(share.symbols)))
        least.add(symbol, load(symbol))
    for share in shares:
        if not share.symbols:
            _fill(share, shares, load)
    order = {symbol: place for place, symbol in enumerate(wanted)}
    found = []
    for share in shares:
        given = tuple(sorted(share.symbols, key=order.__getitem__))
        if share.there is not None:
            found.append(structs.replace(share.there, symbols=given))
            continue
        cpus = (task.cpus[len(found) % len(task.cpus)],) if task.cpus else ()
        found.append(structs.replace(task.wanted, name=free(task.wanted.venue), symbols=given, cpus=cpus))
    return found


def _fill(empty: _Share, shares: Sequence[_Share], load: Load) -> None:
    """Give it of what others have, each time of who has most, while that leaves less of a difference."""
    while True:
        most = max((share for share in shares if share is not empty), key=lambda share: share.load)
        fitting = [symbol for symbol in most.symbols if empty.load + load(symbol) < most.load]
        if len(most.symbols) < 2 or not fitting:
            if empty.symbols:
                return
            most = max(shares, key=lambda share: len(share.symbols))
            fitting = most.symbols
        symbol = max(fitting, key=load)
        most.drop(symbol, load(symbol))
        empty.add(symbol, load(symbol))
