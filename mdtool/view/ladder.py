"""The ladder: asks above, bids below, the touch in the middle.

A bar is the size within reach: everything from the touch to that level, against the deepest level shown. A level whose
size changed lights up and fades, and has a mark that needs no colour. Levels below those that the venue's checksum
covers have no bar but a mark: they may be stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mdtool.model import Scale, Side, format_decimal
from mdtool.view.book import BookPicture, Level, Queue, decimals, fixed
from mdtool.view.line import Line, words

EIGHTHS = " ▏▎▍▌▋▊▉"
SIDE_STYLES = {Side.ASK: "red", Side.BID: "green"}
GROUPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # ticks a level is grouped by
MOST_BAR = 90  # cells beyond which a longer bar says no more
HEADS = ("price", "size", "total")
# Age of a change in ns, and how it looks while it is younger: (where there is more, where there is less).
FADING = (
    (120_000_000, ("bold #ffffff on #1d6b34", "bold #ffffff on #7a2430")),
    (300_000_000, ("#d7ffd7 on #174a27", "#ffd7d7 on #521c24")),
    (600_000_000, ("on #102c19", "on #321519")),
)
FADED_NS = FADING[-1][0]
MORE, LESS = "▴", "▾"
UNPROVEN = "?"
FROM_HERE = ("┄ not proven from here on ┄", "┄ not proven ┄", "")  # the first that fits


@dataclass(slots=True)
class Glow:
    """Which of the levels shown changed, and when. One for each ladder of a screen."""

    what: object = None  # what is shown: another feed or grouping is no change of a level
    sides: dict[Side, dict[int, int]] = field(default_factory=dict)
    changed: dict[tuple[Side, int], tuple[int, bool]] = field(default_factory=dict)  # when, and whether it is more

    def see(self, what: object, side: Side, levels: Sequence[Level], now_ns: int) -> None:
        """These are shown now, best first."""
        if what != self.what:
            self.what, self.sides, self.changed = what, {}, {}
        before, now = self.sides.get(side), dict(levels)
        self.sides[side] = now
        if not before:
            return
        deepest = min(before) if side is Side.BID else max(before)
        for price, size in now.items():
            was = before.get(price)
            if was is None:
                if price < deepest if side is Side.BID else price > deepest:
                    continue  # it came into view, and may have been there for long
                was = 0
            if size != was:
                self.changed[side, price] = (now_ns, size > was)

    def style(self, side: Side, price: int, now_ns: int) -> tuple[str, str]:
        """(style of the size, mark) of a level."""
        found = self.changed.get((side, price))
        if found is None:
            return "", " "
        when, more = found
        for until, styles in FADING:
            if now_ns - when < until:
                return styles[0 if more else 1], MORE if more else LESS
        del self.changed[side, price]
        return "", " "

    @property
    def lit(self) -> bool:
        """Whether anything has yet to fade."""
        return bool(self.changed)


@dataclass(frozen=True, slots=True)
class Rung:
    """A level as it is shown."""

    price: int
    size: int
    total: int  # from the touch to here
    label: str = ""  # whose it is, in a ladder of several venues
    queue: Queue = ()
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Ladder:
    """Both sides, best first, cut to the depth."""

    scale: Scale
    bids: tuple[Rung, ...]
    asks: tuple[Rung, ...]
    by_order: bool = False


def grouped(levels: Sequence[Level], step: int, side: Side) -> list[Level]:
    """Levels put together at multiples of `step`: bids at the one below, asks at the one above, so that no price looks
    better than it is."""
    if step <= 1:
        return list(levels)
    found: dict[int, int] = {}
    for price, size in levels:
        at = price // step * step if side is Side.BID else -(-price // step) * step
        found[at] = found.get(at, 0) + size
    return list(found.items())


def ladder(picture: BookPicture, depth: int, group: int = 1) -> Ladder:
    """The picture's book, `depth` levels a side of `group` ticks each."""
    step = step_of(picture, group)
    bid_queues, ask_queues = picture.queues if picture.queues is not None and step <= 1 else ((), ())
    sides = []
    for side, levels, queues in ((Side.BID, picture.bids, bid_queues), (Side.ASK, picture.asks, ask_queues)):
        proven = _proven(levels, step, side, picture.proven_depth)
        sides.append(_rungs(grouped(levels, step, side)[:depth], queues, proven))
    return Ladder(picture.scale, sides[0], sides[1], picture.queues is not None and step <= 1)


