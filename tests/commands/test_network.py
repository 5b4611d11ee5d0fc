"""record, sim, serve and demo, over loopback sockets, as processes of their own where signals are the point."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import LONGEST, wait_until

from mdtool.model import Kind
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.locks import is_written
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import FeedInfo, Store

Start = Callable[..., "subprocess.Popen[str]"]


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Ends a process; its exit code and what it said."""
    process.send_signal(number)
    _, err = process.communicate(timeout=LONGEST)
    return process.returncode, err


def whole(path: Path, symbol: str, epoch: int = 1) -> bool:
    """Whether that many writers of a feed have recorded a whole book of it, and what came behind it."""
    if not (path / "registry.bin").exists():
        return False
    with Store.open(path) as store:
        if f"sim/{symbol}" not in [feed.name for feed in store.feeds()]:
            return False
        with store.reader(f"sim/{symbol}") as reader:
            chunks = reader.chunks()
            if not chunks or chunks[-1].epoch < epoch:
                return False
            reader.move_to(min(chunk.chunk_id for chunk in chunks if chunk.epoch == epoch) << 32)
            kinds = [record.kind for record in reader.records()]
    return Kind.RESPONSE in kinds and len(kinds) > kinds.index(Kind.RESPONSE) + 30


@contextmanager
def serving(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    """The line an exchange says its URL in, and the command line that records it."""
    assert process.stderr is not None
    try:
        yield process.stderr.readline().rstrip(), process.stderr.readline().rstrip()
    finally:
        if process.poll() is None:
            stop(process)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # taken, so that nobody else gets it, and not listened on
        yield holder.getsockname()[1]


def test_record_what_sim_says_and_serve_it_again(start: Start, mdtool, tmp_path: Path) -> None:
    """sim -> record -> serve -> record: the second recording is the first one's messages, byte for byte."""
    first, second = tmp_path / "first", tmp_path / "second"
    with serving(start("sim", "--port", "0", "--symbols", "2")) as (said, command):
        assert re.fullmatch(r"sim: ALPHA_USDT BRAVO_USDT at ws://127\.0\.0\.1:\d+; record with:", said)
        recorder = start("--store", first, *command.split()[1:])
        wait_until(lambda: whole(first, "ALPHA_USDT") and whole(first, "BRAVO_USDT"))
        code, err = stop(recorder)
        assert code == 0
        assert re.search(r"Z recorded [\d,]+ messages, [1-9][\d.]*KiB, in 1 session; 2 snapshots, 0 gaps$", err, re.M)
    assert mdtool("--store", first, "audit").code == 0
    served = start("--store", first, "serve", "sim/*", "--port", "0", "--speed", "10", "--at-end", "close")
    with serving(served) as (said, command):
        assert said.startswith("serving sim ALPHA_USDT BRAVO_USDT at ws://")
        # With the stream named as it was recorded: played in a tenth of its time, then the exchange closes.
        recorder = start("--store", second, *command.split()[1:])
        assert recorder.stderr is not None
        assert any(" session 1 closed" in line for line in recorder.stderr)
        assert stop(recorder)[0] == 0
        served.wait(LONGEST)
    for symbol in ("ALPHA_USDT", "BRAVO_USDT"):
        assert data(mdtool, second, symbol) == data(mdtool, first, symbol)
    assert mdtool("--store", second, "audit", "sim/ALPHA_USDT", "sim/BRAVO_USDT").code == 0


def data(mdtool, store: Path, symbol: str) -> list[object]:
    """What was received of a symbol: the streams and payloads in order."""
    rows = map(json.loads, mdtool("--store", store, "replay", f"sim/{symbol}").out.splitlines())
    found = [(row["stream"], row["payload"]) for row in rows if row["kind"] == "data"]
    assert len(found) > 20
    return found


@pytest.mark.parametrize(
    ("number", "code", "why"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 0, "terminated")]
)
def test_a_signal_stops_recording_gracefully(
    start: Start, mdtool, tmp_path: Path, number: int, code: int, why: str
) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recorder = start("--store", store, *command.split()[1:])
        assert recorder.stderr is not None
        assert " connected to ws://" in recorder.stderr.readline()
        wait_until(lambda: whole(store, "ALPHA_USDT"))
        found, err = stop(recorder, number)
    assert found == code, err
    assert f"stopping: {why}\n" in err
    last = json.loads(mdtool("--store", store, "tail", "-n", "1", "--json", "sim/ALPHA_USDT").out)
    assert (last["kind"], last["payload"]) == ("end", {"reason": why})
    assert mdtool("--store", store, "audit").code == 0


