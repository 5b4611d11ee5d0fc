"""import: what a person sees of it. The formats themselves are tested in tests/interop."""

from __future__ import annotations

import json
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_import(mdtool, tmp_path: Path) -> None:
    done = mdtool("--store", tmp_path / "store", "import", "sim", FIXTURES / "sim_alpha.hb")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "feed            records  payload  received (UTC)\n"
        "sim/ALPHA_USDT      528  79.9KiB  2025-10-09 08:53:20 to 08:53:22\n"
    )


def test_import_json(mdtool, tmp_path: Path) -> None:
    done = mdtool("--store", tmp_path / "store", "import", "sim", FIXTURES / "sim_alpha.hb", "--json")
    report = json.loads(done.out)
    assert report["records"] == 528
    assert report["feeds"][0]["streams"] == {
        "aggTrade": 13,
        "bookTicker": 253,
        "depth@100ms": 30,
        "snapshot": 1,
        "trade": 231,
    }


def test_a_file_cut_short_keeps_what_came_before(mdtool, tmp_path: Path) -> None:
    whole = (FIXTURES / "sim_alpha.hb").read_bytes()
    lines = whole.splitlines(keepends=True)
    cut = len(b"".join(lines[:100])) + 60  # in the middle of line 101
    (tmp_path / "cut.hb").write_bytes(whole[:cut])
    done = mdtool("--store", tmp_path / "store", "import", "sim", tmp_path / "cut.hb")
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[-1].startswith(
        f"{tmp_path / 'cut.hb'}: 1 damaged line, kept as it stands: line 101 ('"
    )
    played = mdtool("--store", tmp_path / "store", "replay", "sim/ALPHA_USDT", "--format", "raw")
    kept = played.out.encode().splitlines()[:-1]
    assert kept == [line.rstrip(b"\n").split(b" ", 1)[1] for line in lines[:100]]


def test_a_file_of_another_format(mdtool, tmp_path: Path) -> None:
    (tmp_path / "x.hb").write_text("time,price\n1,2\n")
    done = mdtool("--store", tmp_path / "store", "import", "sim", tmp_path / "x.hb")
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {tmp_path / 'x.hb'} line 1: found 'time,price', expected")


def test_no_such_file(mdtool, tmp_path: Path) -> None:
    done = mdtool("--store", tmp_path / "store", "import", "sim", tmp_path / "none.hb")
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {tmp_path / 'none.hb'}: no such file")


def test_damage_is_named_and_a_finding(mdtool, tmp_path: Path) -> None:
    lines = (FIXTURES / "sim_alpha.hb").read_bytes().splitlines(keepends=True)
    (tmp_path / "x").write_bytes(b"".join([*lines[:10], b"<<<<<<< HEAD\n", *lines[10:]]))
    done = mdtool("--store", tmp_path / "store", "import", "sim", tmp_path / "x")
    assert (done.code, done.err) == (1, "")
    assert done.out == (
        "feed            records  payload  received (UTC)\n"
        "sim/ALPHA_USDT      528  79.9KiB  2025-10-09 08:53:20 to 08:53:22\n"
        "sim/_session          1      12B  2025-10-09 08:53:20 to 08:53:20\n"
        f"{tmp_path / 'x'}: 1 damaged line, kept as it stands: line 11 ('<<<<<<< HEAD')\n"
    )


def test_another_venues_capture_is_a_finding(mdtool, tmp_path: Path) -> None:
    done = mdtool("--store", tmp_path / "store", "import", "okx", FIXTURES / "sim_alpha.hb")
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[-1].startswith("528 of 528 messages are not understood (alphausdt@bookTicker 253, ")
    report = json.loads(mdtool("--store", tmp_path / "s2", "import", "okx", FIXTURES / "sim_alpha.hb", "--json").out)
    assert report["not_understood"] == {
        "alphausdt@bookTicker": 253,
        "alphausdt@trade": 231,
        "alphausdt@depth@100ms": 30,
        "alphausdt@aggTrade": 13,
        "unnamed": 1,
    }


def test_twice_is_once(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "import", "sim", FIXTURES / "sim_alpha.hb")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "528 records were there already"
    assert json.loads(mdtool("--store", alpha, "registry", "list", "--json").out)["feeds"][0]["records"] == 529


def test_a_store_that_is_none_is_left_alone(mdtool, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    done = mdtool("--store", tmp_path / "other", "import", "sim", FIXTURES / "sim_alpha.hb")
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {tmp_path / 'other'} is not empty and no mdtool store")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]