def _proven(levels: Sequence[Level], step: int, side: Side, depth: int | None) -> int:
    """How many rungs hold nothing but levels of which the best `depth` are proven."""
    rungs = len(grouped(levels[:depth], step, side))
    if depth is not None and len(levels) > depth > 0 and len(grouped(levels[: depth + 1], step, side)) == rungs:
        rungs -= 1  # the last of them holds the next level too
    return rungs


def step_of(picture: BookPicture, group: int) -> int:
    """The width of a grouped level in mantissas of the book; 1 where the tick is not known."""
    figures = picture.figures
    if group <= 1 or figures is None or figures.touch is None:
        return 1
    step: int = figures.touch.tick * group // 10 ** (picture.scale.price_exp - figures.scale.price_exp)
    return max(1, step)


def _rungs(levels: Sequence[Level], queues: Sequence[Queue], proven: int) -> tuple[Rung, ...]:
    rungs, total = [], 0
    for number, (price, size) in enumerate(levels):
        total += size
        rungs.append(Rung(price, size, total, "", queues[number] if number < len(queues) else (), number < proven))
    return tuple(rungs)


@dataclass(frozen=True, slots=True)
class LadderView:
    """A ladder drawn `width` wide."""

    ladder: Ladder
    width: int
    middle: str  # what stands between asks and bids
    glow: Glow | None = None
    now_ns: int = 0

    def lines(self, rows: int | None = None) -> list[Line]:
        """Heading, asks, the middle, bids. `rows`: exactly so many a side, filled with blanks so that the middle stays
        where it is."""
        book = self.ladder
        shown = (*book.asks, *book.bids)
        texts = {id(rung): self._texts(rung) for rung in shown}
        widths = [max([len(text[at]) for text in texts.values()] + [len(head)]) for at, head in enumerate(HEADS)]
        labels = max((len(rung.label) for rung in shown), default=0)
        counts = max((len(str(len(rung.queue))) for rung in shown), default=1) if book.by_order else 0
        totals = self.width - sum(widths) - 10 - counts >= 8  # a narrow ladder would rather have a bar than the totals
        room = self.width - widths[0] - widths[1] - 6 - (widths[2] + 2 if totals else 0)
        room -= (labels + 2 if labels else 0) + (max(counts, 6) + 2 if counts else 0)
        bar = max(0, min(MOST_BAR, room))
        deepest = max((rung.total for rung in shown), default=0)
        columns = _Columns(widths, labels, counts, totals, bar, deepest)
        lines = [self._heading(columns)]
        blank = [Line()] * (0 if rows is None else max(0, rows - len(book.asks)))
        lines += blank
        lines += (self._row(rung, texts[id(rung)], columns, Side.ASK, best=n == 0) for n, rung in _upward(book.asks))
        said = words((Line((part, "bold")) for part in self.middle.split("  ")), self.width - 3)
        middle = Line((" ", "")).extend(said).add(" ")
        lines.append(middle.add("─" * max(0, self.width - middle.width - 1), "dim"))
        lines += (self._row(rung, texts[id(rung)], columns, Side.BID, best=n == 0) for n, rung in enumerate(book.bids))
        lines += [Line()] * (0 if rows is None else max(0, rows - len(book.bids)))
        return [Line(*line.pieces).to(self.width) for line in lines]

    def _texts(self, rung: Rung) -> tuple[str, str, str]:
        price_exp, size_exp = self.ladder.scale
        return (
            format_decimal(rung.price, price_exp),
            format_decimal(rung.size, size_exp),
            format_decimal(rung.total, size_exp),
        )

    def _heading(self, columns: _Columns) -> Line:
        cells = f" {HEADS[0]:>{columns.widths[0]}}  {HEADS[1]:>{columns.widths[1]}} "
        if columns.counts:
            cells += f" {'orders':>{max(columns.counts, 6)}} "
        if columns.totals:
            cells += f" {HEADS[2]:>{columns.widths[2]}}  "
        if columns.labels:
            cells += f" {'venue':<{columns.labels}} "
        return Line((f"{cells}{'queue, first come first' if columns.counts else 'depth'}", "dim"))

    def _row(self, rung: Rung, texts: tuple[str, str, str], columns: _Columns, side: Side, *, best: bool) -> Line:
        colour = SIDE_STYLES[side]
        lit, mark = self.glow.style(side, rung.price, self.now_ns) if self.glow is not None else ("", " ")
        if not rung.proven:
            colour, mark = f"dim {colour}", UNPROVEN if mark == " " else mark
        line = Line()
        line.add(f" {texts[0]:>{columns.widths[0]}} ", f"bold reverse {colour}" if best else colour)
        line.add(f" {texts[1]:>{columns.widths[1]}}", lit or ("bold" if best else ""))
        line.add(mark, "bold" if mark != " " else "")
        if columns.counts:
            line.add(f" {len(rung.queue) or '':>{max(columns.counts, 6)}} ")
        if columns.totals:
            line.add(f" {texts[2]:>{columns.widths[2]}}  ", "dim")
        if columns.labels:
            line.add(f" {rung.label:<{columns.labels}} ", "cyan")
        if columns.counts:
            return line.add(_queue(rung.queue, self.ladder.scale.size_exp, columns.bar), "" if best else "dim")
        if not rung.proven:
            said = next(text for text in FROM_HERE if len(text) <= columns.bar)
            return line.add(said if self._is_first_unproven(rung, side) else "", "yellow")
        return line.add(bar(rung.total, columns.deepest, columns.bar), colour if best else f"dim {colour}")

    def _is_first_unproven(self, rung: Rung, side: Side) -> bool:
        rungs = self.ladder.bids if side is Side.BID else self.ladder.asks
        return rung is next((one for one in rungs if not one.proven), None)


