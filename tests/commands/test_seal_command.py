"""`mdtool seal`, as typed."""

from __future__ import annotations

import json

from mdtool.storage.format.layout import Location
from mdtool.storage.store import Store


def locations(store):
    with Store.open(store) as opened:
        return {info.location for feed in opened.feeds() for info in opened.reader(feed.name).chunks()}


def test_seal_says_beforehand_what_it_does_and_does_it_once(mdtool, alpha):
    before = mdtool("--store", alpha, "tail", "-n", "100000", "--json", "ALPHA_USDT")
    assert before.out.count("\n") > 500
    planned = json.loads(mdtool("--store", alpha, "seal", "--all", "--dry-run", "--json").out)
    assert locations(alpha) == {Location.DISK}
    done = mdtool("--store", alpha, "seal", "--all", "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert (planned["dry_run"], report["dry_run"]) == (True, False)
    counted = ("feed", "first_chunk", "chunks", "records", "payload_bytes")
    assert [[part[name] for name in counted] for feed in planned["feeds"] for part in feed["parts"]] == [
        [part[name] for name in counted] for feed in report["feeds"] for part in feed["parts"]
    ]
    assert all(feed["error"] is None for feed in report["feeds"])
    assert locations(alpha) == {Location.PART}
    again = mdtool("--store", alpha, "seal", "--all")
    assert (again.code, again.out) == (0, "nothing to seal\n")
    assert mdtool("--store", alpha, "tail", "-n", "100000", "--json", "ALPHA_USDT").out == before.out
    assert mdtool("--store", alpha, "audit").code == 0


def test_seal_draws_a_line_a_part(mdtool, alpha):
    done = mdtool("--store", alpha, "seal", "--all", "ALPHA_USDT")
    heading, line, *_ = done.out.splitlines()
    assert heading.split() == ["feed", "chunks", "records", "payload", "part", "bytes", "of", "payload"]
    assert line.split()[0] == "sim/ALPHA_USDT"
    assert line.split()[-1].endswith("%")


def test_seal_of_what_is_damaged_says_so_and_keeps_it(mdtool, alpha):
    (heap,) = (alpha / "feeds" / "sim" / "ALPHA_USDT" / "live").glob("*.dat")
    data = bytearray(heap.read_bytes())
    data[50] ^= 1
    heap.write_bytes(data)
    done = mdtool("--store", alpha, "seal", "--all", "ALPHA_USDT")
    assert done.code == 2
    assert "run: mdtool verify sim/ALPHA_USDT" in done.error_line
    assert heap.read_bytes() == data
