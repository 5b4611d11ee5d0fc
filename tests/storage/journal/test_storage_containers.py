"""A store used from two containers that do not share /dev/shm: a second mount namespace with a tmpfs of its own there.

What is on disk is read, what is not is said (with --ipc=host), nothing hangs, and nothing is taken for lost.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import LONGEST

from mdtool.clock import SECOND
from mdtool.model import Kind
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store

FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND
ELSEWHERE = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
ROOT = Path(__file__).parents[3]


def _isolated(*command: str) -> list[str]:
    return ["unshare", "-m", "sh", "-c", ELSEWHERE, "sh", *command]


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if shutil.which("unshare") is None or subprocess.run(_isolated("true"), capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")


def elsewhere(code: str, path: Path) -> dict[str, object]:
    """What `code` prints as JSON, run in a container without our shared memory."""
    head = "import json, sys\nfrom mdtool.errors import MdtoolError\nfrom mdtool.storage.store import Store\n"
    done = subprocess.run(
        _isolated(sys.executable, "-c", head + code, str(path)),
        capture_output=True, text=True, timeout=LONGEST, cwd=ROOT, check=True,
    )  # fmt: skip
    said: dict[str, object] = json.loads(done.stdout)
    return said


READ = """
got, error = [], ""
with Store.open(sys.argv[1]) as store, store.reader("sim/ALPHA_USDT") as reader:
    try:
        for record in reader.{how}:
            got.append(record.payload.decode())
    except MdtoolError as failure:
        error = str(failure)
print(json.dumps({{"got": got, "error": error}}))
"""


def write(writer, start: int, stop: int) -> None:
    for number in range(start, stop):
        writer.append(NOON + number, Kind.DATA, writer.stream("depth"), 0, b"%04d" % number * 16)


@pytest.mark.parametrize(
    "how",
    ["records()", "follow(stop=lambda: len(got) >= 300)", "follow(wait='hybrid', stop=lambda: len(got) >= 300)"],
)
def test_a_reader_takes_the_disk_copies_as_of_the_last_sync(tmp_path, how):
    path = tmp_path / "store"
    with Store.create(path) as store, store.writer(FEED, live="shm", chunk_bytes=8192) as writer:
        write(writer, 0, 300)
        writer.sync()
        write(writer, 300, 320)
        seen = elsewhere(READ.format(how=how), path)
        assert seen == {"got": [f"{number:04d}" * 16 for number in range(300)], "error": ""}
        assert sum(1 for _ in store.reader(FEED).records()) == 320  # here it is in shared memory
    seen = elsewhere(READ.format(how="records()"), path)  # the writer has ended: all of it is on disk
    assert seen == {"got": [f"{number:04d}" * 16 for number in range(320)], "error": ""}


def test_a_reader_says_what_it_cannot_see_before_there_is_a_copy(tmp_path):
    path = tmp_path / "store"
    with Store.create(path) as store, store.writer(FEED, live="shm") as writer:
        write(writer, 0, 300)
        seen = elsewhere(READ.format(how="records()"), path)
        assert seen["got"] == []
        assert "--ipc=host" in str(seen["error"])


FOLLOWING = """
with Store.open(sys.argv[1]) as store, store.reader("sim/ALPHA_USDT") as reader:
    for record in reader.follow(until_end=True):
        print(record.payload[:4].decode(), flush=True)
    print(json.dumps(reader.detect_disconnect(1 << 62, 1 << 62).reason.value))
"""


def test_a_reader_elsewhere_follows_from_sync_to_sync_and_over_rolls(tmp_path):
    path = tmp_path / "store"
    head = "import json, sys\nfrom mdtool.storage.store import Store\n"
    with Store.create(path) as store:
        writer = store.writer(FEED, live="shm", chunk_bytes=8192)
        write(writer, 0, 1)
        writer.sync()
        command = _isolated(sys.executable, "-c", head + FOLLOWING, str(path))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            done = 1
            for step in (0, 5, 200, 1, 300, 40):  # chunks of 128 records
                write(writer, done, done + step)
                writer.sync()
                for number in range(done if step else 0, done + step):
                    assert child.stdout.readline() == f"{number:04d}\n"
                done += step
            writer.end(NOON + SECOND, "done")
            writer.close()
            assert child.stdout.read().splitlines() == ['{"re', '"ended"']


def test_the_writer_lock_holds_across_containers(tmp_path):
    path = tmp_path / "store"
    code = """
try:
    Store.create(sys.argv[1]).writer("sim/ALPHA_USDT")
    print(json.dumps({"error": ""}))
except MdtoolError as failure:
    print(json.dumps({"error": type(failure).__name__}))
"""
    with Store.create(path) as store, store.writer(FEED, live="shm") as writer:
        write(writer, 0, 10)
        assert elsewhere(code, path) == {"error": "FeedLocked"}


KILLED = """
import os, signal, sys
from mdtool.storage.store import Store
writer = Store.create(sys.argv[1]).writer("sim/ALPHA_USDT", live="shm")
for number in range(10):
    writer.append(1_700_049_600_000_000_000 + number, 1, writer.stream("depth"), 0, b"%d" % number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_another_container_cannot_see_is_not_taken_for_lost(tmp_path):
    path = tmp_path / "store"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    code = """
from pathlib import Path
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
with Store.open(sys.argv[1]) as store:
    actions = repair(store.feed("sim/ALPHA_USDT"))
    findings = verify(Path(sys.argv[1])).findings
print(json.dumps({"left": [one.left for one in actions], "todo": [one.todo for one in findings]}))
"""
    seen = elsewhere(code, path)
    assert seen["left"] == [True]
    assert "--ipc=host" in str(seen["todo"])
    with Store.open(path) as store:
        repair(store.feed(FEED))
        assert [record.payload for record in store.reader(FEED).records()] == [b"%d" % number for number in range(10)]
    assert verify(path).findings == []


def test_a_writer_in_another_container_goes_on_beside_what_it_cannot_see(tmp_path):
    path = tmp_path / "store"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    code = """
with Store.create(sys.argv[1]) as store, store.writer("sim/ALPHA_USDT", live="disk") as writer:
    writer.append(1_700_049_600_000_000_100, 1, writer.stream("depth"), 0, b"next")
print(json.dumps({}))
"""
    elsewhere(code, path)
    with Store.open(path) as store:
        repair(store.feed(FEED))
        found = [record.payload for record in store.reader(FEED).records()]
    assert found == [*(b"%d" % number for number in range(10)), b"next"]
    assert verify(path).findings == []
