"""How recorders are doing: a screen while they record, the same as a report.

A head of totals, a row a feed with the most troubled first, and below them what was said last. What does not fit the
width is left out from the right, what does not fit the height is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdtool.units import count, format_size, format_time
from mdtool.view.line import Line, spread, words

Report = Mapping[str, Any]  # as `status --json` prints it
STATES = {  # and how each looks, worst first
    "down": "bold white on red",
    "stuck": "bold white on red",
    "parked": "bold red",
    "refused": "bold red",
    "offline": "bold red",
    "broken": "bold red",
    "silent": "bold yellow",
    "quiet": "yellow",
    "waiting": "cyan",
    "live": "green",
    "ended": "dim",
}
SECOND = 10**9  # ns
BARS = " ▁▂▃▄▅▆▇█"
SPARK = 12  # cells
GAP = "  "
MOST_SAID = 6  # lines
FEWEST_FEEDS = 4  # rows before what was said is shortened


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table of feeds."""

    title: str
    width: int
    cell: Callable[[Report], tuple[str, str]]  # text and style of a feed
    left: bool = False


def status_lines(report: Report, width: int, height: int | None = None, said: Sequence[str] = ()) -> list[Line]:
    """The screen, each line at most `width` wide. Without a height every feed is shown."""
    head = [*_head(report, width), *_recorders(report, width)]
    tail = [Line((text[:width], "dim")) for text in said]
    feeds = report["feeds"]
    columns = _columns(feeds, width)
    rows = len(feeds)
    if height is not None:
        room = height - len(head) - 1  # the titles
        tail = tail[-min(MOST_SAID, room - FEWEST_FEEDS) :] if room > FEWEST_FEEDS else []
        room -= len(tail)
        if rows > room:
            rows = max(room - 1, 0)  # and a line for how many are left out
    lines = [*head]
    if feeds:
        lines.append(_titles(columns))
        lines += [_row(columns, feed) for feed in feeds[:rows]]
    if rows < len(feeds):
        lines.append(Line((f"and {_by_state(feeds[rows:])}", "dim")))
    if tail:
        filler = 1 if height is None else max(height - len(lines) - len(tail), 0)
        lines += [Line() for _ in range(filler)]
        lines += tail
    return [line if line.width <= width else line.to(width) for line in lines]


