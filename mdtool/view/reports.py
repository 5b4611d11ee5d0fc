"""Reports as values and as tables: a value is what --json writes, a table is what a person sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mdtool.units import count, format_duration, format_size
from mdtool.view.moments import moment, stretch


@dataclass(frozen=True, slots=True)
class FeedRow:
    feed: str
    records: int
    payload_bytes: int
    first_ns: int | None
    last_ns: int | None
    chunks: int
    epochs: int
    writer: str  # alive, stale or gone


@dataclass(frozen=True, slots=True)
class StreamRow:
    stream: str
    kind: str
    records: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkRow:
    chunk_id: int
    epoch: int
    state: str
    location: str
    records: int
    payload_bytes: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class CursorRow:
    cursor: str
    behind: int | None  # records it has yet to read; None where it is damaged, or what it stands at is not kept
    updated_ns: int | None
    lease_until_ns: int | None  # None: retention does not wait for it


@dataclass(frozen=True, slots=True)
class FeedDetails:
    feed: FeedRow
    directory: str
    live: str
    chunk_bytes: int
    created_ns: int
    price_exp: int | None
    size_exp: int | None
    streams: tuple[StreamRow, ...]
    chunks: tuple[ChunkRow, ...]
    live_window_ns: int
    retain_ns: int
    max_bytes: int
    keep_last: int
    archive: str
    disconnect: str | None  # why it is not being written, None while it is
    cursors: tuple[CursorRow, ...]


WIDE = 110  # columns from which a table has room for words
# Columns of words, which give way where the screen is narrow: a number that is cut is another number.
WRAPPED = {"streams", "proven", "received (UTC)", "limit", "by", "where", "found", "expected", "does"}


def table(*columns: str) -> Table:
    """A table without a frame. A heading that begins with '>' stands on the right, as numbers do."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", no_wrap=column not in WRAPPED)
    return made


def feed_table(rows: Sequence[FeedRow]) -> RenderableType:
    """`registry list`. Writers have a column where there is one to speak of."""
    written = any(row.writer != "gone" for row in rows)
    made = table("feed", ">records", ">payload", "received (UTC)", *(["writer"] if written else []))
    for row in rows:
        cells: list[Text | str] = [
            Text(row.feed),
            f"{row.records:,}",
            format_size(row.payload_bytes),
            stretch(row.first_ns, row.last_ns),
        ]
        if written:
            cells.append(Text(row.writer, style={"alive": "green", "stale": "yellow"}.get(row.writer, "dim")))
        made.add_row(*cells)
    return made


def feed_page(details: FeedDetails) -> RenderableType:
    """`registry show`."""
    feed = details.feed
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_row(Text("feed", style="dim"), Text(feed.feed, style="bold"))
    facts.add_row(Text("directory", style="dim"), Text(details.directory, overflow="fold"))
    facts.add_row(Text("live chunks", style="dim"), f"on {details.live}, {format_size(details.chunk_bytes)} each")
    if details.live_window_ns:
        window = f"for {format_duration(details.live_window_ns)} after they are closed"
        facts.add_row(Text("unsealed", style="dim"), window)
    if details.retain_ns or details.max_bytes:
        facts.add_row(Text("kept", style="dim"), kept_text(details))
    if details.archive:
        facts.add_row(Text("archive", style="dim"), Text(details.archive, overflow="fold"))
    facts.add_row(Text("scale", style="dim"), scale_text(details.price_exp, details.size_exp))
    facts.add_row(Text("created", style="dim"), f"{moment(details.created_ns)} UTC")
    facts.add_row(
        Text("records", style="dim"),
        f"{feed.records:,} in {count(feed.chunks, 'chunk')} of {count(feed.epochs, 'epoch')}",
    )
    why = "" if details.disconnect is None else details.disconnect.removeprefix(f"{feed.feed}: ")
    facts.add_row(Text("writer", style="dim"), Text(feed.writer + (f": {why}" if why else ""), overflow="fold"))
    streams = table("stream", "kind", ">records", ">payload")
    for stream in details.streams:
        streams.add_row(Text(stream.stream), stream.kind, f"{stream.records:,}", format_size(stream.payload_bytes))
    chunks = table(">chunk", ">epoch", "state", "where", ">records", ">payload", "received (UTC)")
    for chunk in details.chunks:
        chunks.add_row(
            str(chunk.chunk_id),
            str(chunk.epoch),
            chunk.state,
            chunk.location,
            f"{chunk.records:,}",
            format_size(chunk.payload_bytes),
            stretch(chunk.first_ns, chunk.last_ns),
        )
    return Group(facts, "", streams, "", chunks, *(["", _cursor_table(details.cursors)] if details.cursors else []))


def _cursor_table(cursors: Sequence[CursorRow]) -> RenderableType:
    made = table("cursor", ">behind", "moved (UTC)", "leased until (UTC)")
    for cursor in cursors:
        behind = Text("lost", style="yellow") if cursor.behind is None else f"{cursor.behind:,}"
        made.add_row(Text(cursor.cursor), behind, moment(cursor.updated_ns), moment(cursor.lease_until_ns))
    return made


def import_lines(report: Mapping[str, Any]) -> list[Text]:
    """What `import` says below its table."""
    said = [Text(text, style="dim") for text in report["notes"]]
    return said + [Text(text, style="yellow") for text in report["findings"]]


def import_table(report: Mapping[str, Any], width: int) -> RenderableType:
    """`import`, from the report's own JSON; the streams too where `width` columns have room for them."""
    wide = width >= WIDE
    made = table("feed", ">records", ">payload", "received (UTC)", *(["streams"] if wide else []))
    for feed in report["feeds"]:
        streams = ", ".join(f"{name} {number:,}" for name, number in feed["streams"].items())
        made.add_row(
            Text(feed["feed"]),
            f"{feed['records']:,}",
            format_size(feed["payload_bytes"]),
            stretch(feed["first_ns"], feed["last_ns"]),
            *([Text(streams)] if wide else []),
        )
    return made


def kept_text(details: FeedDetails) -> str:
    limits = [f"for {format_duration(details.retain_ns)}"] if details.retain_ns else []
    limits += [f"up to {format_size(details.max_bytes)}"] if details.max_bytes else []
    last = f"; the last {count(details.keep_last, 'part')} in any case" if details.keep_last else ""
    return ", ".join(limits) + last


def scale_text(price_exp: int | None, size_exp: int | None) -> str:
    if price_exp is None or size_exp is None:
        return "not known yet"
    return f"prices to 1e{price_exp}, sizes to 1e{size_exp}"
