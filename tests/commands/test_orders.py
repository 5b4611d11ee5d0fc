"""Recorders as processes: told to stop, to fetch whole books, to connect anew; killed one after another; two of them on
one store. With the synthetic exchange over loopback sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import LONGEST, wait_until
from test_network import serving, stop, whole

from mdtool.model import Kind
from mdtool.service.roster import Member, Roster
from mdtool.storage.store import Store

Start = Callable[..., "subprocess.Popen[str]"]
A, B, C = "ALPHA_USDT", "BRAVO_USDT", "CHARLIE_USDT"


def url(command: str) -> list[str]:
    """What makes `mdtool record sim` record this exchange."""
    words = command.split()
    return words[words.index("--url") : words.index("--url") + 2]


def records(store: Path, symbol: str) -> list[tuple[Kind, bytes]]:
    with Store.open(store) as opened, opened.reader(f"sim/{symbol}") as reader:
        return [(Kind(record.kind), record.payload) for record in reader.records()]


def member(store: Path, name: str = "sim") -> Member:
    found = Roster(store).member(name)
    assert found is not None
    return found


def alive(store: Path, name: str = "sim") -> bool:
    found = Roster(store).member(name)
    return found is not None and found.alive and found.socket.exists()


def sidecars(pid: int) -> list[int]:
    """The processes that a process has begun."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in children.split()]


def notes(store: Path) -> list[dict[str, object]]:
    return [json.loads(payload) for kind, payload in records(store, "_session") if kind is Kind.NOTE]


def told(mdtool, store: Path, *order: str) -> list[dict[str, object]]:
    done = mdtool("--store", store, *order, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["recorders"]


def test_orders_reach_the_recorder_and_are_done(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "3")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: all(whole(store, symbol) for symbol in (A, B, C)))
        before = len([1 for kind, _ in records(store, A) if kind is Kind.RESPONSE])
        assert told(mdtool, store, "snapshot", A) == [{"recorder": "sim", "feeds": [f"sim/{A}"], "error": None}]
        wait_until(lambda: len([1 for kind, _ in records(store, A) if kind is Kind.RESPONSE]) > before)
        assert told(mdtool, store, "reconnect", B) == [{"recorder": "sim", "feeds": [f"sim/{B}"], "error": None}]
        wait_until(lambda: [1 for kind, payload in records(store, A) if kind is Kind.CLOSE])
        assert told(mdtool, store, "stop", "--feed", A) == [{"recorder": "sim", "feeds": [f"sim/{A}"], "error": None}]
        assert records(store, A)[-1] == (Kind.END, b'{"reason": "no longer asked for"}')
        assert member(store).duty.assignment.symbols == (B, C)
        done = mdtool("--store", store, "stop", "--feed", A)
        assert (done.code, done.out, done.err) == (0, "", "nothing of this is being recorded\n")
        done = mdtool("--store", store, "stop")
        assert (done.code, done.out) == (0, f"sim: stopped: sim/{B} sim/{C}\n")
        assert records(store, B)[-1] == (Kind.END, b'{"reason": "told to stop"}')
        _, err = recording.communicate(timeout=LONGEST)
        assert recording.returncode == 0
        assert re.search(r"Z recorded [\d,]+ messages, .* 0 gaps$", err, re.M)
    assert mdtool("--store", store, "audit").code == 0
    done = mdtool("--store", store, "stop")
    assert (done.code, done.out, done.err) == (0, "", "nothing of this is being recorded\n")


