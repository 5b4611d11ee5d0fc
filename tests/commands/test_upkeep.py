"""verify, repair and registry set, remove and verify at the command line: lines, JSON and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal import chunk
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"


def damage(store: Path) -> Path:
    """One byte of one payload."""
    with Store.open(store) as opened:
        _, heap = chunk.chunk_paths(opened.feed(FEED), 1, Location.DISK)
    content = bytearray(heap.read_bytes())
    content[3000] ^= 1
    heap.write_bytes(content)
    return heap


def test_a_whole_store(mdtool, alpha):
    done = mdtool("--store", alpha, "verify")
    assert (done.code, done.out, done.err) == (0, "1 feed, 1 chunk, 0 parts, 529 records, 80KiB: whole\n", "")
    done = mdtool("--store", alpha, "repair")
    assert (done.code, done.out, done.err) == (0, "1 feed: nothing to repair\n", "")
    done = mdtool("--store", alpha, "registry", "verify")
    assert (done.code, done.out, done.err) == (0, "the registries of 1 feed are whole\n", "")
    done = mdtool("--store", alpha, "registry", "verify", "--rebuild")
    assert (done.code, done.out) == (0, "nothing to rebuild\nthe registries of 1 feed are whole\n")


def test_damage_is_found_repaired_and_named(mdtool, alpha):
    heap = damage(alpha)
    done = mdtool("--store", alpha, "verify", "--json")
    said = json.loads(done.out)
    assert done.code == 1
    assert said["findings"] == [
        {
            "feed": FEED,
            "where": f"{heap.with_suffix('.idx')} row 19",
            "what": "crc",
            "found": "the checksum does not hold",
            "expected": "the bytes received",
            "todo": f"run: mdtool repair {FEED}",
        }
    ]
    done = mdtool("--store", alpha, "verify", "ALPHA_USDT")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "1 feed, 1 chunk, 0 parts, 528 records, 79.8KiB: 1 finding"
    line = f"{FEED} chunk 1: the checksum does not hold; 1 record is lost (row 19), named in 1 NOTE; 528 kept"
    planned = mdtool("--store", alpha, "repair", "--dry-run", "ALPHA_USDT")
    assert (planned.code, planned.out) == (1, f"{line}\n1 repair to do, 1 record lost\n")
    done = mdtool("--store", alpha, "repair")
    assert (done.code, done.out) == (1, f"{line}\n1 repair, 1 record lost\n")
    assert mdtool("--store", alpha, "verify").code == 0
    assert '"note": "lost"' in mdtool("--store", alpha, "replay", "--speed", "max").out.replace("\\", "")


def test_what_is_left_to_decide_is_exit_one(mdtool, alpha):
    heap = damage(alpha)
    heap.unlink()
    done = mdtool("--store", alpha, "repair", "--json")
    assert done.code == 1
    (action,) = json.loads(done.out)["actions"]
    assert action["left"] is True
    assert "--gone" in action["does"]
    assert mdtool("--store", alpha, "repair", "--gone").code == 1
    assert mdtool("--store", alpha, "verify").code == 0


def test_a_lost_registry_is_rebuilt(mdtool, alpha):
    before = mdtool("--store", alpha, "registry", "list").out
    (alpha / "registry.bin").unlink()
    for command in (("registry", "list"), ("repair",), ("replay",)):
        done = mdtool("--store", alpha, *command)
        assert done.code == 2
        assert "run: mdtool registry verify --rebuild" in done.error_line
    assert mdtool("--store", alpha, "registry", "verify").code == 1
    planned = mdtool("--store", alpha, "registry", "verify", "--rebuild", "--dry-run")
    assert not (alpha / "registry.bin").exists()
    done = mdtool("--store", alpha, "registry", "verify", "--rebuild")
    assert done.code == 0
    assert done.out.splitlines()[:-2] == planned.out.splitlines()[:-1]
    assert mdtool("--store", alpha, "registry", "list").out == before


def test_settings(mdtool, alpha):
    done = mdtool(
        "--store", alpha, "registry", "set", "ALPHA_USDT", "live=shm", "chunk=1MiB", "retain=7d", "max_bytes=1GiB",
        "keep-last=2", "live-window=90m", "archive=file:///srv/parts", "--json",
    )  # fmt: skip
    assert done.code == 0
    said = json.loads(done.out)
    names = ("live", "chunk_bytes", "retain_ns", "max_bytes", "keep_last", "live_window_ns", "archive")
    assert [said[name] for name in names] == [
        "shm", 1 << 20, 7 * 86_400 * 10**9, 1 << 30, 2, 5_400 * 10**9, "file:///srv/parts",
    ]  # fmt: skip
    page = mdtool("--store", alpha, "registry", "set", FEED, "archive=off", "keep-last=off").out
    assert "kept         for 7d, up to 1GiB\n" in page
    assert "archive" not in page
    for bad, why in (
        ("retain=soon", "no duration: 'soon'"),
        ("chunk=1", "expected 4096 bytes to 1 TiB"),
        ("live=tape", "expected disk or shm"),
        ("colour=red", "expected key=value"),
        ("keep-last=-1", "expected a number of parts"),
        ("archive=" + "x" * 200, "at most 160 bytes"),
    ):
        done = mdtool("--store", alpha, "registry", "set", FEED, bad)
        assert done.code == 2
        assert why in done.error_line


def test_remove_asks_and_keeps_the_files(mdtool, alpha):
    done = mdtool("--store", alpha, "registry", "remove", FEED)
    assert (done.code, done.error_line) == (2, f"mdtool: {FEED} would be taken out of the store; say --yes")
    done = mdtool("--store", alpha, "registry", "remove", FEED, "--yes")
    assert done.code == 0
    (trashed,) = (alpha / "trash").iterdir()
    assert str(trashed) in done.err
    assert (trashed / "feed.bin").exists()
    assert mdtool("--store", alpha, "verify").code == 0


@pytest.mark.parametrize(
    "command", [("verify",), ("repair",), ("registry", "verify"), ("registry", "verify", "--rebuild")]
)
def test_what_is_no_store(mdtool, tmp_path, command):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing"):
        done = mdtool("--store", path, *command)
        assert done.code == 2
        assert str(path) in done.error_line


def test_a_store_of_garbage_gives_findings_and_no_traceback(mdtool, alpha, tmp_path):
    for number, path in enumerate(sorted(one for one in alpha.rglob("*") if one.is_file())):
        copy = shutil.copytree(alpha, tmp_path / f"garbage-{number}")
        (copy / path.relative_to(alpha)).write_bytes(b"\xa5" * layout.PAGE * 3)
        done = mdtool("--store", copy, "verify")
        assert done.code == (0 if path.name.endswith(".lock") else 1)
        assert "Traceback" not in done.err
        assert done.err == ""
