"""`mdtool book`: one book, live on the screen or once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import TIMES, Json

if TYPE_CHECKING:
    from mdtool.commands.tasks.book import BookFollower
    from mdtool.view.output import Output

EXAMPLES = (
    ("mdtool book PENGU_USDT", "live; q quits"),
    ("mdtool book binance-usdm/ETH_USDT --once", "as it stands, then done"),
    ("mdtool book ETH_USDT --at 2024-08-08T23:58:00 --json", "as it stood, for a program"),
)
FRAME = 1 / 12  # seconds between two frames; faster is not seen and costs a core


def book(
    ctx: typer.Context,
    feed: Annotated[
        str, typer.Argument(metavar="FEED", show_default=False, help="venue/SYMBOL, or a symbol in any spelling.")
    ],
    depth: Annotated[
        int, typer.Option("--depth", metavar="N", min=1, help="Levels a side; a screen shows what fits.")
    ] = 20,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=f"The book as of then: {TIMES}.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the book as recorded so far, and end.")] = False,
    json: Json = False,
) -> None:
    """Show a book: a live ladder on a terminal, else once.

    The book is rebuilt from what is recorded, and says whether it is whole: SYNCED with every update since its
    snapshot in it, WAITING for a snapshot, DIRTY behind a gap, STALE when nothing comes, ENDED when the recorder
    stopped.
    """
    from mdtool.commands.tasks.book import BookFollower
    from mdtool.venues import catalog
    from mdtool.view.book import BookScreen

    run = current(ctx)
    out = run.out
    with run.store() as store:
        info, others = run.freshest_feed(store, feed)
        if others:
            out.talk(f"{feed} is recorded more than once: this is {info.name}, not {', '.join(others)}")
        with store.reader(info.name) as reader:
            until_ns = run.moment([reader], at)
            follower = BookFollower(reader, catalog.get(info.venue), until_ns)
            follower.catch_up()
            if json:
                out.json(follower.picture(depth).as_json())
            elif once or at is not None or not out.is_terminal:
                out.show(BookScreen(follower.picture(depth)))
            else:
                _live(out, follower, depth)


def _live(out: Output, follower: BookFollower, depth: int) -> None:
    """The screen until q: redrawn when something is new or a second has passed."""
    from rich.live import Live

    from mdtool.clock import SECOND, SystemClock
    from mdtool.view.book import BookScreen
    from mdtool.view.keys import Keys

    console, clock = out.console, SystemClock()
    drawn: tuple[object, ...] = ()
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while "q" not in keys.wait(FRAME if drawn else 0).lower():
            follower.poll()
            now_ns = clock.now_ns()
            what = (follower.records, now_ns // SECOND, console.size)
            if what != drawn:
                live.update(BookScreen(follower.picture(depth, now_ns), console.height), refresh=True)
                drawn = what
