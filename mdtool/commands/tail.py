"""`mdtool tail`: the last records, one line each, and those that follow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Feeds, Json

if TYPE_CHECKING:
    from mdtool.commands.tasks.tail import Item
    from mdtool.view.output import Output

EXAMPLES = (
    ("mdtool tail", "the last ten records of the store"),
    ("mdtool tail -f ETH_USDT", "and what comes in"),
    ("mdtool tail -n 1000 --json 'binance*/*'", "as replay writes them"),
)


def tail(
    ctx: typer.Context,
    feeds: Feeds = None,
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="How many records.")] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is recorded from now on.")] = False,
    json: Json = False,
) -> None:
    """Show the last records of feeds, one line each."""
    from mdtool.commands.tasks import tail as task

    run = current(ctx)
    with run.store() as store, ExitStack() as stack:
        readers = [stack.enter_context(store.reader(feed.name)) for feed in run.feeds(store, feeds or ())]
        printer = _Printer(run.out, [reader.feed.name for reader in readers], json=json)
        printer(task.last(readers, lines))
        if follow:
            for items in task.follow(readers):
                printer(items)


class _Printer:
    """Prints records; what it needs is looked up once, not once a record."""

    def __init__(self, out: Output, names: Sequence[str], *, json: bool) -> None:
        from mdtool.replay.sinks.ndjson import Ndjson

        self._out = out
        self._feed_width = max(map(len, names))
        self._stream_width = 0  # of the longest that has come so far
        self._encode = Ndjson() if json else None

    def __call__(self, items: Sequence[Item]) -> None:
        from mdtool.replay.sinks.stream import write_all
        from mdtool.view.records import record_line

        if self._encode is not None:
            write_all(self._out.binary, self._encode(items))
            return
        width = self._out.console.width if self._out.is_terminal else None
        streams = [reader.stream_name(record.stream) for reader, record in items]
        self._stream_width = max(self._stream_width, *map(len, streams), 0)
        for (reader, record), stream in zip(items, streams, strict=True):
            name, stream = reader.feed.name.ljust(self._feed_width), stream.ljust(self._stream_width)
            self._out.line(record_line(record.recv_ns, name, stream, record.kind, record.payload, width))
        self._out.flush()
