"""What every command gets: the global options, where to print, and the store to work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mdtool.errors import FeedNotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mdtool.config import Config
    from mdtool.storage.reader import Reader
    from mdtool.storage.store import FeedInfo, Store
    from mdtool.view.output import Output

SHOWN = 200  # characters of feed names an error may list


@dataclass(frozen=True, slots=True)
class Span:
    """Receive times [from_ns, to_ns); None: open."""

    from_ns: int | None
    to_ns: int | None


@dataclass(frozen=True, slots=True)
class Run:
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
        FeedNotFound, saying what is recorded."""
        from mdtool.venues.symbols import match

        infos = {(info.venue, info.symbol): info for info in store.feeds()}
        if not infos:
            raise FeedNotFound(f"{store.path}: nothing is recorded yet; run: mdtool record, or mdtool import")
        if not patterns:
            return list(infos.values())
        names = list(infos)
        found: dict[tuple[str, str], FeedInfo] = {}
        for pattern in patterns:
            matched = match(pattern, names)
            if not matched:
                raise FeedNotFound(_not_recorded(pattern, [info.name for info in infos.values()]))
            found |= {name: infos[name] for name in matched}
        return [found[name] for name in names if name in found]

    def one_feed(self, store: Store, pattern: str) -> FeedInfo:
        """The one feed that `pattern` names. Raises as `feeds`, and UsageError where it names several."""
        found = self.feeds(store, [pattern])
        if len(found) > 1:
            names = ", ".join(info.name for info in found)
            raise UsageError(f"{pattern} is recorded more than once; name one of {names}")
        return found[0]

    def span(self, readers: Sequence[Reader], from_: str | None, to: str | None) -> Span:
        """The stretch of receive time two options ask for; `first` and `last` are those of the readers. Raises
        UsageError."""
        from mdtool.clock import SystemClock
        from mdtool.units import parse_time

        now_ns = SystemClock().now_ns()
        first_ns = min((ns for reader in readers if (ns := reader.first_ns) is not None), default=None)
        last_ns = max((ns for reader in readers if (ns := reader.last_ns) is not None), default=None)

        def parse(text: str | None) -> int | None:
            return None if text is None else parse_time(text, now_ns=now_ns, first_ns=first_ns, last_ns=last_ns)

        # The end of a stretch is exclusive, and whoever says "last" means to have the last record.
        span = Span(parse(from_), None if to == "last" else parse(to))
        if span.from_ns is not None and span.to_ns is not None and span.from_ns >= span.to_ns:
            raise UsageError(f"--from {from_} is not before --to {to}: there is nothing between them")
        return span


def current(ctx: typer.Context) -> Run:
    """The run behind a command's context."""
    run = ctx.find_object(Run)
    assert run is not None  # the root command has made one
    return run


def _not_recorded(pattern: str, recorded: Sequence[str]) -> str:
    """What is wrong with a name nothing recorded has, and what may have been meant."""
    from difflib import get_close_matches

    symbols = {name.partition("/")[2]: name for name in recorded}
    close = get_close_matches(pattern, recorded, 3, 0.7)
    close += [symbols[symbol] for symbol in get_close_matches(pattern.upper(), symbols, 2, 0.7)]
    if close:
        return f"no feed {pattern!r} is recorded; close to it: {', '.join(dict.fromkeys(close))}"
    shown = ", ".join(name for name in recorded if not name.endswith("/_session")) or ", ".join(recorded)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN].rpartition(",")[0] + " ..."
    return f"no feed {pattern!r} is recorded; there are {shown}"
