"""One file of another tool as items: which format it is, what is damaged in it, where it breaks.

Rule: the lines say what they are, not the name. A line that is none of the format is an item as well, as it stands, and
what follows is read on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import chain
from pathlib import Path

import msgspec

from mdtool.errors import ImportFormatError, UsageError
from mdtool.interop import cf, hb, pat
from mdtool.interop.item import UNTIMED, Item, LineError, LineParser
from mdtool.interop.lines import CutShort, Lines, Stop, name_of
from mdtool.model import Kind

_PACKED = (".gz", ".zst", ".zstd")
MAX_NAMED = 20  # damaged lines of a file that are named; all are counted
SNIFFED = 100  # lines of some format that decide which one the file is of
SEARCHED, SEARCHED_BYTES = 10_000, 32 << 20  # how far they are looked for


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


def format_named(name: str) -> Format:
    """Raises UsageError."""
    if name not in FORMATS:
        raise UsageError(f"no import format {name!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that is none of its file's format."""

    number: int  # from 1
    text: str


@dataclass(slots=True)
class Damage:
    """What is wrong with a file."""

    lines: list[DamagedLine] = field(default_factory=list)  # the first of them
    count: int = 0
    cut: str | None = None  # where it breaks off and why; None where it is read to its end


@dataclass(slots=True)
class ImportFile:
    """The items of one file, once. `form`: where it is not to be found out. What is wrong with the file is in `damage`,
    as far as it has been read."""

    path: Path
    form: Format | None = None
    zone: tzinfo | None = None
    progress: Callable[[int], None] | None = None
    stop: Stop | None = None
    damage: Damage = field(default_factory=Damage)

    def __post_init__(self) -> None:
        self.lines = Lines(self.path, self.progress, self.stop)
        self._items = self._read()
        self._peeked: Item | None = None

    lines: Lines = field(init=False)
    _items: Iterator[Item] = field(init=False)
    _peeked: Item | None = field(init=False)

    @property
    def name(self) -> str:
        return name_of(self.path)

    def first(self) -> Item:
        """The first item, which iteration gives again. Raises ImportFormatError where the file has none."""
        self._peeked = next(self._items, None)
        if self._peeked is None:
            raise ImportFormatError(f"{self._nothing()}; nothing is imported")
        return self._peeked

    def __iter__(self) -> Iterator[Item]:
        peeked, self._peeked = self._peeked, None
        return self._items if peeked is None else chain((peeked,), self._items)

    def _read(self) -> Iterator[Item]:
        reading = iter(self.lines)
        head: list[tuple[bytes, int, bool]] = []  # lines looked at to find the format
        cut: CutShort | None = None
        try:
            if self.form is None:
                self._sniff(reading, head)
        except CutShort as error:
            cut = error
        if self.form is None:
            self._note_all(head)
            self.damage.cut = None if cut is None else self._cut_behind(str(cut))
            return
        parse = self.form.parser(self.zone)
        untimed: list[Item] = []
        recv_ns = UNTIMED  # of the last item
        try:
            for line, number, terminated in chain(head, self._numbered(reading)):
                try:
                    item = parse(line)
                    if item is None:
                        continue
                    if not terminated and item.kind != Kind.OPEN and not is_whole(item.payload):
                        raise LineError("a whole message")
                except LineError:
                    self._note(line, number)
                    item = Item(recv_ns, Kind.DATA, line, damaged=True)
                if item.recv_ns == UNTIMED:
                    untimed.append(item)
                    continue
                recv_ns = item.recv_ns
                while untimed:
                    yield untimed.pop(0)._replace(recv_ns=recv_ns)
                yield item
        except CutShort as error:
            cut = error
        if cut is not None:
            self.damage.cut = self._cut_behind(str(cut))

    def _numbered(self, reading: Iterator[bytes]) -> Iterator[tuple[bytes, int, bool]]:
        for line in reading:
            yield line, self.lines.number, self.lines.terminated

    def _sniff(self, reading: Iterator[bytes], head: list[tuple[bytes, int, bool]]) -> None:
        """Reads until the format is clear; what is read goes into `head`."""
        parsers = {name: form.parser(self.zone) for name, form in FORMATS.items()}
        found = dict.fromkeys(parsers, 0)
        size = 0
        for row in self._numbered(reading):
            head.append(row)
            size += len(row[0])
            for name, parse in parsers.items():
                try:
                    found[name] += parse(row[0]) is not None
                except LineError:
                    continue
            best = max(found, key=found.__getitem__)
            if found[best]:
                self.form = FORMATS[best]
            if found[best] >= SNIFFED or len(head) >= SEARCHED or size >= SEARCHED_BYTES:
                return

    def _note(self, line: bytes, number: int) -> None:
        self.damage.count += 1
        if len(self.damage.lines) < MAX_NAMED:
            self.damage.lines.append(DamagedLine(number, shown(line)))

    def _note_all(self, rows: list[tuple[bytes, int, bool]]) -> None:
        for line, number, _ in rows:
            if line:
                self._note(line, number)

    def _cut_behind(self, why: str) -> str:
        return f"{self.name} is cut short behind line {self.lines.number - (not self.lines.terminated)}: {why}"

    def _nothing(self) -> str:
        """Why the file has no items."""
        if self.damage.cut is not None:
            return self.damage.cut
        suffixes = [suffix[1:] for suffix in self.path.suffixes if suffix not in _PACKED]
        form = self.form or FORMATS.get(suffixes[-1] if suffixes else "")
        expected = form.expected if form else " or ".join(form.expected for form in FORMATS.values())
        if not self.damage.lines:
            return f"{self.name} is empty, expected lines {expected}"
        first = self.damage.lines[0]
        return f"{self.name} line {first.number}: found {first.text}, expected {expected}"


def is_whole(payload: bytes) -> bool:
    """Whether a payload is a whole JSON object or array: a proper beginning of one never is."""
    if payload[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def shown(line: bytes) -> str:
    """The beginning of a line, for a sentence."""
    text = repr(line[:60].decode("utf-8", "replace"))
    if len(text) > 72:
        return text[:68] + "..."
    return text + ("..." if len(line) > 60 else "")
