"""`mdtool config`: what is wrong with the settings, what they come to and where each is from, a file to begin with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mdtool.config import load
from mdtool.config.tables import TOP, Each
from mdtool.service.jobs import jobs

GOOD = """store = "md"
[record]
sync = "chunk"
streams.sim = ["trade"]
[[recording]]
venue = "sim"
symbols = ["ALPHA_USDT", "B*"]
retain = "30d"
max_bytes = "100GiB"
keep_last = 0
[[recording]]
venue = "kraken"
symbols = ["BTC_USD", "ETH_USD"]
streams = ["book-10"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_check_says_what_would_be_recorded(mdtool, file):
    file.write_text(GOOD)
    done = mdtool("--config", file, "config", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out == (f"{file}: fine; mdtool record would record 4 feeds (2 of sim, 2 of kraken) with 2 recorders\n")
    report = json.loads(mdtool("--config", file, "config", "check", "--json").out)
    assert report == {
        "schema": 1,
        "file": str(file),
        "findings": [],
        "recordings": [
            {
                "where": f"{file}:5", "venue": "sim", "symbols": ["ALPHA_USDT", "BRAVO_USDT"],
                "streams": ["trade"], "shards": 1,
            },
            {
                "where": f"{file}:11", "venue": "kraken", "symbols": ["BTC_USD", "ETH_USD"],
                "streams": ["book-10"], "shards": 1,
            },
        ],
    }  # fmt: skip


def test_check_says_all_that_is_wrong_and_every_other_command_the_first_of_it(mdtool, file):
    file.write_text("colour = 1\n[[recording]]\nvenue = 'sim'\nsymbols = ['!!']\n")
    done = mdtool("--config", file, "config", "check")
    assert (done.code, done.err) == (1, "2 findings\n")
    first = f"{file}:1: unknown key 'colour'; did you mean color? See man mdtool-config"
    second = f"{file}:4: sim: '!!' is no symbol; expected the form BTC_USDT or BTCUSDT"
    assert done.out == f"{first}\n{second}\n"
    assert json.loads(mdtool("--config", file, "config", "check", "--json").out)["findings"][1] == {
        "file": str(file), "line": 4, "text": "sim: '!!' is no symbol; expected the form BTC_USDT or BTCUSDT",
    }  # fmt: skip
    done = mdtool("--config", file, "registry", "list")
    assert (done.code, done.error_line) == (2, f"mdtool: {first}")
    done = mdtool("--config", file, "record")
    assert (done.code, done.out, done.err) == (2, "", f"mdtool: {first}\nmdtool: {second}\n")


def test_check_of_nothing(mdtool, file, tmp_path):
    done = mdtool("config", "check")
    assert (done.code, done.out) == (
        0, "no file of settings: what is built in holds; to write one: mdtool config init\n",
    )  # fmt: skip
    done = mdtool("--config", file, "config", "check")
    assert done.error_line == f"mdtool: {file}: no such file, expected settings in TOML; see: mdtool config init"
    file.write_text("")
    done = mdtool("--config", file, "config", "check")
    assert done.out == f"{file}: fine; it has no [[recording]], so mdtool record needs a venue\n"


def test_show_says_where_each_is_from(mdtool, file, tmp_path, monkeypatch):
    file.write_text(GOOD)
    report = json.loads(mdtool("--config", file, "config", "show", "--json").out)
    assert (report["file"], report["exists"]) == (str(file), True)
    assert {one["name"]: (one["value"], one["source"]) for one in report["settings"]} == {
        "store": (str(tmp_path / "md"), f"{file}:1"),
        "color": ("auto", "built in"),
        "record.live": (None, "as the feed was set before"),
        "record.sync": ("chunk", f"{file}:3"),
        "record.chunk_size": (None, "as the feed was set before"),
        "record.ca": (None, "built in"),
        "record.deflate": (False, "built in"),
        "record.streams.sim": (["trade"], f"{file}:4"),
    }
    first, second = report["recordings"]
    assert {one["name"]: (one["value"], one["source"]) for one in first["settings"]} == {
        "venue": ("sim", f"{file}:6"),
        "symbols": (["ALPHA_USDT", "BRAVO_USDT"], f"{file}:7"),
        "streams": (["trade"], f"{file}:4"),
        "url": ("ws://127.0.0.1:7801", "the venue's default"),
        "rest": ("http://127.0.0.1:7801", "the venue's default"),
        "live": (None, "as the feed was set before"),
        "sync": ("chunk", f"{file}:3"),
        "chunk_size": (None, "as the feed was set before"),
        "shards": (1, "built in"),
        "cpu": (None, "built in"),
        "instruments": (True, "built in"),
        "live_window": (None, "as the feed was set before"),
        "retain": (30 * 86_400 * 10**9, f"{file}:8"),
        "max_bytes": (100 << 30, f"{file}:9"),
        "keep_last": (0, f"{file}:10"),
        "archive": (None, "as the feed was set before"),
    }
    assert {"name": "streams", "value": ["book-10"], "source": f"{file}:14"} in second["settings"]
    lines = mdtool("--config", file, "config", "show").out.splitlines()
    assert next(line.split() for line in lines if line.startswith("retain")) == [
        "retain", "30d", f"{file}:8",
    ]  # fmt: skip
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("MDTOOL_STORE", "/from/env")
    report = json.loads(mdtool("--config", file, "config", "show", "--json").out)
    assert [(one["value"], one["source"]) for one in report["settings"][:2]] == [
        ("/from/env", "environment: MDTOOL_STORE"), ("never", "environment: NO_COLOR"),
    ]  # fmt: skip
    report = json.loads(mdtool("--config", file, "--store", "/opt", "config", "show", "--json").out)
    assert report["settings"][0] == {"name": "store", "value": "/opt", "source": "option: --store"}
    monkeypatch.delenv("MDTOOL_STORE")
    report = json.loads(mdtool("config", "show", "--json").out)
    assert (report["exists"], report["recordings"], report["settings"][0]["source"]) == (False, [], "built in")


def test_init_writes_a_file_that_holds_and_never_over_one(mdtool, file, tmp_path):
    done = mdtool("config", "init")
    path = tmp_path / "home/.config/mdtool/config.toml"
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote {path}; change it, then: mdtool config check, and: mdtool record\n"
    text = path.read_text()
    assert mdtool("config", "init", "--stdout").out == text
    assert [job.options.venue.name for job in jobs(load(file=path))] == ["binance", "kraken"]
    path.write_text("color = 'never'\n")
    done = mdtool("config", "init")
    assert (done.code, path.read_text()) == (2, "color = 'never'\n")
    assert done.error_line == (
        f"mdtool: {path}: there is one already, and it is left as it is; to see one: mdtool config init --stdout"
    )
    assert mdtool("--config", file, "config", "init").code == 0
    assert file.read_text() == text


def test_the_file_to_begin_with_has_every_key_and_each_holds_once_it_counts(mdtool, file):
    text = mdtool("config", "init", "--stdout").out
    live = "".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in text.splitlines(keepends=True)
    )
    authority = next(line for line in live.splitlines(keepends=True) if line.startswith("ca ="))
    live = live.replace("cpu = [2, 3]", "cpu = [0]").replace(authority, "")
    file.write_text(live)
    assert len(jobs(load(file=file))) == 2
    found = tomllib.loads(live)
    keys = {key for one in found["recording"] for key in one}
    recording = TOP["recording"][1]
    assert isinstance(recording, Each)
    assert keys == set(recording.table)
    assert set(found["record"]) | {"ca"} == set(TOP["record"][1])  # type: ignore[call-overload]
    assert set(found) == set(TOP)
