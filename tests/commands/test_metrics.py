"""record --http and metrics: what is served of a recording, whatever dies meanwhile; what is printed."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from patience import LONGEST, wait_until
from test_json import KEYS, keys
from test_main import loaded
from test_network import serving, stop

from mdtool.commands.tasks.metering import packaged
from mdtool.service.listening import listen
from mdtool.service.processes import children
from mdtool.service.roster import Roster

Start = Callable[..., "Popen[str]"]


def get(url: str) -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def base(process: Popen[str]) -> str:
    """Where it says that it serves."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"serving (http://127\.0\.0\.1:\d+)/$", line)
    assert found is not None, line
    return found[1]


def test_a_recording_is_served_and_outlives_who_serves_it(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "2")) as (_, command):
        recording = start("--store", store, *command.split()[1:], "--http", "0")
        at = base(recording)
        wait_until(lambda: get(f"{at}/ready")[0] == 200)
        ready = json.loads(get(f"{at}/ready")[1])
        assert (ready["ready"], ready["feeds"], ready["live"], ready["problems"]) == (True, 2, 2, [])
        assert "<title>mdtool</title>" in get(at)[1]

        def messages() -> float:
            (found,) = re.findall(r"^mdtool_recorder_messages_total\{.*\} (\S+)$", get(f"{at}/metrics")[1], flags=re.M)
            return float(found)

        (web,) = [pid for pid, module in children(recording.pid).items() if module == "mdtool.service.web"]
        os.kill(web, signal.SIGKILL)
        before = messages()  # answered by the next one
        wait_until(lambda: messages() > before)
        (member,) = Roster(store).members()
        assert json.loads(get(f"{at}/status")[1])["recorders"][0]["totals"]["sessions"] == 1
        os.kill(member.duty.pid, signal.SIGSTOP)
        wait_until(lambda: get(f"{at}/health")[0] == 503)
        assert "no sign of life for " in get(f"{at}/health")[1]
        assert "mdtool_recorder_up{" in get(f"{at}/metrics")[1]
        documented(at)
        os.kill(member.duty.pid, signal.SIGCONT)
        wait_until(lambda: get(f"{at}/health")[0] == 200)
        os.kill(member.duty.pid, signal.SIGKILL)
        wait_until(lambda: member.duty.pid != Roster(store).members()[0].duty.pid)
        wait_until(lambda: get(f"{at}/ready")[0] == 200)
        code, err = stop(recording)
    assert code == 0
    assert "what serves HTTP has ended: killed by signal 9; starting it again in " in err
    assert not Path(f"/proc/{web}").exists()


def documented(at: str) -> None:
    """What is served has the keys of mdtool-json(7) and no others; it is of a recorder that hangs."""
    for path in ("status", "health", "ready"):
        assert keys(json.loads(get(f"{at}/{path}")[1])) == KEYS[path.upper()], path


def test_served_by_itself_beside_recorders_that_run(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: Roster(store).members())
        server = start("--store", store, "metrics", "serve", "--http", "127.0.0.1:0")
        at = base(server)
        wait_until(lambda: get(f"{at}/ready")[0] == 200)
        assert stop(recording)[0] == 0
        wait_until(lambda: json.loads(get(f"{at}/health")[1])["status"] == "idle")
        assert json.loads(get(f"{at}/ready")[1])["problems"][0]["why"] == ["nothing is being recorded"]
        code, err = stop(server)
        assert (code, err) == (0, "")
        server = start("--store", store, "metrics", "serve", "--http", "0")
        base(server)
        assert stop(server, signal.SIGINT)[0] == 130


def test_where_it_cannot_serve_nothing_is_begun(mdtool, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        refused(mdtool, tmp_path, taken.getsockname()[1])


def refused(mdtool, tmp_path: Path, taken_port: int) -> None:
    for arguments in (("record", "sim", "--for", "1s"), ("metrics", "serve")):
        store = tmp_path / arguments[0]
        if arguments[0] == "metrics":
            store = tmp_path / "there"
            assert mdtool("--store", store, "record", "sim", "--url", "ws://127.0.0.1:9", "--for", "0s").code == 0
        done = mdtool("--store", store, *arguments, "--http", f"127.0.0.1:{taken_port}")
        assert done.code == 2
        said = f"mdtool: cannot serve on 127.0.0.1:{taken_port}: the port is in use; choose another, or 0 for any"
        assert done.error_line == said
        done = mdtool("--store", store, *arguments, "--http", "here")
        assert (
            done.error_line
            == "mdtool: no address to serve on: 'here'; expected HOST:PORT or PORT, as in 127.0.0.1:9090"
        )
    assert not (tmp_path / "record").exists()


def test_what_comes_with_the_package_is_printed(mdtool) -> None:
    for name, file in (("dashboard", "dashboard.json"), ("alerts", "alerts.yml")):
        done = mdtool("metrics", name)
        assert (done.code, done.err) == (0, "")
        assert done.out == packaged(file) + "\n"
    assert json.loads(mdtool("metrics", "dashboard").out)["title"] == "mdtool"


def test_help_and_what_is_printed_load_nothing_heavy() -> None:
    assert loaded("metrics", "--help") == set()
    assert loaded("metrics", "serve", "--help") == set()
