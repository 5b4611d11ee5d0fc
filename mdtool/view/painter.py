"""A screen that is drawn again and again: only lines that changed are written, all of a frame at once.

Rule: whatever ends the program, the terminal is left as it was found. A frame is one write, between the marks of a
synchronized update, so that nothing is ever seen half drawn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import TextIO

from rich.color import ColorSystem
from rich.style import Style

from mdtool.view.line import Line

ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, no cursor, empty
LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"  # terminals that do not know these ignore them
SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}


class Painter:
    """A context in which the terminal shows what `paint` is given."""

    def __init__(self, stream: TextIO, color_system: str | None, *, no_color: bool = False) -> None:
        self._stream = stream
        self._system = color_system
        self._no_color = no_color
        self._shown: list[str] = []
        self._size = (0, 0)

    def __enter__(self) -> Painter:
        self._shown, self._size = [], (0, 0)
        self._stream.write(ENTER)
        self._stream.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.write(LEAVE)
        self._stream.flush()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A context in which the terminal is as it was found; then everything is drawn anew."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal as of now."""
        columns, lines = os.get_terminal_size(self._stream.fileno())
        return max(columns, 20), max(lines, 6)

    def paint(self, lines: Sequence[Line], size: tuple[int, int]) -> int:
        """Show these, the first at the top, made for a terminal of `size`; the number of lines written."""
        out: list[str] = []
        if size != self._size:
            self._size, self._shown = size, []
            out.append("\x1b[0m\x1b[2J")
        system, plain = self._system, self._no_color
        drawn = [
            "".join(ansi(text, style, system, plain) if style else text for text, style in line.pieces)
            for line in lines[: size[1]]
        ]
        before = self._shown
        written = 0
        for number, text in enumerate(drawn):
            if number >= len(before) or before[number] != text:
                out.append(f"\x1b[{number + 1};1H{text}\x1b[K")
                written += 1
        if len(drawn) < len(before):
            out.append(f"\x1b[{len(drawn) + 1};1H\x1b[J")
        self._shown = drawn
        if out:
            self._stream.write(BEGIN + "".join(out) + END)
            self._stream.flush()
        return written


def ansi(text: str, style: str, system: str | None, no_color: bool) -> str:
    """The text with the codes of its style around it."""
    before, after = codes(style, system, no_color)
    return before + text + after


@lru_cache(maxsize=1024)
def codes(style: str, system: str | None, no_color: bool) -> tuple[str, str]:
    """What to write before and after a text of a style."""
    parsed = Style.parse(style)
    if system is None:
        return "", ""
    if no_color:
        parsed = parsed.without_color
    before, _, after = parsed.render("\0", color_system=SYSTEMS[system]).partition("\0")
    return before, after
