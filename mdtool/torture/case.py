"""What a scenario works with: a directory, chance, what came of it; and a store to begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.torture import judge, workload
from mdtool.torture.workload import FEED, Work
from mdtool.units import count

NO_MOUNT = "skipped: a small file system needs root"
MANY = 1_000_000  # records: more than a process can write in its life
LONGEST_LIFE = 0.15  # seconds a process lives at most before it is killed: some thousand records, dozens of chunks


@dataclass(slots=True)
class Outcome:
    """What one round came to."""

    faults: list[str] = field(default_factory=list)  # what was done to the store
    records: int = 0  # committed in all
    lost: int = 0  # records lost and named
    silent: list[str] = field(default_factory=list)  # wrong or missing and not named: the round has failed


@dataclass(slots=True)
class Case:
    """What a scenario works with."""

    directory: Path
    random: Random
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def store(self) -> str:
        return str(self.directory / "store")

    def fault(self, what: str) -> None:
        self.outcome.faults.append(what)

    def life(self) -> float:
        """How long the next process lives: often short, so that starts and first rolls are hit too."""
        return self.random.random() ** 2 * LONGEST_LIFE


class Racer:
    """A reader that follows the feed while it is written and broken, and judges every record as it comes."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._reader: Reader | None = None
        self.verdict = judge.Judgement()

    def __call__(self) -> None:
        if self._reader is None:
            self._reader = self._find()
        if self._reader is not None:
            for record in self._reader.poll(256):
                judge.take(self.verdict, self._reader, record)

    def _find(self) -> Reader | None:
        try:
            with Store.open(self._store) as store:
                return store.reader(FEED)
        except Exception:  # noqa: BLE001  not there yet, in whatever way a store can be half made
            return None


def read_all(case: Case) -> judge.Judgement:
    """Everything the feed gives now."""
    with Store.open(case.store) as store:
        return judge.read(store.reader(FEED))


def expect(case: Case, verdict: judge.Judgement, promised: int) -> None:
    """Every record below `promised` must be in the verdict, and nothing may be wrong."""
    case.outcome.silent += verdict.wrong
    case.outcome.silent += [f"unexpected: {text}" for text in verdict.named]
    missing = verdict.missing(promised)
    if missing:
        case.outcome.silent.append(f"missing: {count(len(missing), 'committed record')}, the first {missing[0]}")
    case.outcome.records = max(case.outcome.records, len(verdict.numbers))


def fill(case: Case, *, at_least: int = 50, path: str = "", origin: int = 0) -> int:
    """A feed of several chunks over a few epochs, closed; the number behind its last record. `path`: of another store
    than the case's; `origin`: the number of its first record."""
    random, done = case.random, origin
    for _ in range(random.randint(1, 3)):
        count = random.randint(at_least, 1500)
        with Store.create(path or case.store) as store:
            writer = store.writer(FEED, chunk_bytes=random.choice([4096, 32 * 1024]), sync="none")
            store.next_session()
            work = Work(path or case.store, done, count, prepare=False, origin=origin)
            done = workload.append(work, writer, lambda number: None)
            if random.random() < 0.8:
                writer.end(workload.recv_ns(done - origin, False), "torture")
            writer.close()
    return done
