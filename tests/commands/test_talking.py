"""Nothing that is said can hold up who says it."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import LONGEST, wait_until

from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.view import talker as module
from mdtool.view.talker import Talker

F_SETPIPE_SZ = 1031


@pytest.fixture
def unread():
    """A pipe that is full and that nobody reads: (reading end, writing end)."""
    there, here = os.pipe()
    fcntl.fcntl(here, F_SETPIPE_SZ, 4096)
    os.set_blocking(here, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(here, b"." * 4096)
    os.set_blocking(here, True)
    yield there, here
    for fd in (there, here):
        try:
            os.close(fd)
        except OSError:
            pass


def records(path: Path, kind: Kind) -> int:
    if not (path / "registry.bin").exists():
        return 0
    with Store.open(path) as store:
        if "sim/ALPHA_USDT" not in [feed.name for feed in store.feeds()]:
            return 0
        with store.reader("sim/ALPHA_USDT") as reader:
            return sum(record.kind == kind for record in reader.records())


def test_a_recorder_whose_stderr_nobody_reads_records_and_stops_when_told(start, tmp_path, unread, environment):
    there, here = unread
    store = tmp_path / "store"
    exchange = start("sim", "--port", "0", "--symbols", "1")
    assert exchange.stderr is not None
    exchange.stderr.readline()
    command = exchange.stderr.readline().split()[1:]
    recorder = subprocess.Popen(
        [sys.executable, "-m", "mdtool", "-v", "--store", str(store), *command],
        stdout=subprocess.DEVNULL, stderr=here, env=environment,
    )  # fmt: skip
    try:
        wait_until(lambda: records(store, Kind.DATA) > 50)
        before = records(store, Kind.DATA)
        wait_until(lambda: records(store, Kind.DATA) > before + 50)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(LONGEST) == 0
    finally:
        recorder.kill()
        recorder.wait()
        exchange.send_signal(signal.SIGTERM)
        exchange.wait(LONGEST)
    assert records(store, Kind.END) == 1
    os.close(here)
    said = b""
    while piece := os.read(there, 65536):
        said += piece
    assert b"Traceback" not in said


def test_what_is_not_read_is_dropped_counted_and_said_once_there_is_room(unread, monkeypatch):
    there, here = unread
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    with os.fdopen(os.dup(here), "w") as stream:
        talker = Talker(stream)
        talker.write("0\n")
        wait_until(lambda: not talker._waiting)  # it is being written, which takes until somebody reads
        for number in range(1, 11):
            talker.write(f"{number}\n")
            talker.flush()
        assert os.read(there, 4096) == b"." * 4096
        assert talker.finish()
    os.close(here)
    said = b""
    while piece := os.read(there, 65536):
        said += piece
    assert said == b"0\n1\n2\n3\n(7 more lines were not shown: nobody read them)\n"


def test_the_end_does_not_wait_for_a_reader(unread, monkeypatch):
    monkeypatch.setattr(module, "LAST_WORDS", 0.01)
    with os.fdopen(os.dup(unread[1]), "w") as stream:
        talker = Talker(stream)
        talker.write("never read\n")
        assert not talker.finish()
        os.read(unread[0], 4096)
        talker._thread.join(LONGEST)
        assert not talker._thread.is_alive()


def test_a_reader_that_has_gone_is_nobodys_concern(unread):
    there, here = unread
    os.close(there)
    with os.fdopen(os.dup(here), "w") as stream:
        talker = Talker(stream)
        talker.write("to nobody\n")
        assert talker.finish()


def test_it_stands_in_for_the_stream(capfd):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    talker = Talker(stream)
    print("one", "ü", file=talker)
    assert (talker.isatty(), talker.writable(), talker.encoding) == (False, True, "ascii")
    assert talker.finish()
    assert stream.buffer.getvalue() == b"one \\xfc\n"
