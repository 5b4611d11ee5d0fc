"""A recorder whose disk fills and has room again: feeds let go with an END that says why, and taken back."""

from __future__ import annotations

import json

import pytest
from narrow import Narrow
from patience import until
from test_replan import A, B, C, clean, quick, recorded, store

from mdtool.audit import audit_store
from mdtool.audit.ledger import Validity
from mdtool.capture import recorder as recorder_module
from mdtool.capture import room
from mdtool.capture.recorder import RecorderEvent
from mdtool.errors import UsageError
from mdtool.model import Kind

__all__ = ["quick", "store"]  # fixtures
GIB = 1 << 30
FULL, ROOM = (1 << 20, 1000 * GIB), (900 * GIB, 1000 * GIB)


def test_feeds_are_let_go_and_taken_back(store, monkeypatch):
    free = [ROOM]
    monkeypatch.setattr(recorder_module, "room_of", lambda directories: free[0])
    monkeypatch.setattr(room, "EVERY", 0.02)

    async def play(run):
        await run.whole(A, B, C)
        free[0] = FULL
        await until(lambda: run.recorder.status.of(B).parked, run.running)
        assert (run.recorder.status.of(A).parked, run.recorder.status.of(C).parked) == (False, True)
        (reason,) = [json.loads(payload)["reason"] for payload in run.payloads(C, Kind.END)]
        assert reason.startswith("the disk is full: 1MiB left")
        await run.comes(A)
        with pytest.raises(UsageError, match="sim/NONE_USDT is not recorded"):
            await run.recorder.leave(["NONE_USDT"])
        free[0] = ROOM
        await until(lambda: not run.recorder.status.of(B).parked, run.running)
        await run.comes(A, B, C)

    run = recorded(store, (A, B, C), play)
    said = [text.partition(", full in")[0] for event, text in run.talk if event is RecorderEvent.ROOM]
    assert said == [
        "no room is left: 1MiB left",
        f"1 feed let go until there is room: {C}",
        f"1 feed let go until there is room: {B}",
        "there is room again: 900GiB left",
        f"recording again: {B}, {C}",
    ]
    assert clean(store, A)
    for symbol in (B, C):
        (report,) = audit_store(store, lambda name: Narrow(), [f"sim/{symbol}"])
        assert "gap" not in report.finding_counts
        assert Validity.NOT_RECORDED in {one.state for stream in report.streams for one in stream.intervals}


def test_what_is_told_to_stop_does_not_come_back(store, monkeypatch):
    free = [ROOM]
    monkeypatch.setattr(recorder_module, "room_of", lambda directories: free[0])
    monkeypatch.setattr(room, "EVERY", 0.02)

    async def play(run):
        await run.whole(A, B, C)
        free[0] = FULL
        await until(lambda: run.recorder.status.of(B).parked, run.running)
        assert await run.recorder.leave([C]) == (A,)
        free[0] = ROOM
        await until(lambda: not run.recorder.status.of(B).parked, run.running)
        await run.comes(A, B)

    run = recorded(store, (A, B, C), play)
    assert len(run.payloads(C, Kind.END)) == 1
    assert len(run.payloads(B, Kind.END)) == 2
