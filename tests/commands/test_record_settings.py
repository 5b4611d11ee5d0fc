"""`mdtool record` without a venue: what the file of settings asks for, read anew while it runs, with the synthetic
exchange over loopback sockets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import LONGEST, wait_until
from test_network import serving, stop
from test_orders import A, B, C, alive, member, notes, records, url

from mdtool.model import Kind
from mdtool.service.presence import present
from mdtool.service.roster import Roster
from mdtool.storage.store import Store

D = "DELTA_USDT"


class Recording:
    """A file of settings, a store, and an exchange to record from."""

    def __init__(self, folder: Path, url: str, start, mdtool) -> None:
        self.file, self.store, self.url = folder / "md.toml", folder / "store", url
        self._start, self._mdtool = start, mdtool

    def asks(self, *recordings: str) -> None:
        """Each of them `symbols` and whatever else."""
        self.file.write_text(
            f'store = "{self.store}"\n'
            + "".join(f'[[recording]]\nvenue = "sim"\nurl = "{self.url}"\n{more}\n' for more in recordings)
        )

    def start(self):
        return self._start("--config", self.file, "record")

    def run(self, *words: str):
        return self._mdtool("--config", self.file, *words)

    def reload(self) -> dict[str, object]:
        done = self.run("reload", "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def there(self, *names: str) -> bool:
        return all(alive(self.store, name) for name in names)

    def kinds(self, symbol: str) -> list[Kind]:
        return [kind for kind, _ in records(self.store, symbol)]

    def has(self, *symbols: str) -> bool:
        with Store.open(self.store) as store:
            known = {info.name for info in store.feeds()}
        return all(f"sim/{symbol}" in known and Kind.DATA in self.kinds(symbol) for symbol in symbols)


@pytest.fixture
def recording(tmp_path: Path, start, mdtool) -> Iterator[Recording]:
    with serving(start("sim", "--port", "0", "--symbols", "4")) as (_, command):
        made = Recording(tmp_path, url(command)[1], start, mdtool)
        yield made
        for one in Roster(made.store).members():
            if one.alive:
                os.kill(one.duty.pid, signal.SIGKILL)


def test_what_the_file_asks_for_is_recorded_and_a_second_one_is_refused(recording):
    recording.asks(f'symbols = ["{A}"]\nretain = "30d"', f'symbols = ["{B}", "{C}"]\nstreams = ["trade"]')
    process = recording.start()
    wait_until(lambda: recording.there("sim", "sim-2") and recording.has(A, B, C))
    assert [member(recording.store, name).duty.assignment.symbols for name in ("sim", "sim-2")] == [(A,), (B, C)]
    done = recording.run("record")
    assert (done.code, done.error_line) == (
        2,
        f"mdtool: {recording.file}: what it asks for is recorded already, by mdtool record, pid {process.pid}; to have "
        "it read anew: mdtool reload, to end it: mdtool stop",
    )
    with Store.open(recording.store) as store:
        kept = {info.symbol: info.retain_ns for info in store.feeds()}
    assert (kept[A], kept[B]) == (30 * 86_400 * 10**9, 0)
    _, err = stop(process)
    assert process.returncode == 0
    assert [recording.kinds(symbol)[-1] for symbol in (A, B, C)] == [Kind.END] * 3
    assert present(Roster(recording.store), recording.file) is None
    assert "\nTraceback" not in err


def test_read_anew_what_is_new_begins_what_is_gone_ends_and_the_rest_never_notices(recording):
    recording.asks(f'symbols = ["{A}", "{B}"]')
    process = recording.start()
    wait_until(lambda: recording.there("sim") and recording.has(A, B))
    life = member(recording.store).duty.assignment.life
    recording.asks(f'symbols = ["{A}", "{C}"]', f'symbols = ["{D}"]\nstreams = ["trade"]')
    done = recording.reload()
    assert {key: value for key, value in done.items() if key not in ("schema", "file", "pid")} == {
        "findings": [], "added": [f"sim/{C}", f"sim/{D}"], "removed": [f"sim/{B}"], "moved": [],
        "recorders_begun": ["sim-2"], "recorders_ended": [], "errors": [],
    }  # fmt: skip
    assert (done["pid"], done["file"]) == (process.pid, str(recording.file))
    wait_until(lambda: recording.has(C, D))
    assert records(recording.store, B)[-1] == (Kind.END, b'{"reason": "no longer asked for"}')
    assert member(recording.store).duty.assignment.life == life
    with Store.open(recording.store) as store, store.reader(f"sim/{A}") as reader:
        assert {chunk.epoch for chunk in reader.chunks()} == {1}
    assert recording.run("reload").out == "nothing has changed\n"

    # By signal: another recorder is begun, and one ends.
    recording.asks(f'symbols = ["{A}"]', f'symbols = ["{B}"]\nstreams = ["bookTicker"]')
    os.kill(process.pid, signal.SIGHUP)
    wait_until(lambda: recording.kinds(D)[-1] is Kind.END and recording.there("sim-3"))
    wait_until(lambda: recording.kinds(C)[-1] is Kind.END)
    assert member(recording.store).duty.assignment.life == life
    _, err = stop(process)
    assert f"{recording.file} read anew: 2 feeds begun, 1 feed ended" in err
    assert f"{recording.file} read anew: 1 feed begun, 2 feeds ended" in err


def test_a_file_that_does_not_hold_changes_nothing(recording):
    recording.asks(f'symbols = ["{A}"]')
    process = recording.start()
    wait_until(lambda: recording.there("sim") and recording.has(A))
    recording.asks(f'symbols = ["{A}", "{B}"]\nshard = 2\nstreams = ["b k"]')
    done = recording.run("reload")
    assert (done.code, done.err) == (1, "the file is refused; the recording goes on as it was\n")
    assert done.out == (
        f"{recording.file}:6: unknown key 'recording.shard'; did you mean recording.shards? See man mdtool-config\n"
        f"{recording.file}:7: sim: 'b k' is no stream; expected the form of 'depth@100ms' or 'trade'\n"
    )
    os.kill(process.pid, signal.SIGHUP)
    recording.file.write_text(recording.file.read_text().replace(f'"{recording.store}"', '"elsewhere"'))
    recording.file.write_text('store = "elsewhere"\n[[recording]]\nvenue = "sim"\n')
    done = recording.run("--store", str(recording.store), "reload")
    assert done.code == 1
    assert done.out == (
        f"{recording.file}:1: the store is {recording.file.parent}/elsewhere now, and what runs records into "
        f"{recording.store}; to move, start anew\n"
    )
    assert member(recording.store).duty.assignment.symbols == (A,)
    _, err = stop(process)
    assert f"{recording.file}: refused; the recording goes on as it was" in err


def test_who_is_killed_leaves_recorders_that_are_told_and_taken_over(recording):
    recording.asks(f'symbols = ["{A}", "{B}"]\nshards = 2')
    process = recording.start()
    wait_until(lambda: recording.there("sim", "sim-2") and recording.has(A, B))
    process.kill()
    process.communicate(timeout=LONGEST)
    lives = [member(recording.store, name).duty.assignment.life for name in ("sim", "sim-2")]
    wait_until(lambda: [note for note in notes(recording.store) if note.get("there") is False])

    # Nobody is there to begin recorders, and those that there are are told themselves.
    recording.asks(f'symbols = ["{A}", "{B}", "{C}"]\nshards = 2', f'symbols = ["{D}"]\nstreams = ["trade"]')
    done = recording.run("reload", "--json")
    report = json.loads(done.out)
    assert (done.code, report["pid"], report["added"], report["removed"]) == (2, None, [f"sim/{C}"], [])
    said = f"sim: {D}: not recorded: nobody is there to begin recorders; start: mdtool record"
    assert report["errors"] == [{"recorder": "", "text": said}]
    wait_until(lambda: recording.has(C))

    process = recording.start()
    wait_until(lambda: recording.there("sim", "sim-2", "sim-3") and recording.has(D))
    assert [member(recording.store, name).duty.assignment.life for name in ("sim", "sim-2")] == lives
    _, err = stop(process)
    assert "the recorder sim runs already: taken over" in err
    assert [recording.kinds(symbol)[-1] for symbol in (A, B, C, D)] == [Kind.END] * 4
    done = recording.run("reload")
    assert done.error_line == (
        f"mdtool: {recording.file}: nobody records what it asks for into {recording.store}; start: mdtool record"
    )


def test_all_recorders_told_to_stop_end_the_run(recording):
    recording.asks(f'symbols = ["{A}"]')
    process = recording.start()
    wait_until(lambda: recording.there("sim") and recording.has(A))
    assert recording.run("stop").code == 0
    process.communicate(timeout=LONGEST)
    assert process.returncode == 0


def test_who_asks_for_nothing_is_told_what_to_do(mdtool, tmp_path):
    done = mdtool("record")
    assert (done.code, done.error_line) == (
        2,
        "mdtool: there is no file of settings: no [[recording]] that says what to record; name a venue, as in: mdtool "
        "record binance, or write a file: mdtool config init",
    )
    file = tmp_path / "a.toml"
    file.write_text("color = 'auto'")
    done = mdtool("--config", file, "record")
    assert done.error_line == (
        f"mdtool: {file}: no [[recording]] that says what to record; name a venue, as in: mdtool record binance, or "
        "write one: mdtool config init"
    )
    done = mdtool("--config", file, "record", "--shards", "2")
    assert done.error_line == "mdtool: --shards: of which venue? Name one, or say it in the file of settings"


def test_for_a_while(recording):
    recording.asks(f'symbols = ["{A}"]')
    process = recording._start("--config", recording.file, "record", "--for", "1s", "--json")
    out, _ = process.communicate(timeout=LONGEST)
    report = json.loads(out)
    assert (process.returncode, report["venue"], report["symbols"], report["feeds"]) == (0, None, [], [f"sim/{A}"])
