"""What a venue's REST may be asked is one budget for all recorders of a store, and none of them can keep it from the
others."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
import threading

import pytest

from mdtool.capture import budget as module
from mdtool.capture.budget import LAYOUT, MAGIC, Budget

SECOND = 1_000_000_000
URL = "https://api.example:8443"


class Clock:
    def __init__(self, now=1_000 * SECOND):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def taken(budget, seconds=0.5):
    return asyncio.run(budget.take(seconds))


def test_two_recorders_share_and_venues_and_hosts_do_not(tmp_path, clock):
    first, second = (Budget(tmp_path / "run", "venue", URL, clock) for _ in range(2))
    assert first.path == tmp_path / "run" / "venue.api.example-8443.rest"
    assert (taken(first), taken(second), taken(first)) == (0.0, 0.5, 0.5)
    clock.now += SECOND // 2
    assert (taken(second), taken(first)) == (0.0, 0.5)
    asyncio.run(second.rest(30.0))
    assert (taken(first), taken(second)) == (30.0, 30.0)
    assert taken(Budget(tmp_path / "run", "another", URL, clock)) == 0.0
    assert taken(Budget(tmp_path / "run", "venue", "http://127.0.0.1:7801", clock)) == 0.0
    clock.now += 30 * SECOND
    assert (taken(first), taken(second)) == (0.0, 0.5)


def test_a_shorter_ban_takes_nothing_from_a_longer_one(tmp_path, clock):
    first, second = (Budget(tmp_path, "venue", URL, clock) for _ in range(2))
    asyncio.run(first.rest(30.0))
    asyncio.run(second.rest(5.0))
    assert taken(second) == 30.0


CHILD = """
import asyncio, sys, time
from pathlib import Path
from mdtool.capture.budget import Budget
async def main():
    budget = Budget(Path(sys.argv[1]), "venue", "https://api.example:8443")
    for _ in range(10):
        while wait := await budget.take(0.02):
            await asyncio.sleep(wait)
        print(time.monotonic_ns(), flush=True)
asyncio.run(main())
"""


def test_processes_together_ask_no_more_often_than_one_may(tmp_path):
    """Ten each of four, 20 ms apart: no two of all forty were granted the same 20 ms."""
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(4)
    ]
    times = sorted(int(line) for child in children for line in child.communicate()[0].split())
    assert len(times) == 40
    assert times[-1] - times[0] >= 38 * 20_000_000  # each is printed some time after it was granted


def test_who_is_stopped_with_the_lock_stops_nobody(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "LOCK_TRIES", 2)
    first, second = (Budget(tmp_path, "venue", URL, clock) for _ in range(2))
    assert taken(first) == 0.0
    fd = os.open(first.path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert (taken(second), taken(first)) == (0.5, 0.5)  # and what was taken is known all the same
        clock.now += SECOND
        assert (taken(second), taken(first)) == (0.0, 0.5)
    finally:
        os.close(fd)


def test_a_file_that_hangs_leaves_each_with_what_it_knows(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "FILE_TIMEOUT", 0.05)
    budget = Budget(tmp_path, "venue", URL, clock)
    release, opened = threading.Event(), []
    real = budget._open

    def hang():
        opened.append(None)
        release.wait()
        return real()

    budget._open = hang
    try:
        assert (taken(budget), taken(budget)) == (0.0, 0.5)
        asyncio.run(budget.rest(7.0))
        assert taken(budget) == 7.0
        assert len(opened) == 1  # it is not waited for again while it hangs
        hanging = budget._hanging
    finally:
        release.set()
    hanging.join()
    budget._open = real
    assert taken(budget) == 7.0
    assert taken(Budget(tmp_path, "venue", URL, clock)) == 7.0  # and the others learn what it knew


def test_a_file_that_cannot_be_had_leaves_each_with_what_it_knows(tmp_path, clock):
    (tmp_path / "file").touch()
    budget = Budget(tmp_path / "file", "venue", URL, clock)
    assert (taken(budget), taken(budget)) == (0.0, 0.5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff" * 200,
        LAYOUT.pack(MAGIC, b"x" * 36, 1_050 * SECOND, 1_050 * SECOND),  # of another machine, or another start of it
        LAYOUT.pack(MAGIC, module._boot(), 1 << 62, 0),  # further ahead than anybody may ask for
        LAYOUT.pack(MAGIC, module._boot(), 0, 10_000 * SECOND),
        struct.pack("<8s36sqq", b"mdtREST9", module._boot(), 1_050 * SECOND, 0),
    ],
)
def test_what_is_no_time_of_this_machine_is_nobodys(tmp_path, clock, content):
    budget = Budget(tmp_path, "venue", URL, clock)
    budget.path.write_bytes(content)
    assert (taken(budget), taken(Budget(tmp_path, "venue", URL, clock))) == (0.0, 0.5)


def test_a_link_in_its_place_is_not_followed(tmp_path, clock):
    budget = Budget(tmp_path / "run", "venue", URL, clock)
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    budget.path.symlink_to(tmp_path / "precious")
    assert (taken(budget), taken(budget)) == (0.0, 0.5)
    assert (tmp_path / "precious").read_bytes() == b"precious"
