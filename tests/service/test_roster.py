"""Who is on duty is who holds the lock; what an earlier one left is not taken for what this one says."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from msgspec import structs
from msgspec.json import decode, encode
from patience import wait_until

from mdtool.capture.options import RecordStatus, record_options
from mdtool.errors import FeedLocked, StoreError, StoreFull
from mdtool.service import roster as module
from mdtool.service.assignment import assignment
from mdtool.service.page import Page
from mdtool.service.roster import Duty, Ended, Member, NameTaken, Roster
from mdtool.storage import files
from mdtool.storage.store import Store
from mdtool.venues import catalog

OPTIONS = record_options(catalog.get("sim"), ("ALPHA_USDT",))


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def roster(store):
    return Roster(store.path)


def work(store, name="sim", life="1"):
    return structs.replace(assignment(name, str(store.path), OPTIONS), life=life)


def test_one_on_duty_is_seen_and_gone_once_it_has_left(store, roster):
    assert (roster.members(), roster.member("sim"), roster.is_on_duty("sim")) == ([], None, False)
    with roster.on_duty(work(store), store, 5) as seat:
        (member,) = roster.members()
        duty = Duty(work(store), "sim", os.getpid(), str(seat.page.path))
        assert member == Member("sim", True, duty, roster.directory / "sim.sock")
        assert roster.is_on_duty("sim")
        page = member.page()
        assert (page.pid, page.started_ns) == (os.getpid(), 5)
        assert roster.ended("sim", "1") is None
    assert roster.members() == [structs_dead(member)]
    assert member.page() is None
    assert not roster.is_on_duty("sim")


def structs_dead(member):
    return Member(member.name, False, member.duty, member.socket)


def test_a_name_has_one_holder(store, roster):
    with (
        roster.on_duty(work(store), store, 5),
        pytest.raises(NameTaken, match=rf"^a recorder 'sim' runs on this store already \(pid {os.getpid()}\)$"),
        roster.on_duty(work(store, life="2"), store, 6),
    ):
        pass
    assert NameTaken.exit_code == 75
    assert issubclass(NameTaken, FeedLocked)


def test_everything_in_the_folder_is_this_users_alone(store, roster):
    roster.directory.mkdir(mode=0o777)
    with roster.on_duty(work(store), store, 5):
        assert stat.S_IMODE(roster.directory.stat().st_mode) == 0o700
        for path in roster.directory.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path


def test_what_it_records_may_change(store, roster):
    with roster.on_duty(work(store), store, 5) as seat:
        changed = structs.replace(work(store), symbols=("BRAVO_USDT", "ALPHA_USDT"))
        seat.reassigned(changed)
        assert roster.member("sim").duty.assignment == changed
        assert roster.member("sim").alive


def test_an_end_is_told_of_the_life_that_ended_so_and_of_no_other(store, roster):
    """A pid comes again, in a container the same one each time."""
    with roster.on_duty(work(store, life="1"), store, 5):
        pass
    ended = Ended(0, "told to stop", totals={"records": 3}, life="1")
    roster.has_ended("sim", ended)
    assert roster.ended("sim", "1") == ended
    assert roster.ended("sim", "2") is None
    with roster.on_duty(work(store, life="2"), store, 6):
        assert roster.ended("sim", "2") is None
    assert roster.ended("sim", "2") is None


def test_one_that_was_killed_leaves_its_page_and_is_not_there(store, roster):
    code = (
        "import sys, time; from mdtool.service.assignment import read; from mdtool.service.roster import Roster\n"
        "from mdtool.storage.store import Store; from mdtool.capture.options import RecordStatus\n"
        "store = Store.create(sys.argv[1])\n"
        "with Roster(store.path).on_duty(read(sys.argv[2].encode()), store, 5) as seat:\n"
        "    seat.page.beat(RecordStatus(records=7), 6)\n"
        "    print('there', flush=True); time.sleep(10_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.path), work(store).to_line().decode()],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert roster.member("sim").alive
    assert roster.member("sim").duty.pid == process.pid
    process.kill()
    process.wait()
    member = roster.member("sim")
    assert not member.alive
    assert member.page().totals()["records"] == 7
    path = member.page() and module.Path(member.duty.page)
    with roster.on_duty(work(store, life="2"), store, 8):
        assert roster.member("sim").page().totals()["records"] == 0
    assert not path.exists()


def test_the_next_one_is_not_taken_for_the_last_one_before_it_has_said_what_it_does(store, roster):
    with roster.on_duty(work(store), store, 5):
        pass
    duty = roster.directory / "sim.json"
    duty.write_bytes(encode(structs.replace(decode(duty.read_bytes(), type=Duty), pid=os.getpid() + 1)))
    held = module.lock(roster.directory / "sim.lock")
    try:
        assert roster.is_on_duty("sim")
        assert not roster.member("sim").alive
    finally:
        module.unlock(held)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"assignment":', b"[" * 50_000])
def test_files_that_say_nothing_are_of_nobody(store, roster, data):
    roster.prepare()
    for suffix in ("json", "ended"):
        (roster.directory / f"sim.{suffix}").write_bytes(data)
    assert (roster.members(), roster.ended("sim", "")) == ([], None)
    with roster.on_duty(work(store), store, 5):
        assert roster.member("sim").alive


@pytest.mark.parametrize("data", [b"", b"MDTPAGE\n" + (9).to_bytes(4, "little") + bytes(100)])
def test_a_page_of_another_version_is_none(store, roster, data):
    with roster.on_duty(work(store), store, 5) as seat:
        path = seat.page.path
        path.unlink()
        path.write_bytes(data)
        assert roster.member("sim").page() is None


def test_a_page_of_somebody_else_is_none(store, roster):
    with roster.on_duty(work(store), store, 5) as seat:
        other = Page(seat.page.path, "sim", os.getpid() + 1, 9)
        assert roster.member("sim").page() is None
        other.remove()


@pytest.mark.parametrize("error", [StoreFull("no space left"), FileNotFoundError(2, "none"), PermissionError(13, "no")])
def test_without_shared_memory_the_page_is_in_the_store(store, roster, monkeypatch, error):
    class NoRoom(Page):
        def __init__(self, path, *rest):
            if path.parent == store.shared_memory.parent:
                raise error
            super().__init__(path, *rest)

    monkeypatch.setattr(module, "Page", NoRoom)
    with roster.on_duty(work(store), store, 5) as seat:
        assert seat.page.path == roster.directory / "sim.page"
        seat.page.beat(RecordStatus(records=3), 6)
        assert roster.member("sim").page().totals()["records"] == 3
    assert not (roster.directory / "sim.page").exists()


def test_a_full_disk_is_said_in_a_line_and_leaves_nothing_half_written(store, roster, monkeypatch):
    with roster.on_duty(work(store), store, 5) as seat:
        before = sorted(path.name for path in roster.directory.iterdir())

        def full(path, size):
            files_create(path, size)
            raise OSError(28, "No space left on device")

        files_create = files.create
        monkeypatch.setattr(files, "create", full)
        with pytest.raises(StoreFull, match=r"sim\.ended: cannot be written: no space left"):
            roster.has_ended("sim", Ended(0, "told to stop", life="1"))
        with pytest.raises(StoreFull, match=r"sim\.json: cannot be written: no space left"):
            seat.reassigned(structs.replace(work(store), symbols=()))
        assert sorted(path.name for path in roster.directory.iterdir()) == before
        assert roster.member("sim").duty.assignment == work(store)
        monkeypatch.undo()


def test_a_folder_that_is_anothers_is_said(store, roster, monkeypatch):
    roster.prepare()

    def refuse(self, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.Path, "chmod", refuse)
    with pytest.raises(
        StoreError, match="run: not this user's: one user records into a store: Operation not permitted"
    ):
        roster.prepare()


def test_a_file_in_the_place_of_the_folder_is_said(store, roster):
    roster.directory.write_text("")
    with pytest.raises(StoreError, match="a file stands where a directory is due"), roster.log("sim"):
        pass


def test_last_words(store, roster):
    assert roster.last_words("sim") == ""
    with roster.log("sim") as fd:
        os.write(fd, b"first\n" + b"x" * 100_000 + b"\nno space left: \xff\n\n")
    assert roster.last_words("sim") == "no space left: \ufffd"
    with roster.log("sim"):
        pass
    assert roster.last_words("sim") == ""


def test_a_lock_is_gone_with_its_process_however_that_ends(store, roster):
    roster.prepare()
    code = (
        "import sys, time; from pathlib import Path; from mdtool.storage.journal.locks import lock\n"
        "lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(10_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(roster.directory / "sim.lock")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert roster.is_on_duty("sim")
    process.kill()
    process.wait()
    wait_until(lambda: not roster.is_on_duty("sim"))
