"""`mdtool sim`: a synthetic exchange to record from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Host, Seed, Speed

if TYPE_CHECKING:
    from mdtool.exchange.server import Server

EXAMPLES = (
    ("mdtool sim", "four symbols on port 7801"),
    ("mdtool sim --symbols 20 --rate 200", "twenty, each with 200 order events a second"),
    ("mdtool sim --symbols ALPHA_USDT,KILO_USDT --seed 7", "two by name, other data"),
    ("mdtool sim --venue kraken", "in Kraken's protocol, with its checksums"),
    (
        "mdtool sim --symbols 50 --rate 130 --faults drop=0.001,cut=0.00001 --faults-for 5m --faults-log done.ndjson",
        "a storm of five minutes, and what it did: record it, and hold the audit to that",
    ),
)
PORT = 7801


def sim(
    ctx: typer.Context,
    symbols: Annotated[
        str, typer.Option("--symbols", metavar="N|LIST", help="How many symbols, or which, with commas between.")
    ] = "4",
    venue: Annotated[
        str,
        typer.Option(
            "--venue",
            metavar="PROTOCOL",
            help="Whose protocol it speaks: binance, bitget, bybit, coinbase, coinbase-advanced, kraken, okx or sim "
            "(Binance's too).",
        ),
    ] = "sim",
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port to listen on; 0: any.")] = PORT,
    seed: Seed = 1,
    rate: Annotated[
        float, typer.Option("--rate", metavar="EVENTS", help="Order events a second, of each symbol.")
    ] = 50.0,
    speed: Speed = "1",
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Close after that much of the exchange's time.")
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults",
            metavar="LIST",
            help="Faults at random, each with its share of the messages: drop, repeat, swap, corrupt, cut, as in "
            "drop=0.001,cut=0.00001.",
        ),
    ] = None,
    faults_for: Annotated[
        str | None,
        typer.Option("--faults-for", metavar="DURATION", help="No more of them after that long with a client."),
    ] = None,
    faults_log: Annotated[
        Path | None,
        typer.Option("--faults-log", metavar="FILE", help="Write what is done to which message, a JSON object a line."),
    ] = None,
) -> None:
    """Run a synthetic exchange: books, trades and quotes of a seed.

    It speaks Binance's protocol, websocket and REST on one port, and is recorded as venue sim; with --venue it
    speaks that venue's, checksums and sequences included, and is recorded as that venue.

    With --faults messages are lost, sent twice, sent after the next one of their stream or cut short, and connections
    end without a word. The faults follow from the seed and the messages that somebody listens to.
    """
    from mdtool.commands.tasks.serving import Synthetic, serve
    from mdtool.units import count

    out = current(ctx).out
    wanted = Synthetic(
        symbols, venue, host, port, seed, rate, speed, duration, faults=faults, faults_for=faults_for,
        faults_log=faults_log,
    )  # fmt: skip
    names = wanted.names()

    def ready(server: Server) -> None:
        shown = " ".join(names) if len(names) <= 6 else f"{count(len(names), 'symbol')}, {names[0]} to {names[-1]}"
        out.talk(f"{venue}: {shown} at {server.url}; record with:")
        named = "" if symbols == "4" and venue == "sim" else " " + " ".join(names)
        out.talk(f"mdtool record {venue}{named} --url {server.url} --rest {server.rest}")

    serve(wanted.server(names), ready)
