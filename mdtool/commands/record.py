"""`mdtool record`: live feeds into the store."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json, Live, RestUrl, Sync, WebsocketUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mdtool.commands.context import Invocation
    from mdtool.commands.tasks.whole import Asked
    from mdtool.config import Config
    from mdtool.service.jobs import Job
    from mdtool.service.readings import Reading

EXAMPLES = (
    ("mdtool record", "what the file of settings asks for"),
    ("mdtool record binance", "the default symbols, until stopped"),
    ("mdtool record binance-usdm BTC_USDT ETHUSDT --for 1h", "two symbols for an hour"),
    ("mdtool record sim --url ws://127.0.0.1:7801", "from the synthetic exchange that mdtool sim runs"),
)
INTERRUPTED = 130
SHOWN = 6  # lines of what was said that the screen has, and that are left when it goes


def record(
    ctx: typer.Context,
    venue: Annotated[
        str | None,
        typer.Argument(
            metavar="[VENUE]", show_default=False, help="Its name, as in binance-usdm. None: what the settings ask for."
        ),
    ] = None,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL", show_default=False, help="In any spelling. None: the venue's default set."),
    ] = None,
    url: WebsocketUrl = None,
    rest: RestUrl = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after that long, as in 90s or 1h30m.")
    ] = None,
    streams: Annotated[
        str | None, typer.Option("--streams", metavar="LIST", help="In the venue's words, commas between.")
    ] = None,
    fail_fast: Annotated[
        bool,
        typer.Option(
            "--fail-fast", help="Fail where a connection cannot be made or a stream is refused, rather than go on."
        ),
    ] = False,
    live: Annotated[
        Live | None,
        typer.Option(
            "--live",
            metavar="disk|shm",
            help="Where chunks being written are kept; from shm --sync copies them to disk.",
        ),
    ] = None,
    sync: Annotated[
        Sync | None,
        typer.Option(
            "--sync", metavar="none|1s|chunk", help="How often to flush to the device: what a power loss may take."
        ),
    ] = None,
    chunk_size: Annotated[
        str | None, typer.Option("--chunk-size", metavar="SIZE", help="Bytes of payload a chunk holds, as in 64MiB.")
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option("--ca", metavar="FILE", help="Certificates in PEM to trust, beside the system's own."),
    ] = None,
    deflate: Annotated[
        bool | None,
        typer.Option(
            "--deflate/--no-deflate",
            help="Have frames packed where the venue offers it: a fifth of the bytes, 3 us of CPU a message more.",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option("--shards", metavar="N", min=1, max=64, help="Recorder processes to spread the symbols over."),
    ] = None,
    cpu: Annotated[
        str | None, typer.Option("--cpu", metavar="LIST", help="CPUs to pin recorders to, one each, as in 2,3.")
    ] = None,
    instruments: Annotated[
        bool, typer.Option("--instruments/--no-instruments", help="Fetch what the venue lists, for the names of feeds.")
    ] = True,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="ADDRESS", help="Serve health and metrics there, as in 127.0.0.1:9090; see metrics."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Record live feeds: every message as received, with its time.

    Without a venue it is all that the file of settings asks for, see mdtool-config(5): of several venues, each by
    recorders of its own. That file is read anew on SIGHUP, and for mdtool reload.

    Connects, subscribes, fetches whole books, and reconnects when a connection is lost. Connects, closes, requests
    and what the recorder has to say are records too. Stops after --for, or on a signal.

    What the venue lists is fetched too and put on record; it overrules what mdtool knows of the venue's symbols the
    next time something is recorded into the store, imported or looked for.

    What is said has its time, UTC. Off a terminal a line a minute says what came: messages, their rate and bytes, gaps,
    feeds that were silent, and what is free on the disk.
    """
    from mdtool.capture.options import RecorderEvent
    from mdtool.commands.tasks import recording, whole
    from mdtool.service.listening import listen, parse_address
    from mdtool.service.listening import url as url_of
    from mdtool.storage.store import Store
    from mdtool.units import count, format_size
    from mdtool.view.status import status_lines

    run = current(ctx)
    out = run.out
    if venue is None:
        given: dict[str, object] = {"--url": url, "--rest": rest, "--streams": streams, "--live": live, "--sync": sync}
        given |= {"--chunk-size": chunk_size, "--shards": shards, "--cpu": cpu, "--ca": ca}
        given |= {} if instruments else {"--no-instruments": True}
        given |= {} if deflate is None else {"--deflate" if deflate else "--no-deflate": True}
        asked, config, jobs = _from_settings(run, given, duration, fail_fast=fail_fast)
    else:
        wanted = recording.Wanted(
            venue, tuple(symbols or ()), url, rest, duration, streams, fail_fast, live, sync, chunk_size, instruments,
            ca, deflate,
        )  # fmt: skip
        config = run.config()
        options = wanted.options(config.record, config.store)
        cpus = recording.parse_cpus(cpu)

    shown = deque[str](maxlen=SHOWN)
    with ExitStack() as screen:
        show = screen.enter_context(out.talking_screen()) if out.talks_to_terminal else None

        quiet = {event.value for event in (RecorderEvent.SNAPSHOT, RecorderEvent.SEALED, RecorderEvent.LIST)}

        def notify(event: str, text: str) -> None:
            if not out.verbose and event in quiet:
                return
            if show is None:
                out.log(text)
            else:
                shown.append(out.stamped(text))

        def look(reading: Reading) -> None:
            if show is not None:
                show(lambda width, height: status_lines(reading.to_json(), width, height, shown))

        listening = None
        if http is not None:
            listening = screen.enter_context(listen(*parse_address(http)))
            notify("", f"serving {url_of(listening)}")
        out.talk_without_waiting()
        store = screen.enter_context(Store.create(config.store))
        looking, minutely = (None, out.log) if show is None else (look, None)
        watching = recording.Watching(notify, looking, minutely, listening)
        if venue is None:
            out.detail(f"recording what {config.file} asks for into {store.path}")
            done = whole.record_all(store, asked, config, jobs, watching)
        else:
            out.detail(f"recording {', '.join(options.symbols)} of {options.venue.title} into {store.path}")
            done = recording.record(store, options, watching, shards=shards or 1, cpus=cpus)
    for line in shown:
        out.talk(line)
    status = done.status
    if json:
        out.json(done.to_json())
    seen = " in what was watched" if status.behind else ""
    no = f", {count(status.refused, 'subscription')} refused" if status.refused else ""
    odd = f", {count(status.undecodable, 'record')} not understood" if status.undecodable else ""
    out.log(
        f"recorded {count(status.records, 'message')}, {format_size(status.payload_bytes)}, "
        f"in {count(status.sessions, 'session')}; {count(status.snapshots, 'snapshot')}, "
        f"{count(status.gaps, 'gap')}{seen}{odd}{no}"
    )
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)


def _from_settings(
    run: Invocation, given: Mapping[str, object], duration: str | None, *, fail_fast: bool
) -> tuple[Asked, Config, list[Job]]:
    """What the file of settings asks for. Raises UsageError where an option says of one venue what the file says of
    each, and BadConfig, of which everything but the last line has been said."""
    from mdtool.clock import SECOND
    from mdtool.commands.tasks import whole
    from mdtool.config import BadConfig
    from mdtool.errors import UsageError
    from mdtool.units import parse_duration

    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option}: of which venue? Name one, or say it in the file of settings")
    seconds = parse_duration(duration) / SECOND if duration is not None else None
    asked = whole.Asked(run.config, seconds, fail_fast)
    try:
        return asked, *whole.wanted(asked)
    except BadConfig as bad:
        *most, last = bad.findings
        for finding in most:
            run.out.error(str(finding))
        raise BadConfig([last]) from None