def test_each_process_is_killed_in_turn_and_nothing_committed_is_lost(start: Start, mdtool, tmp_path: Path) -> None:
    """Sidecar, `mdtool record`, recorder; the orphan is taken over, its totals go on."""
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "2")) as (_, command):
        first = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A) and whole(store, B))
        recorder = member(store).duty.pid

        def grows(what: str) -> None:
            """The recording goes on behind what it had; that is still there."""
            before = records(store, A)
            wait_until(lambda: len(records(store, A)) > len(before) + 20)
            assert records(store, A)[: len(before)] == before, what

        (sidecar,) = sidecars(recorder)
        os.kill(sidecar, signal.SIGKILL)
        grows("without a sidecar")
        wait_until(lambda: [pid for pid in sidecars(recorder) if pid != sidecar])
        first.kill()
        first.communicate(timeout=LONGEST)
        grows("without mdtool record")
        second = start("--store", store, *command.split()[1:])
        assert second.stderr is not None
        assert second.stderr.readline().partition(" ")[2] == "the recorder sim runs already: taken over\n"
        wait_until(lambda: any(note == {"note": "supervisor", "there": True} for note in notes(store)))
        assert member(store).duty.pid == recorder
        grows("taken over")
        os.kill(recorder, signal.SIGKILL)
        wait_until(lambda: whole(store, A, epoch=2) and whole(store, B, epoch=2))
        assert member(store).duty.pid != recorder
        code, err = stop(second)
        assert code == 0
    got = len([1 for symbol in (A, B) for kind, _ in records(store, symbol) if kind is Kind.DATA])
    found = re.search(r"Z recorded ([\d,]+) messages", err)
    assert found is not None
    # What was counted in the last second of the one that was killed is not: its page is written once a second.
    assert int(found[1].replace(",", "")) > got / 2
    said = [note["note"] for note in notes(store) if note["note"] in ("sidecar", "supervisor", "restarted")]
    assert said == ["sidecar", "supervisor", "supervisor", "restarted"]
    assert mdtool("--store", store, "verify").code == 0


def test_left_alone_it_is_found_again_whatever_the_loads_are_by_then(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "3")) as (_, command):
        words = ["--store", store, "record", "sim", A, B, C, *url(command), "--shards", "2"]
        first = start(*words)
        wait_until(lambda: all(whole(store, symbol) for symbol in (A, B, C)))
        shares = {name: set(member(store, name).duty.assignment.symbols) for name in ("sim", "sim-2")}
        assert shares == {"sim": {A, C}, "sim-2": {B}}  # nothing was known of their loads
        first.kill()
        first.communicate(timeout=LONGEST)
        second = start(*words)
        assert second.stderr is not None
        taken = [second.stderr.readline().partition(" ")[2] for _ in range(2)]
        assert taken == [f"{name}: the recorder {name} runs already: taken over\n" for name in ("sim", "sim-2")]
        wait_until(lambda: sum(note == {"note": "supervisor", "there": True} for note in notes(store)) == 1)
        assert stop(second)[0] == 0
    assert all(records(store, symbol)[-1][0] is Kind.END for symbol in (A, B, C))
    assert mdtool("--store", store, "audit").code == 0


def test_two_runs_of_one_venue_and_one_that_overlaps(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "3")) as (_, command):
        one = start("--store", store, "record", "sim", A, *url(command))
        two = start("--store", store, "record", "sim", B, *url(command))  # at once: both want the same name
        wait_until(lambda: whole(store, A) and whole(store, B))
        assert {symbol for name in ("sim", "sim-2") for symbol in member(store, name).duty.assignment.symbols} == {A, B}
        done = mdtool("--store", store, "record", "sim", B, C, *url(command))
        assert done.code == 2
        holder = next(name for name in ("sim", "sim-2") if member(store, name).duty.assignment.symbols == (B,))
        assert done.error_line == (
            f"mdtool: the recorder {holder!r} (pid {member(store, holder).duty.pid}) records this already; "
            "see: mdtool status, to end it: mdtool stop"
        )
        again = start("--store", store, "record", "sim", B, C, *url(command), "--streams", "trade")
        _, err = again.communicate(timeout=LONGEST)
        assert again.returncode == 2
        pid = member(store, holder).duty.pid
        assert err.splitlines()[-1] == (
            f"mdtool: sim/{B} is being written by another process (pid {pid}): stop it first, or name other feeds"
        )
        assert [stop(one)[0], stop(two)[0]] == [0, 0]
    assert mdtool("--store", store, "audit", A, B).code == 0


