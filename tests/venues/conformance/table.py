"""The rows: one file a venue, read as it stands. mdtool-venue(7) says how one is written."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
KINDS = ("remove", "repeat", "swap", "renumber", "alter")


@dataclass(frozen=True)
class Said:
    """One record, and what it is to be read as."""

    raw: bytes
    place: str  # "SYMBOL/stream", "_session/stream", or "snapshot": the answer to a request
    says: tuple[str, ...]
    verdict: str  # one word a message, "" where the stream promises nothing
    state: str  # of the book after it; "" where it does not concern the book
    connection: str  # the verdict on its number on the connection, "" where it has none


@dataclass(frozen=True)
class Unseen:
    """Why a disturbance cannot show."""

    why: str
    only: tuple[str, ...] = ()  # those whose description ends so; () all


@dataclass(frozen=True)
class Session:
    """One connection of one feed."""

    venue: str
    name: str
    book: str  # the stream the book is made of
    records: tuple[Said, ...]
    final: tuple[str, ...]  # the book at the end
    unseen: dict[tuple[str, str], Unseen]  # of a stream, and a kind of disturbance
    unread: dict[str, str]  # path in a message -> why nothing is made of it

    def __str__(self) -> str:
        return f"{self.venue}: {self.name}"


@dataclass(frozen=True)
class Row:
    """What is known of one venue."""

    venue: str
    sources: tuple[str, ...]
    sessions: tuple[Session, ...]
    without: dict[str, str] = field(default_factory=dict)  # a fault -> why this venue cannot have it


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _session(venue: str, found: dict, replace: dict[str, str]) -> Session:
    def own(text: str) -> str:
        for word, other in replace.items():
            text = text.replace(word, other)
        return text

    records = tuple(
        Said(
            own(one["raw"]).encode(),
            own(one["place"]),
            lines(one.get("says", "")),
            one.get("verdict", ""),
            one.get("state", ""),
            one.get("connection", ""),
        )
        for one in found["record"]
    )
    unseen: dict[tuple[str, str], Unseen] = {}
    for one in found.get("unseen", ()):
        assert set(one["what"]) <= set(KINDS) and one["why"], one
        why = Unseen(one["why"], tuple(one.get("only", ())))
        unseen |= {(one["stream"], what): why for what in one["what"]}
    return Session(
        venue, found["name"], found["book"], records, lines(found["final"]), unseen, dict(found.get("unread", {}))
    )


def row(venue: str, folder: Path = FOLDER) -> Row:
    """The venue's row. One that speaks another's protocol names it (`like`) and what it spells otherwise."""
    path = folder / f"{venue}.toml"
    assert path.exists(), f"no {path.name}: a venue in the catalog needs a row here, see mdtool-venue(7)"
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    of = tomllib.loads((folder / f"{found['like']}.toml").read_text(encoding="utf-8")) if "like" in found else found
    sessions = tuple(_session(venue, one, found.get("replace", {})) for one in of["session"])
    return Row(venue, tuple(found["sources"]), sessions, dict(of.get("without", {})))
