"""Options and arguments that several commands share, said once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = "ISO 8601, epoch s/ms/us/ns, -15m, now, first or last"

Feeds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FEED",
        show_default=False,
        help="venue/SYMBOL, a glob such as 'binance*/BTC_*', or a bare symbol in any spelling. None: every feed.",
    ),
]
Venue = Annotated[
    str, typer.Argument(metavar="VENUE", show_default=False, help="The venue's name, as in binance-usdm.")
]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"Start here: {TIMES}.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End here, exclusive; as --from.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WebsocketUrl = Annotated[
    str | None, typer.Option("--url", metavar="WS", help="Websocket base instead of the venue's own.")
]
RestUrl = Annotated[str | None, typer.Option("--rest", metavar="HTTP", help="REST base instead of the venue's own.")]
Speed = Annotated[
    str, typer.Option("--speed", metavar="FACTOR", help="1 as recorded, 10 ten times as fast, max without waiting.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the synthetic exchange: same seed, same data.")]


class AtEnd(StrEnum):
    """What a served feed does when its records are through."""

    STAY = "stay"
    CLOSE = "close"


class Live(StrEnum):
    """Where live chunks are kept."""

    DISK = "disk"
    SHM = "shm"


class Sync(StrEnum):
    """How much a power loss may take."""

    NONE = "none"
    SECOND = "1s"
    CHUNK = "chunk"


@dataclass(frozen=True, slots=True)
class Verb:
    """One command of the tree: what it is called, what runs, and what its help and man page add."""

    name: str
    run: Callable[..., Any] | typer.Typer
    examples: tuple[tuple[str, str], ...] = ()  # command line, what it does
    exit_one: str | None = None  # what exit code 1 means, where it can happen
    hidden: bool = False
