"""`mdtool doctor`: of a store, of none, and of venues that can and cannot be reached."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from test_network import serving


def checks(done) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for check in json.loads(done.out)["checks"]:
        found.setdefault(check["what"], []).append(check)
    return found


def test_a_store_and_none(mdtool, alpha: Path, tmp_path: Path) -> None:
    found = checks(mdtool("--store", alpha, "doctor", "--json"))
    assert list(found) == ["settings", "open files", "shared memory", "clock", "processor", "permissions", "disk"]
    assert found["disk"][0]["found"].endswith(" free; nothing is being recorded, so nobody knows for how long")
    found = checks(mdtool("--store", tmp_path / "none", "doctor", "--json"))
    assert found["store"] == [
        {
            "what": "store", "found": f"{tmp_path / 'none'}: not there yet; mdtool record makes it",
            "ok": True, "seen": True, "todo": None,
        }
    ]  # fmt: skip


def test_a_venue_that_is_there_and_one_that_is_not(start: Callable[..., Popen[str]], mdtool, alpha: Path) -> None:
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        words = command.split()
        url = words[words.index("--url") + 1]
        rest, websocket = checks(mdtool("--store", alpha, "doctor", "sim", "--url", url, "--json"))["sim"]
    assert rest["ok"] and rest["found"].startswith(f"http{url.removeprefix('ws')}: HTTP ")
    assert websocket["ok"] and f"{url}/stream: opened, " in websocket["found"]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{holder.getsockname()[1]}"
        done = mdtool("--store", alpha, "doctor", "sim", "--url", url, "--json")
    assert done.code == 1
    assert [check["found"].rpartition(": ")[2] for check in checks(done)["sim"]] == ["Connection refused"] * 2


def test_what_was_asked_for_in_part(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "doctor", "--url", "ws://127.0.0.1:9")
    assert (done.code, done.error_line) == (2, "mdtool: --url and --rest are of one venue: name it")
    assert mdtool("--store", alpha, "doctor", "nasdaq").error_line.startswith("mdtool: unknown venue 'nasdaq'")
