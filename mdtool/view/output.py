"""The one place that prints.

Rule: stdout carries data and nothing else; talk, progress and errors go to stderr. Nothing is coloured when the
stream is no terminal or NO_COLOR is set (rich's own rule). rich is imported when something is drawn, never before.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from mdtool.view.talker import Talker

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from mdtool.view.line import Line
    from mdtool.view.painter import Painter

PIPED_WIDTH = 160  # columns a report may take where no terminal says otherwise: nothing is cut in a file or a pipe
SCHEMA = 1  # of what --json prints; another number where a key is renamed, goes, or means something else
NARROWEST = 20  # columns of a terminal in which words are kept together
PROGRESS_EVERY = 0.1  # seconds between two redraws of the progress line


class ByteStream(Protocol):
    """What takes bytes, perhaps fewer than it was given."""

    def write(self, data: memoryview, /) -> int | None: ...

    def flush(self) -> None: ...

    def fileno(self) -> int: ...


class Output:
    """Where one run prints."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self.color: bool | None = None  # None: where the stream is a terminal
        self.as_json = False  # the run was asked for JSON: a failure is an object too
        self._progress_at = 0.0
        self._progress_shown = False
        self._talker: Talker | None = None

    @cached_property
    def console(self) -> Console:
        """stdout, for renderables."""
        return _console(self.color)

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout.isatty()

    @property
    def binary(self) -> ByteStream:
        """stdout as unbuffered bytes, for records in bulk. What was printed before comes before."""
        sys.stdout.flush()
        buffer = sys.stdout.buffer
        return getattr(buffer, "raw", buffer)

    def data(self, text: str) -> None:
        """A line (or several) of data, as it is."""
        sys.stdout.write(text + "\n")

    def json(self, value: Any) -> None:
        """A report, which is an object, as JSON: indented, keys in the order of the report's fields."""
        import msgspec

        report = {"schema": SCHEMA} | msgspec.to_builtins(value)
        self._bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")

    def _bytes(self, data: bytes) -> None:
        """JSON is UTF-8, whatever the locale."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def command(self, line: str, *, space: bool = False) -> None:
        """A command line as a heading over what it prints."""
        from rich.text import Text

        self.console.print(Text(("\n" if space else "") + f"$ {line}", style="bold cyan"), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """A report, drawn. In a file or a pipe without the blanks that fill a terminal's lines."""
        if self.console.is_terminal:
            self.console.print(renderable)
            return
        with self.console.capture() as drawn:
            self.console.print(renderable)
        self.data("\n".join(line.rstrip() for line in drawn.get().splitlines()))

    def painter(self) -> Painter:
        """The terminal as a screen that is drawn again and again."""
        from mdtool.view.painter import Painter

        return Painter(sys.stdout, self.console.color_system, no_color=self.console.no_color)

    @contextmanager
    def talking_screen(self) -> Iterator[Callable[[Callable[[int, int], Sequence[Line]]], None]]:
        """A context in which stderr's terminal is a screen. What it gives takes what draws one, for a width and height,
        and shows that; not where the one before is still being written, as a terminal that is held (Ctrl-S) must hold
        nobody else."""
        from mdtool.view.painter import Painter

        console = _console(self.color, sys.stderr)
        with Painter(sys.stderr, console.color_system, no_color=console.no_color) as painter:

            def show(drawn: Callable[[int, int], Sequence[Line]]) -> None:
                if self._talker is None or self._talker.idle:
                    size = painter.size
                    painter.paint(drawn(*size), size)

            yield show

    def line(self, text: Text) -> None:
        """One line of data: styled on a terminal, plain elsewhere, never wrapped."""
        if self.is_terminal:
            self.console.print(text, soft_wrap=True)
        else:
            self.data(text.plain)

    def talk(self, text: str) -> None:
        """A line for the person at the terminal."""
        self.end_progress()
        sys.stderr.write((self._folded(text) if self.talks_to_terminal else text) + "\n")
        sys.stderr.flush()

    def _folded(self, text: str) -> str:
        """Broken between words where the terminal would break within one; but not a command line, which is to be
        copied."""
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        lines = []
        for line in text.split("\n"):
            if len(line) <= columns or columns < NARROWEST or line.startswith(("mdtool ", " ")):
                lines.append(line)
                continue
            import textwrap

            lines += textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False)
        return "\n".join(lines)

    @property
    def talks_to_terminal(self) -> bool:
        """Whether stderr is a terminal."""
        return sys.stderr.isatty()

    def log(self, text: str) -> None:
        """As talk, of something that goes on: with the time, in a file with the day."""
        self.talk(self.stamped(text))

    def stamped(self, text: str) -> str:
        """With the time it is said at, in a file with the day."""
        from mdtool.units import format_time

        now = format_time(time.time_ns() // 10**9 * 10**9)
        return f"{now[11:-1] if self.talks_to_terminal else now} {text}"

    def talk_without_waiting(self) -> None:
        """From here on nothing that is said on stderr, by whomever, can hold up who says it; what nobody reads is
        dropped and counted. Until `close`."""
        if self._talker is None:
            self._talker = Talker(sys.stderr)
            sys.stderr = self._talker

    def close(self) -> None:
        """The last that is done: what waits to be said is, where somebody reads it."""
        talker, self._talker = self._talker, None
        if talker is not None:
            talker.finish()
            sys.stderr = talker.stream

    def detail(self, text: str) -> None:
        """As talk, said with -v only."""
        if self.verbose:
            self.talk(text)

    def error(self, text: str) -> None:
        """What failed: one line, whatever the message holds."""
        self.talk("mdtool: " + " ".join(text.split("\n")))

    def failed(self, text: str, code: int) -> None:
        """Why the run ends with that exit code, to a person; where JSON was asked for, to a program as well: one object
        on one line of stdout, which is then the last."""
        self.error(text)
        if self.as_json:
            import msgspec

            error = {"schema": SCHEMA, "error": {"message": " ".join(text.split("\n")), "exit": code}}
            self._bytes(msgspec.json.encode(error) + b"\n")

    def progress(self, text: str) -> None:
        """The state of something long, on a line that rewrites itself; silent where stderr is no terminal."""
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_EVERY or not self.talks_to_terminal:
            return
        self._progress_at = now
        self._progress_shown = True
        columns = max(20, os.get_terminal_size(sys.stderr.fileno()).columns)
        sys.stderr.write("\r\x1b[K" + text[: columns - 1])
        sys.stderr.flush()

    def end_progress(self) -> None:
        """Takes the progress line away."""
        if self._progress_shown:
            self._progress_shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def flush(self) -> None:
        self.end_progress()
        sys.stdout.flush()


def _console(color: bool | None, stream: TextIO | None = None) -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(
        file=stream,
        width=width,
        force_terminal=True if color else None,
        no_color=True if color is False else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def give_streams() -> None:
    """A standard stream that was closed before the program began goes nowhere, rather than to the first file of a store
    that gets its number."""
    for name, access, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode))


PLAIN = "mdtool-plain"  # how text is written that the locale's encoding does not have
_SHAPES = str.maketrans({"─": "-", "│": "|", "…": "~", "▴": "^", "▾": "v", "█": "#", "µ": "u", "–": "-", "·": "."})
_BARS, _DOTS = "▏▎▍▌▋▊▉", "▁▂▃▄▅▆▇"


def write_any_text() -> None:
    """From here on standard output takes every text in any locale: what its encoding lacks is drawn with what it has,
    cell for cell, and where it is no drawing, escaped."""
    codecs.register_error(PLAIN, _plain)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=PLAIN)


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # it is for writing
    return "".join(map(_drawn, error.object[error.start : error.end])), error.end


def _drawn(char: str) -> str:
    if char in _BARS:
        return "#" if _BARS.index(char) > 2 else " "
    if char in _DOTS:
        return "_.-~=+*"[_DOTS.index(char)]
    if 0x2800 <= ord(char) < 0x2900:
        return "."
    shape = char.translate(_SHAPES)
    return shape if shape.isascii() else char.encode("ascii", "backslashreplace").decode()


def silence_stdout() -> None:
    """After the reader of a pipe has gone: nothing more may be written there, not even at interpreter exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
