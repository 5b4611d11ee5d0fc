"""A recorder in a storm: what it was sent is stored to the byte, the audit names what was done to it and nothing else,
and every book is whole again behind it, and right."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from comparing import (
    Course,
    audited,
    by_stream,
    course,
    frames_missing,
    spans,
    stored,
    told,
    true_books,
)
from patience import LONGEST, PATIENCE
from storming import Books, Storming, Weather, storm

from mdtool.books.sync import BookState
from mdtool.capture.child import command, environment
from mdtool.exchange.storm import Shares

SECONDS = float(os.environ.get("MDTOOL_STORM_SECONDS") or 90)
STREAMS = frozenset({"depth@100ms", "trade", "bookTicker"})
FAULTS = Shares(drop=0.001, repeat=0.001, swap=0.001, corrupt=0.0005, cut=0.00001)
MOST_PRIVATE = 96 * 1024  # KiB, of recorder and sidecar together: measured 49 + 24 MiB at 50 symbols
MOST_MAPPED = 192 * 1024  # KiB of files they have mapped: 80 + 35 MiB, libraries among them


def check(tmp_path: Path, weather: Weather) -> tuple[Storming, list[Course]]:
    """A storm, and the recording held to the exchange. What it came to, and the course of each stream."""
    store = tmp_path / "store"
    came = asyncio.run(storm(store, weather))
    assert came.exit_code == 0, came.said
    truth, there, injected = told(weather, came, STREAMS), stored(store), by_stream(came.ledger)
    assert frames_missing(there, came.ledger) == []
    courses = {key: course(one, there.streams[key], injected[key]) for key, one in truth.items()}
    assert [text for one in courses.values() for text in one.unexplained] == []
    known = {one for stream in truth.values() for one in stream.digests}
    spoiled = [
        one for (_, stream), some in there.streams.items() if stream != "session" for one, _ in some if one not in known
    ]
    assert len(spoiled) <= sum(fault.fault == "corrupt" for fault in came.ledger.injected)

    said, undecodable, other = audited(audit(store))
    assert other == Counter()
    assert undecodable.total() == len(spoiled)
    nothing: dict[str, list[tuple[int, int]]] = {"missing": [], "again": [], "late": []}
    for key, one in courses.items():
        found = said.get(key, nothing)
        if key[1] == "bookTicker":  # ids that only rise: what is missing cannot be seen, and a repeat may look late
            assert (key, found["missing"], sorted(found["again"] + found["late"])) == (
                key, [], sorted(one.repeated + one.late)
            )  # fmt: skip
            continue
        assert (key, spans(found["missing"])) == (key, one.gaps)
        assert (key, sorted(found["again"]), sorted(found["late"])) == (key, sorted(one.repeated), sorted(one.late))

    books = Books(store, weather).read()
    last = {}
    for symbol in weather.names:
        key, sync = (symbol, "depth@100ms"), books[symbol]
        assert sync is not None
        # Of the last message that is there, or ahead of it where a whole book was fetched at the very end.
        number = bisect_left([one for _, one in truth[key].ids], sync.last_seq)
        assert number >= courses[key].newest
        last[symbol] = sync.last_seq
    right = true_books(weather, came, last)
    for symbol, sync in books.items():
        assert sync is not None
        assert (symbol, sync.state, sync.last_seq) == (symbol, BookState.SYNCED, right[symbol].update_id)
        bids, asks = sync.book.top(1 << 30)
        assert (symbol, list(bids), list(asks)) == (
            symbol, list(right[symbol].bids.items()), list(right[symbol].asks.items())
        )  # fmt: skip
    return came, list(courses.values())


def audit(store: Path) -> dict[str, Any]:
    arguments = ("--store", str(store), "audit", "--json")
    done = subprocess.run(
        command("mdtool", *arguments), env=environment(), capture_output=True, timeout=10 * LONGEST, check=False
    )
    assert done.returncode == 1, done.stderr  # there are findings
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_short_storm(tmp_path):
    shares = Shares(drop=0.01, repeat=0.01, swap=0.01, corrupt=0.01, cut=0.0005)
    came, courses = check(tmp_path, Weather("sim", 6, 200.0, 4.0, shares, seed=3))
    faults = Counter(fault.fault for fault in came.ledger.injected)
    assert min(faults[fault] for fault in ("drop", "repeat", "swap", "corrupt")) > 0
    assert (
        any(one.lost for one in courses) and any(one.repeated for one in courses) and any(one.late for one in courses)
    )


@pytest.mark.slow
@pytest.mark.timeout((SECONDS * 3 + 1800) * PATIENCE)
@pytest.mark.parametrize(("venue", "symbols"), [("sim", 50), ("binance", 12)])
def test_a_storm(tmp_path, venue, symbols, capsys):
    """Fifty symbols; and a venue whose limit lets it fetch a book each 2.5 s only, whatever happens."""
    came, _ = check(tmp_path, Weather(venue, symbols, 160.0, SECONDS, FAULTS))
    private = sum(peak["RssAnon"] for peak in came.memory.values())
    mapped = sum(peak["RssFile"] for peak in came.memory.values())
    faults = dict(Counter(fault.fault for fault in came.ledger.injected))
    rate = came.ledger.frames / came.seconds
    said = (
        f"{venue}: {came.ledger.frames:,} frames in {came.seconds:.0f} s ({rate:,.0f} a second) over "
        f"{len(came.ledger.sent)} connections, {faults}; whole again after {came.calm:.0f} s; "
        f"{private // 1024} MiB private and {mapped // 1024} MiB mapped at most"
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{said}\n")
    assert private < MOST_PRIVATE and mapped < MOST_MAPPED, said
