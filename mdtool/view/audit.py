"""An audit's report on the screen, drawn from its JSON: what a person reads is what a program gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mdtool.units import count, format_duration
from mdtool.view.moments import clock, moment, stretch
from mdtool.view.reports import table

VERDICTS = {
    "clean": ("clean", "bold green"),
    "not_anchored": ("contiguous, not anchored", "bold yellow"),
    "log": ("no finding", "green"),
    "unproven": ("no finding, nothing provable", "bold yellow"),
}
# Words of findings that are no nouns, and so are the same of one and of many.
_ADJECTIVES = {
    "absent", "corrupt", "crossed", "empty", "lost", "not_anchored", "not_understood", "out_of_order", "unanchored",
    "undecodable",
}  # fmt: skip
SHOWN = 20  # findings of a feed that are written out; --json has more
STATE_STYLES = {"whole": "green", "top": "green", "broken": "bold red", "unprovable": "yellow", "not_recorded": "dim"}
Report = Mapping[str, Any]


def audit_line(report: Report, width: int) -> RenderableType:
    """A feed of which there is nothing to say but that it is clean; `width`: of the longest name of all."""
    return _title(report, width, len(VERDICTS["log"][0]))


def audit_page(report: Report) -> RenderableType:
    """One feed."""
    parts: list[RenderableType] = [_title(report)]
    if report["error"]:
        return Group(*parts, _below(Text(report["error"], style="red")))
    streams = table("stream", ">records", "messages", "proven")
    for name, stream in report["streams"].items():
        intervals = [interval for interval in report["intervals"] if interval["stream"] == name]
        proven = _proven(intervals, anchored=stream["anchored"] is not False)
        streams.add_row(Text(name), f"{stream['records']:,}", _messages(stream), proven)
    parts.append(_below(streams))
    parts += _findings(report)
    parts += [_below(Text.assemble("note: ", note["text"], style="dim")) for note in report["notes"]]
    parts += [
        _below(
            Text(f"reconnect {clock(reconnect['before_ns'])} to {clock(reconnect['after_ns'])} {reconnect['reason']}")
        )
        for reconnect in report["reconnects"]
    ]
    if (offset := report["recv_minus_venue"]) is not None:
        parts.append(_below(_offset(offset)))
    return Group(*parts)


def _below(part: RenderableType) -> RenderableType:
    """What stands below a feed's name, however many lines it takes."""
    return Padding(part, (0, 0, 0, 2))


def audit_summary(reports: Sequence[Report]) -> RenderableType:
    """All of them in a line."""
    found: Counter[str] = Counter()
    for report in reports:
        found.update(report["finding_counts"])
    failed = sum(report["error"] is not None for report in reports)
    verdicts = Counter(report["verdict"] for report in reports)
    line = Text(f"{count(len(reports), 'feed')}, {verdicts['clean']} clean", style="bold")
    for verdict, (words, _) in VERDICTS.items():
        if verdict == "log" and verdicts[verdict]:
            line.append(f", {count(verdicts[verdict], 'log')} of connections")
        elif verdict != "clean" and verdicts[verdict]:
            line.append(f", {verdicts[verdict]} {words.removeprefix('no finding, ')}")
    if found:
        line.append(f", {_counts(found)}", style="bold red")
    if failed:
        line.append(f", {failed} that could not be audited", style="bold red")
    return line


def _title(report: Report, width: int = 0, verdict_width: int = 0) -> Text:
    title = Text.assemble((report["feed"].ljust(width), "bold"), "  ")
    if report["error"]:
        return title.append("not audited", style="bold red")
    if report["verdict"] == "findings":
        title.append(_counts(report["finding_counts"]), style="bold red")
    else:
        words, style = VERDICTS[report["verdict"]]
        title.append(words.ljust(verdict_width), style=style)
    title.append(f"  {count(report['records'], 'record')}", style="dim")
    for what in ("epoch", "session"):
        if report[f"{what}s"] > 1:
            title.append(f", {count(report[f'{what}s'], what)}", style="dim")
    if report["from_ns"] is not None:
        title.append(f", {stretch(report['from_ns'], report['to_ns'])}Z", style="dim")
    return title


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{number:,} {kind.replace('_', ' ')}" if kind in _ADJECTIVES else count(number, kind.replace("_", " "))
        for kind, number in counts.items()
    )


def _messages(stream: Report) -> Text:
    """What the records decode to, or what kinds they are where they do not."""
    names = {"book_update": "update", "other": "other message"}
    if not stream["decoded"]:  # records of other kinds; or numbers of frames whose records are other feeds'
        words = [count(number, kind) for kind, number in stream["kinds"].items()] or [
            f"{number:,} {verdict.replace('_', ' ')}" for verdict, number in stream["verdicts"].items()
        ]
        return Text(", ".join(words), style="dim")
    words = [count(number, names.get(what, what)) for what, number in stream["decoded"].items()]
    compared = stream.get("checksums", {})
    if total := sum(compared.values()):
        words.append(f"checksum {compared['match']:,}/{total:,}")
    return Text(", ".join(words))


def _proven(intervals: Sequence[Report], *, anchored: bool) -> Text:
    """The ledger of a stream in a few words. Changes of a book that no whole one anchors are a whole row of changes,
    and no whole book."""
    if not intervals:
        return Text("-", style="dim")
    states: dict[str, int] = {}
    for interval in intervals:
        states[interval["state"]] = states.get(interval["state"], 0) + interval["to_ns"] - interval["from_ns"]
    line = Text()
    for state, ns in states.items():
        line.append(", " if line else "")
        word = "contiguous" if state == "whole" and not anchored else state.replace("_", " ")
        line.append(word, style=STATE_STYLES.get(state, ""))
        if len(states) > 1:
            line.append(f" {format_duration(ns - ns % 1_000_000)}")
    if len(states) == 1 and state != "whole":
        line.append(f": {intervals[0]['why']}", style="dim")
    return line


def _findings(report: Report) -> Iterator[RenderableType]:
    findings = report["findings"]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings[:SHOWN]:
        grid.add_row(
            Text(moment(finding["at_ns"]), style="dim"), Text(finding["stream"]), Text(finding["text"], style="red")
        )
    if findings:
        yield _below(grid)
    left = sum(report["finding_counts"].values()) - min(len(findings), SHOWN)
    if left > 0:
        yield Text(f"  and {left:,} more; --json lists them", style="dim")


def _offset(offset: Report) -> Text:
    """Receive time against the venue's clock, said for what it is."""
    low, middle, high = (_short(offset[key]) for key in ("min_ns", "median_ns", "max_ns"))
    if offset["median_ns"] >= 0:
        return Text(f"received {middle} after the venue's own time (median; {low} to {high})", style="dim")
    line = Text(f"received {middle.removeprefix('-')} before the venue's own time (median; {low} to {high}): ", "dim")
    return line.append("the recorder's clock was behind, these are no latencies", style="yellow")


def _short(ns: int) -> str:
    """A duration to the tenth of a millisecond."""
    return format_duration(round(ns, -5)) if abs(ns) >= 100_000 else format_duration(ns)
