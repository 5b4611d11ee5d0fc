"""Where a file in memory has a hole and memory is full, reading the hole through a mapping would end the process with
SIGBUS. It is an error with the file's name, or it is read some other way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import MdtoolError
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.store import Store

ROOT = Path(__file__).parents[2]
FEED = "sim/ALPHA_USDT"
NOON = 1_700_049_600 * SECOND

CHILD = """
import ctypes, errno, json, os, sys
from pathlib import Path
from mdtool.clock import SECOND, ManualClock
from mdtool.errors import MdtoolError
from mdtool.model import Kind
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store

path, name, start, what = Path(sys.argv[1]) / "store", sys.argv[2], int(sys.argv[3]), sys.argv[4]
NOON = 1_700_049_600 * SECOND
store = Store.create(path)
writer = store.writer("sim/ALPHA_USDT", chunk_bytes=256 * 1024, clock=ManualClock(NOON), sync="none")
for number in range(400):
    writer.append(NOON + number, Kind.DATA, writer.stream("d"), 0, bytes([1 + number % 250]) * 300)
writer.prepare()
if what != "write":
    writer.close()
    store.close()
(file,) = path.rglob(name)
size = os.stat(file).st_size
fd = os.open(file, os.O_RDWR)
PUNCH, KEEP = 2, 1
span = ctypes.c_long(start), ctypes.c_long(min(size, start + 65536) - start)
assert ctypes.CDLL(None).fallocate(fd, PUNCH | KEEP, *span) == 0
junk = os.open(path.parent / "junk", os.O_RDWR | os.O_CREAT)
try:
    while True:
        os.write(junk, bytes(4096))
except OSError as error:
    assert error.errno == errno.ENOSPC
found = {}
try:
    if what == "read":
        with Store.open(path) as store:
            found["count"] = sum(1 for _ in store.reader("sim/ALPHA_USDT", verify=False).records())
    elif what == "verify":
        found["findings"] = [str(one) for one in verify(path).findings]
    elif what == "repair":
        with Store.open(path) as store:
            found["actions"] = [str(one) for one in repair(store.feed("sim/ALPHA_USDT"), dry_run=True)]
    elif what == "reopen":
        with Store.open(path, writable=True) as store:
            store.writer("sim/ALPHA_USDT").close()
    else:
        for number in range(1_000):
            writer.append(NOON + number, Kind.DATA, writer.stream("d"), 0, bytes(300))
except MdtoolError as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def in_full_memory(tmp_path, name, start, what):
    """What a process comes to whose store lies in a tmpfs that is full, one of its files having a hole."""
    mount = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    run = subprocess.run(
        [*isolated, sys.executable, "-c", CHILD, str(tmp_path), name, str(start), what],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, (run.returncode, run.stderr)
    return json.loads(run.stdout)


@pytest.mark.parametrize(("name", "start"), [
    ("00000001.idx", 0), ("00000001.idx", 4096), ("00000001.dat", 0), ("feed.bin", 0), ("feed.bin", 65536 + 4096),
])  # fmt: skip
@pytest.mark.parametrize("what", ["read", "verify", "repair", "reopen"])
def test_a_hole_in_a_full_memory_ends_no_process(tmp_path, name, start, what):
    found = in_full_memory(tmp_path, name, start, what)
    if what == "read":
        assert name in found["error"]
        assert found["error"].startswith("StoreFull: ")
    elif what == "verify":
        assert [one for one in found["findings"] if name.removesuffix(".dat") in one]  # a row is named by its index
    elif what == "repair":
        assert [one for one in found["actions"] if name in one or "chunk 1" in one]
    else:
        assert found == {} or name in found["error"]


def test_a_hole_in_the_stores_registry_in_a_full_memory(tmp_path):
    for what in ("read", "verify", "reopen"):
        found = in_full_memory(tmp_path, "registry.bin", 4096, what)
        assert "registry.bin" in json.dumps(found)


@pytest.mark.parametrize("name", ["next.idx", "next.dat"])
def test_a_prepared_chunk_that_has_nothing_behind_it_is_not_written_to(tmp_path, name):
    found = in_full_memory(tmp_path, name, 0, "write")
    assert found["error"].startswith("StoreFull: ")


@pytest.mark.parametrize("which", [0, 1], ids=["index", "heap"])
@pytest.mark.parametrize("left", [0, 100, 4096, 5000])
def test_a_file_that_was_cut_short_is_an_error_with_its_name(tmp_path, which, left):
    with Store.create(tmp_path / "store") as store:
        with store.writer(FEED, clock=ManualClock(NOON)) as writer:
            for number in range(200):
                writer.append(NOON + number, Kind.DATA, writer.stream("d"), 0, bytes(300))
        path = chunk_paths(store.feed(FEED), 1, store.feed(FEED).live)[which]
        os.truncate(path, left)
        with pytest.raises(MdtoolError, match=path.name if which == 0 else path.stem):
            list(store.reader(FEED).records())


def test_a_sparse_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # far more than there is of memory
        for at in (0, 5_000_000, (1 << 40) - 3):
            file.seek(at)
            file.write(b"abc")
    fd = files.open_existing(path)
    copied = files.read_copy(fd)
    os.close(fd)
    assert len(copied) == 1 << 40
    assert [bytes(copied[at : at + 4]) for at in (0, 5_000_000, (1 << 40) - 3, 1 << 30)] == [
        b"abc\0", b"abc\0", b"abc", bytes(4)]  # fmt: skip
