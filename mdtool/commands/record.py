"""`mdtool record`: live feeds into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import Invocation, current
from mdtool.commands.options import Live, Sync, Venue

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdtool.capture.options import RecordOptions, RecordStatus

EXAMPLES = (
    ("mdtool record binance", "the default symbols, until stopped"),
    ("mdtool record binance-usdm BTC_USDT ETHUSDT --for 1h", "two symbols for an hour"),
    ("mdtool record sim --url ws://127.0.0.1:7801", "from the synthetic exchange that mdtool sim runs"),
)
INTERRUPTED = 130


def record(
    ctx: typer.Context,
    venue: Venue,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", show_default=False, help="In any spelling. None: the venue's default set."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="WS", help="Websocket base instead of the venue's own.")
    ] = None,
    rest: Annotated[
        str | None, typer.Option("--rest", metavar="HTTP", help="REST base instead of the venue's own.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after that long, as in 90s or 1h30m.")
    ] = None,
    streams: Annotated[
        str | None, typer.Option("--streams", metavar="LIST", help="In the venue's words, commas between.")
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Fail where a connection cannot be made, rather than try again.")
    ] = False,
    live: Annotated[
        Live | None, typer.Option("--live", metavar="disk|shm", help="Where chunks being written are kept.")
    ] = None,
    sync: Annotated[
        Sync | None, typer.Option("--sync", metavar="none|1s|chunk", help="How often to flush to the device.")
    ] = None,
    chunk_size: Annotated[
        str | None, typer.Option("--chunk-size", metavar="SIZE", help="Bytes of payload a chunk holds, as in 64MiB.")
    ] = None,
) -> None:
    """Record live feeds: every message as received, with its time.

    Connects, subscribes, fetches whole books, and reconnects when a connection is lost. Connects, closes, requests
    and what the recorder has to say are records too. Stops after --for, or on a signal.
    """
    from mdtool.capture.options import RecorderEvent
    from mdtool.commands.tasks import recording
    from mdtool.storage.store import Store
    from mdtool.units import format_size
    from mdtool.view.reports import count

    run = current(ctx)
    out = run.out
    options = _options(run, venue, symbols, url, rest, duration, streams, fail_fast, live, sync, chunk_size)

    def notify(event: RecorderEvent, text: str) -> None:
        say = out.detail if event is RecorderEvent.SNAPSHOT else out.talk
        say(text)

    with Store.create(run.config().store) as store:
        out.detail(f"recording {', '.join(options.symbols)} of {options.venue.title} into {store.path}")
        done = recording.record(store, options, notify, _progress(run))
    status = done.status
    out.talk(
        f"recorded {status.records:,} messages, {format_size(status.payload_bytes)}, "
        f"in {count(status.sessions, 'session')}; {count(status.snapshots, 'snapshot')}, {count(status.gaps, 'gap')}"
    )
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)


def _options(
    run: Invocation,
    venue: str,
    symbols: list[str] | None,
    url: str | None,
    rest: str | None,
    duration: str | None,
    streams: str | None,
    fail_fast: bool,
    live: Live | None,
    sync: Sync | None,
    chunk_size: str | None,
) -> RecordOptions:
    """The command line over the settings over the venue's own defaults, as one object."""
    from mdtool.capture.options import record_options
    from mdtool.clock import SECOND
    from mdtool.config import RecordDefaults
    from mdtool.errors import UsageError
    from mdtool.units import parse_duration, parse_size
    from mdtool.venues import catalog

    adapter = catalog.get(venue)
    settings, unset = run.config().record, RecordDefaults()
    # What nobody has set is left to the feed, which may have been given it before.
    kept_live = live or (Live(settings.live) if settings.live != unset.live else None)
    kept_bytes = settings.chunk_bytes if settings.chunk_bytes != unset.chunk_bytes else None
    named = settings.streams.get(adapter.name, ())
    if streams is not None:
        named = tuple(name.strip() for name in streams.split(",") if name.strip())
        if not named:
            raise UsageError(f"--streams {streams!r}: expected names, as in {','.join(adapter.default_streams)}")
    return record_options(
        adapter,
        tuple(symbols or ()),
        streams=named,
        ws_url=url,
        rest_url=rest,
        duration=parse_duration(duration) / SECOND if duration is not None else None,
        fail_fast=fail_fast,
        live=kept_live.value if kept_live else None,
        chunk_bytes=parse_size(chunk_size) if chunk_size is not None else kept_bytes,
        sync=(sync or Sync(settings.sync)).value,
    )


def _progress(run: Invocation) -> Callable[[RecordStatus], None]:
    """What shows the counters of a run at a terminal."""
    import time

    from mdtool.units import format_size

    began, before = time.monotonic(), (time.monotonic(), 0)

    def look(status: RecordStatus) -> None:
        nonlocal before
        now = time.monotonic()
        rate = (status.records - before[1]) / max(now - before[0], 1e-3)
        before = (now, status.records)
        run.out.progress(
            f"{now - began:6.0f} s  {status.connections} open  {status.records:,} messages  {rate:,.0f}/s  "
            f"{format_size(status.payload_bytes)}"
        )

    return look
