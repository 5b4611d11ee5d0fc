"""A record as one line."""

from __future__ import annotations

from rich.text import Text

from mdtool.model import Kind
from mdtool.view.moments import clock, moment

DATED_FROM = 110  # columns from which there is room for the day
KIND_STYLES: dict[int, str] = {Kind.END: "bold yellow", Kind.OPEN: "green", Kind.CLOSE: "bold red", Kind.NOTE: "yellow"}


def kind_name(kind: int) -> str:
    """DATA, SENT ...; a number where a newer version wrote what this one does not know."""
    try:
        return Kind(kind).name
    except ValueError:
        return f"#{kind}"


def record_line(recv_ns: int, feed: str, stream: str, kind: int, payload: bytes, width: int | None) -> Text:
    """Time, feed and stream (as they come: perhaps with blanks behind), kind where it is not DATA, and the payload, cut
    to `width` columns where there is one."""
    line = Text(no_wrap=True, overflow="ellipsis")
    narrow = width is not None and width < DATED_FROM
    line.append(clock(recv_ns) if narrow else moment(recv_ns), style="dim")
    line.append(f"  {feed}", style="cyan")
    line.append(f"  {stream}", style="bold")
    if kind != Kind.DATA:
        line.append(f"  {kind_name(kind)}", style=KIND_STYLES.get(kind, ""))
    room = len(payload) if width is None else max(0, width - line.cell_len - 2)
    # Cut before decoding: a whole book is a megabyte and a line shows a hundred bytes of it.
    text = payload[: room * 4 + 4].decode("utf-8", "backslashreplace")
    line.append("  " + "".join(char if char.isprintable() else _escaped(char) for char in text))
    if width is not None:
        line.truncate(width, overflow="ellipsis")
    return line


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
