"""`mdtool book`: the order book, live on the screen, at any past moment, or once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mdtool.commands.context import Invocation, current
from mdtool.commands.options import TIMES, Json
from mdtool.errors import UsageError

if TYPE_CHECKING:
    from mdtool.commands.tasks.amounts import Told
    from mdtool.commands.tasks.desk import Desk
    from mdtool.commands.tasks.recorder import RecorderChild
    from mdtool.commands.tasks.watch import Watch
    from mdtool.storage.store import Store
    from mdtool.view.book import BookPicture
    from mdtool.view.screen import Look

EXAMPLES = (
    ("mdtool book PENGU_USDT", "live; q quits, the last line says which keys there are"),
    ("mdtool book PENGU_USDT --live okx", "recorded on the spot, for as long as it is looked at"),
    ("mdtool book BTC_USDT --venues all", "every venue that is recorded: side by side, and as one with v"),
    ("mdtool book ETH_USDT --at 2024-08-08T23:58:00", "as it stood; , and . step by an update, [ and ] by a second"),
    ("mdtool book ETH_USDT --at 2024-08-08T23:58:00 --json", "the same for a program"),
)
FRAME = 1 / 20  # seconds between two frames; faster is not seen and costs a core


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
    orders: Annotated[
        bool, typer.Option("--l3", help="By order: how many at each price, and their queue. Where that is recorded.")
    ] = False,
    venues: Annotated[
        str | None, typer.Option("--venues", metavar="all|LIST", help="The symbol at several venues, commas between.")
    ] = None,
    live: Annotated[
        str | None, typer.Option("--live", metavar="VENUE", help="Record it there for as long as the screen is up.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="WS", help="With --live: websocket base instead of the venue's own.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a book: a live ladder on a terminal, else once.

    The book is rebuilt from what is recorded, and says whether it is whole: SYNCED with every update since its
    snapshot in it, WAITING for a snapshot or a source, PARTIAL where changes alone have come (levels they have not
    shown are unknown), DIRTY since a gap, STALE when nothing comes, ENDED when the recorder stopped.

    Keys: q quits, ? shows all of them, space pauses, + and - change the depth, g and G group levels by ticks, n and p
    (or arrows) go to the next and previous symbol, v turns between several venues side by side and as one. Through
    time: , and . step by an update, [ and ] by a second, { and } by a minute, x goes to the next gap, l back to live.

    Where only a checksum of the best N levels is proof, the last line but one says so: those below may be
    stale, and have a ? and no bar.

    What --json prints is in mdtool-json(7).
    """
    from mdtool.commands.tasks.desk import Desk
    from mdtool.view.screen import Look

    if url is not None and live is None:
        raise UsageError(f"--url {url!r} says where --live VENUE connects to: give both")
    if venues is not None and not all(venues.split(",")):
        raise UsageError(f"--venues {venues!r}: expected all, or names with commas between, as in okx,kraken")
    if at is not None and live is not None:
        raise UsageError("--at shows a moment of the past, --live records the present: give one of them")
    run = current(ctx)
    out = run.out
    with ExitStack() as stack:
        child: RecorderChild | None = None
        if live is not None:
            store, name, child = _record(run, stack, feed, live, url)
            names: tuple[str, ...] = (name,)
        else:
            store, names = _found(run, stack, feed, venues)
        look = Look(depth=depth)
        if json or once or not out.is_terminal or out.console.is_dumb_terminal:
            if child is not None:
                _wait_for_book(store, names[0], child)
            _print(run, store, names, _Wanted(at, look, orders, json))
            return
        at_ns = _moment(run, store, names, at)
        groups, place = _groups(store, names, several=venues is not None)
        desk = Desk(store, groups, place, look, by_order=orders)
        stack.callback(desk.close)
        _live(run, desk, at_ns, child)


def _found(run: Invocation, stack: ExitStack, feed: str, venues: str | None) -> tuple[Store, tuple[str, ...]]:
    """The store, and the feeds to show. Raises what `Run.feeds` raises, saying how to begin."""
    from mdtool.errors import FeedNotFound, NotAStore
    from mdtool.venues.catalog import VENUES
    from mdtool.venues.symbols import parted

    try:
        store = stack.enter_context(run.store())
        if venues is None:
            info, others = run.freshest_feed(store, feed)
            if others:
                named = ", ".join(others)
                run.out.talk(f"{feed} is recorded more than once: this is {info.name}, not {named}; or --venues all")
            return store, (info.name,)
        symbol = parted(feed, VENUES)[1]
        patterns = [symbol] if venues == "all" else [f"{venue}/{symbol}" for venue in venues.split(",")]
        return store, tuple(info.name for info in run.feeds(store, patterns))
    except (FeedNotFound, NotAStore) as error:
        venue, symbol = parted(feed, VENUES)
        venue = venue or "VENUE"
        begin = f"mdtool book {symbol} --live {venue}"
        raise type(error)(f"{error}; to record it: mdtool record {venue} {symbol}, or on the spot: {begin}") from None