def duty(store: Path) -> int:
    """The pid of the recorder."""
    return int(json.loads((store / "run" / "sim.json").read_bytes())["pid"])


def test_a_killed_recorder_leaves_what_it_committed_and_is_started_again(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        assert recording.stderr is not None
        recording.stderr.readline()
        wait_until(lambda: whole(store, "ALPHA_USDT"))
        os.kill(duty(store), signal.SIGKILL)
        line = recording.stderr.readline().partition(" ")[2]
        assert re.fullmatch(r"the recorder has ended: killed by signal 9; starting it again in \d\.\d s\n", line)
        before = mdtool("--store", store, "replay", "sim/ALPHA_USDT").out.splitlines()
        assert len(before) > 5
        wait_until(lambda: whole(store, "ALPHA_USDT", epoch=2))
        code, err = stop(recording)
        assert code == 0
        # What was counted in the last second of the one that was killed is not: its page is written once a second.
        assert re.search(r"Z recorded [\d,]+ messages, [1-9][\d.]*KiB, in [12] sessions?; ", err, re.M)
    after = mdtool("--store", store, "replay", "sim/ALPHA_USDT").out.splitlines()
    assert after[: len(before)] == before
    (row,) = json.loads(mdtool("--store", store, "registry", "list", "sim/ALPHA_USDT", "--json").out)["feeds"]
    assert row["epochs"] == 2
    notes = mdtool("--store", store, "replay", "sim/_session").out
    assert '"note": "restarted", "what": "recorder sim", "why": "killed by signal 9"' in notes.replace("\\", "")


def test_recording_goes_on_without_whoever_began_it_and_is_taken_over(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        first = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, "ALPHA_USDT"))
        first.kill()
        first.communicate(timeout=LONGEST)
        recorder = duty(store)
        second = start("--store", store, *command.split()[1:])
        assert second.stderr is not None
        assert second.stderr.readline().partition(" ")[2] == "the recorder sim runs already: taken over\n"
        wait_until(lambda: '"there": true' in mdtool("--store", store, "replay", "sim/_session").out.replace("\\", ""))
        code, _ = stop(second)
        assert (code, duty(store)) == (0, recorder)
    (row,) = json.loads(mdtool("--store", store, "registry", "list", "sim/ALPHA_USDT", "--json").out)["feeds"]
    assert row["epochs"] == 1
    assert mdtool("--store", store, "audit").code == 0


