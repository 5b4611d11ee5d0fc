"""The command tree as plain values: what man pages and completions are drawn from, free of the library behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    flags: tuple[str, ...]  # ("-n", "--lines")
    metavar: str | None  # None: takes no value
    help: str
    default: str | None = None  # as it would be typed
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Argument:
    metavar: str
    help: str
    required: bool
    many: bool

    @property
    def usage(self) -> str:
        """As a synopsis writes it: VENUE, [SYMBOL ...]."""
        text = f"{self.metavar} ..." if self.many else self.metavar
        return text if self.required else f"[{text}]"


@dataclass(frozen=True, slots=True)
class Command:
    path: tuple[str, ...]  # ("mdtool", "record")
    summary: str  # one sentence
    description: tuple[str, ...]  # paragraphs
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    examples: tuple[tuple[str, str], ...] = ()
    exit_one: str | None = None
    children: tuple[Command, ...] = ()

    @property
    def name(self) -> str:
        return " ".join(self.path)

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class VenueRow:
    """What the documentation says of a venue."""

    name: str
    title: str
    symbols: tuple[str, ...]  # recorded where none is named
    streams: tuple[str, ...]  # likewise