def test_a_recorder_that_is_held_ends_all_the_same_and_a_second_signal_ends_it_at_once(
    start: Start, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A))
        recorder = member(store).duty.pid
        os.kill(recorder, signal.SIGSTOP)
        recording.send_signal(signal.SIGINT)
        assert recording.stderr is not None
        assert any("stopping: interrupted" in line for line in recording.stderr)
        recording.send_signal(signal.SIGINT)
        recording.communicate(timeout=LONGEST)
        assert recording.returncode == 130
        assert not alive(store)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_recorder_itself(start: Start, tmp_path: Path, number: int) -> None:
    """The hangup of a terminal is none of its business; told to end it ends, and with it the run."""
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A))
        os.kill(member(store).duty.pid, number)
        if number == signal.SIGHUP:
            before = len(records(store, A))
            wait_until(lambda: len(records(store, A)) > before + 20)
            assert stop(recording)[0] == 0
        else:
            recording.communicate(timeout=LONGEST)
            assert recording.returncode == 0
    why = {signal.SIGHUP: "terminated", signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert records(store, A)[-1] == (Kind.END, json.dumps({"reason": why}).encode())


def test_one_that_looks_after_it_and_is_held_holds_up_nothing(start: Start, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A))
        recording.send_signal(signal.SIGSTOP)
        before = len(records(store, A))
        wait_until(lambda: len(records(store, A)) > before + 50)
        recording.send_signal(signal.SIGCONT)
        assert stop(recording)[0] == 0


def test_nobody_reads_what_is_said_and_it_records_on_and_ends(start: Start, tmp_path: Path) -> None:
    """A pipe that is full: what is said waits for nobody."""
    store = tmp_path / "store"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])}
        recording = subprocess.Popen(
            [sys.executable, "-m", "mdtool", "--store", str(store), *command.split()[1:]],
            stderr=writing, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        wait_until(lambda: whole(store, A))
        recording.send_signal(signal.SIGTERM)
        assert recording.wait(LONGEST) == 0
    os.close(reading)
    os.close(writing)
    assert records(store, A)[-1][0] is Kind.END


def test_a_store_whose_path_is_longer_than_a_sockets_may_be(start: Start, mdtool, tmp_path: Path) -> None:
    store = tmp_path / ("long" * 30) / "store"
    assert len(os.fsencode(store / "run" / "sim.sock")) > 108
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A))
        assert told(mdtool, store, "stop") == [{"recorder": "sim", "feeds": [f"sim/{A}"], "error": None}]
        recording.communicate(timeout=LONGEST)
        assert recording.returncode == 0


def test_what_is_done_to_a_store_knows_nothing_of_its_recorders(start: Start, mdtool, tmp_path: Path) -> None:
    """verify, repair, registry, clean, seal, and a registry that is built again: with the folder of a recorder that was
    killed in the store, and whatever else may stand there."""
    store = tmp_path / "store"
    with serving(start("sim", "--port", "0", "--symbols", "1")) as (_, command):
        recording = start("--store", store, *command.split()[1:])
        wait_until(lambda: whole(store, A))
        pid = member(store).duty.pid
        assert mdtool("--store", store, "verify").code == 0
        recording.kill()
        recording.communicate(timeout=LONGEST)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(store))
    (store / "run" / "sim-2.json").write_text("{}")
    (store / "run" / "odd").mkdir()
    before = sorted(path.name for path in (store / "run").iterdir())
    found = mdtool("--store", store, "verify", "--json")
    assert "run" not in json.dumps([one for one in json.loads(found.out)["findings"] if "/run/" in json.dumps(one)])
    assert mdtool("--store", store, "repair").code == 0
    assert mdtool("--store", store, "verify").code == 0
    (store / "registry.bin").unlink()
    assert mdtool("--store", store, "registry", "verify", "--rebuild").code in (0, 1)
    assert mdtool("--store", store, "registry", "verify").code == 0
    assert mdtool("--store", store, "seal").code == 0
    assert mdtool("--store", store, "clean", "--dry-run").code == 0
    assert mdtool("--store", store, "audit").code in (0, 1)
    assert sorted(path.name for path in (store / "run").iterdir()) == before