def test_a_recorder_in_shared_memory_that_is_lost_with_it_has_what_was_synced(
    start: Start, mdtool, tmp_path: Path
) -> None:
    path = tmp_path / "store"

    def read(reader: Reader) -> list[tuple[int, int, bytes]]:
        return [(record.position, record.kind, record.payload) for record in reader.records()]

    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recorder = start("--store", path, *command.split()[1:], "--live", "shm", "--sync", "1s")
        wait_until(lambda: whole(path, "ALPHA_USDT"))
        with Store.open(path) as store:
            feed, memory = store.feed("sim/ALPHA_USDT"), layout.shm_directory(store.id, 0).parent
            wait_until(lambda: synced(feed) > 50)
            before = synced(feed)
            wait_until(lambda: synced(feed) > before)  # and it follows
            at_work = duty(path)
            recorder.kill()  # who would start another
            recorder.communicate(timeout=LONGEST)
            os.kill(at_work, signal.SIGSTOP)
            wait_until(lambda: " T " in Path(f"/proc/{at_work}/stat").read_text())
            committed, rows = read(store.reader(feed.name)), synced(feed)
            shutil.rmtree(memory)
            os.kill(at_work, signal.SIGKILL)
            wait_until(lambda: not is_written(feed.directory))
            *kept, (position, kind, said) = read(store.reader(feed.name))
            assert before < len(kept) == rows <= len(committed)
            assert kept == committed[:rows]
            assert (position, kind) == (1 << 32 | rows, Kind.NOTE)
            assert json.loads(said) == {
                "note": "lost", "rows": None, "chunk": 1, "row": rows,
                "why": "its shared memory is gone, and its copy on disk ends with the last sync",
            }  # fmt: skip
    audit = mdtool("--store", path, "audit", "sim/ALPHA_USDT")
    assert audit.code == 1
    assert "lost" in audit.out
    found = mdtool("--store", path, "verify", "sim/ALPHA_USDT")
    assert found.code == 1
    assert f"its copy on disk has {rows} records" in found.out.replace("\n", " ")
    assert mdtool("--store", path, "repair", "--gone").code == 1  # what may be lost is named now
    assert mdtool("--store", path, "verify", "sim/ALPHA_USDT", "sim/_session").code == 0
    with Store.open(path) as store:
        assert read(store.reader("sim/ALPHA_USDT")) == [*kept, (position, kind, said)]


def synced(feed: FeedInfo) -> int:
    """Rows that the copy on disk of the feed's first chunk counts."""
    index, _ = chunk_paths(feed, 1, Location.DISK)
    if not index.exists():
        return 0
    return int.from_bytes(index.read_bytes()[layout.COMMITTED_AT :][:8], "little")


def test_no_exchange_there(mdtool, tmp_path: Path, closed_port: int) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    done = mdtool("--store", tmp_path / "store", "record", "sim", "--url", url, "--for", "1s")
    assert done.code == 0
    first = done.err.splitlines()[0].partition(" ")[2]
    assert re.fullmatch(rf"cannot reach {url}/stream: .*refused.*; trying again in [\d.]+ s", first)


def test_for_no_time_at_all(mdtool, tmp_path: Path, closed_port: int) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    done = mdtool("--store", tmp_path / "store", "record", "sim", "--url", url, "--for", "0s")
    assert (done.code, "the time asked for is over" in done.err) == (0, True)


def test_no_exchange_there_and_no_patience(mdtool, tmp_path: Path, closed_port: int) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    done = mdtool("--store", tmp_path / "store", "record", "sim", "--url", url, "--fail-fast")
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: cannot reach {url}/stream: ")


