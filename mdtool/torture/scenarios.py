"""The ways a store is tortured, one function each: break something, then say what is left.

Each gets a fresh directory and a seeded random, and returns an Outcome. To add one: a function, and a row of SCENARIOS.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

from mdtool.clock import DAY
from mdtool.errors import FeedLocked
from mdtool.model import Kind
from mdtool.storage.doctor.verify import verify
from mdtool.storage.format import layout
from mdtool.storage.store import Live, Store
from mdtool.torture import child, damage, jobs, judge, memory, workload
from mdtool.torture.blocked import blocked_stderr
from mdtool.torture.case import MANY, NO_MOUNT, Case, Outcome, Racer, expect, fill, read_all
from mdtool.torture.company import reader_against_clean, two_in_one_archive
from mdtool.torture.mending import read_mend_read
from mdtool.torture.workload import FEED, Work


def kill_append(case: Case) -> None:
    """kill -9 in the middle of appending and rolling, over several epochs, with a reader racing."""
    random = case.random
    live = "shm" if random.random() < 0.4 else "disk"
    first, promised = 0, 0
    racer = Racer(case.store)
    for _ in range(random.randint(1, 4)):
        work = Work(
            case.store,
            first,
            MANY,
            chunk_bytes=random.choice([4096, 16 * 1024, 256 * 1024]),
            live="shm" if live == "shm" else "disk",
            sync=random.choice(["none", "1s", "chunk"]),
            clock_steps=random.random() < 0.3,
            prepare=random.random() < 0.7,
        )
        ended = child.run(workload.write, work, kill_after=case.life(), meanwhile=racer)
        case.fault(f"kill -9 of a writer ({live})" if ended.killed else f"writer ended: {ended.error}")
        if not ended.killed:
            case.outcome.silent.append(f"the writer failed: {ended.error}")
        promised = max(promised, ended.promised)
        if not Path(case.store, "registry.bin").exists():
            continue
        verdict = _existing(case)
        expect(case, verdict, promised)
        first = promised = len(verdict.numbers)
    racer()
    case.outcome.silent += racer.verdict.wrong
    if racer.verdict.numbers != list(range(len(racer.verdict.numbers))):
        case.outcome.silent.append("the racing reader missed records")


def _existing(case: Case) -> judge.Judgement:
    """What the feed gives; nothing where the writer was killed before it made one."""
    with Store.open(case.store) as store:
        if not any(feed.name == FEED for feed in store.feeds()):
            return judge.Judgement()
        return judge.read(store.reader(FEED))


def two_writers(case: Case) -> None:
    """A second writer is refused and harms nothing, also right after the first was killed."""
    with Store.create(case.store) as store:
        writer = store.writer(FEED, chunk_bytes=4096)
        done = workload.append(Work(case.store, 0, case.random.randint(1, 300)), writer, lambda number: None)
        ended = child.run(workload.write, Work(case.store, done, 100))
        case.fault("second writer")
        if FeedLocked.__name__ not in ended.error:
            case.outcome.silent.append(f"a second writer was not refused: {ended.error or 'it wrote'}")
        done = workload.append(Work(case.store, done, 50), writer, lambda number: None)
        writer.close()
    expect(case, read_all(case), done)


def clock_back(case: Case) -> None:
    """The wall clock steps back while recording: order and seeking hold."""
    count = case.random.randint(700, 2500)
    ended = child.run(workload.write, Work(case.store, 0, count, clock_steps=True), meanwhile=Racer(case.store))
    case.fault("clock stepped back 30 s")
    if ended.error:
        case.outcome.silent.append(f"the writer failed: {ended.error}")
    expect(case, read_all(case), count)
    times = [workload.recv_ns(number, True) for number in range(count)]
    with Store.open(case.store) as store:
        reader = store.reader(FEED)
        for wanted in case.random.sample(times, 20):
            reader.seek(wanted)
            found = next(reader.records()).recv_ns
            right = next(time for time in times if time >= wanted)
            if found != right:
                case.outcome.silent.append(f"seek to {wanted} found {found}, expected {right}")


def kill_seal(case: Case) -> None:
    """kill -9 in the middle of sealing, again and again, with a reader racing: always everything, never twice."""
    done = fill(case)
    racer = Racer(case.store)
    for _ in range(case.random.randint(1, 5)):
        ended = child.run(jobs.seal, case.store, kill_after=case.random.random() * 0.1, meanwhile=racer)
        case.fault("kill -9 while sealing" if ended.killed else "sealed")
        if ended.error:
            case.outcome.silent.append(f"sealing failed: {ended.error}")
        expect(case, read_all(case), done)
    ended = child.run(jobs.seal, case.store)
    if ended.error:
        case.outcome.silent.append(f"sealing failed: {ended.error}")
    racer()
    case.outcome.silent += racer.verdict.wrong
    expect(case, read_all(case), done)
    case.outcome.silent += [f"verify: {finding}" for finding in verify(Path(case.store)).findings]


def kill_clean(case: Case) -> None:
    """kill -9 in the middle of removing the oldest: what is left is the newest, whole, and what a lease holds."""
    done = fill(case)
    if case.random.random() < 0.7:
        child.run(jobs.seal, case.store)
    held = case.random.randrange(done)
    with Store.open(case.store) as store, store.reader(FEED) as reader:
        positions = [record.position for record in reader.records() if record.kind == Kind.DATA]
        cursor = store.cursor(FEED, "consumer")
        cursor.commit(positions[held])
        cursor.lease(DAY * 10_000)
    limit = case.random.randint(1, 400_000)
    for _ in range(case.random.randint(1, 4)):
        ended = child.run(jobs.clean, case.store, limit, kill_after=case.random.random() * 0.02)
        case.fault("kill -9 while cleaning" if ended.killed else "cleaned")
        if ended.error:
            case.outcome.silent.append(f"cleaning failed: {ended.error}")
        _newest(case, done, held)
    ended = child.run(jobs.clean, case.store, limit)
    if ended.error:
        case.outcome.silent.append(f"cleaning failed: {ended.error}")
    _newest(case, done, held)
    case.outcome.silent += [f"verify: {finding}" for finding in verify(Path(case.store)).findings]


def _newest(case: Case, done: int, held: int) -> None:
    """What is left is the newest records without a hole, from the held one on at least."""
    verdict = read_all(case)
    case.outcome.silent += verdict.wrong + [f"unexpected: {text}" for text in verdict.named]
    first = verdict.numbers[0] if verdict.numbers else done
    if verdict.numbers != list(range(first, done)):
        case.outcome.silent.append(f"after cleaning records are missing behind {first}")
    if first > held:
        case.outcome.silent.append(f"record {held} was held by a lease and is gone")
    case.outcome.records = done


def damaged(case: Case) -> None:
    """Bits flipped and pages torn in chunks, registries and parts: named when read, named by verify, repaired."""
    done = fill(case)
    if case.random.random() < 0.4:
        child.run(jobs.seal, case.store)
    kinds = [damage.of_chunk, damage.of_chunk, damage.of_feed_registry, damage.of_part]
    _hurt(case, [case.random.choice(kinds) for _ in range(case.random.randint(1, 3))])
    read_mend_read(case, done, kill=False)


def kill_repair(case: Case) -> None:
    """kill -9 in the middle of a repair: the next one finishes it, and nothing that proves itself is lost."""
    done = fill(case)
    _hurt(case, [damage.of_chunk] * 3)
    read_mend_read(case, done, kill=True)


def _hurt(case: Case, ways: list[damage.Damage]) -> None:
    with Store.open(case.store) as store, store.reader(FEED) as reader:
        feed, chunks = reader.feed, reader.chunks()
    for hurt in ways:
        # Without a chunk, or a part, to damage there is still the registry.
        case.fault(hurt(feed, chunks, case.random) or damage.of_feed_registry(feed, chunks, case.random))


def full_disk(case: Case) -> None:
    """No space left, on disk or in shared memory: what was committed stays, and with space again it goes on."""
    live: Live = case.random.choice(["disk", "shm"])
    Path(case.store).parent.mkdir(exist_ok=True)
    with Store.create(case.store) as store:
        small = layout.shm_directory(store.id, 1).parent if live == "shm" else Path(case.store) / "feeds"
    small.mkdir(exist_ok=True)
    size = case.random.randint(200, 600) * 1024
    if not memory.mount(small, size):
        case.fault(NO_MOUNT)
        return
    try:
        # Without its worker a writer in shared memory keeps its closed chunks there.
        work = Work(case.store, 0, 20_000, live=live, prepare=live == "disk")
        ended = child.run(workload.write, work, meanwhile=Racer(case.store))
        case.fault(f"{live} full after {size // 1024} KiB")
        if ended.error:
            case.outcome.silent.append(f"the writer failed: {ended.error}")
        done = ended.promised
        expect(case, read_all(case), done)
        if done == 20_000:
            case.outcome.silent.append("it did not get full")
        subprocess.run(["mount", "-o", f"remount,size={size * 8}", str(small)], check=True)
        ended = child.run(workload.write, Work(case.store, done, 200, live=live))
        if ended.error:
            case.outcome.silent.append(f"with space again the writer failed: {ended.error}")
        expect(case, read_all(case), done + 200)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


Scenario = Callable[[Case], None]
SCENARIOS: dict[str, Scenario] = {
    "kill-append": kill_append,
    "two-writers": two_writers,
    "clock-back": clock_back,
    "kill-seal": kill_seal,
    "kill-clean": kill_clean,
    "damage": damaged,
    "kill-repair": kill_repair,
    "full-disk": full_disk,
    "one-archive": two_in_one_archive,
    "read-clean": reader_against_clean,
    "blocked-stderr": blocked_stderr,
    "lost-memory": memory.lost_memory,
    "hole-in-full": memory.hole_in_full,
}


def play(name: str, directory: Path, seed: int) -> Outcome:
    """One round in a directory of its own, which is removed when nothing went wrong, and when it is interrupted."""
    case = Case(directory, Random(seed))
    directory.mkdir(mode=0o700, parents=True)
    try:
        SCENARIOS[name](case)
    except KeyboardInterrupt:
        _remove(case)
        raise
    if not case.outcome.silent:
        _remove(case)
    return case.outcome


def _remove(case: Case) -> None:
    """The directory, and what the store had in shared memory."""
    try:
        with Store.open(case.store) as store:
            shutil.rmtree(layout.shm_directory(store.id, 0).parent, ignore_errors=True)
    except Exception:  # noqa: BLE001  there may be no store left to ask
        pass
    shutil.rmtree(case.directory, ignore_errors=True)
