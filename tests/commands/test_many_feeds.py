"""What a command costs by the number of feeds, counted in calls and in what it asks of the file system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.commands.tasks.survey import feed_rows
from mdtool.model import Kind
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND
NAMES = [f"sim/S{number:03}_USDT" for number in range(20)]
SIZES = (10, 30, 90)
COMMANDS = (
    ("registry", "list", "--json"),
    ("registry", "verify", "--json"),
    ("tail", "--json"),
    ("audit", "--json"),
    ("verify", "--json"),
    ("seal", "--all", "--dry-run", "--json"),
    ("clean", "--max-bytes", "1KiB", "--dry-run", "--json"),
    ("replay",),
)


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def opened(monkeypatch):
    """How often a file was opened, by its name."""
    seen, real = Counter(), os.open

    def counted(path, *given, **named):
        seen[os.path.basename(path)] += 1
        return real(path, *given, **named)

    monkeypatch.setattr(os, "open", counted)
    return seen


def test_the_list_of_feeds_opens_what_it_needs_of_each_once(store, opened):
    writers = store.writers(NAMES, clock=ManualClock(NOON)).values()
    for writer in writers:
        writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
    opened.clear()
    held = feed_rows(store, store.feeds())
    # The lock is looked at twice, so that nobody came or went in between.
    assert opened == {"feed.bin": 20, "writer.lock": 40, "00000001.idx": 20, "00000001.dat": 20}
    for writer in writers:
        writer.close()
    opened.clear()
    ended = feed_rows(store, store.feeds())
    assert opened == {"feed.bin": 20, "writer.lock": 40}
    assert [row.feed for row in held] == NAMES
    assert {(row.records, row.first_ns, row.last_ns, row.payload_bytes) for row in (*held, *ended)} == {
        (1, NOON, NOON, 1)
    }
    assert ended == [replace(row, writer="gone") for row in held]


def test_the_list_of_feeds_loads_no_venue(store):
    store.writer(NAMES[0]).close()
    code = (
        "import sys; from mdtool.commands.main import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(name for name in sys.modules if name.startswith('mdtool.venues')))"
    )
    command = [sys.executable, "-c", code, "--store", str(store.path), "registry", "list", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (NAMES[0] in ran.stdout, ran.stderr) == (True, "")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores of so many feeds, each with a few records of its own times."""
    top = tmp_path_factory.mktemp("stores")
    for size in SIZES:
        names = [f"sim/S{number:03}_USDT" for number in range(size)]
        with Store.create(top / str(size)) as made:
            writers = made.writers(names, clock=ManualClock(NOON), sync="none").values()
            for number, writer in enumerate(writers):
                for turn in range(3):
                    at = NOON + turn * SECOND + number
                    writer.append(at, Kind.DATA, writer.stream("trade"), made.next_session(), b"{}")
                writer.close()
    return top


def calls(work):
    """How many calls of functions it takes."""
    count = 0

    def counted(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_feed_costs_the_same_however_many_there_are(mdtool, stores, command):
    def cost(size):
        return calls(lambda: mdtool("--store", stores / str(size), *command))

    cost(SIZES[0])  # the first run loads what it needs
    few, more, many = map(cost, SIZES)
    each, then = (more - few) / (SIZES[1] - SIZES[0]), (many - more) / (SIZES[2] - SIZES[1])
    assert then == pytest.approx(each, rel=0.1)  # what sorting takes, and a dictionary that grows
