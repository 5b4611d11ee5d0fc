"""`mdtool clean`: the dry run prints what the real run then does; limits, holds and mistakes in words."""

from __future__ import annotations

import json

import pytest

from mdtool.clock import DAY, HOUR, SECOND
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import seal_feed

FEED = "sim/ALPHA_USDT"
MIDNIGHT = 1_700_006_400 * SECOND
DAYS = 5


@pytest.fixture
def old(tmp_path):
    """A store with two feeds of five parts each, years old."""
    path = tmp_path / "store"
    with Store.create(path) as store:
        for name in (FEED, "sim/BRAVO_USDT"):
            with store.writer(name, sync="none") as writer:
                for day in range(DAYS):
                    for number in range(20):
                        payload = b"%d.%d" % (day, number) * 30
                        writer.append(MIDNIGHT + day * DAY + number, Kind.DATA, writer.stream("trade"), 1, payload)
            assert seal_feed(store.feed(name), MIDNIGHT + 99 * DAY, everything=True).error is None
    return path


def parts(path):
    return sorted(str(part.relative_to(path)) for part in path.rglob("*.parquet"))


def without_mode(report):
    return {name: value for name, value in report.items() if name != "dry_run"}


@pytest.mark.parametrize(
    "options",
    [
        ("--older-than", "7d"),
        ("--older-than", "7d", "--keep-last", "2"),
        ("--max-bytes", "8KiB"),
        ("--max-bytes", "1", "--keep-last", "1"),
        (FEED, "--older-than", "1s", "--closed-chunks"),
        ("--older-than", "100y"),
        (),
    ],
)
def test_the_dry_run_prints_what_the_real_run_then_does(mdtool, old, options):
    if "100y" in options:
        options = ("--older-than", "36500d")
    if not options:
        with Store.create(old) as store:
            store.set(FEED, retain_ns=DAY, keep_last=3)
    before = parts(old)
    planned = mdtool("--store", old, "clean", *options, "--dry-run", "--json")
    text = mdtool("--store", old, "clean", *options, "--dry-run")
    assert (planned.code, planned.err, text.code) == (0, "", 0)
    assert parts(old) == before
    plan = json.loads(planned.out)
    done = mdtool("--store", old, "clean", *options, "--json")
    assert without_mode(json.loads(done.out)) == without_mode(plan)
    going = [one["path"] for feed in plan["feeds"] for one in feed["removals"]]
    assert sorted(str(old / part) for part in before) == sorted([*going, *(str(old / part) for part in parts(old))])
    assert plan["freed_bytes"] == sum(one["bytes"] for feed in plan["feeds"] for one in feed["removals"])
    for feed in plan["feeds"]:
        for one in feed["removals"]:
            assert f"{feed['feed']}  {one['unit']}" in text.out.replace("   ", "  ")
    again = json.loads(mdtool("--store", old, "clean", *options, "--json").out)
    assert [one for feed in again["feeds"] for one in feed["removals"]] == []


def test_what_people_read(mdtool, old, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # fewer break lines between words
    with Store.create(old) as store, store.cursor("sim/BRAVO_USDT", "to-redis") as cursor:
        cursor.lease(HOUR)
    shown = mdtool("--store", old, "clean", "--older-than", "7d", "--keep-last", "4", "--dry-run")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "feed goes records bytes received (UTC) limit"
    assert lines[1].startswith("sim/ALPHA_USDT part 1 20 ")
    assert lines[1].endswith(" 2023-11-15 00:00:00 to 00:00:00 age")
    assert lines[2] == ""
    held = [line for line in lines[4:] if line.startswith("sim/")]
    assert len(held) == 4 + 5
    assert held[0].endswith("keep-last 4")
    assert "cursor to-redis, leased until " in held[4]
    assert lines[-1].startswith("1 part would be removed: ")
    assert mdtool("--store", old, "clean", "--older-than", "7d", "--keep-last", "9").out.splitlines()[-1] == (
        "nothing to remove"
    )
    missed = mdtool("--store", old, "clean", "--max-bytes", "1", "--keep-last", "5")
    assert "the size limit is missed by " in missed.out
    assert len(parts(old)) == 2 * DAYS
    left = mdtool("--store", old, "clean")
    assert (left.code, left.out) == (0, "nothing to remove\n")
    assert "no feed has a policy; give a limit, or set one: mdtool registry set" in left.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--older-than", "soon"), "no duration: 'soon'"),
        (("--older-than", "0s"), "--older-than 0s: expected more than nothing"),
        (("--max-bytes", "0"), "--max-bytes 0: expected more than nothing"),
        (("--max-bytes", "much"), "no size: 'much'"),
        (("--keep-last", "-1"), "--keep-last"),
        (("--closed-chunks",), "--closed-chunks goes with --older-than or --max-bytes"),
        (("NOBODY", "--older-than", "1d"), "NOBODY"),
    ],
)
def test_mistakes_are_one_line_and_remove_nothing(mdtool, old, options, said):
    done = mdtool("--store", old, "clean", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.error_line
    assert len(parts(old)) == 2 * DAYS


def test_a_run_that_was_cut_short_is_finished(mdtool, old, monkeypatch):
    from mdtool.storage import files

    def full(path, directory):
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "move_into", full)
        assert "Input/output error" in mdtool("--store", old, "clean", FEED, "--older-than", "7d").error_line
    assert len(parts(old)) == 2 * DAYS  # marked, and not yet gone
    assert mdtool("--store", old, "registry", "list", FEED, "--json").code == 0
    found = mdtool("--store", old, "verify", FEED)
    assert (found.code, found.out.count("is half removed, expected it to be gone; run: mdtool clean")) == (1, DAYS)
    dry = mdtool("--store", old, "clean", FEED, "--dry-run")
    assert f"{DAYS} chunks that an earlier run had begun to remove would be taken away for good" in dry.out
    done = mdtool("--store", old, "clean", FEED, "--older-than", "7d", "--json")
    assert (done.code, json.loads(done.out)["finished"]) == (0, DAYS)
    assert len(parts(old)) == DAYS
    assert mdtool("--store", old, "verify", FEED).code == 0


def test_none_kept_in_any_case_is_not_the_same_as_nothing_said(mdtool, old):
    """The feed's policy keeps three parts whatever happens; whoever says --keep-last 0 means it."""
    with Store.create(old) as store:
        store.set(FEED, retain_ns=DAY, keep_last=3)

    def gone(*options):
        said = json.loads(mdtool("--store", old, "clean", "--dry-run", "--json", *options).out)
        return [len(feed["removals"]) for feed in said["feeds"]]

    assert gone() == [2]
    assert gone("--keep-last", "1") == [4]
    assert gone("--keep-last", "0") == [5]