@pytest.mark.parametrize("command", [["sim"], ["serve", "ALPHA_USDT"]])
def test_a_port_in_use(mdtool, alpha: Path, taken_port: int, command: list[str]) -> None:
    done = mdtool("--store", alpha, *command, "--port", str(taken_port))
    assert done.code == 2
    assert done.error_line == (
        f"mdtool: cannot serve on 127.0.0.1:{taken_port}: the port is in use; choose another with --port, or 0 for any"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["record"], "mdtool: there is no file of settings: no [[recording]] that says what to record; name a venue"),
        (["record", "nasdaq"], "mdtool: unknown venue 'nasdaq'; there are: "),
        (["record", "binnance"], "mdtool: unknown venue 'binnance'; did you mean binance? There are: "),
        (["record", "sim", "€"], "mdtool: sim: '€' is no symbol; expected"),
        (["record", "sim", "--for", "soon"], "mdtool: no duration: 'soon'; expected"),
        (
            ["record", "sim", "--url", "example"],
            "mdtool: URL 'example': expected ws://host[:port] or wss://host[:port]",
        ),
        (["record", "sim", "--rest", "ws://x"], "mdtool: URL 'ws://x': expected http://host[:port]"),
        (["record", "sim", "--chunk-size", "much"], "mdtool: no size: 'much'; expected"),
        (["record", "sim", "--live", "tape"], "mdtool: --live 'tape': expected disk or shm"),
        (["record", "sim", "--sync", "2s"], "mdtool: --sync '2s': expected none or 1s or chunk"),
        (["sim", "--symbols", "0"], "mdtool: a simulated exchange needs symbols"),
        (["sim", "--symbols", "€"], "mdtool: sim: '€' is no symbol"),
        (["sim", "--symbols", "1000000"], "mdtool: --symbols 1000000: expected at most 9,999"),
        (["sim", "--rate", "-1"], "mdtool: a simulated exchange needs a rate above 0"),
        (["sim", "--rate", "nan"], "mdtool: a simulated exchange needs a rate above 0"),
        (["sim", "--rate", "inf"], "mdtool: a simulated exchange needs a rate above 0"),
        (["sim", "--speed", "fast"], "mdtool: no speed: 'fast'; expected"),
        (["sim", "--port", "70000"], "mdtool: cannot serve on port 70000: expected 0 to 65535"),
        (["sim", "--host", "256.1.1.1", "--port", "0"], "mdtool: cannot serve on 256.1.1.1:0: "),
        (["serve", "nothing"], "mdtool: nothing: no such feed; "),
        (["serve", "--speed", "fast"], "mdtool: no speed: 'fast'; expected"),
        (["serve", "--at-end", "explode"], "mdtool: --at-end 'explode': expected stay or close"),
        (["demo", "--for", "soon"], "mdtool: no duration: 'soon'; expected"),
        (["bench", "speed"], "mdtool: no benchmark called 'speed'; there are: "),
        (["bench", "append", "--dir", "/nowhere"], "mdtool: /nowhere: no such directory to measure in"),
        (["import"], "mdtool: VENUE is missing; see: mdtool import --help"),
        (["import", "sim"], "mdtool: FILE is missing; see: mdtool import --help"),
        (["import", "nasdaq", "x.hb"], "mdtool: unknown venue 'nasdaq'; there are: "),
    ],
)
def test_bad_input_is_one_line(mdtool, alpha: Path, arguments: list[str], line: str) -> None:
    done = mdtool("--store", alpha, *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.error_line.startswith(line)


def test_recording_what_another_process_records(start: Start, mdtool, tmp_path: Path) -> None:
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recorder = start("--store", tmp_path / "store", *command.split()[1:])
        assert recorder.stderr is not None
        recorder.stderr.readline()
        done = mdtool("--store", tmp_path / "store", *command.split()[1:], "--for", "1s")
        stop(recorder)
    assert done.code == 2
    assert re.fullmatch(
        r"mdtool: the recorder 'sim' \(pid \d+\) records this already; see: mdtool status, to end it: mdtool stop",
        done.error_line,
    )


def test_demo_ends_well_and_may_be_kept(mdtool, tmp_path: Path) -> None:
    done = mdtool("demo", "--for", "2s", "--keep", tmp_path / "kept", "--seed", "3")
    assert done.code == 0
    assert done.err == f"the store is kept: mdtool --store {tmp_path / 'kept'} registry list\n"
    assert re.search(r"^At id \d+ this is the exchange's own book, on all \d+ levels\.$", done.out, re.M)
    assert "5 feeds, 4 clean, 1 log of connections\n" in done.out
    assert "reading the day" not in done.out  # the whole of it is a few seconds, and read
    assert re.search(r"^ 1m .*\n all \d|1 minute +all \d", done.out, re.M)
    assert mdtool("--store", tmp_path / "kept", "audit").code == 0


def test_bench_prints_figures_beside_their_budgets(mdtool) -> None:
    done = mdtool("bench", "append", "--quick")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^  append a 200-byte record +[\d,.]+ ns/record +<= 150 ", done.out, re.M)
    report = json.loads(mdtool("bench", "append", "--quick", "--json").out)
    assert {figure["group"] for figure in report["figures"]} == {"append"}
