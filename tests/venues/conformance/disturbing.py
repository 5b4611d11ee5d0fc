"""One record of a session disturbed, in each way there is; and which of these show.

A disturbance shows where somebody would be told of it: another verdict, a checksum that does not match, a message that
cannot be read, a book that is worth something else at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from conformance.running import Run, payloads, run
from conformance.table import Said, Session
from mdtool.model import SNAPSHOT_STREAM
from mdtool.venues.venue import Venue

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[\[\]{},:]')
_IDS = re.compile(r"^(change|whole|fetched|trade|quote) (\S+)(?: after (\S+))?.*?(?: cross (\d+))?$")


class Value(NamedTuple):
    """A scalar in a message, and where it stands in its text."""

    path: str
    text: str
    start: int
    end: int
    key: int  # where its key begins, -1 in a list


def values(raw: bytes) -> Iterator[Value]:
    """Each scalar in a message."""
    text = raw.decode()
    path: list[str | int] = []
    key = -1
    expects_key = False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "[{":
            path.append(0 if token == "[" else "")
            expects_key = token == "{"
        elif token in "]}":
            path.pop()
        elif token == ",":
            if isinstance(path[-1], int):
                path[-1] += 1
            expects_key = not isinstance(path[-1], int)
        elif token == ":":
            expects_key = False
        elif expects_key:
            key = found.start()
            path[-1] = token[1:-1]
        else:
            shown = ".".join(
                "[]" if isinstance(part, int) and _of_rows(path, at) else str(part) for at, part in enumerate(path)
            )
            yield Value(shown, token, found.start(), found.end(), -1 if isinstance(path[-1], int) else key)


def leaves(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Each value in a message, by its path, and the message with that value another."""
    for value in values(raw):
        if value.text != "null":
            yield value.path, changed(raw, value, _other(value.text))


def changed(raw: bytes, value: Value, other: str) -> bytes:
    text = raw.decode()
    return (text[: value.start] + other + text[value.end :]).encode()


def missing(raw: bytes, value: Value) -> bytes:
    """The message without that value and its key."""
    text = raw.decode()
    start, end = value.key, value.end
    if text[end] == ",":
        end += 1
    elif text[start - 1] == ",":
        start -= 1
    return (text[:start] + text[end:]).encode()


def _of_rows(path: list[str | int], at: int) -> bool:
    """Whether an index counts rows, whose number says nothing: one that is not the innermost."""
    return at + 1 < len(path)


def _other(token: str) -> str:
    if token in ("true", "false"):
        return "false" if token == "true" else "true"
    quote = '"' if token[0] == '"' else ""
    inner = token.strip('"')
    if inner[-1:].isdigit():
        return quote + inner[:-1] + str((int(inner[-1]) + 1) % 10) + quote
    return f'"{inner}x"'


def disturbed(session: Session, stream: str, what: str, venue: Venue) -> Iterator[tuple[str, list[tuple[bytes, bool]]]]:
    """The session with one record of that stream disturbed, and which one."""
    given = payloads(session)
    mine = [at for at, record in enumerate(session.records) if stream_of(record) == stream]
    for nth, at in enumerate(mine):
        record = session.records[at]
        whole = record.says[:1] and record.says[0].startswith(("whole", "fetched"))
        inner = nth > 0 and any(given[later] != given[at] for later in mine[nth + 1 :])
        if what == "remove" and (inner or (whole and nth == 0)):
            yield f"record {at + 1}", given[:at] + given[at + 1 :]
        elif what == "repeat":
            yield f"record {at + 1}", [*given[: at + 1], given[at], *given[at + 1 :]]
        elif what == "swap" and nth + 1 < len(mine) and given[at] != given[mine[nth + 1]]:
            other = list(given)
            other[at], other[mine[nth + 1]] = given[mine[nth + 1]], given[at]
            yield f"records {at + 1} and {mine[nth + 1] + 1}", other
        elif what in ("renumber", "alter") and "STALE" not in record.verdict and (what == "alter" or inner or whole):
            for path, raw in leaves(record.raw):
                other = [*given[:at], (raw, given[at][1]), *given[at + 1 :]]
                if _changes(session, venue, at, raw) == what:
                    yield f"record {at + 1}, {path}", other


def _changes(session: Session, venue: Venue, at: int, raw: bytes) -> str:
    """What an altered record changes: "renumber" an id, "alter" levels or orders, "" something else."""
    given = payloads(session)[: at + 1]
    given[at] = raw, given[at][1]
    was, now = session.records[at], run(venue, session, given).found[at]
    if was.place != now.place or "undecodable" in now.says or len(was.says) != len(now.says):
        return ""
    if [_ids(line) for line in was.says] != [_ids(line) for line in now.says]:
        return "renumber"
    return "alter" if was.state and was.says[1:] != now.says[1:] else ""


def _ids(line: str) -> tuple[str, ...] | None:
    found = _IDS.match(line)
    return found.groups("") if found else None


def stream_of(record: Said) -> str:
    return record.place.partition("/")[2] or SNAPSHOT_STREAM


def judged(session: Session, venue: Venue) -> list[str]:
    """The streams that promise something."""
    names = dict.fromkeys(map(stream_of, session.records))
    return [name for name in names if name == SNAPSHOT_STREAM or venue.rule(name) is not None]


def hidden(session: Session, venue: Venue, stream: str, what: str) -> list[str]:
    """The disturbances that do not show."""
    clean: Run = run(venue, session, payloads(session))
    return [
        which
        for which, given in disturbed(session, stream, what, venue)
        if run(venue, session, given).alarms == clean.alarms
    ]


def unread(session: Session, venue: Venue) -> set[str]:
    """Paths of the values of which a stream's messages never make anything: they can be others, and nothing changes.
    Repeats are left away, as one that differs in a byte is none."""
    session = replace(session, records=tuple(one for one in session.records if "STALE" not in one.verdict))
    clean = run(venue, session, payloads(session))
    read: set[tuple[str, str]] = set()
    seen: set[tuple[str, str]] = set()
    for at, record in enumerate(session.records):
        if not record.says:
            continue
        given = payloads(session)
        for path, raw in leaves(record.raw):
            given[at] = raw, given[at][1]
            now = run(venue, session, given)
            one, other = now.found[at], clean.found[at]
            seen.add((stream_of(record), path))
            if (one.says, one.place) != (other.says, other.place) or now.alarms != clean.alarms:
                read.add((stream_of(record), path))
    return {path for _, path in seen - read}
