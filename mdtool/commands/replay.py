"""`mdtool replay`: what was recorded, again, in order of receive time."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import Invocation, Span, current
from mdtool.commands.options import Feeds, From, Speed, To

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mdtool.storage.reading.reader import Reader

EXAMPLES = (
    ("mdtool replay --from 2024-08-08T23:55 --to 2024-08-08T23:56", "a minute of every feed, as fast as it goes"),
    ("mdtool replay ETH_USDT --speed 1", "as it was recorded"),
    ("mdtool replay --from -15m --speed 10 | jq .payload", "the last quarter of an hour, ten times as fast"),
)


class Format(StrEnum):
    """How a record is written."""

    NDJSON = "ndjson"
    RAW = "raw"


MOST_SAID = 10  # outages of a feed


def replay(
    ctx: typer.Context,
    feeds: Feeds = None,
    from_: From = None,
    to: To = None,
    speed: Speed = "max",
    form: Annotated[
        Format,
        typer.Option(
            "--format", metavar="ndjson|raw", help="ndjson: a line of JSON each; raw: the payloads, a line each."
        ),
    ] = Format.NDJSON,
) -> None:
    """Write records to standard output, in order of receive time.

    Feeds are merged by time; the order within a feed is never changed. Connects, closes and notes are records too; what
    was not recorded between two recorders or imports is said on standard error.
    """
    from mdtool.commands.tasks.amounts import bytes_between, measured
    from mdtool.replay.replayer import Encoder, Replay, play
    from mdtool.replay.sinks.ndjson import Ndjson
    from mdtool.replay.sinks.raw import raw
    from mdtool.units import count, parse_speed
    from mdtool.view.progress import Progress

    run = current(ctx)
    factor = parse_speed(speed)
    with run.store() as store, ExitStack() as stack:
        readers = [stack.enter_context(store.reader(feed.name)) for feed in run.feeds(store, feeds or ())]
        span = run.span(readers, from_, to)
        _say_outages(run, readers, span)
        encode: Encoder = Ndjson() if form is Format.NDJSON else raw
        if not run.out.is_terminal:
            shown = Progress(run.out.progress, what="written")
            encode = measured(encode, bytes_between(readers, span.from_ns, span.to_ns), shown)
        played = play(Replay(readers, span.from_ns, span.to_ns, factor), encode, run.out.binary)
    run.out.end_progress()
    run.out.detail(f"{count(played.records, 'record')}, {count(played.payload_bytes, 'byte')} of payload")


def _say_outages(run: Invocation, readers: Sequence[Reader], span: Span) -> None:
    """What the stretch lacks, in the audit's words."""
    from mdtool.history.seams import between_writers
    from mdtool.units import count
    from mdtool.view.moments import stretch

    for reader in readers:
        name = reader.feed.name
        seams = between_writers(reader, span.from_ns, span.to_ns)
        for seam in seams[:MOST_SAID]:
            run.out.talk(f"{name}: not recorded from {stretch(seam.from_ns, seam.to_ns)}: {seam.why}")
        if len(seams) > MOST_SAID:
            more = count(len(seams) - MOST_SAID, "more outage")
            run.out.talk(f"{name}: {more}; see: mdtool audit {name}")
        reader.to_start()
