"""One file of another tool as items: which format it is, where it breaks, and how that is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import msgspec

from mdtool.errors import ImportFormatError, UsageError
from mdtool.interop import cf, hb, pat
from mdtool.interop.item import UNTIMED, Item, LineError, LineParser
from mdtool.interop.lines import CutShort, Lines
from mdtool.model import Kind

_PACKED = (".gz", ".zst", ".zstd")


@dataclass(frozen=True, slots=True)
class Format:
    """A format that can be imported."""

    name: str  # also its suffix
    expected: str  # one line of it
    parser: Callable[[tzinfo | None], LineParser]


FORMATS = {
    "hb": Format("hb", hb.EXPECTED, lambda zone: hb.parse_line),
    "cf": Format("cf", cf.EXPECTED, lambda zone: cf.parse_line),
    "pat": Format("pat", pat.EXPECTED, pat.line_parser),
}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format called `name`, else the one the file's suffix names. Raises UsageError."""
    known = ", ".join(FORMATS)
    if name is not None:
        if name not in FORMATS:
            raise UsageError(f"no import format {name!r}; expected one of {known}")
        return FORMATS[name]
    suffixes = [suffix for suffix in path.suffixes if suffix not in _PACKED]
    found = FORMATS.get(suffixes[-1][1:]) if suffixes else None
    if found is None:
        raise UsageError(
            f"{path}: the name does not tell the format; expected it to end in .{', .'.join(FORMATS)} "
            f"(with .gz or .zst behind where packed), or name it with --format"
        )
    return found


class ImportFile:
    """Iterates over a file's items. Iteration ends where the file breaks; `broken` then says where and why."""

    def __init__(
        self,
        path: Path,
        form: Format,
        *,
        zone: tzinfo | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self.broken: str | None = None
        self._form = form
        self._zone = zone
        self._progress = progress

    def __iter__(self) -> Iterator[Item]:
        lines = Lines(self.path, self._progress)
        reading = iter(lines)
        parse = self._form.parser(self._zone)
        untimed: list[Item] = []
        line = b""
        try:
            for line in reading:
                item = parse(line)
                if item is None:
                    continue
                if not lines.terminated and item.kind != Kind.OPEN and not is_whole(item.payload):
                    raise LineError("a whole message")
                if item.recv_ns == UNTIMED:
                    untimed.append(item)
                    continue
                while untimed:
                    yield untimed.pop(0)._replace(recv_ns=item.recv_ns)
                yield item
        except LineError as error:
            why = None if lines.terminated else _why_cut(reading)
            if why is None and (lines.terminated or lines.number == 1):
                self.broken = f"{self.path} line {lines.number}: found {_shown(line)}, expected {error}"
            else:
                self.broken = _cut(self.path, lines.number - 1, why or "its last line is cut")
        except CutShort as error:
            self.broken = _cut(self.path, lines.number - (not lines.terminated), str(error))


def _why_cut(reading: Iterator[bytes]) -> str | None:
    """What is wrong behind the last line, if anything is."""
    try:
        next(reading, None)
    except CutShort as error:
        return str(error)
    return None


def _cut(path: Path, line: int, why: str) -> str:
    return f"{path} is cut short behind line {line}: {why}"


def is_whole(payload: bytes) -> bool:
    """Whether a payload is a whole JSON object or array: a proper beginning of one never is."""
    if payload[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def first_items(sources: list[ImportFile]) -> list[Item]:
    """The first item of each source: a file that yields none is refused before anything is written."""
    firsts = []
    for source in sources:
        first = next(iter(source), None)
        if first is None:
            why = source.broken or f"{source.path} is empty, expected lines {source._form.expected}"
            raise ImportFormatError(f"{why}; nothing is imported")
        firsts.append(first)
    return firsts


def _shown(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace")
    return repr(text) + ("..." if len(line) > 60 else "")
