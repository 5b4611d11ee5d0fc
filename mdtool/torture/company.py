"""Stores and readers in company: two stores that keep their parts in one archive, a reader that cleaning overtakes."""

from __future__ import annotations

from pathlib import Path

from mdtool.errors import RecordsRemoved, StoreError
from mdtool.model import Kind
from mdtool.storage.doctor.verify import verify
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.torture import child, jobs, judge
from mdtool.torture.case import Case, fill
from mdtool.torture.workload import FEED
from mdtool.units import count

OTHERS = 5_000_000  # the other store's records have numbers from here on: nobody takes them for the first one's
MOST_AT_ONCE = 200  # records


def two_in_one_archive(case: Case) -> None:
    """Two stores seal into one archive, are killed at it, repaired and cleaned: neither loses or displaces what is the
    other's, and each has its own."""
    random = case.random
    archive = str(case.directory / "archive")
    paths = {case.store: 0, str(case.directory / "other"): OTHERS}
    kept: dict[str, list[int]] = {}
    for path, origin in paths.items():
        kept[path] = list(range(origin, fill(case, path=path, origin=origin)))
        with Store.create(path) as store:
            store.set(FEED, archive=archive)
    for _ in range(random.randint(3, 7)):
        path = random.choice(list(paths))
        what = random.choice(["seal", "kill-seal", "repair", "clean"])
        case.fault(f"{what} of {Path(path).name}")
        if what == "repair":
            ended = child.run(jobs.mend, path)
        elif what == "clean":
            ended = child.run(jobs.clean, path, random.randint(1, 400_000))
        else:
            life = random.random() * 0.1 if what == "kill-seal" else None
            ended = child.run(jobs.seal, path, kill_after=life)
        if ended.error:
            case.outcome.silent.append(f"{what} of {Path(path).name} failed: {ended.error}")
        for each in paths:
            kept[each] = _what_is_left(case, each, kept[each], cleaned=what == "clean" and each == path)
    for path in paths:
        ended = child.run(jobs.seal, path)
        if ended.error:
            case.outcome.silent.append(f"sealing {Path(path).name} failed: {ended.error}")
        _what_is_left(case, path, kept[path], cleaned=False)
        case.outcome.silent += [f"verify: {finding}" for finding in verify(Path(path)).findings]
    case.outcome.records = sum(map(len, kept.values()))


def _what_is_left(case: Case, path: str, kept: list[int], *, cleaned: bool) -> list[int]:
    """The records of a store: those that were there, or where it was cleaned the newest of them."""
    with Store.open(path) as store:
        verdict = judge.read(store.reader(FEED))
    name = Path(path).name
    case.outcome.silent += [f"{name}: {text}" for text in (*verdict.wrong, *verdict.named)]
    found = verdict.numbers
    expected = kept[len(kept) - len(found) :] if cleaned else kept
    if found != expected:
        case.outcome.silent.append(f"{name}: {count(len(found), 'record')} of {len(kept):,}, or others")
    return found


def reader_against_clean(case: Case) -> None:
    """A reader on its way while the oldest is removed: it gets every record, or an error that says where some are
    missing, and how many."""
    random = case.random
    done = fill(case, at_least=300)
    if random.random() < 0.7:
        child.run(jobs.seal, case.store)
    with Store.open(case.store) as store, store.reader(FEED) as reader:
        reading = _Reading(reader)
        for _ in range(random.randint(1, 20)):
            reading.go_on(random.randint(1, MOST_AT_ONCE))
        for _ in range(random.randint(1, 3)):
            ended = child.run(
                jobs.clean, case.store, random.randint(1, 300_000),
                meanwhile=lambda: reading.go_on(random.randint(1, 8)),
            )  # fmt: skip
            case.fault(f"cleaned at record {len(reading.verdict.numbers):,}")
            if ended.error:
                case.outcome.silent.append(f"cleaning failed: {ended.error}")
        while reading.go_on(MOST_AT_ONCE):
            pass
        verdict = reading.verdict
        case.outcome.silent += verdict.wrong
        case.outcome.silent += [f"unexpected: {text}" for text in verdict.named]
        missing = len(verdict.missing(done))
        if missing > reader.missed:
            case.outcome.silent.append(
                f"a reader got {done - missing:,} of {count(done, 'record')}, and was told of {reader.missed:,} missing"
            )
        if reader.missed and not reading.told:
            case.outcome.silent.append("a reader missed records, and was not told")
    case.outcome.records = done


class _Reading:
    """A reader that goes on behind what was removed, as the error says it may."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.verdict = judge.Judgement()
        self.told = 0  # errors that say that records are missing, and where

    def go_on(self, limit: int) -> bool:
        """Whether there may be more."""
        try:
            records = self._reader.poll(limit)
        except RecordsRemoved as error:
            self.told += "from position" in str(error)
            return True
        except StoreError as error:
            self.verdict.named.append(str(error))
            return False
        for record in records:
            if record.kind == Kind.DATA:
                judge.take(self.verdict, self._reader, record)
        return bool(records)