@dataclass(frozen=True, slots=True)
class _Columns:
    widths: list[int]
    labels: int
    counts: int
    totals: bool
    bar: int
    deepest: int


def _upward(rungs: Sequence[Rung]) -> Iterator[tuple[int, Rung]]:
    """Worst first, with their distance from the touch."""
    return ((number, rungs[number]) for number in range(len(rungs) - 1, -1, -1))


def _queue(sizes: Queue, exponent: int, width: int) -> str:
    """The sizes of the orders that fit, and how many do not."""
    text = ""
    for number, size in enumerate(sizes):
        more = f" +{len(sizes) - number - 1}" if number < len(sizes) - 1 else ""
        piece = f"{' ' if text else ''}{format_decimal(size, exponent)}"
        if len(text) + len(piece) + len(more) > width:
            return f"{text} +{len(sizes) - number}" if text else ""
        text += piece
    return text


def bar(value: int, most: int, width: int) -> str:
    """A bar of `width` cells at most, in steps of an eighth of a cell."""
    if most <= 0:
        return ""
    whole, eighths = divmod(value * width * 8 // most, 8)
    return "█" * whole + (EIGHTHS[eighths] if eighths else "")


def middle(picture: BookPicture, group: int = 1) -> str:
    """What is between the best ask and the best bid."""
    if not picture.asks or not picture.bids:
        return "no book yet" if not picture.asks and not picture.bids else "one side is empty"
    ask, bid, exponent = picture.asks[0][0], picture.bids[0][0], picture.scale.price_exp
    text = f"spread {format_decimal(ask - bid, exponent)}"
    touch = picture.figures.touch if picture.figures is not None else None
    if touch is not None:
        ticks = touch.spread_ticks
        within = [f"{ticks:,} tick{'' if ticks == 1 else 's'}"] if ticks is not None else []
        if touch.spread_bps is not None:
            within.append(f"{decimals(touch.spread_bps, 2)} bp")
        text += f" ({', '.join(within)})"
    if ask <= bid:
        text += "  CROSSED" if ask < bid else "  LOCKED"
    if group > 1 and touch is not None and touch.tick:
        text += f"  by {format_decimal(touch.tick * group, touch_exponent(picture))}"
    return text if touch is None else f"{text}  mid {fixed(touch.mid, touch_exponent(picture), 1)}"


def touch_exponent(picture: BookPicture) -> int:
    """Of the prices in the figures."""
    return picture.figures.scale.price_exp if picture.figures is not None else picture.scale.price_exp
