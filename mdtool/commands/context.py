"""What every command gets: the global options, where to print, and the store to work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mdtool.errors import FeedNotFound, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mdtool.config import Config
    from mdtool.storage.reading.reader import Reader
    from mdtool.storage.store import FeedInfo, Store
    from mdtool.view.output import Output


@dataclass(frozen=True, slots=True)
class Span:
    """Receive times [from_ns, to_ns); None: open."""

    from_ns: int | None
    to_ns: int | None


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of the command line: its global options and its output."""

    store_dir: Path | None
    config_file: Path | None
    verbose: bool
    out: Output

    def config(self) -> Config:
        """Defaults, the TOML file, the environment and the global options as one object."""
        from mdtool.config import load

        config = load(file=self.config_file, store=self.store_dir)
        self.out.color = config.color
        return config

    def store(self) -> Store:
        """The store, which must be there. Raises NotAStore."""
        from mdtool.storage.store import Store

        return Store.open(self.config().store)

    def feeds(self, store: Store, patterns: Sequence[str]) -> list[FeedInfo]:
        """The feeds that `patterns` name, every feed where there is none; by name, each once. Raises
        FeedNotFound, saying what is recorded. One that this user may not read is said and left out; StoreError where
        that is all of them."""
        infos = {info.name: info for info in store.feeds()}
        if not infos:
            raise FeedNotFound(f"{store.path}: nothing is recorded yet; run: mdtool record, or mdtool import")
        chosen = list(infos.values())
        if patterns:
            from mdtool.history.lists import meant  # and with it every adapter

            chosen = [infos[name] for name in meant(store, patterns, list(infos))]
        denials = {info.name: denial for info in chosen if (denial := store.denial(info)) is not None}
        if len(denials) == len(chosen):
            raise StoreError(next(iter(denials.values())))
        for name, denial in denials.items():
            self.out.talk(f"{name}: left out: {denial}")
        return [info for info in chosen if info.name not in denials]

    def one_feed(self, store: Store, pattern: str) -> FeedInfo:
        """The one feed that `pattern` names. Raises as `feeds`, and UsageError where it names several."""
        found = self.feeds(store, [pattern])
        if len(found) > 1:
            names = ", ".join(info.name for info in found)
            raise UsageError(f"{pattern} is recorded more than once; name one of {names}")
        return found[0]

    def freshest_feed(self, store: Store, pattern: str) -> tuple[FeedInfo, tuple[str, ...]]:
        """Of the feeds that `pattern` names the one that received last, and the names of the others."""
        found = self.feeds(store, [pattern])

        def last_ns(info: FeedInfo) -> int:
            with store.reader(info.name, verify=False) as reader:
                return reader.last_ns or 0

        freshest = max(found, key=last_ns) if len(found) > 1 else found[0]
        return freshest, tuple(info.name for info in found if info is not freshest)

    def moment(self, readers: Sequence[Reader], text: str | None) -> int | None:
        """The time an option names, where it is given; `first` and `last` are those of the readers. Raises
        UsageError."""
        if text is None:
            return None
        from mdtool.clock import SystemClock
        from mdtool.units import parse_time

        first_ns = min((ns for reader in readers if (ns := reader.first_ns) is not None), default=None)
        last_ns = max((ns for reader in readers if (ns := reader.last_ns) is not None), default=None)
        return parse_time(text, now_ns=SystemClock().now_ns(), first_ns=first_ns, last_ns=last_ns)

    def span(self, readers: Sequence[Reader], from_: str | None, to: str | None) -> Span:
        """The stretch of receive time two options ask for. Raises UsageError."""
        # The end of a stretch is exclusive, and whoever says "last" means to have the last record.
        span = Span(self.moment(readers, from_), self.moment(readers, None if to == "last" else to))
        if span.from_ns is not None and span.to_ns is not None and span.from_ns >= span.to_ns:
            raise UsageError(f"--from {from_} is not before --to {to}: there is nothing between them")
        return span


def current(ctx: typer.Context) -> Invocation:
    """The run behind a command's context."""
    run = ctx.find_object(Invocation)
    assert run is not None  # the root command has made one
    return run
