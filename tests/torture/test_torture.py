"""A few rounds of every scenario; and that torture itself can tell a bad store from a good one."""

from __future__ import annotations

import json

import pytest
from patience import PATIENCE

from mdtool.errors import UsageError
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.torture import judge, runner, workload
from mdtool.torture.scenarios import SCENARIOS
from mdtool.torture.workload import FEED, STREAM, payload, recv_ns


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_goes_wrong_silently(tmp_path, name):
    report = runner.torture(4, seed=3, names=[name], directory=tmp_path)
    assert [(one.faults, one.silent) for one in report.failed] == []
    tally = report.scenarios[name]
    assert tally.rounds == 4
    assert tally.faults >= 4
    assert list(tmp_path.iterdir()) == []
    assert json.loads(json.dumps(report.to_json()))["total"]["rounds"] == 4


@pytest.mark.slow
@pytest.mark.timeout(3600 * PATIENCE)
def test_a_thousand_rounds(tmp_path):
    report = runner.torture(1000, seed=11, directory=tmp_path)
    assert [(one.faults, one.silent) for one in report.failed] == []


def test_a_scenario_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="no scenario 'nonsense': expected one of kill-append"):
        runner.torture(1, names=["nonsense"], directory=tmp_path)


@pytest.mark.parametrize("what", ["changed", "missing", "twice", "swapped", "stranger", "session"])
def test_the_judge_sees_what_is_wrong(tmp_path, what):
    bodies = [payload(number) for number in range(10)]
    sessions = [1] * 10
    match what:
        case "changed":
            bodies[4] = bodies[4][:-1] + bytes([bodies[4][-1] ^ 1])
        case "missing":
            del bodies[4]
        case "twice":
            bodies[4] = bodies[3]
        case "swapped":
            bodies[4], bodies[5] = bodies[5], bodies[4]
        case "stranger":
            bodies[4] = b"not ours"
        case "session":
            sessions[4] = 2
    with Store.create(tmp_path / "store") as store:
        with store.writer(FEED) as writer:
            for number, (body, session) in enumerate(zip(bodies, sessions, strict=False)):
                writer.append(recv_ns(number, False), Kind.DATA, writer.stream(STREAM), session, body)
        verdict = judge.read(store.reader(FEED))
    if what == "missing":
        assert (verdict.wrong, verdict.missing(10)) == ([], [4])
    else:
        assert len(verdict.wrong) == 1
        assert 4 in verdict.missing(10)


def test_the_workload_rolls_by_size_and_day_and_steps_the_clock(tmp_path):
    work = workload.Work(str(tmp_path / "store"), 0, 4100, clock_steps=True)
    said: list[int] = []
    workload.write(work, said.append)
    assert said[-1] == 4100
    with Store.open(tmp_path / "store") as store:
        reader = store.reader(FEED)
        assert judge.read(reader).numbers == list(range(4100))
        days = {info.min_ns // 86_400_000_000_000 for info in reader.chunks()}
        assert len(days) == 3
