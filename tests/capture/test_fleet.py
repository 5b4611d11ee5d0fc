"""A plan that changes: each connection stands until those that carry its symbols from now on stand."""

from __future__ import annotations

import asyncio

import pytest
from patience import until

from mdtool.capture.fleet import Fleet
from mdtool.errors import StoreFull
from mdtool.venues.venue import Connection


class Line:
    """A link that stands when a test says so."""

    def __init__(self, connection):
        self.connection = connection
        self.symbols = connection.symbols
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.failure = None
        self.why = None

    @property
    def stopping(self):
        return self.over.is_set()

    async def run(self):
        await self.over.wait()
        if self.failure is not None:
            raise self.failure

    async def stands(self):
        await self.up.wait()

    async def stop(self, why="stopped"):
        self.why = self.why or why
        self.over.set()


def plan(*cuts):
    return tuple(Connection(f"/{cut}", (cut,), tuple(cut)) for cut in cuts)


class Lines(dict):
    """By what they carry; `fleet` makes them."""

    def __init__(self):
        self.fleet = Fleet(self.make)

    def make(self, connection):
        line = self["".join(connection.symbols)] = Line(connection)
        return line

    @property
    def there(self):
        return "".join(sorted(cut for cut, line in self.items() if not line.over.is_set()))


def played(play):
    async def main():
        lines = Lines()
        running = asyncio.ensure_future(lines.fleet.run())
        try:
            return await play(lines, running)
        finally:
            running.cancel()
            await lines.fleet.end()
            assert lines.there == ""

    return asyncio.run(main())


async def idle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_symbol_less_cuts_the_plan_anew_and_nothing_leaves_before_it_is_carried_elsewhere():
    async def play(lines, running):
        fleet = lines.fleet
        fleet.follow(plan("ab", "cd", "e"))
        for line in lines.values():
            line.up.set()
        await idle()
        fleet.follow(plan("bc", "de"))
        settled = asyncio.ensure_future(fleet.settled())
        await idle()
        assert lines.there == "abbccddee"
        lines["de"].up.set()
        await idle()
        assert (lines.there, lines["e"].why) == ("abbccdde", "the plan has changed")
        assert not settled.done()
        lines["bc"].up.set()
        await until(settled.done)
        assert lines.there == "bcde"
        assert ["".join(link.symbols) for link in fleet.links()] == ["bc", "de"]

    played(play)


def test_what_is_the_same_in_both_is_not_touched():
    async def play(lines, running):
        lines.fleet.follow(plan("ab", "cd"))
        await idle()
        same = lines["ab"]
        lines.fleet.follow(plan("ab", "ce"))
        await idle()
        assert (lines["ab"] is same, same.why, lines.there) == (True, None, "abcdce")

    played(play)


def test_symbols_that_nobody_wants_any_more_go_at_once():
    async def play(lines, running):
        lines.fleet.follow(plan("ab", "c"))
        await idle()
        lines.fleet.follow(plan("ab"))
        await idle()
        assert lines.there == "ab"

    played(play)


def test_what_was_about_to_leave_stays_where_it_is_wanted_again():
    async def play(lines, running):
        lines.fleet.follow(plan("ab"))
        lines["ab"].up.set()
        await idle()
        lines.fleet.follow(plan("abc"))
        await idle()
        lines.fleet.follow(plan("ab", "d"))
        lines["d"].up.set()
        await lines.fleet.settled()
        assert (lines.there, lines["ab"].why, lines["abc"].why) == ("abd", None, "the plan has changed")

    played(play)


def test_a_plan_that_changes_again_before_it_stands_is_waited_for_anew():
    async def play(lines, running):
        lines.fleet.follow(plan("ab"))
        lines["ab"].up.set()
        await idle()
        lines.fleet.follow(plan("abc"))
        lines.fleet.follow(plan("abcd"))
        await idle()
        assert lines.there == "ababcabcd"
        lines["abc"].up.set()  # too late
        await idle()
        assert lines.there == "ababcabcd"
        lines["abcd"].up.set()
        await lines.fleet.settled()
        assert lines.there == "abcd"

    played(play)


def test_a_connection_of_no_symbol_waits_for_all():
    async def play(lines, running):
        all_of_them = Connection("/all", ("all",), ())
        lines.fleet.follow((all_of_them, *plan("a")))
        await idle()
        lines.fleet.follow(plan("a", "b"))
        lines["b"].up.set()
        await idle()
        assert lines[""].why is None
        lines["a"].up.set()
        await lines.fleet.settled()
        assert lines[""].why == "the plan has changed"

    played(play)


@pytest.mark.parametrize("which", ["ab", "abc"])
def test_what_fails_ends_it_also_while_it_is_about_to_leave(which):
    async def play(lines, running):
        lines.fleet.follow(plan("ab"))
        lines["ab"].up.set()
        await idle()
        lines.fleet.follow(plan("abc"))
        lines[which].failure = StoreFull("no space left")
        lines[which].over.set()
        await asyncio.wait([running])
        assert isinstance(running.exception(), StoreFull)

    played(play)


def test_what_has_left_ends_nothing():
    async def play(lines, running):
        lines.fleet.follow(plan("ab"))
        await idle()
        lines.fleet.follow(plan("c"))
        lines["c"].up.set()
        await lines.fleet.settled()
        await idle()
        assert not running.done()

    played(play)


def test_all_are_ended_also_those_about_to_leave():
    async def play(lines, running):
        lines.fleet.follow(plan("ab"))
        await idle()
        lines.fleet.follow(plan("abc"))
        await idle()

    played(play)
