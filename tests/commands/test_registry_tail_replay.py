"""registry, tail and replay: the same records, listed, looked at, and given back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import LONGEST

from mdtool.model import Kind
from mdtool.storage.store import Store

Start = Callable[..., "subprocess.Popen[str]"]
FIXTURES = Path(__file__).parents[2] / "fixtures"
FIRST_NS, LAST_NS = 1760000000020415869, 1760000002922000000


def lines() -> list[tuple[int, bytes]]:
    """Receive time and payload of each line of the capture behind the store `alpha`."""
    rows = (line.split(b" ", 1) for line in (FIXTURES / "sim_alpha.hb").read_bytes().splitlines())
    return [(int(ns), payload) for ns, payload in rows]


def test_registry_list(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "registry", "list")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "feed            records  payload  received (UTC)\n"
        "sim/ALPHA_USDT      529    80KiB  2025-10-09 08:53:20 to 08:53:22\n"
    )


def test_registry_list_json(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "registry", "list", "--json")
    (row,) = json.loads(done.out)["feeds"]
    assert row == {
        "feed": "sim/ALPHA_USDT",
        "records": 529,
        "payload_bytes": row["payload_bytes"],
        "first_ns": FIRST_NS,
        "last_ns": LAST_NS,
        "chunks": 1,
        "epochs": 1,
        "writer": "gone",
    }


def test_registry_show(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "registry", "show", "alphausdt")
    assert (done.code, done.err) == (0, "")
    for row in (
        "feed         sim/ALPHA_USDT",
        "records      529 in 1 chunk of 1 epoch",
        "bookTicker   DATA          253  31.4KiB",
        "snapshot     RESPONSE        1   3.3KiB",
    ):
        assert row in done.out.splitlines(), done.out


def test_registry_show_json_counts_what_the_file_has(mdtool, alpha: Path) -> None:
    details = json.loads(mdtool("--store", alpha, "registry", "show", "ALPHA_USDT", "--json").out)
    counts = {(row["stream"], row["kind"]): (row["records"], row["payload_bytes"]) for row in details["streams"]}
    expected: dict[tuple[str, str], tuple[int, int]] = {}
    for _, payload in lines():
        head = payload.split(b'"', 5)
        stream = head[3].decode().partition("@")[2] if head[1] == b"stream" else "snapshot"
        key = (stream, "RESPONSE" if stream == "snapshot" else "DATA")
        number, size = expected.get(key, (0, 0))
        expected[key] = (number + 1, size + len(payload))
    assert {key: value for key, value in counts.items() if key[0] != "session"} == expected


def test_an_empty_store_says_what_to_do(mdtool, tmp_path: Path) -> None:
    Store.create(tmp_path / "empty").close()
    for command in (["registry", "list"], ["tail"], ["replay"], ["audit"]):
        done = mdtool("--store", tmp_path / "empty", *command)
        assert done.code == 2
        assert done.error_line.endswith("nothing is recorded yet; run: mdtool record, or mdtool import")


def test_replay_gives_every_record_back(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "replay")
    assert (done.code, done.err) == (0, "")
    played = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["recv_ns"], row["payload"]) for row in played[:-1]] == [(ns, json.loads(raw)) for ns, raw in lines()]
    assert (played[-1]["kind"], played[-1]["stream"]) == ("end", "session")


def test_replay_raw_is_the_payloads(mdtool, alpha: Path) -> None:
    out = mdtool("--store", alpha, "replay", "--format", "raw").out
    assert out.encode().splitlines()[:-1] == [payload for _, payload in lines()]


@pytest.mark.parametrize(
    ("from_", "to", "low_ns", "high_ns"),
    [
        ("first+1s", "first+2s", FIRST_NS + 10**9, FIRST_NS + 2 * 10**9),
        ("1760000001", "1760000001500000000", 1760000001 * 10**9, 1760000001_500000000),
        ("last-100ms", "last", LAST_NS - 10**8, LAST_NS + 1),
        ("2025-10-09T08:53:22Z", "now", 1760000002 * 10**9, LAST_NS + 1),
    ],
)
def test_replay_a_stretch(mdtool, alpha: Path, from_: str, to: str, low_ns: int, high_ns: int) -> None:
    done = mdtool("--store", alpha, "replay", "--from", from_, "--to", to)
    times = [json.loads(line)["recv_ns"] for line in done.out.splitlines() if '"kind":"end"' not in line]
    assert times == [ns for ns, _ in lines() if low_ns <= ns < high_ns]
    assert times


def test_replay_nothing_between(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "replay", "--from", "last", "--to", "first")
    assert done.code == 2
    assert done.error_line == "mdtool: --from last is not before --to first: there is nothing between them"


def test_replay_paced(mdtool, alpha: Path) -> None:
    """2.9 s at ten times the speed: not faster than that."""
    began = time.monotonic()
    done = mdtool("-v", "--store", alpha, "replay", "--speed", "10x")
    assert time.monotonic() - began >= 0.28
    assert done.err.startswith("529 records, ")


def test_replay_no_speed(mdtool, alpha: Path) -> None:
    assert mdtool("--store", alpha, "replay", "--speed", "0").error_line.startswith("mdtool: no speed: '0'; expected")


def test_tail_shows_the_last_on_one_line_each(mdtool, alpha: Path) -> None:
    done = mdtool("--store", alpha, "tail", "-n", "3")
    shown = done.out.splitlines()
    last = lines()[-2:]
    assert shown[0] == f"2025-10-09 08:53:22.863  sim/ALPHA_USDT  bookTicker   {last[0][1].decode()}"
    assert shown[1] == f"2025-10-09 08:53:22.922  sim/ALPHA_USDT  depth@100ms  {last[1][1].decode()}"
    assert shown[2].startswith("2025-10-09 08:53:22.922  sim/ALPHA_USDT  session      END  {")
    assert len(shown) == 3


@pytest.mark.parametrize("count", [0, 1, 528, 529, 10_000])
def test_tail_counts(mdtool, alpha: Path, count: int) -> None:
    done = mdtool("--store", alpha, "tail", "-n", count, "--json")
    rows = mdtool("--store", alpha, "replay").out.splitlines()
    assert done.out.splitlines() == (rows[-count:] if count else [])


def test_tail_over_chunks_and_feeds(mdtool, tmp_path: Path) -> None:
    """Small chunks, two feeds whose records take turns: the last five of both together."""
    with Store.create(tmp_path / "store") as store:
        for offset, name in enumerate(("sim/ALPHA_USDT", "sim/BRAVO_USDT")):
            with store.writer(name, chunk_bytes=4096) as writer:
                stream = writer.stream("trade")
                for number in range(40):
                    payload = b"%d" % (2 * number + offset)
                    writer.append(10**18 + 2 * number + offset, Kind.DATA, stream, 1, payload + b" " * 400)
    done = mdtool("--store", tmp_path / "store", "tail", "-n", "25", "--json")
    assert [json.loads(line)["recv_ns"] - 10**18 for line in done.out.splitlines()] == list(range(55, 80))


def test_tail_makes_control_characters_harmless(mdtool, tmp_path: Path) -> None:
    with Store.create(tmp_path / "store") as store, store.writer("sim/ALPHA_USDT") as writer:
        writer.append(10**18, Kind.DATA, writer.stream("trade"), 1, b"a\x1b[31mb\nc\xff")
    done = mdtool("--store", tmp_path / "store", "tail")
    assert done.out == "2001-09-09 01:46:40.000  sim/ALPHA_USDT  trade  a\\x1b[31mb\\nc\\xff\n"


def test_tail_follows(start: Start, tmp_path: Path) -> None:
    with Store.create(tmp_path / "store") as store, store.writer("sim/ALPHA_USDT") as writer:
        stream = writer.stream("trade")
        writer.append(10**18, Kind.DATA, stream, 1, b"1")
        process = start("--store", tmp_path / "store", "tail", "-f", "--json")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["payload"] == 1
        writer.append(10**18 + 1, Kind.DATA, stream, 1, b"2")
        assert json.loads(process.stdout.readline())["payload"] == 2
        process.terminate()
        process.communicate(timeout=LONGEST)
