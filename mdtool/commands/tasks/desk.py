"""What is on the book screen, and what each key does to it. No terminal in here: keys come as names, frames go as
lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mdtool.clock import MINUTE, SECOND
from mdtool.commands.tasks.amounts import Told
from mdtool.commands.tasks.watch import Watch
from mdtool.model import Side
from mdtool.view.best import consolidated
from mdtool.view.book import BookPicture
from mdtool.view.ladder import GROUPS, Glow, Rung, ladder
from mdtool.view.line import Line
from mdtool.view.screen import BookScreen, Look

if TYPE_CHECKING:
    from mdtool.storage.store import Store

POLL = 0.03  # seconds of a frame for new records: a backlog is taken in over several
SEEK = 0.05  # of a frame while the next gap is looked for
BEHIND_NS = 2 * SECOND
MOST_DEPTH = 500
MOST_LEVELS = 20_000  # asked of a book for a grouped ladder

Size = tuple[int, int]  # columns, lines


class Desk:
    """`groups`: what n and p go through, the feeds of each shown together; `at` is where it begins."""

    def __init__(
        self, store: Store, groups: Sequence[tuple[str, ...]], at: int, look: Look, *, by_order: bool = False
    ) -> None:
        self.look = look
        self.quit = False
        self.watches: list[Watch] = []
        self._store = store
        self._groups = groups
        self._at = at
        self._by_order = by_order
        self._open = ExitStack()
        self._pictures: list[BookPicture] = []
        self._drawn: tuple[object, ...] = ()
        self._changed = True
        self._seeking = False
        self._shown_depth = look.depth
        self._keys = self._bindings()

    def open(self, at_ns: int | None = None, told: Callable[[str], Told] | None = None) -> None:
        """Read the feeds that come first, up to a moment. `told`: how far each has come, by its name."""
        self._open.close()
        self.watches = []
        for name in self._groups[self._at]:
            watch = Watch(
                self._store, name, at_ns=at_ns, by_order=self._by_order, told=told(name) if told is not None else None
            )
            self.watches.append(self._open.enter_context(watch))
        for watch in self.watches:
            watch.start()
        self.look.glows = {name: Glow() for name in (*self._groups[self._at], "best")}
        self._changed = True

    def close(self) -> None:
        """Let go of every feed."""
        self._open.close()

    # -- keys ---------------------------------------------------------------------------------------------------

    def _bindings(self) -> dict[str, Callable[[], None]]:
        return {
            "q": self._quit, "Q": self._quit,
            "?": self._show_keys,
            " ": self._pause,
            "+": lambda: self._deepen(1), "=": lambda: self._deepen(1), "-": lambda: self._deepen(-1),
            "g": lambda: self._group(1), "G": lambda: self._group(-1),
            "n": lambda: self._go(1), "right": lambda: self._go(1), "down": lambda: self._go(1),
            "p": lambda: self._go(-1), "left": lambda: self._go(-1), "up": lambda: self._go(-1),
            "v": self._turn,
            ".": lambda: self._step(1), ",": lambda: self._step(-1),
            "]": lambda: self._move(SECOND), "[": lambda: self._move(-SECOND),
            "}": lambda: self._move(MINUTE), "{": lambda: self._move(-MINUTE),
            "x": self._seek,
            "l": self._live,
        }  # fmt: skip

    def press(self, key: str) -> None:
        """A key; one that means nothing does nothing."""
        self.look.message = ""
        self._changed = True
        if self.look.keys and key not in "qQ":
            self.look.keys = False
            return
        if self._seeking:
            self._seeking, self.look.busy = False, ""
            if key == "x":
                return
        self._keys.get(key, lambda: None)()

    def say(self, text: str) -> None:
        """A line for the person at the screen, until the next key."""
        self.look.message = text
        self._changed = True

    def _quit(self) -> None:
        self.quit = True

    def _show_keys(self) -> None:
        self.look.keys = True

    def redraw(self) -> None:
        """The screen was left and come back to."""
        self._changed = True

    def _pause(self) -> None:
        self.look.paused = not self.look.paused

    def _deepen(self, way: int) -> None:
        depth = min(self.look.depth, self._shown_depth + 1) if way < 0 else self.look.depth
        step = 5 if depth + way >= 15 else 1
        self.look.depth = max(1, min(MOST_DEPTH, depth + way * step))

    def _group(self, way: int) -> None:
        at = GROUPS.index(self.look.group) + way
        self.look.group = GROUPS[max(0, min(len(GROUPS) - 1, at))]
        self.look.message = "one level a price" if self.look.group == 1 else f"levels of {self.look.group:,} ticks"

    def _go(self, way: int) -> None:
        if len(self._groups) == 1:
            self.look.message = "no other symbol is recorded here"
            return
        at_ns = self._moment()
        self._at = (self._at + way) % len(self._groups)
        self.look.paused = False
        self.open(at_ns)

    def _turn(self) -> None:
        self.look.best = not self.look.best

    # -- time ---------------------------------------------------------------------------------------------------

    def _moment(self) -> int | None:
        return next((one.follower.at_ns for one in self.watches if one.follower is not None), None)

    def _step(self, way: int) -> None:
        """By an update of the first feed; the others as of then."""
        followers = [one.follower for one in self.watches if one.follower is not None]
        if not followers:
            return
        first, *others = followers
        self.look.paused = False
        before = first.updates, first.as_of_ns
        if way > 0:
            first.next_update()
            if first.updates == before[0]:
                self.look.message = "no update after this"
        else:
            first.previous_update()
        for other in others:
            other.go_to(first.at_ns or first.as_of_ns)

    def _move(self, ns: int) -> None:
        self.look.paused = False
        for watch in self.watches:
            if watch.follower is not None:
                now_ns = watch.follower.at_ns or watch.follower.as_of_ns
                watch.follower.go_to(now_ns + ns)
                if watch.follower.at_ns == now_ns:
                    self.look.message = "nothing is recorded beyond"

    def _seek(self) -> None:
        self.look.paused = False
        self._seeking = True
        self.look.busy = "looking for the next gap, any key stops"

    def _live(self) -> None:
        self.look.paused = False
        for watch in self.watches:
            if watch.follower is not None and watch.follower.at_ns is not None:
                watch.follower.go_live()

    # -- frames -------------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> None:
        """Take in what is new, for a part of a frame."""
        records = 0
        for watch in self.watches:
            new = watch.poll(POLL / len(self.watches))
            records += new
            self._changed |= watch.read_day() and not self.look.paused
        self._changed |= records > 0 and not self.look.paused
        if self._seeking:
            self._go_on_seeking()
        elif self._moment() is None:
            late = [one.follower for one in self.watches if one.follower is not None and one.follower.is_behind]
            behind_ns = max((now_ns - one.as_of_ns for one in late), default=0)
            self.look.busy = f"{behind_ns // SECOND} s behind" if behind_ns > BEHIND_NS else ""

    def _go_on_seeking(self) -> None:
        first = next((one.follower for one in self.watches if one.follower is not None), None)
        if first is None:
            return
        gaps = first.book.gaps
        self._changed = True
        if not first.seek_gap(SEEK):
            return
        self._seeking, self.look.busy = False, ""
        self.look.message = "" if first.book.gaps != gaps else "no gap after this: the end of what is recorded"
        for other in self.watches[1:]:
            if other.follower is not None:
                other.follower.go_to(first.as_of_ns)

    def frame(self, now_ns: int, size: Size) -> list[Line] | None:
        """The screen, None while it is as it was."""
        lit = any(glow.lit for glow in self.look.glows.values())
        second = 0 if self.look.paused else now_ns // SECOND
        what = (second, size)
        if what == self._drawn and not lit and not self._changed:
            return None
        self._drawn, self._changed = what, False
        if not self.look.paused or not self._pictures:
            depth = min(MOST_LEVELS, min(self.look.depth, size[1]) * self.look.group)
            self._pictures = [watch.picture(depth, now_ns) for watch in self.watches]
            self._look_at(now_ns)
        self.look.now_ns = now_ns
        screen = BookScreen(self._pictures, size[1], self.look)
        lines = screen.lines(size[0])
        self._shown_depth = screen.depth
        return lines

    def _look_at(self, now_ns: int) -> None:
        """What changed since the last frame lights up."""
        group = self.look.group
        for one in self._pictures:
            shown = ladder(one, self.look.depth, group)
            self._see(one.feed, (group, one.scale), shown.bids, shown.asks, now_ns)
        if len(self._pictures) > 1:
            best = consolidated(self._pictures)
            both = best.ladder(self.look.depth, group)
            self._see("best", (group, best.scale), both.bids, both.asks, now_ns)

    def _see(self, name: str, what: object, bids: Sequence[Rung], asks: Sequence[Rung], now_ns: int) -> None:
        glow = self.look.glows[name]
        for side, rungs in ((Side.BID, bids), (Side.ASK, asks)):
            glow.see(what, side, [(rung.price, rung.size) for rung in rungs], now_ns)
