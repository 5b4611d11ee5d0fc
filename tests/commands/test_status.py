"""`mdtool status` of a recording that runs, of one that was killed and of none."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from patience import wait_until
from test_network import serving, stop

from mdtool.service.roster import Roster


def test_nothing_was_ever_recorded(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "status")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"nothing has been recorded into {alpha} yet; begin with: mdtool record VENUE\n"
    found = json.loads(mdtool("--store", alpha, "status", "--json").out)
    assert (found["schema"], found["recorders"], found["feeds"]) == (1, [], [])


def test_while_it_runs_and_after_it_died(start: Callable[..., Popen[str]], mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def status() -> dict:
        return json.loads(mdtool("--store", store, "status", "--json").out)

    with serving(start("sim", "--port", "0", "--symbols", "2")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: Roster(store).members())
        wait_until(lambda: [feed["book"] for feed in status()["feeds"]] == ["synced", "synced"])
        found = status()
        (recorder,) = found["recorders"]
        assert (recorder["recorder"], recorder["alive"], recorder["feeds"]) == ("sim", True, 2)
        assert recorder["totals"]["records"] > 0 and recorder["totals"]["gaps"] == 0
        assert {feed["feed"] for feed in found["feeds"]} == {"sim/ALPHA_USDT", "sim/BRAVO_USDT"}
        assert all(feed["state"] == "live" and feed["snapshots"] == 1 and feed["epoch"] == 1 for feed in found["feeds"])
        shown = mdtool("--store", store, "status")
        assert (shown.code, shown.out.splitlines()[0].split("  ")[:2]) == (0, ["1 recorder", "2 feeds"])
        os.kill(recording.pid, signal.SIGKILL)  # else it would start the recorder again
        os.kill(recorder["pid"], signal.SIGKILL)
        wait_until(lambda: not status()["recorders"][0]["alive"])
        found = status()
        assert found["recorders"][0]["ended"] == "died without a word"
        assert {feed["state"] for feed in found["feeds"]} == {"down"}
        assert mdtool("--store", store, "status").code == 1
        again = start("--store", store, *command.split()[1:])
        wait_until(lambda: {feed["state"] for feed in status()["feeds"]} == {"live"})
        assert stop(again)[0] == 0
    found = status()
    assert (found["recorders"][0]["ended"], found["recorders"][0]["graceful"]) == ("terminated", True)
    assert {feed["state"] for feed in found["feeds"]} == {"ended"}
    assert mdtool("--store", store, "status").code == 0