def _record(
    run: Invocation, stack: ExitStack, feed: str, venue: str, url: str | None
) -> tuple[Store, str, RecorderChild]:
    """The store, made where there is none, the feed's name, and what records it."""
    from mdtool.capture.options import record_options
    from mdtool.commands.tasks.recorder import RecorderChild
    from mdtool.history.lists import venue_at
    from mdtool.storage.store import Store
    from mdtool.venues import catalog
    from mdtool.venues.symbols import parted

    path = run.config().store
    adapter = venue_at(path, venue)
    symbol = adapter.canonical(parted(feed, catalog.VENUES)[1])
    record_options(adapter, (symbol,), ws_url=url)  # raises where that cannot be meant
    store = stack.enter_context(Store.create(path))
    child = stack.enter_context(RecorderChild(store.path, adapter.name, symbol, url))
    return store, f"{adapter.name}/{symbol}", child


def _moment(run: Invocation, store: Store, names: tuple[str, ...], at: str | None) -> int | None:
    if at is None:
        return None
    with ExitStack() as stack:
        return run.moment([stack.enter_context(store.reader(name, verify=False)) for name in names], at)


def _groups(store: Store, names: tuple[str, ...], *, several: bool) -> tuple[list[tuple[str, ...]], int]:
    """What the keys for the next and previous symbol go through, and where that begins."""
    from mdtool.model import is_session
    from mdtool.venues.catalog import VENUES

    feeds = [info for info in store.feeds() if not is_session(info.symbol) and info.venue in VENUES]
    if several:
        symbols = sorted({info.symbol for info in feeds})
        groups = [tuple(info.name for info in feeds if info.symbol == symbol) for symbol in symbols]
        own = next((n for n, group in enumerate(groups) if names[0] in group), None)
    else:
        groups = [(info.name,) for info in feeds]
        own = next((n for n, group in enumerate(groups) if group == names), None)
    if own is None:
        return [names, *groups], 0
    groups[own] = names
    return groups, own


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be printed once, and how."""

    at: str | None
    look: Look
    by_order: bool
    json: bool


def _print(run: Invocation, store: Store, names: tuple[str, ...], wanted: _Wanted) -> None:
    """The book once, with its day read to the end."""
    from mdtool.clock import SystemClock
    from mdtool.commands.tasks.watch import Watch
    from mdtool.view.best import consolidated
    from mdtool.view.screen import BookScreen

    at_ns = _moment(run, store, names, wanted.at)
    with ExitStack() as stack:
        watches = [
            stack.enter_context(Watch(store, name, at_ns=at_ns, by_order=wanted.by_order, told=_told(run, name)))
            for name in names
        ]
        now_ns = None if at_ns else SystemClock().now_ns()
        pictures = [_picture(run, watch, wanted.look.depth, now_ns) for watch in watches]
    run.out.end_progress()
    if not wanted.json:
        run.out.show(BookScreen(pictures, look=wanted.look))
    elif len(pictures) == 1:
        run.out.json(pictures[0].as_json())
    else:
        said = [picture.as_json() for picture in pictures]
        best = consolidated(pictures).as_json()
        run.out.json({"symbol": pictures[0].symbol, "best": best, "books": said})


def _told(run: Invocation, name: str) -> Told:
    """How far the book of a feed is read, on the progress line."""
    from mdtool.view.progress import Progress

    return Progress(run.out.progress, what=f"{name}: records read", of=lambda records: f"{records:,}")


def _wait_for_book(store: Store, name: str, child: RecorderChild) -> None:
    """Until what is recorded on the spot has a whole book. Raises ConnectError where recording ends before."""
    import time

    from mdtool.commands.tasks.watch import Watch
    from mdtool.errors import ConnectError

    with Watch(store, name) as watch:
        while watch.picture(1).state != "SYNCED":
            if (failed := child.failure()) is not None:
                raise ConnectError(failed.removeprefix("mdtool: "))
            time.sleep(FRAME)
            watch.poll(FRAME)


def _picture(run: Invocation, watch: Watch, depth: int, now_ns: int | None) -> BookPicture:
    from mdtool.view.figures import span
    from mdtool.view.progress import Progress

    watch.start()
    watch.read_whole_day(Progress(run.out.progress, what=f"{watch.name}: its day read", of=span))
    return watch.picture(depth, now_ns)


def _live(run: Invocation, desk: Desk, at_ns: int | None, child: RecorderChild | None) -> None:
    """The screen until q or a signal, drawn at most twenty times a second."""
    import signal
    import time

    from mdtool.clock import SystemClock
    from mdtool.view.keys import Keys

    left = False

    def stop(number: int, frame: object) -> None:
        desk.quit = True

    def leave(number: int, frame: object) -> None:
        nonlocal left
        left = True

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    signal.signal(signal.SIGTSTP, leave)
    clock = SystemClock()
    desk.open(at_ns, lambda name: _told(run, name))
    run.out.end_progress()
    failed: str | None = None
    with Keys() as keys, run.out.painter() as painter:
        while not desk.quit:
            if left:
                left = False
                with painter.aside(), keys.aside():
                    signal.raise_signal(signal.SIGSTOP)  # until SIGCONT; nothing of ours runs meanwhile
                desk.redraw()
            began = time.perf_counter()
            now_ns = clock.now_ns()
            desk.poll(now_ns)
            if child is not None and failed is None and (failed := child.failure()) is not None:
                desk.say(f"recording has ended: {failed}")
            size = painter.size
            lines = desk.frame(now_ns, size)
            if lines is not None:
                painter.paint(lines, size)
            for key in keys.wait(max(0.0, FRAME - (time.perf_counter() - began))):
                desk.press(key)
