"""The ladder: one book drawn at one moment, from 60 columns to as wide as the terminal is.

Asks stand above, bids below, the touch in the middle. A bar is the size within reach: everything from the touch to that
level, against the deepest level shown. What the state line says is never kinder than the sequence allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mdtool.model import UNKNOWN, Scale, Side, Trade, format_decimal
from mdtool.view.moments import clock, moment

EIGHTHS = " ▏▎▍▌▋▊▉"
TAPE_FROM = 108  # columns from which the trades get a column of their own
TAPE_WIDTH = 44
LADDER_WIDTH = 120  # columns beyond which a longer bar says no more
FRAME_LINES = 6  # title, heading, spread, blank, trade, counts
STYLES = {"SYNCED": "bold green", "WAITING": "bold yellow", "DIRTY": "bold red", "STALE": "bold yellow"}
SIDE_STYLES = {Side.ASK: "red", Side.BID: "green"}

Level = tuple[int, int]  # price and size mantissas


@dataclass(frozen=True, slots=True)
class Print:
    """A trade and when it was received."""

    recv_ns: int
    trade: Trade


@dataclass(frozen=True, slots=True)
class BookPicture:
    """A book at one moment, with what its reader knows of its soundness."""

    feed: str
    state: str  # SYNCED, WAITING, DIRTY, STALE or ENDED
    note: str  # why, or since when; may be empty
    as_of_ns: int  # receive time of the last record read, 0 before the first
    last_seq: int  # id of the last update applied, UNKNOWN before one
    scale: Scale
    bids: tuple[Level, ...]  # best first
    asks: tuple[Level, ...]  # best first
    trades: tuple[Print, ...]  # newest first
    records: int  # read so far
    updates: int  # applied to the book so far
    gaps: int

    def as_json(self) -> dict[str, object]:
        """Stable keys; prices and sizes as exact decimal text."""
        last = self.trades[0] if self.trades else None
        return {
            "feed": self.feed,
            "state": self.state.lower(),
            "note": self.note,
            "as_of_ns": self.as_of_ns,
            "last_seq": self.last_seq,
            "bids": [self._pair(level) for level in self.bids],
            "asks": [self._pair(level) for level in self.asks],
            "last_trade": None
            if last is None
            else {
                "recv_ns": last.recv_ns,
                "trade_id": last.trade.trade_id,
                "price": last.trade.price,
                "size": last.trade.size,
                "side": "buy" if last.trade.side is Side.BID else "sell",
            },
            "records": self.records,
            "updates": self.updates,
            "gaps": self.gaps,
        }

    def _pair(self, level: Level) -> list[str]:
        return [format_decimal(level[0], self.scale.price_exp), format_decimal(level[1], self.scale.size_exp)]


class BookScreen:
    """The renderable. `height` is the lines it may take; without one it shows every level of the picture."""

    def __init__(self, picture: BookPicture, height: int | None = None) -> None:
        self.picture = picture
        self.height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(options.max_width):
            line.no_wrap = True
            line.overflow = "crop"
            yield line

    def lines(self, width: int) -> Iterator[Text]:
        """The whole screen, line by line."""
        picture = self.picture
        depth = max(len(picture.asks), len(picture.bids))
        if self.height is not None:
            depth = min(depth, max(1, (self.height - FRAME_LINES) // 2))
        taped = width >= TAPE_FROM and bool(picture.trades)
        ladder_width = min(LADDER_WIDTH, width - TAPE_WIDTH if taped else width)
        rows = list(self._ladder(depth, ladder_width))
        tape = list(self._tape(len(rows))) if taped else []
        full = min(width, ladder_width + (TAPE_WIDTH if taped else 0))
        yield self._title(full)
        for index, row in enumerate(rows):
            if index < len(tape):
                row.pad_right(max(0, ladder_width - row.cell_len))
                row.append_text(tape[index])
            yield row
        yield Text("")
        yield self._last_trade()
        yield self._counts()

    def _title(self, width: int) -> Text:
        picture = self.picture
        title = Text.assemble((picture.feed, "bold"))
        state = Text.assemble((picture.state, STYLES.get(picture.state, "bold")))
        if picture.note:
            state.append(" " + picture.note)
        title.pad_right(max(1, width - title.cell_len - state.cell_len))
        return title.append_text(state)

    def _ladder(self, depth: int, width: int) -> Iterator[Text]:
        picture = self.picture
        asks, bids = picture.asks[:depth], picture.bids[:depth]
        ask_rows, bid_rows = list(_reach(asks)), list(_reach(bids))
        deepest = max((total for _, _, total in (*ask_rows, *bid_rows)), default=0)
        texts = [self._texts(row) for row in (*ask_rows, *bid_rows)]
        widths = [max([len(text[column]) for text in texts] + [len(head)]) for column, head in enumerate(HEADS)]
        bar = max(4, width - sum(widths) - 2 * len(widths) - 1)
        cells = "  ".join(f"{head:>{columns}}" for head, columns in zip(HEADS, widths, strict=True))
        yield Text(f" {cells}  depth", style="dim")
        for index in range(len(asks) - 1, -1, -1):
            yield self._row(ask_rows[index], widths, bar, deepest, Side.ASK, touch=index == 0)
        yield self._spread(width)
        for index in range(len(bids)):
            yield self._row(bid_rows[index], widths, bar, deepest, Side.BID, touch=index == 0)

    def _texts(self, row: tuple[int, int, int]) -> tuple[str, str, str]:
        price, size, total = row
        scale = self.picture.scale
        return (
            format_decimal(price, scale.price_exp),
            format_decimal(size, scale.size_exp),
            format_decimal(total, scale.size_exp),
        )

    def _row(
        self, row: tuple[int, int, int], widths: list[int], bar: int, deepest: int, side: Side, *, touch: bool
    ) -> Text:
        price, size, total = self._texts(row)
        colour = SIDE_STYLES[side]
        line = Text()
        line.append(f" {price:>{widths[0]}}", style=f"bold {colour}" if touch else colour)
        line.append(f"  {size:>{widths[1]}}", style="bold" if touch else "")
        line.append(f"  {total:>{widths[2]}}  ", style="dim")
        line.append(_bar(row[2], deepest, bar), style=colour if touch else f"dim {colour}")
        return line

    def _spread(self, width: int) -> Text:
        picture = self.picture
        if not picture.asks or not picture.bids:
            what = "no book yet" if not picture.asks and not picture.bids else "one side is empty"
        else:
            ask, bid, exponent = picture.asks[0][0], picture.bids[0][0], picture.scale.price_exp
            spread, middle = ask - bid, (ask + bid) * 5  # of one digit more, so that half a tick is exact
            what = f"spread {format_decimal(spread, exponent)}"
            if ask + bid > 0:
                what += f" ({spread * 20_000 / (ask + bid):.2f} bp)"
            what += f"  mid {format_decimal(middle, exponent - 1)}"
            if spread <= 0:
                what += "  CROSSED" if spread < 0 else "  LOCKED"
        line = Text(f" {what} ", style="bold")
        line.append("─" * max(0, width - line.cell_len - 1), style="dim")
        return line

    def _tape(self, lines: int) -> Iterator[Text]:
        yield Text("  trades", style="dim")
        for seen in self.picture.trades[: max(0, lines - 1)]:
            trade = seen.trade
            line = Text(f"  {clock(seen.recv_ns)}  ", style="dim")
            line.append(f"{trade.price:>12}", style=SIDE_STYLES[trade.side])
            line.append(f" {trade.size:>12}")
            yield line

    def _last_trade(self) -> Text:
        if not self.picture.trades:
            return Text(" no trade yet", style="dim")
        seen = self.picture.trades[0]
        side = seen.trade.side
        line = Text(" last trade ", style="dim")
        line.append(f"{seen.trade.price} x {seen.trade.size}", style="bold")
        line.append(" bought" if side is Side.BID else " sold", style=SIDE_STYLES[side])
        return line.append(f" {clock(seen.recv_ns)} UTC", style="dim")

    def _counts(self) -> Text:
        """The soundness of what is shown, most telling first: a narrow screen cuts the end."""
        picture = self.picture
        line = Text()
        if picture.as_of_ns:
            line.append(f" as of {moment(picture.as_of_ns)} UTC", style="dim")
        line.append(
            f"  {picture.gaps:,} gap{'' if picture.gaps == 1 else 's'}", style="bold red" if picture.gaps else "dim"
        )
        if picture.last_seq != UNKNOWN:
            line.append(f"  id {picture.last_seq}", style="dim")
        return line.append(f"  {picture.records:,} records", style="dim")


HEADS = ("price", "size", "total")


def _reach(levels: tuple[Level, ...]) -> Iterator[tuple[int, int, int]]:
    """(price, size, size from the touch to here) of each level."""
    total = 0
    for price, size in levels:
        total += size
        yield price, size, total


def _bar(value: int, most: int, width: int) -> str:
    """A bar of `width` cells at most, in steps of an eighth of a cell."""
    if most <= 0:
        return ""
    whole, eighths = divmod(value * width * 8 // most, 8)
    return "█" * whole + (EIGHTHS[eighths] if eighths else "")
