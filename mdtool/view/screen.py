"""The whole screen: one book or several, from 60 columns to as wide as the terminal is.

At 80x24 a ladder with the tape beside it, between two lines of figures above and the mid's sparkline, the status and
the keys below. What is wider gets a column of figures, what is higher more levels and then a chart of the mid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mdtool.view import figures
from mdtool.view.best import consolidated, touch_line
from mdtool.view.book import BookPicture
from mdtool.view.ladder import Glow, LadderView, ladder, middle
from mdtool.view.line import Line, words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

PANEL_FROM = 132  # columns from which the figures have a column of their own
THREE_FROM = 172  # and the tape another
SIDE_BY_SIDE = 38  # columns a ladder needs beside others
TAPE_FROM = 72
CHART_EVERY_NS = 250_000_000
SILENT_NS = 30_000_000_000
MOST_CHART = 16  # lines
KEYS = (
    ("q", "quit"),
    ("?", "keys"),
    ("space", "pause"),
    ("+-", "depth"),
    ("g G", "group"),
    ("n p", "symbol"),
    (", .", "update"),
    ("[ ]", "1 s"),
    ("{ }", "1 min"),
    ("x", "next gap"),
    ("l", "live"),
)
SEVERAL_KEYS = (("v", "view"),)
SHORT_KEYS = (("n p", "symbol"), (", . [ ]", "time"), ("x", "gap"), ("l", "live"))  # where those do not fit
ALL_KEYS = (
    ("q", "quit"),
    ("?", "these keys; any key goes back to the book"),
    ("space", "pause and go on: what comes in the meantime is not lost"),
    ("+  -", "more or fewer levels"),
    ("g  G", "group levels by more or fewer ticks"),
    ("n  p", "next or previous symbol; arrows too"),
    ("v", "several venues: side by side, or as one book"),
    (".  ,", "through time: the next or the previous update"),
    ("]  [", "a second on or back"),
    ("}  {", "a minute on or back"),
    ("x", "on to the next gap"),
    ("l", "back to live"),
    ("Ctrl-Z", "leave it for a while; fg comes back"),
)


@dataclass(slots=True)
class Look:
    """How the screen is to look, beyond what it shows."""

    depth: int = 20
    group: int = 1  # ticks a level
    best: bool = False  # several feeds as one ladder
    paused: bool = False
    keys: bool = False  # all keys in place of the book
    message: str = ""  # said once, in the place of the keys
    busy: str = ""  # what is being done
    now_ns: int = 0
    glows: dict[str, Glow] = field(default_factory=dict)  # by feed; empty: nothing lights up
    charts: dict[str, tuple[object, list[Line]]] = field(default_factory=dict)  # by feed, as last drawn


class BookScreen:
    """The renderable. `height` is the lines it takes; without one it shows every level of the picture, and no keys."""

    def __init__(
        self, pictures: BookPicture | Sequence[BookPicture], height: int | None = None, look: Look | None = None
    ) -> None:
        self.pictures = [pictures] if isinstance(pictures, BookPicture) else list(pictures)
        self.height = height
        self.look = look or Look(depth=10**9)
        self.depth = 0  # levels a side that were drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(options.max_width):
            yield line.text()

    def lines(self, width: int) -> list[Line]:
        """The whole screen, line by line, each at most `width` wide."""
        picture = self.pictures[0]
        lines, foot = self._body(width), self._foot(picture, width)
        if self.height is not None:  # the last lines of the terminal, whatever there is above them
            lines += [Line() for _ in range(self.height - len(lines) - len(foot))]
        lines += foot
        return [line.to(width) if line.width > width else line for line in lines]

    def _body(self, width: int) -> list[Line]:
        if self.look.keys and self.height is not None:
            rows = [Line((f"  {key:<8}", "bold"), (what, "")) for key, what in ALL_KEYS]
            return [figures.title(self.pictures[0], width), *rows][
                : self.height - len(self._foot(self.pictures[0], width))
            ]
        return self._one(width) if len(self.pictures) == 1 else self._several(width)

    # -- one book -----------------------------------------------------------------------------------------------

    def _one(self, width: int) -> list[Line]:
        picture = self.pictures[0]
        wide = width >= PANEL_FROM
        head = [figures.title(picture, width)]
        if not wide:
            head += figures.windows(picture, width)
        depth, chart_rows = self._room(len(head), max(len(picture.bids), len(picture.asks)), wide)
        body = self._beside(picture, depth, width)
        end_ns = self._chart_end(picture)
        chart = self._chart(picture, min(width, 200), chart_rows, end_ns) if chart_rows else []
        return [*head, *body, *chart]

    def _room(self, head: int, levels: int, wide: bool) -> tuple[int, int]:
        """Levels a side and lines of chart that fit."""
        depth = self.depth = min(self.look.depth, levels) if self.height is None else self.look.depth
        if self.height is None:
            return depth, 1
        free = self.height - head - len(self._foot(self.pictures[0], 80)) - 2  # heading and middle of the ladder
        chart = 1 if free > 8 else 0
        depth = self.depth = max(1, min(depth, (free - chart) // 2))
        return depth, max(chart, min(MOST_CHART, free - 2 * depth)) if chart else 0

    def _beside(self, picture: BookPicture, depth: int, width: int) -> list[Line]:
        """The ladder, and what stands to its right."""
        rows = 2 * depth + 2
        tape = figures.tape_width(picture)
        columns: list[list[Line]] = []
        if width >= THREE_FROM:
            columns = (
                [figures.panel(picture), figures.tape(picture, rows, tape + 4)] if tape else [figures.panel(picture)]
            )
        elif width >= PANEL_FROM:
            facts = figures.panel(picture)
            more = figures.tape(picture, rows - len(facts) - 1, figures.PANEL) if tape else []
            columns = [[*facts, Line(), *more]]
        elif tape and width - tape >= TAPE_FROM - 24:
            columns = [figures.tape(picture, rows, tape)]
        taken = sum(column[0].width for column in columns if column)
        lines = self._ladder(picture, depth, width - taken)
        if self.height is None:
            longest = max([len(lines), *(len(column) for column in columns[:1])])
            lines += [Line().to(width - taken) for _ in range(longest - len(lines))]
        for column in columns:
            at = column[0].width if column else 0
            for number, line in enumerate(lines):
                line.extend((column[number] if number < len(column) else Line()).to(at))
        return lines

    def _chart_end(self, picture: BookPicture) -> int:
        """Now, or where the records end if that is so long ago that there would be nothing in the chart."""
        if picture.at_ns is not None:
            return picture.at_ns
        now_ns = self.look.now_ns
        return now_ns if 0 < now_ns - picture.as_of_ns < SILENT_NS else picture.as_of_ns

    def _chart(self, picture: BookPicture, width: int, rows: int, end_ns: int) -> list[Line]:
        """Drawn anew four times a second: it moves by a few cells a second, and costs more than all the rest."""
        key = (width, rows, len(picture.mids) if picture.at_ns else 0, end_ns // CHART_EVERY_NS)
        before = self.look.charts.get(picture.feed)
        if before is None or before[0] != key or self.height is None:
            before = self.look.charts[picture.feed] = key, figures.chart(picture.mids, width, rows, end_ns)
        return before[1]

    def _ladder(self, picture: BookPicture, depth: int, width: int) -> list[Line]:
        shown = ladder(picture, depth, self.look.group)
        glow = self._glow(picture.feed)
        view = LadderView(shown, width, middle(picture, self.look.group), glow, self.look.now_ns)
        return view.lines(None if self.height is None else depth)

    def _glow(self, feed: str) -> Glow | None:
        return self.look.glows.get(feed)

    # -- several ------------------------------------------------------------------------------------------------

    def _several(self, width: int) -> list[Line]:
        pictures = self.pictures
        fits = min(len(pictures), width // SIDE_BY_SIDE)
        best = consolidated(pictures)
        head = [touch_line(pictures, best, width)]
        deepest = max(max(len(one.bids), len(one.asks)) for one in pictures)
        if self.look.best or fits < len(pictures):
            depth, _ = self._room(len(head) + len(pictures), deepest, False)
            book = best.ladder(depth, self.look.group)
            view = LadderView(book, width, best.middle(), self._glow("best"), self.look.now_ns)
            head += [figures.title(one, width) for one in pictures]
            return [*head, *view.lines(None if self.height is None else depth)]
        depth, chart = self._room(len(head) + 1, deepest, False)
        each = width // fits
        columns = [
            [
                figures.title(one, each - 1, short=True).to(each),
                *(line.to(each) for line in self._ladder(one, depth, each - 1)),
            ]
            for one in pictures
        ]
        charts = [self._chart(one, each, 1, self._chart_end(one))[0] for one in pictures]
        rows = max(map(len, columns))
        body = [Line() for _ in range(rows)]
        for column in columns:
            for number, line in enumerate(body):
                line.extend((column[number] if number < len(column) else Line()).to(each))
        if chart:
            body.append(Line(*(piece for line in charts for piece in line.pieces)))
        return [*head, *body]

    # -- below --------------------------------------------------------------------------------------------------

    def _foot(self, picture: BookPicture, width: int) -> list[Line]:
        badges = []
        if self.look.paused:
            badges.append(Line((" PAUSED ", "bold black on yellow")))
        if picture.at_ns is not None and self.height is not None:
            badges.append(Line((" PAST ", "bold black on cyan")))
        if self.look.busy:
            badges.append(Line((self.look.busy, "bold yellow")))
        lines = [figures.status(picture, width, badges)]
        if self.height is not None:
            lines.append(self._keys(width))
        return lines

    def _keys(self, width: int) -> Line:
        if self.look.message:
            return Line((f" {self.look.message}", "bold"))
        several = SEVERAL_KEYS if len(self.pictures) > 1 else ()
        for more in (KEYS[3:], SHORT_KEYS):
            parts = [Line((key, "bold"), (f" {what}", "dim")) for key, what in (*KEYS[:3], *several, *more)]
            if sum(part.width + 2 for part in parts) < width:
                break
        return Line((" ", "")).extend(words(parts, width - 1))
