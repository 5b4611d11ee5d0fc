"""Imports of what is there already, in whole or in part: nothing twice, nothing missing, however it was broken off."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import wait_until

from mdtool.audit import audit_store
from mdtool.errors import ImportFormatError, ImportInterrupted, UsageError
from mdtool.interop import Stop, import_files
from mdtool.interop.importer import Progress
from mdtool.model import Flag, Kind
from mdtool.storage.store import Store
from mdtool.venues.catalog import get

SPOT = get("binance")
T0 = 1_755_000_000_000_000_000
MS = 10**6
WS = "wss://stream.binance.com:9443/stream?streams=ethusdt@depth@100ms"
REST = "https://www.binance.com/api/v3/depth?symbol=ETHUSDT&limit=1000"

Kept = tuple[int, Kind, str, int, bytes]


def update(number: int, symbol: str = "ethusdt") -> bytes:
    return (
        f'{{"stream":"{symbol}@depth@100ms","data":{{"e":"depthUpdate","E":{T0 // MS},"s":"{symbol.upper()}",'
        f'"U":{number},"u":{number},"b":[["1.0","{number}"]],"a":[]}}}}'
    ).encode()


SNAPSHOT = b'{"lastUpdateId":0,"bids":[["1.0","5"]],"asks":[["1.1","4"]]}'


def hb(folder: Path, name: str, first: int, last: int, late_ns: int = 0) -> Path:
    """Updates of a range, 100 ms apart, two symbols in turns; the first of all behind a whole book."""
    path = folder / name
    lines = [b"%d %s\n" % (T0, SNAPSHOT)] if first == 1 else []
    for number in range(first, last + 1):
        for symbol in ("ethusdt", "btcusdt"):
            lines.append(b"%d %s\n" % (T0 + number * 100 * MS + late_ns, update(number, symbol)))
    path.write_bytes(b"".join(lines))
    return path


def cf(folder: Path, count: int) -> list[Path]:
    """A websocket file with two connects, and its REST file."""
    ws, http = folder / "x.ws.0", folder / "x.http.0"
    lines = ["configuration: {}\n"]
    for number in range(1, count + 1):
        second = f"{T0 // 10**9 + number // 10}.{number % 10}"
        if number in (1, count // 2):
            lines += [f"{WS} <-> {second}\n", f'{WS} <- {second}: {{"id":1}}\n']
        lines.append(f"{second}: {update(number).decode()}\n")
    ws.write_text("".join(lines))
    http.write_text(f"{REST} -> {T0 // 10**9}.15: {SNAPSHOT.decode()}\n")
    return [ws, http]


def kept(store: Store) -> dict[str, list[Kept]]:
    """Everything but what an import says of itself: the ends, and that it was broken off or gone on with. Sessions are
    numbered as they come: which numbers they have depends on what was imported before."""
    found = {}
    sessions: dict[int, int] = {}
    for feed in store.feeds():
        with store.reader(feed.name) as reader:
            found[feed.name] = [
                (
                    r.recv_ns,
                    Kind(r.kind),
                    reader.stream_name(r.stream),
                    sessions.setdefault(r.session, len(sessions)),
                    r.payload,
                )
                for r in reader.records()
                if r.kind != Kind.END and not (r.kind == Kind.NOTE and b'"import ' in r.payload)
            ]
    return found


def count_ends(store: Store) -> dict[str, int]:
    found = {}
    for feed in store.feeds():
        with store.reader(feed.name) as reader:
            found[feed.name] = sum(record.kind == Kind.END for record in reader.records())
    return found


def stopped_after(bytes_read: int) -> tuple[Stop, Progress]:
    """A stop that is asked for once that much has been read."""
    stop = Stop()

    def progress(done: int, total: int | None) -> None:
        if done >= bytes_read and not stop.asked:
            stop.ask()

    return stop, progress


def test_the_same_files_again_add_nothing(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    files = [hb(tmp_path, "a.hb", 1, 50)]
    once = import_files(store, SPOT, files)
    before, ended = kept(store), count_ends(store)
    again = import_files(store, SPOT, files)
    assert (again.records, again.already, again.findings) == (0, once.records, ())
    assert (kept(store), count_ends(store)) == (before, ended)


@pytest.mark.parametrize("allow_overlap", [False, True])
def test_two_files_that_overlap_are_one_history_however_they_come(tmp_path: Path, allow_overlap: bool) -> None:
    one, two = hb(tmp_path, "1.hb", 1, 2_000), hb(tmp_path, "2.hb", 1_001, 3_000)
    together, apart = Store.create(tmp_path / "together"), Store.create(tmp_path / "apart")
    import_files(together, SPOT, [hb(tmp_path, "all.hb", 1, 3_000)])
    import_files(apart, SPOT, [one])
    report = import_files(apart, SPOT, [two], allow_overlap=allow_overlap)
    assert (report.records, report.already) == (2_000, 2_000)
    assert kept(apart) == kept(together)
    for audited in audit_store(apart, get, ["binance/ETH_USDT", "binance/BTC_USDT"]):
        assert audited.clean, audited.findings


def test_two_files_that_overlap_are_one_history_in_one_command_too(tmp_path: Path) -> None:
    one, two = hb(tmp_path, "1.hb", 1, 200), hb(tmp_path, "2.hb", 101, 300)
    twice = tmp_path / "twice.hb"
    twice.write_bytes(two.read_bytes() + two.read_bytes().splitlines(keepends=True)[-1])
    whole, together = Store.create(tmp_path / "whole"), Store.create(tmp_path / "together")
    import_files(whole, SPOT, [hb(tmp_path, "all.hb", 1, 300)])
    report = import_files(together, SPOT, [one, two, one])
    assert (report.records, report.already) == (601, 601)
    assert kept(together) == kept(whole)
    # What one file has twice is there twice, whatever the others have.
    report = import_files(Store.create(tmp_path / "t"), SPOT, [two, twice])
    assert (report.records, report.already) == (401, 400)


def test_pipes_are_read_once(tmp_path: Path) -> None:
    """As `mdtool import binance <(zcat a.gz) <(zcat b.gz)` names them."""
    store, whole = Store.create(tmp_path / "s"), Store.create(tmp_path / "whole")
    import_files(whole, SPOT, [hb(tmp_path, "all.hb", 1, 300)])
    names = []
    for number, path in enumerate((hb(tmp_path, "1.hb", 1, 200), hb(tmp_path, "2.hb", 101, 300))):
        names.append(tmp_path / f"pipe{number}")
        os.mkfifo(names[-1])
        threading.Thread(target=lambda name=names[-1], path=path: name.write_bytes(path.read_bytes())).start()
    import_files(store, SPOT, names)
    assert kept(store) == kept(whole)


def test_the_same_messages_by_another_recorders_clock(tmp_path: Path) -> None:
    """Three milliseconds later, as a second machine stamps them: the same bytes are the same message."""
    store = Store.create(tmp_path / "s")
    import_files(store, SPOT, [hb(tmp_path, "1.hb", 1, 200)])
    report = import_files(store, SPOT, [hb(tmp_path, "2.hb", 101, 300, late_ns=3 * MS)], allow_overlap=True)
    assert (report.records, report.already) == (200, 200)
    for audited in audit_store(store, get, ["binance/ETH_USDT"]):
        assert audited.clean, audited.findings
        assert [stream.verdicts for stream in audited.streams if stream.stream == "depth@100ms"] == [{"apply": 300}]


def test_what_differs_is_kept(tmp_path: Path) -> None:
    """A message said twice alike has nothing to be known by: it is the same one only at the same time."""
    store = Store.create(tmp_path / "s")
    beat = b'{"stream":"ethusdt@beat","data":{}}'
    one, two = tmp_path / "1.hb", tmp_path / "2.hb"
    one.write_bytes(b"".join(b"%d %s\n" % (T0 + n * MS, beat) for n in range(4)))
    two.write_bytes(b"".join(b"%d %s\n" % (T0 + n * MS, beat) for n in (2, 3, 3, 5)))
    import_files(store, SPOT, [one])
    report = import_files(store, SPOT, [two], allow_overlap=True)
    assert (report.records, report.already) == (2, 2)
    assert [row[0] for row in kept(store)["binance/ETH_USDT"]] == [T0 + n * MS for n in (0, 1, 2, 3, 3, 5)]


@pytest.mark.parametrize("back_ms", [5_001, 9_000, 12_000, 60_000])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_whose_times_step_back_is_there_already_too(
    tmp_path: Path, back_ms: int, order: tuple[int, int]
) -> None:
    """Damaged lines have the time of what stands before them; what is known by its bytes is known behind the step."""
    runs = [
        b"".join(b"%d %s\n" % (T0 + (n * 100 - back) * MS, update(n + 200 * step)) for n in range(1, 101))
        for step, back in ((order[0], 0), (order[1], back_ms))
    ]
    stepping = tmp_path / "stepping.hb"
    stepping.write_bytes(runs[0] + runs[1] + b"garbage\ngarbage\n" + runs[0].splitlines(keepends=True)[-1])
    store = Store.create(tmp_path / "s")
    once = import_files(store, SPOT, [stepping])
    before = kept(store)
    assert [row[-1] for row in before["binance/_session"]] == [b"garbage", b"garbage"]
    again = import_files(store, SPOT, [stepping], allow_overlap=True)
    assert (once.records, again.records, again.already) == (203, 0, 203)
    assert kept(store) == before


def test_what_was_imported_in_order_is_known_in_any_other(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    lines = hb(tmp_path, "a.hb", 2, 601).read_bytes().splitlines(keepends=True)
    import_files(store, SPOT, [tmp_path / "a.hb"])
    before = kept(store)
    blocks = [lines[at : at + 300] for at in range(0, len(lines), 300)]
    for name, order in (("back", blocks[::-1]), ("mixed", [blocks[n] for n in (2, 0, 3, 1)])):
        (tmp_path / name).write_bytes(b"".join(line for block in order for line in block))
        report = import_files(store, SPOT, [tmp_path / name], allow_overlap=True)
        assert (report.records, report.already) == (0, len(lines))
        assert kept(store) == before


def test_an_import_beside_a_recorder_has_a_session_feed_of_its_own(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    path = hb(tmp_path, "a.hb", 1, 20)
    path.write_bytes(path.read_bytes() + b"garbage\n")
    with store.writer("binance/_session") as recorder:
        recorder.append(T0, Kind.NOTE, recorder.stream("session"), 0, b"{}")
        report = import_files(store, SPOT, [path])
        assert [feed.name for feed in report.feeds] == ["binance/BTC_USDT", "binance/ETH_USDT", "binance/_session-2"]
    beside = kept(store)
    assert [row[-1] for row in beside["binance/_session-2"]] == [b"garbage"]
    # What is there already is known in whichever of them it is.
    again = import_files(store, SPOT, [path])
    assert (again.records, again.already, kept(store)) == (0, 42, beside)


def test_what_is_new_and_lies_before_is_refused_as_a_whole(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    import_files(store, SPOT, [hb(tmp_path, "1.hb", 101, 200)])
    before = kept(store)
    with pytest.raises(UsageError, match="that the store has not, and it holds that feed up to"):
        import_files(store, SPOT, [hb(tmp_path, "0.hb", 50, 150)])
    assert kept(store) == before


def broken_off(make: Callable[[Path], list[Path]], folder: Path, cuts: list[int]) -> Store:
    """An import that was stopped at each of these bytes, in turn, and then was not."""
    store = Store.create(folder / "broken")
    files = make(folder)
    for cut in cuts:
        stop, progress = stopped_after(cut)
        with contextlib.suppress(ImportInterrupted):  # where it had not come to its end before
            import_files(store, SPOT, files, stop=stop, progress=progress)
    import_files(store, SPOT, files)
    return store


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(1, 30_000), min_size=1, max_size=3).map(sorted), with_rest=st.booleans())
def test_an_import_that_was_stopped_anywhere_goes_on_when_it_is_run_again(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], with_rest: bool
) -> None:
    folder = tmp_path_factory.mktemp("stop")

    def make(folder: Path) -> list[Path]:
        return cf(folder, 200) if with_rest else [hb(folder, "a.hb", 1, 100)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdtool.interop.lines.BLOCK", 512)
        store = broken_off(make, folder, cuts)
    whole = Store.create(folder / "whole")
    import_files(whole, SPOT, make(folder))
    assert kept(store) == kept(whole)
    assert count_ends(store) == count_ends(whole)
    for audited in audit_store(store, get, ["binance/ETH_USDT"]):
        assert audited.clean, audited.findings


def test_a_stopped_import_says_how_far_it_came(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    path = hb(tmp_path, "a.hb", 1, 5_000)
    stop, progress = stopped_after(262_144)
    with pytest.raises(ImportInterrupted) as caught:
        import_files(store, SPOT, [path], stop=stop, progress=progress)
    size = path.stat().st_size
    assert str(caught.value).startswith(f"{path}: import interrupted after 524,288 of {size:,} bytes; 1,6")
    assert str(caught.value).endswith(" records are kept; the same command again goes on from there")
    assert caught.value.exit_code == 130
    with store.reader("binance/ETH_USDT") as reader:
        records = list(reader.records())
    assert (records[-1].kind, records[-1].flags) == (Kind.NOTE, Flag.IMPORTED)
    note = json.loads(records[-1].payload)
    assert note["note"] == "import interrupted"
    assert [sorted(file) for file in note["files"]] == [["blake2b", "file", "lines", "offset"]]
    assert (note["files"][0]["file"], note["files"][0]["offset"]) == ("a.hb", 524_288)
    report = import_files(store, SPOT, [path])
    assert report.resumed
    assert report.records + report.already == 10_001


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_in_the_middle(tmp_path: Path, how: signal.Signals) -> None:
    """Fed by a pipe that stays open, so that it is in the middle for certain."""
    path = hb(tmp_path, "a.hb", 1, 3_000)
    lines = path.read_bytes().splitlines(keepends=True)
    half = b"".join(lines[:3_000])
    running = subprocess.Popen(
        [sys.executable, "-m", "mdtool", "--store", str(tmp_path / "s"), "import", "binance", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdin is not None
    running.stdin.write(half)
    running.stdin.flush()

    def arrived() -> bool:
        assert running.poll() is None
        if not (tmp_path / "s" / "registry.bin").exists():
            return False
        with Store.open(tmp_path / "s") as store:
            count = 0
            for feed in store.feeds():
                if (feed.directory / "feed.bin").exists():
                    with store.reader(feed.name) as reader:
                        count += reader.count()
            return count >= 2_500

    wait_until(arrived)
    running.send_signal(how)
    assert running.stderr is not None
    code = running.wait(60)
    said = running.stderr.read().decode()
    running.stdin.close()
    if how is signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 130
        assert "import interrupted after" in said
        assert len(said.splitlines()) == 1
    store = Store.create(tmp_path / "s")
    report = import_files(store, SPOT, [path])
    assert report.resumed
    whole = Store.create(tmp_path / "whole")
    import_files(whole, SPOT, [path])
    assert kept(store) == kept(whole)
    for audited in audit_store(store, get, ["binance/ETH_USDT", "binance/BTC_USDT"]):
        assert audited.clean, audited.findings


def test_standard_input(tmp_path: Path) -> None:
    packed = gzip.compress(hb(tmp_path, "a.hb", 1, 50).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "mdtool", "--store", str(tmp_path / "s"), "import", "binance", "-", "--json"],
        input=packed,
        capture_output=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert (report["files"], report["records"], report["findings"]) == (["-"], 101, [])
    whole = Store.create(tmp_path / "whole")
    import_files(whole, SPOT, [tmp_path / "a.hb"])
    assert kept(Store.open(tmp_path / "s")) == kept(whole)


NOISE = st.sampled_from(
    [
        b"garbage",
        bytes(40),
        b"\xff\xfe",
        b"17550000",
        b"<<<<<<< HEAD",
        b"1755000000000000000",
        b"{",
        b"99999999999999999999 {}",
    ]
)


@settings(max_examples=2500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    numbers=st.lists(st.tuples(st.integers(-3_000, 8_000), st.integers(1, 4)), min_size=1, max_size=40),
    noise=st.lists(st.tuples(st.integers(0, 40), NOISE), max_size=6),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    cut=st.integers(0, 30),
    stops=st.lists(st.integers(1, 6_000), max_size=2).map(sorted),
    form=st.sampled_from([b"%d ", b"cf"]),
)
def test_whatever_a_file_holds_importing_it_twice_is_importing_it_once(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[tuple[int, int]],
    noise: list[tuple[int, bytes]],
    ends: bytes,
    cut: int,
    stops: list[int],
    form: bytes,
) -> None:
    """Times that step back by up to seconds, messages said again, damage and a cut: in one go, or in several."""
    folder = tmp_path_factory.mktemp("fuzz")
    lines = []
    at = T0
    for step, number in numbers:
        at += step * MS
        stamp = b"%d " % at if form != b"cf" else b"%d.%09d: " % divmod(at, 10**9)
        lines.append(stamp + update(number))
    good = sorted(lines)
    for place, text in noise:
        lines.insert(min(place, len(lines)), text)
    content = ends.join(lines)
    (folder / "x").write_bytes(content[: len(content) - cut])
    broken, once = Store.create(folder / "broken"), Store.create(folder / "once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdtool.interop.lines.BLOCK", 256)
        try:
            first = import_files(once, SPOT, [folder / "x"])
        except ImportFormatError:
            assert len(good) == 1 and cut
            return
        assert first.records == sum(len(rows) for rows in kept(once).values())
        payloads = [row[4] for row in kept(once)["binance/ETH_USDT"]] if cut == 0 else []
        assert sorted(payloads) == sorted(line.split(b" ", 1)[1] for line in good) or cut
        for store in (once, broken):
            for place in stops:
                stop, progress = stopped_after(place)
                with contextlib.suppress(ImportInterrupted):
                    import_files(store, SPOT, [folder / "x"], stop=stop, progress=progress)
            import_files(store, SPOT, [folder / "x"])
    assert kept(broken) == kept(once)
    assert count_ends(once) == count_ends(broken)
