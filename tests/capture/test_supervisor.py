"""The sidecar may die, be killed, flood, babble or never start: recording goes on, and it is told and mended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import LONGEST, until

from mdtool.books.phases import BookState
from mdtool.capture import supervisor as module
from mdtool.capture.backoff import Backoff
from mdtool.capture.child import complaint, environment
from mdtool.capture.options import BOOK_STATES, RecorderEvent, record_options
from mdtool.capture.recorder import Recorder
from mdtool.clock import SECOND
from mdtool.exchange.binance import protocol_for
from mdtool.exchange.faults import Drop, Faults
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

SIM = catalog.get("sim")
START = 1_700_049_600 * SECOND


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Backoff, "next_wait", lambda self: 0.05)


class Run:
    """A recorder at work on the simulator, and what it said."""

    def __init__(self, store, recorder, talk):
        self.store = store
        self.recorder = recorder
        self.talk = talk

    @property
    def status(self):
        return self.recorder.status

    def said(self, event):
        return [text for said, text in self.talk if said is event]


def recorded(store, play, *faults, count=2, names=None):
    """What `play(run)` does while a recorder runs; its status."""
    talk = []

    async def main():
        simulator = Simulator(symbol_names(count), seed=7, rate=200.0, start_ns=START)
        async with Server(SimulatedSource(simulator, wait=True), protocol_for("sim"), faults=Faults(*faults)) as server:
            options = record_options(SIM, names or symbol_names(count), ws_url=server.url, sync="none")
            recorder = Recorder(store, options, lambda event, text: talk.append((event, text)))
            running = asyncio.create_task(recorder.run())
            try:
                await play(Run(store, recorder, talk))
            finally:
                recorder.stop()
                status = await running
            return status

    return asyncio.run(main()), talk


def notes(store, note):
    with store.reader("sim/_session") as reader:
        told = [json.loads(one.payload) for one in reader.records() if one.kind == Kind.NOTE]
    return [one for one in told if one["note"] == note]


def sidecars(parent=None):
    """The process ids of this process's sidecars."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            stat = (directory / "stat").read_text().rpartition(")")[2].split()
            line = (directory / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[1]) == (parent or os.getpid()) and stat[0] != "Z" and module.SIDECAR.encode() in line:
            found.append(int(directory.name))
    return found


