"""On which line of a TOML file each key stands: the parser of the standard library does not say.

Rule: it reads only what that parser has taken already, and never fails: what it cannot follow has the line of what it
is part of.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable

Path = tuple[str | int, ...]  # keys, and places in lists

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""", re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\r\n]+")  # numbers, truths and times


class Lines:
    """Of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Path, int] = {}
        self._lists: dict[Path, int] = {}  # of tables, [[so]], and how many there are
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        try:
            self._read()
        except (_Lost, RecursionError, tomllib.TOMLDecodeError):
            pass

    def of(self, path: Path) -> int | None:
        """The line, from 1; of the nearest thing it is part of where it has none itself."""
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path)

    def exactly(self, path: Path) -> int | None:
        """The line; None where it is not in the text."""
        return self._found.get(path)

    def _read(self) -> None:
        table: Path = ()
        while self._blank() < len(self._text):
            here = self._at
            if self._take("["):
                many = self._take("[")
                table = self._resolved((), self._keys(), here, many=many)
                self._must("]")
                if many:
                    self._must("]")
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        here = self._at
        path = self._resolved(table, self._keys(), here, many=False)
        self._blank()
        self._must("=")
        self._value(path)

    def _resolved(self, path: Path, keys: list[str], at: int, *, many: bool) -> Path:
        """The path that keys lead to from a table. What they make on the way stands where they stand."""
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self._found.setdefault(path, self._line(at))
            if number == len(keys) and many:
                self._lists[path] = self._lists.get(path, 0) + 1
            if path in self._lists:
                path = (*path, self._lists[path] - 1)
                self._found.setdefault(path, self._line(at))
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._blank()
            word = self._match(_KEY)
            keys.append(tomllib.loads(f"key = {word}")["key"] if word[0] in "\"'" else word)
            dot = _DOT.match(self._text, self._at)
            if dot is None:
                self._blank()
                return keys
            self._at = dot.end()

    def _value(self, path: Path) -> None:
        self._blank()
        if self._take("["):
            self._items("]", lambda number: self._item((*path, number)))
        elif self._take("{"):
            self._items("}", lambda _: self._pair(path))
        elif self._text[self._at : self._at + 1] in ('"', "'"):
            self._match(_STRING)
        else:
            self._match(_PLAIN)

    def _item(self, path: Path) -> None:
        self._found.setdefault(path, self._line(self._at))
        self._value(path)

    def _items(self, end: str, read: Callable[[int], None]) -> None:
        number = 0
        while True:
            self._blank()
            if self._take(end):
                return
            read(number)
            number += 1
            self._blank()
            self._take(",")

    def _blank(self) -> int:
        match = _BLANK.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._at

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _must(self, character: str) -> None:
        if not self._take(character):
            raise _Lost

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Lost
        self._at = match.end()
        return match[0]

    def _line(self, at: int) -> int:
        return bisect_right(self._breaks, at - 1) + 1


class _Lost(Exception):
    """Something the scan does not know."""