def _head(report: Report, width: int) -> list[Line]:
    feeds, recorders = report["feeds"], report["recorders"]
    at_work = [one for one in recorders if one["alive"]]
    rate = sum(feed["rate"] for feed in feeds)
    window = max(report["window_ns"], 1)
    grown = sum(feed["minute"]["bytes"] for feed in feeds) * SECOND / window
    title = Line((count(len(at_work), "recorder"), "bold"), (f"  {count(len(feeds), 'feed')}", "bold"))
    title.add(f"  {rate:,.0f} msg/s", "bold").add(f"  {format_size(round(grown))}/s")
    now = Line((format_time(report["now_ns"] // SECOND * SECOND)[:19] + "Z", "dim"))
    totals = [Line((f"{number:,} {state}", STATES[state])) for state, number in _states(feeds)]
    for name, called in (("gaps", "gaps"), ("undecodable", "not understood"), ("sessions", "connections made")):
        total = sum(one["totals"].get(name, 0) for one in at_work)
        new = sum(one["minute"].get(name, 0) for one in at_work)
        if total or name == "gaps":
            totals.append(Line((f"{called} {total:,}", "red" if new and name != "sessions" else "")))
            if new:
                totals[-1].add(f" +{new:,}", "bold")
    totals.append(_room(report))
    return [spread(title, now, width), words(totals, width)]


def _room(report: Report) -> Line:
    free = Line((f"{format_size(report['free_bytes'])} free", ""))
    if report["full_in_ns"] is not None:
        days = report["full_in_ns"] / SECOND / 86_400
        style = "bold red" if days < 1 else "yellow" if days < 7 else ""
        free.add(f", full in {_long(report['full_in_ns'])}", style)
    return free


def _recorders(report: Report, width: int) -> list[Line]:
    """A line for each."""
    lines = []
    for one in report["recorders"]:
        line = Line((f"{one['recorder']:<16}", "bold"))
        if one["alive"]:
            facts = [
                f"pid {one['pid']}",
                f"up {_long(report['now_ns'] - one['started_ns'])}" if one["started_ns"] is not None else "",
                count(one["totals"].get("connections", 0), "connection") + " open",
                f"{format_size(one['memory_bytes'])} memory" if one["memory_bytes"] is not None else "",
                count(one["open_files"], "file") if one["open_files"] is not None else "",
            ]
            line.add("  ".join(fact for fact in facts if fact))
            stuck = one["beat_age_ns"] is not None and one["beat_age_ns"] > 10 * SECOND
            if stuck:
                line.add(f"  no sign of life for {_long(one['beat_age_ns'])}", STATES["stuck"])
        else:
            line.add(f"ended: {one['ended']}", "dim" if one["graceful"] else STATES["down"])
        lines.append(line.to(min(line.width, width)))
    return lines


def _columns(feeds: Sequence[Report], width: int) -> list[Column]:
    """Those that fit; the first ones always."""
    longest = max((len(feed["feed"]) for feed in feeds), default=4)
    name = Column("feed", min(longest, 32), lambda feed: (feed["feed"], ""), left=True)
    chosen, used = [name], name.width
    for column in COLUMNS:
        used += len(GAP) + column.width
        if used > width:
            break
        chosen.append(column)
    return chosen


def _number(name: str) -> Callable[[Report], tuple[str, str]]:
    """A counter and, where it has grown in the last minute, by how much."""

    def cell(feed: Report) -> tuple[str, str]:
        new = feed["minute"].get(name, 0)
        return (f"{feed[name]:,} +{new:,}", "bold red") if new else (f"{feed[name]:,}", "" if feed[name] else "dim")

    return cell


def _calm(name: str) -> Callable[[Report], tuple[str, str]]:
    """As `_number`, of what is no trouble."""

    def cell(feed: Report) -> tuple[str, str]:
        return _number(name)(feed)[0], "" if feed[name] else "dim"

    return cell


COLUMNS = (
    Column("state", 7, lambda feed: (feed["state"], STATES[feed["state"]]), left=True),
    Column("msg/s", 8, lambda feed: (f"{feed['rate']:,.1f}", "")),
    Column("last minute", SPARK, lambda feed: (spark(feed["rates"], SPARK), "cyan"), left=True),
    Column("age", 6, lambda feed: (_long(feed["age_ns"]), "") if feed["age_ns"] is not None else ("-", "dim")),
    Column("gaps", 8, _number("gaps")),
    Column("book", 7, lambda feed: (feed["book"] or "-", "" if feed["book"] else "dim"), left=True),
    Column("records", 12, lambda feed: (f"{feed['records']:,}", "")),
    Column("in 1m", 10, lambda feed: (f"{feed['minute']['records']:,}", "")),
    Column("bytes 1m", 9, lambda feed: (format_size(feed["minute"]["bytes"]), "")),
    Column("books", 8, _calm("snapshots")),
    Column("resets", 8, _number("resets")),
    Column("connects", 9, _calm("connects")),
    Column("odd", 8, _number("undecodable")),
    Column("epoch", 6, lambda feed: ("-" if feed["epoch"] is None else f"{feed['epoch']:,}", "")),
    Column("chunk", 6, lambda feed: ("-" if feed["chunk"] is None else f"{feed['chunk']:,}", "")),
    Column("recorder", 16, lambda feed: (feed["recorder"], "dim"), left=True),
)


def _titles(columns: Sequence[Column]) -> Line:
    line = Line()
    for column in columns:
        line.add(GAP if line.width else "").add(_cell(column.title, column), "bold")
    return line


def _row(columns: Sequence[Column], feed: Report) -> Line:
    line = Line()
    for column in columns:
        text, style = column.cell(feed)
        line.add(GAP if line.width else "").add(_cell(text, column), style)
    return line


def _cell(text: str, column: Column) -> str:
    if len(text) > column.width:
        text = text[: column.width - 1] + "…"
    return text.ljust(column.width) if column.left else text.rjust(column.width)


def spark(rates: Sequence[float], cells: int) -> str:
    """The rates as bars, each against the highest of them; where there are more than cells, several in one."""
    if not rates:
        return ""
    size = -(-len(rates) // cells)
    groups = [rates[max(end - size, 0) : end] for end in range(len(rates), 0, -size)][::-1]
    means = [sum(group) / len(group) for group in groups]
    top = max(means)
    if top <= 0:
        return BARS[1] * len(means)
    return "".join(BARS[max(1, round(mean / top * (len(BARS) - 1)))] for mean in means)


def _states(feeds: Sequence[Report]) -> list[tuple[str, int]]:
    found = Counter(feed["state"] for feed in feeds)
    return [(state, found[state]) for state in STATES if found[state]]


def _by_state(feeds: Sequence[Report]) -> str:
    return f"{len(feeds):,} more: " + ", ".join(f"{number:,} {state}" for state, number in _states(feeds))


def _long(ns: int) -> str:
    """A duration in one unit or two, for a glance: 0.4s, 12s, 3m20s, 5h10m, 12d."""
    seconds = ns / SECOND
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400:,}d" if whole >= 10 * 86_400 else f"{whole // 86_400}d{whole % 86_400 // 3600}h"
