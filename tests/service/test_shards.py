"""Recorders are kept running: what ends them, what is started again, and what ends the run; with processes that do what
a test tells them to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from msgspec import structs
from patience import LONGEST, until, wait_until

from mdtool.capture.backoff import Backoff
from mdtool.capture.child import environment
from mdtool.capture.options import TIME_IS_OVER, record_options
from mdtool.errors import FeedLocked, MdtoolError
from mdtool.service import shards as module
from mdtool.service import taking
from mdtool.service.assignment import Assignment, assignment, read
from mdtool.service.control import Follow, Ping, Reload, ask
from mdtool.service.roster import Ended, Roster
from mdtool.service.shards import ShardFailed, Shards, Work
from mdtool.service.taking import free_name, take_over
from mdtool.storage.store import Store
from mdtool.venues import catalog

FAKE = [sys.executable, "-P", str(Path(__file__).with_name("fake_shard.py"))]
OPTIONS = record_options(catalog.get("sim"), ("ALPHA_USDT",))


class Talk(list):
    def __call__(self, name, event, text):
        self.append((name, event, text))

    def of(self, event):
        return [text for _, one, text in self if one == event]


class Place:
    """A store whose recorders do what `script` says, life by life."""

    def __init__(self, path):
        with Store.create(path) as store:
            self.path = store.path
        self.roster = Roster(self.path)
        self.talk = Talk()

    def script(self, *lives):
        (self.path / "script").write_text("\n".join(lives))

    def lives(self) -> list[Assignment]:
        """What each life was told."""
        try:
            return [read(line) for line in (self.path / "lives").read_bytes().splitlines()]
        except FileNotFoundError:
            return []

    def work(self, name="sim", **more):
        return Work(structs.replace(assignment(name, str(self.path), OPTIONS), **more))

    def start(self, work):
        """A recorder that somebody else has begun."""
        process = subprocess.Popen(FAKE, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
        assert process.stdin is not None
        process.stdin.write(structs.replace(work.assignment, life="theirs").to_line())
        process.stdin.close()

        def there():
            try:
                return ask(self.roster.socket(work.assignment.name), Ping())["ok"]
            except MdtoolError:
                return False  # it does not listen yet

        wait_until(there)
        return process

    def taken(self, wanted=None):
        (member,) = take_over(self.roster, (wanted or self.work()).assignment)
        return Work(member.duty.assignment, member.duty.pid)

    def run(self, *works, beside=None):
        """How each ended; `beside(shards)` runs meanwhile."""

        async def main():
            shards = self.shards = Shards(self.roster, works or [self.work()], self.talk, Random(1))
            running = asyncio.ensure_future(shards.run())
            if beside is not None:
                await beside(shards)
            async with asyncio.timeout(LONGEST):
                return await running

        return asyncio.run(main())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "command", lambda name: FAKE)
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.05)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "store")
    yield made
    for member in made.roster.members():
        if member.alive:
            os.kill(member.duty.pid, signal.SIGKILL)


def words(ended):
    return [(one.code, one.why, one.error) for one in ended]


def told(place, text):
    async def wait(shards):
        await until(lambda: text in place.talk.of("connected"))

    return wait


def test_one_is_told_to_stop_and_says_why_it_has(place):
    place.script("stay")

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        shards.stop("interrupted")
        shards.stop("and again")

    assert words(place.run(beside=beside)) == [(0, "interrupted", "")]
    assert place.talk == [("sim", "connected", "sim does stay"), ("", "stopping", "stopping: interrupted")]
    assert place.shards.totals()["records"] == 11


def test_told_to_stop_while_it_starts_it_stops_once_it_has(place):
    place.script("stay")

    async def beside(shards):
        await until(place.lives)
        shards.stop("interrupted")

    assert words(place.run(beside=beside)) == [(0, "interrupted", "")]


def test_one_that_is_killed_is_started_again_with_what_it_was_told_and_why(place):
    place.script("killed", "killed early", "stay")

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        assert shards.totals() == dict.fromkeys(shards.totals(), 0) | {"records": 20, "connections": 1}
        shards.stop("enough")

    assert words(place.run(beside=beside)) == [(0, "enough", "")]
    first, second, third = place.lives()
    assert len({first.life, second.life, third.life}) == 3
    plain = structs.replace(first, life="", after="")
    assert plain == place.work().assignment
    assert [structs.replace(one, life="") for one in (second, third)] == [
        structs.replace(plain, after="killed by signal 9")
    ] * 2
    again = "the recorder has ended: killed by signal 9; starting it again in 0.1 s"
    assert [text.replace("0.0 s", "0.1 s") for text in place.talk.of("recorder")] == [again] * 2
    assert place.shards.totals()["records"] == 10 + 11


@pytest.mark.parametrize("life", ["full", "full mute"])
def test_one_whose_store_is_full_is_started_again_until_there_is_room(place, life):
    """Also where it finds no room when it comes back: it had begun once."""
    place.script(life, "refused", "die", "stay")

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        shards.stop("enough")

    assert words(place.run(beside=beside)) == [(0, "enough", "")]
    whys = [text.partition(";")[0] for text in place.talk.of("recorder")]
    assert whys == [
        "the recorder has ended: no space left",
        "the recorder has ended: no space left",
        "the recorder has ended: it cannot be done",
    ]


@pytest.mark.parametrize(
    ("life", "fail_fast", "why"),
    [("die", False, "it cannot be done"), ("refused", False, "no space left"), ("full", True, "no space left")],
)
def test_what_it_cannot_begin_or_must_not_go_on_with_ends_the_run(place, life, fail_fast, why):
    place.script(life)
    with pytest.raises(ShardFailed, match=f"^{why}$"):
        place.run(place.work(fail_fast=fail_fast))
    assert len(place.lives()) == 1


def test_one_that_cannot_be_started_is_said_in_a_line(place, monkeypatch):
    monkeypatch.setattr(module, "command", lambda name: ["/nowhere/python"])
    with pytest.raises(ShardFailed, match=r"^the recorder cannot be started: .*No such file or directory"):
        place.run()


def test_where_one_fails_the_others_are_told_to_end(place):
    place.script("stay", "die")

    async def main():
        shards = Shards(place.roster, [place.work()], place.talk, Random(1))
        shards._shards.append(module._Shard(place.work("sim-2"), Backoff(Random(1))))
        keep, gate = shards._keep, asyncio.Event()

        async def later(shard):
            if shard.name == "sim-2":
                await gate.wait()
            return await keep(shard)

        shards._keep = later
        running = asyncio.ensure_future(shards.run())
        await told(place, "sim does stay")(shards)
        gate.set()
        with pytest.raises(ShardFailed, match=r"^it cannot be done$"):
            await running

    asyncio.run(main())
    assert place.talk.of("stopping") == ["stopping: another recorder of this run has failed"]
    assert place.roster.ended("sim", place.lives()[0].life).why == "another recorder of this run has failed"


def test_what_an_earlier_run_left_is_not_this_ones(place):
    """Neither its end nor its assignment, where a life dies before it has said anything."""
    place.script("over", "killed early", "over")
    assert words(place.run(place.work(symbols=("ZULU_USDT",)))) == [(0, "over", "")]
    assert words(place.run()) == [(0, "over", "")]
    assert [one.symbols for one in place.lives()] == [("ZULU_USDT",), ("ALPHA_USDT",), ("ALPHA_USDT",)]


def test_what_it_was_told_to_record_meanwhile_is_what_it_is_started_again_with(place):
    place.script("stay", "stay")

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        await asyncio.to_thread(ask, place.roster.socket("sim"), Reload(("BRAVO_USDT",)))
        os.kill(place.roster.member("sim").duty.pid, signal.SIGKILL)
        await until(lambda: len(place.talk.of("connected")) == 2)
        shards.stop("enough")

    place.run(beside=beside)
    assert [one.symbols for one in place.lives()] == [("ALPHA_USDT",), ("BRAVO_USDT",)]


def test_the_time_that_is_left_is_what_it_is_started_again_for(place):
    place.script("killed", "over")
    place.run(place.work(seconds=3600.0))
    first, second = (one.seconds for one in place.lives())
    assert first == 3600.0
    assert 3600.0 - 2 * LONGEST < second < 3600.0


def test_where_no_time_is_left_it_is_not_started_again(place):
    place.script("killed")
    assert words(place.run(place.work(seconds=1e-3))) == [(1, "killed by signal 9", "")]


def test_one_that_waits_to_be_started_again_is_told_to_end_from_elsewhere(place):
    place.script("killed")

    async def beside(shards):
        await until(lambda: place.talk.of("recorder"))

    gone = []

    class Marking(Backoff):
        def next_wait(self):
            life = place.lives()[0].life
            place.roster.has_ended("sim", Ended(0, "told to stop", life=life))
            gone.append(life)
            return 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Backoff", Marking)
        assert words(place.run(beside=beside)) == [(0, "told to stop", "")]
    assert gone == [place.lives()[0].life]


def test_told_to_stop_while_it_waits_it_is_not_started_again(place, monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 3600.0)
    place.script("full")

    async def beside(shards):
        await until(lambda: place.talk.of("recorder"))
        shards.stop("interrupted")

    assert words(place.run(beside=beside)) == [(2, "failed", "no space left")]


def test_one_that_is_held_is_let_go_on_to_end(place, monkeypatch):
    """SIGSTOP, and then the end is asked for: nothing that it has to write is lost."""
    monkeypatch.setattr(module, "GRACE", LONGEST)
    place.script("held")

    async def beside(shards):
        await told(place, "sim does held")(shards)
        os.kill(place.roster.member("sim").duty.pid, signal.SIGSTOP)
        shards.stop("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(module.asyncio, "sleep", _short(0.05, LONGEST))
        assert words(place.run(beside=beside)) == [(0, "interrupted", "")]


def _short(first, second):
    """Of the two long waits for an end the first is over soon, the second never in vain."""
    sleep, waits = asyncio.sleep, iter((first, second))

    async def wait(seconds, *more):
        await sleep(next(waits) if seconds == LONGEST else seconds, *more)

    return wait


def test_one_that_does_not_end_is_killed(place, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.05)
    place.script("deaf")

    async def beside(shards):
        await told(place, "sim does deaf")(shards)
        shards.stop("interrupted")

    assert words(place.run(beside=beside)) == [(1, "killed by signal 9", "")]
    assert place.talk.of("recorder") == ["told to end 0.1 s ago, and has not: killed"]


def test_all_are_killed_at_once(place):
    place.script("deaf", "deaf")

    async def beside(shards):
        await until(lambda: len(place.talk.of("connected")) == 2)
        shards.stop("interrupted")
        shards.kill()

    assert words(place.run(place.work(), place.work("sim-2"), beside=beside)) == [(1, "killed by signal 9", "")] * 2


def test_where_a_name_is_taken_another_one_is(place):
    """Two runs that begin at once look for a free name at once."""
    place.script("stay", "stay", "stay")
    theirs = place.start(place.work())

    async def beside(shards):
        await told(place, "sim-2 does stay")(shards)
        shards.stop("enough")

    assert words(place.run(place.work(symbols=("BRAVO_USDT",)), beside=beside)) == [(0, "enough", "")]
    assert theirs.poll() is None


# -- taking over -------------------------------------------------------------------------------------------------------


def test_one_that_is_left_alone_is_taken_over_as_it_is(place):
    place.script("stay")
    theirs = place.start(place.work())

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        shards.stop("enough")

    assert words(place.run(place.taken(), beside=beside)) == [(0, "enough", "")]
    assert (theirs.wait(), len(place.lives())) == (0, 1)


def test_one_that_was_taken_over_is_started_again_like_any_other(place):
    place.script("stay", "stay")
    theirs = place.start(place.work())

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        theirs.kill()
        theirs.wait()
        await until(lambda: len(place.talk.of("connected")) == 2)
        shards.stop("enough")

    assert words(place.run(place.taken(), beside=beside)) == [(0, "enough", "")]
    assert place.lives()[1].after == "it is gone"


def test_one_that_was_taken_over_ends_when_this_runs_time_is_over(place):
    place.script("stay")
    theirs = place.start(place.work())
    work = place.taken()
    assert words(place.run(Work(structs.replace(work.assignment, seconds=0.2), work.pid))) == [(0, TIME_IS_OVER, "")]
    assert theirs.wait() == 0


def test_one_whose_own_time_is_over_earlier_goes_on_for_this_run(place):
    place.script("over", "stay")
    theirs = place.start(place.work())

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        shards.stop("enough")

    assert words(place.run(place.taken(), beside=beside)) == [(0, "enough", "")]
    assert (theirs.wait(), len(place.lives())) == (0, 2)


def test_what_does_part_of_it_is_found_and_what_does_something_else_is_not(place):
    place.script("stay", "stay")
    place.start(place.work("sim", symbols=("ALPHA_USDT",)))
    place.start(place.work("sim-2", symbols=("BRAVO_USDT", "ZULU_USDT")))
    wanted = place.work(symbols=("BRAVO_USDT", "ALPHA_USDT")).assignment
    assert [member.name for member in take_over(place.roster, wanted)] == ["sim"]
    assert take_over(place.roster, structs.replace(wanted, streams=("trade",))) == []
    assert free_name(place.roster, "sim", set()) == "sim-3"
    assert free_name(place.roster, "sim", {"sim-3"}) == "sim-4"


def test_one_that_has_somebody_is_not_taken(place):
    place.script("stay")
    theirs = place.start(place.work())
    work = place.taken()
    says = (
        rf"^the recorder 'sim' \(pid {theirs.pid}\) records this already; see: mdtool status, to end it: mdtool stop$"
    )

    async def beside(shards):
        await told(place, "sim does stay")(shards)
        with pytest.raises(FeedLocked, match=says):
            await asyncio.to_thread(take_over, place.roster, place.work().assignment)
        # Two that saw it alone at the same moment: the second is refused.
        with pytest.raises(FeedLocked, match=says):
            await Shards(place.roster, [work], Talk(), Random(2)).run()
        with pytest.raises(MdtoolError, match="another process keeps this recorder running"):
            await asyncio.to_thread(ask, place.roster.socket("sim"), Follow(supervisor=True))
        shards.stop("enough")

    assert words(place.run(work, beside=beside)) == [(0, "enough", "")]


def test_one_that_does_not_answer_is_left_alone(place, monkeypatch):
    monkeypatch.setattr(taking, "ANSWER", 0.05)
    place.script("stay")
    theirs = place.start(place.work())
    theirs.send_signal(signal.SIGSTOP)
    with pytest.raises(FeedLocked, match=r"records this already, and does not answer: .*no answer within 0\.05 s$"):
        take_over(place.roster, place.work().assignment)
    theirs.send_signal(signal.SIGCONT)


def test_the_run_may_go_and_the_recorder_stays(place):
    place.script("stay")

    async def main():
        shards = Shards(place.roster, [place.work()], place.talk, Random(1))
        running = asyncio.ensure_future(shards.run())
        await told(place, "sim does stay")(shards)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(main())
    assert place.roster.member("sim").alive
    wait_until(lambda: not ask(place.roster.socket("sim"), Ping())["supervised"])  # it has seen its end
    assert place.taken().pid == place.roster.member("sim").duty.pid
