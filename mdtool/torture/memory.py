"""What may happen to shared memory while a feed is written there: it goes between two syncs, or it is full and has a
hole.

Rule: what a sync has promised is read, byte for byte; of the rest, what was in the middle is named.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from random import Random

from mdtool.errors import StoreError
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.registry import FeedRegistry
from mdtool.storage.store import Store
from mdtool.torture import child, jobs, judge, workload
from mdtool.torture.case import MANY, NO_MOUNT, Case
from mdtool.torture.mending import named_losses, read_mend_read
from mdtool.torture.workload import FEED, Work
from mdtool.units import count

NEXT = 10_000  # the next writer's records begin so many behind the last that is known
KEEP_SIZE, PUNCH_HOLE = 1, 2  # of fallocate(2)
HOLE = 64 * 1024


def lost_memory(case: Case) -> None:
    """kill -9 of a writer in shared memory, and that memory is gone, or some of it: the last sync's word holds."""
    random, first = case.random, 0
    kept: list[int] = []
    for _ in range(random.randint(1, 3)):
        work = Work(
            case.store, first, MANY, live="shm", sync="1s", promises="synced",
            chunk_bytes=random.choice([4096, 16 * 1024, 256 * 1024]), prepare=True,
        )  # fmt: skip
        ended = child.run(workload.write, work, kill_after=case.life() + 0.05)
        if not ended.killed:
            case.outcome.silent.append(f"the writer failed: {ended.error}")
        if not Path(case.store, "registry.bin").exists():
            continue
        with Store.open(case.store) as store:
            if FEED not in store or not (store.feed(FEED).directory / "feed.bin").exists():
                continue
            case.fault(_take_away(layout.shm_directory(store.id, 0).parent, random))
        before = _read(case)
        _promise(case, before, [*kept, *range(first, ended.promised)])
        if random.random() < 0.5:
            _another_boot(case)
            ended = child.run(workload.write, Work(case.store, 0, 0))  # what the next writer does as it begins
            if ended.error:
                case.outcome.silent.append(f"the next writer failed: {ended.error}")
            _promise(case, _read(case), before.numbers)
        ended = child.run(jobs.mend, case.store)
        if ended.error:
            case.outcome.silent.append(f"repair failed: {ended.error}")
        after = _read(case)
        case.outcome.silent += [f"after repair: {text}" for text in after.named]
        case.outcome.silent += [f"after repair: {finding}" for finding in verify(Path(case.store)).findings]
        _promise(case, after, before.numbers)
        kept = after.numbers
        _name_the_rest(case, kept)
        first = (kept[-1] if kept else 0) + NEXT
    case.outcome.records = len(kept)


def _take_away(memory: Path, random: Random) -> str:
    """All of it, or any of its files."""
    if random.random() < 0.6:
        shutil.rmtree(memory, ignore_errors=True)
        return "shared memory cleared"
    gone = [path for path in sorted(memory.rglob("*")) if path.is_file() and random.random() < 0.5]
    for path in gone:
        path.unlink()
    return f"{count(len(gone), 'file')} of shared memory removed"


def _another_boot(case: Case) -> None:
    """Have the entries say that their memory went with an earlier boot."""
    with Store.open(case.store) as store:
        registry = FeedRegistry(store.feed(FEED).directory / "feed.bin", writable=True)
    for entry, info in enumerate(registry.chunks()):
        if info.location == Location.SHM:
            registry.update_chunk(entry, {"boot": b"\1" * 16})
    registry.close()
    case.fault("the machine was started again")


def _read(case: Case) -> judge.Judgement:
    with Store.open(case.store) as store, store.reader(FEED) as reader:
        verdict = judge.read(reader)
    case.outcome.silent += verdict.wrong
    return verdict


def _promise(case: Case, verdict: judge.Judgement, wanted: list[int]) -> None:
    """What was there before, and what a sync has promised, is there."""
    there = set(verdict.numbers)
    if missing := [number for number in wanted if number not in there]:
        case.outcome.silent.append(f"missing: {count(len(missing), 'synced record')}, the first {missing[0]}")


def _name_the_rest(case: Case, numbers: list[int]) -> None:
    """Between two records that are kept nothing is missing but what is named; what begins anew has its own numbers."""
    jumps = [after - before - 1 for before, after in pairwise(numbers)]
    missing = sum(jump for jump in jumps if jump < NEXT - 1)
    case.outcome.lost = missing
    if missing > (named := named_losses(case)):
        case.outcome.silent.append(f"gone: {count(missing, 'record')}, of which {named:,} named as lost")


def hole_in_full(case: Case) -> None:
    """Shared memory with a hole, and no space left to read it: no process ends by it, and the damage is named."""
    with Store.create(case.store) as store:
        memory = layout.shm_directory(store.id, 1).parent
    memory.mkdir(exist_ok=True)
    if not mount(memory, 8 * 1024 * 1024):
        case.fault(NO_MOUNT)
        return
    try:
        work = Work(case.store, 0, MANY, live="shm", sync="1s", prepare=case.random.random() < 0.5)
        ended = child.run(workload.write, work, kill_after=case.life() + 0.05)
        if not ended.killed:
            case.outcome.silent.append(f"the writer failed: {ended.error}")
        if not ended.promised:
            case.fault("killed before its first record")
            return
        done = len(_read(case).numbers)
        case.fault(_punch(memory, case.random))
        _fill(memory / "junk")
        for job in case.random.sample((jobs.read, jobs.check, jobs.plan, jobs.reopen), 3):
            ended = child.run(job, case.store)
            if ended.error:
                case.outcome.silent.append(f"{job.__name__}, with memory full: {ended.error}")
        (memory / "junk").unlink()
        read_mend_read(case, done, kill=False)
    finally:
        subprocess.run(["umount", "-l", str(memory)], check=False)


def mount(directory: Path, size: int) -> bool:
    """A small tmpfs there; False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _punch(memory: Path, random: Random) -> str:
    path = random.choice(sorted(path for path in memory.rglob("*") if path.suffix in (".idx", ".dat")))
    fd = os.open(path, os.O_RDWR)
    try:
        used = os.fstat(fd).st_blocks * 512
        start = random.randrange(max(1, used)) // layout.PAGE * layout.PAGE
        span = ctypes.c_long(start), ctypes.c_long(HOLE)
        if ctypes.CDLL(None, use_errno=True).fallocate(fd, PUNCH_HOLE | KEEP_SIZE, *span):
            raise OSError(ctypes.get_errno(), "fallocate")
    finally:
        os.close(fd)
    return f"a hole in {path.name} at byte {start}"


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise StoreError(f"{path}: {error}") from None
