"""What a recording says of each minute, and that what it says has its time."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

from mdtool.capture.options import RecordStatus
from mdtool.clock import MINUTE
from mdtool.commands.tasks import minutes
from mdtool.commands.tasks.minutes import Minutes
from mdtool.storage.store import Store

FIRST_NS = 1_760_000_000 * 10**9
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_a_minute_in_a_line(alpha, monkeypatch):
    monkeypatch.setattr(minutes.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 30))
    status = RecordStatus(records=529, payload_bytes=80 << 10, gaps=1)
    feeds = ["sim/ALPHA_USDT", *(f"sim/S{number}_USDT" for number in range(7))]
    with Store.open(alpha) as store, Minutes(store, feeds, FIRST_NS) as lately:
        assert lately.line(status, FIRST_NS + MINUTE) == (
            "1m: 529 messages, 9/s, 80KiB, 1 gap, 7 of 8 feeds silent: "
            "sim/S0_USDT sim/S1_USDT sim/S2_USDT sim/S3_USDT sim/S4_USDT and 2 more, 5GiB free"
        )
        status.records += 1
        assert lately.line(status, FIRST_NS + 2 * MINUTE).startswith(
            "1m: 1 message, 0/s, 0B, 0 gaps, 8 of 8 feeds silent"
        )
    with Store.open(alpha) as store, Minutes(store, feeds[:1], FIRST_NS) as lately:
        assert "0 of 1 feed silent, 5GiB free" in lately.line(status, FIRST_NS + MINUTE)


def test_off_a_terminal_a_line_a_minute_and_each_has_its_time(mdtool, tmp_path, monkeypatch):
    monkeypatch.setattr(minutes, "EVERY_NS", MINUTE // 600)
    url = "ws://127.0.0.1:9"  # nobody is there
    done = mdtool("--store", tmp_path / "store", "record", "sim", "--url", url, "--for", "2s", "--json")
    lines = done.err.splitlines()
    assert all(re.match(rf"{ISO} \S", line) for line in lines)
    minute = re.compile(rf"{ISO} \S+: 0 messages, 0/s, 0B, 0 gaps, 4 of 4 feeds silent: .*, \S+ free")
    assert sum(minute.fullmatch(line) is not None for line in lines) >= 1
    report = json.loads(done.out)
    assert report | {"seconds": 0, "failures": 1, "payload_bytes": 0} == {
        "schema": 1,
        "venue": "sim",
        "symbols": ["ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT", "DELTA_USDT"],
        "seconds": 0,
        "records": 0,
        "payload_bytes": 0,
        "sessions": 0,
        "failures": 1,
        "snapshots": 0,
        "gaps": 0,
        "refused": 0,
        "undecodable": 0,
        "behind": False,
        "interrupted": False,
    }
