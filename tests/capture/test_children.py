"""Every child runs its parent's modules, whatever lies in the directory it is started in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import LONGEST

import mdtool

WRONG = "the wrong one"
KEEPER = """
import asyncio
from mdtool.capture.keeping import Keeper
from mdtool.clock import SystemClock
from mdtool.storage.store import Store
from mdtool.venues import catalog
with Store.create(STORE) as store:
    store.writer("sim/ALPHA_USDT").close()
    keeper = Keeper(store, catalog.get("sim"), ["ALPHA_USDT"], [], None, None, SystemClock())
    print(asyncio.run(keeper.round([store.feed("sim/ALPHA_USDT")])))
"""
SIDECAR = """
import asyncio
from mdtool.capture.recorder import Recorder, record_options
from mdtool.storage.store import Store
from mdtool.venues import catalog
options = record_options(catalog.get("sim"), ("ALPHA_USDT",), ws_url="ws://127.0.0.1:9", sync="none")
async def main(store):
    recorder = Recorder(store, options, print)
    async def stop():
        while not recorder.status.failures:
            await asyncio.sleep(0.01)
        recorder.stop()
    status, _ = await asyncio.gather(recorder.run(), stop())
    print(status.gaps)
with Store.create(STORE) as store:
    asyncio.run(main(store))
"""
BOOK = """
import time
from pathlib import Path
from mdtool.commands.tasks.recorder import RecorderChild
from mdtool.storage.store import Store
Store.create(STORE).close()
with RecorderChild(Path(STORE), "sim", "ALPHA_USDT", "ws://127.0.0.1:9") as child:
    while (why := child.failure()) is None:
        time.sleep(0.01)
print(why)
"""
TORTURE = """
from mdtool.torture import runner
if __name__ == "__main__":
    report = runner.torture(2, names=["kill-append"])
    print(report.failed)
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KEEPER, "[]"),
        (SIDECAR, "0"),
        (BOOK, "mdtool: cannot reach ws://127.0.0.1:9/stream: Connection refused"),
        (TORTURE, "[]"),
    ],
    ids=["keeper", "sidecar", "book --live", "torture"],
)
def test_what_lies_in_the_current_directory_is_not_run(tmp_path, code, said):
    cwd, bin_ = tmp_path / "cwd", tmp_path / "bin"
    fake = cwd / "mdtool"
    (fake / "capture").mkdir(parents=True)
    (fake / "torture").mkdir()
    for name in (
        "__init__", "__main__", "capture/__init__", "capture/sidecar", "capture/keeping", "torture/__init__",
        "torture/jobs", "../msgspec", "../numpy",
    ):  # fmt: skip
        (fake / f"{name}.py").write_text(f"raise SystemExit({WRONG!r})\n")
    bin_.mkdir()
    (bin_ / "tool").write_text(f"STORE = {str(tmp_path / 'store')!r}\n{code}")
    env = {**os.environ, "PYTHONPATH": str(Path(mdtool.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(bin_ / "tool")], cwd=cwd, env=env, capture_output=True, text=True, timeout=LONGEST
    )
    assert WRONG not in done.stdout + done.stderr
    assert (done.stdout.splitlines()[-1], done.stderr, done.returncode) == (said, "", 0)
