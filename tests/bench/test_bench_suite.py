"""The benchmark measures what it says, in its quick mode; how fast is not a test's business."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from mdtool.bench.messages import depth_messages
from mdtool.bench.rivals import RIVALS
from mdtool.bench.suite import GROUPS, run
from mdtool.errors import UsageError
from mdtool.venues.catalog import names

HERE = [module for module in RIVALS if importlib.util.find_spec(module)]  # the first is what `apply` is compared with
FIGURES = {
    "append": ["append", "append_clock", "append_kernel"],
    "roll": ["roll_p50", "roll_p99.9", "roll_p99.99"],
    "receive": ["receive_paced", "receive_flood", "receive_packed"],
    "commit": [
        f"{what}_{percentile}"
        for what in ("received", "sent", "aiohttp", "websockets")
        for percentile in ("p50", "p99", "p99.9")
    ],
    "iterate": ["records", "records_unverified", "payloads", "batches"],
    "latency": ["p50", "p99", "p99.9"],
    "decode": ["messages", "megabytes", "level", "envelope", "against_float"],
    "book": ["apply", *(f"apply_{module}" for module in HERE[1:]), "each", "tops", "from_wire", "orders"],
    "venues": [f"{name}_{what}" for name in names() for what in ("messages", "megabytes", "level")],
    "replay": ["batches", "ndjson", "late_p50", "late_p99"],
    "seal": ["throughput", "size", "open"],
}
BUDGETED = {
    ("append", "append"), ("iterate", "records"), ("latency", "p50"), ("decode", "messages"), ("decode", "megabytes"),
    ("book", "apply"), ("receive", "receive_paced"), ("receive", "receive_flood"),
    ("replay", "batches"), ("replay", "ndjson"), ("replay", "late_p50"), ("replay", "late_p99"),
}  # fmt: skip


@pytest.mark.parametrize("group", list(GROUPS))
def test_a_group_gives_its_figures(group: str, tmp_path: Path) -> None:
    told: list[str] = []
    report = run([group], quick=True, directory=tmp_path, progress=told.append)
    assert [figure.name for figure in report.figures] == FIGURES[group]
    assert {figure.group for figure in report.figures} == {group}
    for figure in report.figures:
        assert 0 < figure.low <= figure.value <= figure.high
        assert figure.better == ("higher" if figure.unit.endswith("/s") else "lower")
        assert (figure.verdict is not None) == ((figure.group, figure.name) in BUDGETED)
        if figure.baseline is not None:
            assert figure.baseline.value > 0
            same = figure.baseline.value / figure.value
            assert figure.baseline.ratio == pytest.approx(same if figure.better == "lower" else 1 / same)
    assert told
    assert list(tmp_path.iterdir()) == []  # nothing is left behind

    as_json: Any = json.loads(json.dumps(report.to_json()))
    assert list(as_json) == ["machine", "quick", "data", "figures"]
    assert set(as_json["machine"]) == {"cpu", "cores", "python", "kernel", "load"}
    assert [(f["name"], f["verdict"]) for f in as_json["figures"]] == [(f.name, f.verdict) for f in report.figures]


def test_a_capture_is_decoded_beside_the_made_up_messages(tmp_path: Path) -> None:
    capture = tmp_path / "eth.hb.gz"
    lines = [b"1723129447%09d %b\n" % (number, payload) for number, payload in enumerate(depth_messages(50, levels=3))]
    lines.insert(7, b'1723129447000000006 {"e":"trade","E":1}\n')
    capture.write_bytes(gzip.compress(b"".join(lines)))
    report = run(["decode"], quick=True, data=capture, directory=tmp_path)
    names = FIGURES["decode"]
    assert [figure.name for figure in report.figures] == [*names, *(f"captured_{name}" for name in names)]
    assert report.data == str(capture)
    captured = report.figures[len(names)]
    assert captured.title.startswith("eth.hb.gz: ")
    assert captured.note.endswith("6.0 levels a message")
    assert captured.verdict is None  # its levels are not the budget's


def test_a_capture_is_sealed_beside_the_made_up_messages(tmp_path: Path) -> None:
    capture = tmp_path / "eth.hb"
    capture.write_bytes(b"".join(b"1723129447%09d %b\n" % pair for pair in enumerate(depth_messages(100))))
    report = run(["seal"], quick=True, data=capture, directory=tmp_path)
    assert [figure.name for figure in report.figures] == [
        "throughput", "size", "captured_throughput", "captured_size", "open",
    ]  # fmt: skip
    assert report.figures[3].budget == 0.90


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no benchmark called 'speed'; there are: append, roll, iterate"):
        run(["append", "speed"])
    with pytest.raises(UsageError, match="no such directory"):
        run(["append"], directory=tmp_path / "missing")
    nothing = tmp_path / "nothing.hb"
    nothing.write_bytes(b'1723129447000000000 {"e":"trade"}\n')
    with pytest.raises(UsageError, match="no depth update"):
        run(["decode"], quick=True, data=nothing)
    nothing.write_bytes(b"hello\n")
    with pytest.raises(UsageError, match="line 1"):
        run(["decode"], quick=True, data=nothing)