async def killed(run, number):
    await until(sidecars)
    os.kill(sidecars()[0], number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_sidecar_that_is_killed_is_told_and_started_again_and_recording_goes_on(store, number):
    async def play(run):
        await until(lambda: run.status.snapshots == 2)
        await killed(run, number)
        before = run.status.records
        await until(lambda: run.said(RecorderEvent.SIDECAR) and run.status.records > before + 100)
        await until(sidecars)

    status, talk = recorded(store, play)
    assert (status.sessions, status.failures, status.gaps, status.snapshots) == (1, 0, 0, 2)
    assert not status.behind
    why = f"killed by signal {int(number)}"
    assert [text for event, text in talk if event is RecorderEvent.SIDECAR] == [
        f"watching has failed: {why}; starting again in 0.1 s"
    ]
    assert notes(store, "sidecar") == [{"note": "sidecar", "why": why}]
    assert sidecars() == []


def test_a_gap_while_none_watches_is_told_once_and_mended(store, monkeypatch):
    real = module.SIDECAR

    async def play(run):
        await until(lambda: run.status.snapshots == 2)
        monkeypatch.setattr(module, "SIDECAR", "mdtool.capture.no_such_module")
        for pid in sidecars_of(real):
            os.kill(pid, signal.SIGKILL)
        with store.reader("sim/ALPHA_USDT") as reader:
            seen = []

            def dropped():
                seen.extend(one for one in reader.poll() if b"@depth" in one.payload)
                return len(seen) > 50

            await until(dropped)
        await until(lambda: any("No module named" in note["why"] for note in notes(store, "sidecar")))
        assert run.status.gaps == 0
        monkeypatch.setattr(module, "SIDECAR", real)
        await until(lambda: run.status.snapshots == 3)

    def sidecars_of(name):
        monkeypatch.setattr(module, "SIDECAR", name)
        found = sidecars()
        monkeypatch.setattr(module, "SIDECAR", "mdtool.capture.no_such_module")
        return found

    status, talk = recorded(store, play, Drop("alphausdt@depth@100ms", 40))
    assert (status.gaps, status.snapshots) == (1, 3)
    gaps = [text for event, text in talk if event is RecorderEvent.GAP]
    assert len(gaps) == 1
    assert gaps[0].startswith("ALPHA_USDT: gap before update ")
    assert notes(store, "sidecar")[-1]["why"].endswith("No module named mdtool.capture.no_such_module")


def stand_in(tmp_path, monkeypatch, body):
    """A module in the sidecar's place."""
    (tmp_path / "stand_in_sidecar.py").write_text(
        "import sys, time, os\nstart = sys.stdin.buffer.readline()\nout = sys.stdout.buffer\n" + body
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "SIDECAR", "stand_in_sidecar")


def test_one_that_babbles_is_counted_and_obeyed_where_it_makes_sense(store, tmp_path, monkeypatch):
    lines = [
        b'{"type":"ask","symbol":"ALPHA_USDT"}',
        b'{"type":"ask","symbol":"NOBODY_USDT"}',
        b'{"type":"mark","symbol":"../../etc","anchor":1,"told":1}',
        b'{"type":"learned","symbol":"ALPHA_USDT","price_exp":-3,"size_exp":-1}',
        b'{"type":"learned","symbol":"ALPHA_USDT","price_exp":-999999999999,"size_exp":-1}',
        b"\x00\xff",
        b"x" * 100_000,
        b'{"type":"undecodable","symbol":"BRAVO_USDT","records":4,"text":"odd"}',
    ]
    said = b"".join(one + b"\n" for one in lines)
    stand_in(tmp_path, monkeypatch, f"out.write({said!r})\nout.flush()\nsys.stdin.buffer.read()\n")

    async def play(run):
        await until(lambda: run.status.undecodable == 4)
        await until(lambda: store.feed("sim/ALPHA_USDT").scale is not None)
        await until(lambda: run.status.snapshots == 1)

    status, talk = recorded(store, play)
    assert (status.unknown_lines, status.undecodable, status.gaps) == (5, 4, 0)
    assert tuple(store.feed("sim/ALPHA_USDT").scale) == (-3, -1)
    assert [text for event, text in talk if event is RecorderEvent.UNDECODABLE] == [
        "BRAVO_USDT: cannot be decoded, kept as received: odd"
    ]


def test_one_that_floods_is_read_a_little_at_a_time(store, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, 'while True:\n    out.write(b\'{"type":"alive"}\\n\' * 1000)\n')
    taken = []
    monkeypatch.setattr(module.Lines, "take", lambda self, data: taken.append(len(data)) or [])

    async def play(run):
        await until(lambda: len(taken) > 10 and run.status.records > 300)

    status, _ = recorded(store, play)
    assert max(taken) <= module.MOUTHFUL
    assert status.behind


def test_one_that_falls_silent_is_replaced(store, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "time.sleep(1000)\n")
    monkeypatch.setattr(module, "SILENCE", 0.2)

    async def play(run):
        await until(lambda: len(notes(store, "sidecar")) >= 2)

    recorded(store, play)
    assert notes(store, "sidecar")[0] == {"note": "sidecar", "why": "no sign of life for 0.2 s"}


def test_one_that_dies_at_what_stands_there_is_led_past_it(store, tmp_path, monkeypatch):
    """It says where it is and dies, always at the same place; the third does not begin there."""
    stand_in(
        tmp_path,
        monkeypatch,
        "import json\n"
        f"log = open({str(tmp_path / 'starts')!r}, 'a')\n"
        "log.write(json.dumps([mark['told'] for mark in json.loads(start)['marks']][:1]) + '\\n')\n"
        'log.close()\nout.write(b\'{"type":"alive"}\\n\')\nout.flush()\nos._exit(7)\n',
    )

    def starts():
        try:
            return [json.loads(line)[0] for line in (tmp_path / "starts").read_text().splitlines()]
        except FileNotFoundError:
            return []

    async def play(run):
        await until(lambda: len(starts()) >= 6 and run.status.records > 50)

    recorded(store, play)
    found = starts()
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[-1] > found[0]
    assert notes(store, "sidecar")[0]["why"] == "exit 7"


def test_a_recorder_that_dies_takes_its_sidecar_with_it(tmp_path):
    script = (
        "import asyncio, sys\n"
        "from mdtool.capture.recorder import Recorder, record_options\n"
        "from mdtool.storage.store import Store\n"
        "from mdtool.venues import catalog\n"
        "store = Store.create(sys.argv[1])\n"
        "options = record_options(catalog.get('sim'), ('ALPHA_USDT',), ws_url='ws://127.0.0.1:9', sync='none')\n"
        "asyncio.run(Recorder(store, options, lambda event, text: None).run())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "store")], env=environment())
    deadline = time.monotonic() + LONGEST
    while not (found := sidecars(process.pid)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    while Path(f"/proc/{found[0]}").exists():
        assert time.monotonic() < deadline, "the sidecar outlived its recorder"
        time.sleep(0.02)


def test_why_a_child_ended_is_its_last_word_or_how():
    assert complaint(b"Traceback\n  x\nValueError: no\n", 1) == "ValueError: no"
    assert complaint(b"", -9) == "killed by signal 9"
    assert complaint(b"\n", 3) == "exit 3"


def test_a_feed_that_comes_while_a_sidecar_is_being_started_is_watched(store, monkeypatch):
    """It was told its feeds before."""
    symbols = symbol_names(3)
    starting, going = asyncio.Event(), asyncio.Event()
    begin = asyncio.create_subprocess_exec
    kept = []

    async def slow(*command, **options):
        if module.SIDECAR in command:
            kept.append(None)
            starting.set()
            await going.wait()
        return await begin(*command, **options)

    monkeypatch.setattr(module.asyncio, "create_subprocess_exec", slow)

    async def play(run):
        await starting.wait()
        replanning = asyncio.ensure_future(run.recorder.replan(symbols))
        await until(lambda: symbols[2] in run.recorder._supervisor._marks)
        going.set()
        assert await replanning == symbols
        await until(lambda: store.feed(f"sim/{symbols[2]}").scale is not None)

    status, talk = recorded(store, play, count=3, names=symbols[:2])
    assert (status.gaps, len(kept)) == (0, 2)
    assert [text for event, text in talk if event is RecorderEvent.SIDECAR] == []


def test_what_a_book_is_worth_is_known_while_somebody_watches(store, monkeypatch):
    monkeypatch.setattr(module, "SIDECAR", "mdtool.capture.sidecar")
    symbol = symbol_names(1)[0]
    synced = BOOK_STATES.index(BookState.SYNCED)

    async def play(run):
        book = lambda: run.status.of(symbol).book  # noqa: E731
        await until(lambda: book() == synced)
        monkeypatch.setattr(module, "SIDECAR", "mdtool.no_such_module")
        run.recorder._supervisor._process.kill()
        await until(lambda: len(run.said(RecorderEvent.SIDECAR)) > 1)
        assert book() == BOOK_STATES.index(None)
        monkeypatch.setattr(module, "SIDECAR", "mdtool.capture.sidecar")
        await until(lambda: book() == synced)

    recorded(store, play, count=1)
