"""`mdtool serve`: recorded feeds as the exchange they are from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import AtEnd, Feeds, From, Host, Speed, To

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = (
    ("mdtool serve binance-usdm/ETH_USDT --speed 20", "twenty times as fast, once a client has subscribed"),
    ("mdtool serve 'binance/*' --from first+1m --at-end close", "the venue's feeds but for the first minute"),
)
PORT = 7802
NAMED = 12  # streams named in place of one that is not there


def serve(
    ctx: typer.Context,
    feeds: Feeds = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port to listen on; 0: any.")] = PORT,
    speed: Speed = "1",
    from_: From = None,
    to: To = None,
    at_end: Annotated[
        AtEnd,
        typer.Option("--at-end", metavar="stay|close", help="When all is played: stay open and silent, or close."),
    ] = AtEnd.STAY,
) -> None:
    """Serve recorded feeds as their venue would.

    Websocket and REST on one port, in the venue's own protocol, byte for byte what was received, in its rhythm. It
    begins when a client has subscribed. The feeds must be of one venue.
    """
    from contextlib import ExitStack

    from mdtool.commands.tasks.serving import recordable
    from mdtool.commands.tasks.serving import serve as serve_until_stopped
    from mdtool.exchange.catalog import protocol_for
    from mdtool.exchange.server import Server, ServerOptions
    from mdtool.exchange.stored import StoredSource
    from mdtool.units import parse_speed

    run = current(ctx)
    factor = parse_speed(speed)
    with run.store() as store:
        names = [feed.name for feed in run.feeds(store, feeds or ())]
        with ExitStack() as stack:
            span = run.span([stack.enter_context(store.reader(name)) for name in names], from_, to)
        with StoredSource(
            store, names, speed=factor, at_end=at_end.value, from_ns=span.from_ns, until_ns=span.to_ns
        ) as source:
            venue = source.venue.name
            symbols = " ".join(instrument.symbol for instrument in source.instruments)

            def ready(server: Server) -> None:
                run.out.talk(f"serving {venue} {symbols} at {server.url}; record with:")
                streams = recordable(source.venue, server.protocol.words())
                asked = f" --streams {','.join(streams)}" if streams else ""
                run.out.talk(f"mdtool record {venue} {symbols}{asked} --url {server.url} --rest {server.rest}")

            def refused(name: str, there: Sequence[str]) -> None:
                shown = ", ".join(there[:NAMED]) + (f" and {len(there) - NAMED:,} more" if len(there) > NAMED else "")
                run.out.talk(f"refused {_printable(name)}: not recorded; there is {shown or 'nothing'}")

            options = ServerOptions(host=host, port=port)
            server = Server(source, protocol_for(venue), options, refused=refused)
            serve_until_stopped(server, ready)


def _printable(name: str) -> str:
    """What a client made up, short and without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])
