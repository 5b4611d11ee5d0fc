"""What is recorded changes while recorders run: who comes, who goes, who is told, and who never notices."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from patience import until
from test_shards import Place, place, quick, words  # noqa: F401 - fixtures

from mdtool.errors import MdtoolError
from mdtool.service.assignment import Assignment
from mdtool.service.following import NO_LONGER, Followed, follow
from mdtool.service.shards import ShardFailed, Shards

A, B, C = "ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT"


def one(place: Place, name: str, *symbols: str) -> Assignment:  # noqa: F811
    return structs.replace(place.work(name).assignment, symbols=symbols)


def lives(place: Place) -> list[tuple[str, tuple[str, ...]]]:  # noqa: F811
    return [(life.name, life.symbols) for life in place.lives()]


def symbols(place: Place, name: str) -> tuple[str, ...]:  # noqa: F811
    member = place.roster.member(name)
    assert member is not None
    return member.duty.assignment.symbols


async def all_there(place: Place, *names: str) -> None:  # noqa: F811
    await until(lambda: {name for name, event, _ in place.talk if event == "connected"} >= set(names))


def test_recorders_come_and_go_and_the_rest_never_notices(place):  # noqa: F811
    place.script("stay", "stay", "stay")
    found = []

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim", "sim-2")
        rest = structs.replace(shards.assignments()[0])
        found.append(await follow(shards, [rest, one(place, "sim-3", C)]))
        found.append(await follow(shards, [rest, one(place, "sim-3", C)]))
        await all_there(place, "sim-3")
        assert {life.name for life in shards.assignments()} == {"sim", "sim-3"}
        shards.stop("enough")

    works = [structs.replace(one(place, name, symbol)) for name, symbol in (("sim", A), ("sim-2", B))]
    ended = place.run(*(place.work(work.name, symbols=work.symbols) for work in works), beside=beside)
    assert found == [
        Followed(added=(f"sim/{C}",), removed=(f"sim/{B}",), begun=("sim-3",), ended=("sim-2",)),
        Followed(),
    ]
    assert sorted(words(ended)) == [(0, "enough", ""), (0, "enough", ""), (0, NO_LONGER, "")]
    assert sorted(lives(place)) == [("sim", (A,)), ("sim-2", (B,)), ("sim-3", (C,))]
    assert place.shards.totals()["records"] == 33  # those of the one that left with them


def test_one_is_told_of_other_symbols_and_keeps_its_life(place):  # noqa: F811
    place.script("stay")
    found = []

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim")
        (now,) = shards.assignments()
        found.append(await follow(shards, [structs.replace(now, symbols=(B, C))]))
        assert symbols(place, "sim") == (B, C)
        assert [life.symbols for life in shards.assignments()] == [(B, C)]
        shards.stop("enough")

    place.run(place.work(symbols=(A, B)), beside=beside)
    assert found == [Followed(added=(f"sim/{C}",), removed=(f"sim/{A}",))]
    assert lives(place) == [("sim", (A, B))]


def test_what_one_is_to_have_of_another_is_given_up_first(place):  # noqa: F811
    place.script("stay", "stay")
    told = []

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim", "sim-2")
        give = shards.give

        async def noted(name: str, given: tuple[str, ...]) -> None:
            told.append((name, given))
            await give(name, given)

        shards.give = noted  # type: ignore[method-assign]
        there = {now.name: now for now in shards.assignments()}
        done = await follow(
            shards,
            [structs.replace(there["sim"], symbols=(A,)), structs.replace(there["sim-2"], symbols=(B, C))],
        )
        assert done == Followed(moved=(f"sim/{B}",))
        shards.stop("enough")

    place.run(place.work(symbols=(A, B)), place.work("sim-2", symbols=(C,)), beside=beside)
    assert told == [("sim", (A,)), ("sim", (A,)), ("sim-2", (B, C))]


def test_all_may_be_replaced_and_the_job_goes_on(place):  # noqa: F811
    place.script("stay", "stay")

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim")
        done = await follow(shards, [one(place, "sim-2", A)])
        assert done == Followed(moved=(f"sim/{A}",), begun=("sim-2",), ended=("sim",))
        await all_there(place, "sim-2")
        shards.stop("enough")

    assert words(place.run(place.work(symbols=(A,)), beside=beside)) == [
        (0, NO_LONGER, ""),
        (0, "enough", ""),
    ]


def test_a_new_one_that_cannot_begin_fails_alone(place):  # noqa: F811
    place.script("stay", "die")

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim")
        (now,) = shards.assignments()
        done = await follow(shards, [now, one(place, "sim-2", B)])
        assert done.errors == (("sim-2", "it could not begin; the log says why"),)
        await until(lambda: place.talk.of("failed"))
        assert place.talk.of("failed") == ["the recorder sim-2 has failed: it cannot be done"]
        assert [life.name for life in shards.assignments()] == ["sim"]
        shards.stop("enough")

    assert words(place.run(place.work(symbols=(A,)), beside=beside)) == [(0, "enough", "")]


def test_one_that_must_begin_and_cannot_ends_the_job(place):  # noqa: F811
    place.script("stay", "die")

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim")
        (now,) = shards.assignments()
        await follow(shards, [now, one(place, "sim-2", B)], must=True)

    with pytest.raises(ShardFailed, match="it cannot be done"):
        place.run(place.work(symbols=(A,)), beside=beside)
    assert place.talk.of("stopping") == ["stopping: another recorder of this run has failed"]


def test_one_that_has_no_life_just_now_gets_what_it_is_given_with_the_next(place, monkeypatch):  # noqa: F811
    from mdtool.capture.backoff import Backoff

    monkeypatch.setattr(Backoff, "next_wait", lambda self: 1.0)
    place.script("killed", "stay")

    async def beside(shards: Shards) -> None:
        await until(lambda: any("has ended" in text for text in place.talk.of("recorder")))
        (now,) = shards.assignments()
        done = await follow(shards, [structs.replace(now, symbols=(B,))])
        assert done == Followed(added=(f"sim/{B}",), removed=(f"sim/{A}",))
        await until(lambda: "sim does stay" in place.talk.of("connected"))
        shards.stop("enough")

    place.run(place.work(symbols=(A,)), beside=beside)
    assert lives(place) == [("sim", (A,)), ("sim", (B,))]


def test_what_one_refuses_keeps_no_other_from_it(place):  # noqa: F811
    place.script("stay", "stay")

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim", "sim-2")
        give = shards.give

        async def refusing(name: str, given: tuple[str, ...]) -> None:
            if name == "sim":
                raise MdtoolError("no room")
            await give(name, given)

        shards.give = refusing  # type: ignore[method-assign]
        there = {now.name: now for now in shards.assignments()}
        done = await follow(
            shards, [structs.replace(there["sim"], symbols=(A, B)), structs.replace(there["sim-2"], symbols=(C, "D"))]
        )
        assert done.errors == (("sim", "no room"),)
        assert symbols(place, "sim-2") == (C, "D")
        shards.stop("enough")

    place.run(place.work(symbols=(A,)), place.work("sim-2", symbols=(C,)), beside=beside)


def test_what_is_added_to_a_job_that_ends_ends_with_it(place):  # noqa: F811
    place.script("stay", "stay")

    async def beside(shards: Shards) -> None:
        await all_there(place, "sim")
        (now,) = shards.assignments()
        with shards.while_changing():
            shards.stop("enough")
            await follow(shards, [now, one(place, "sim-2", B)])
            await asyncio.sleep(0)

    assert words(place.run(place.work(symbols=(A,)), beside=beside)) == [(0, "enough", "")] * 2
