"""The way of a damaged feed through reading, verify, repair and reading again, held to what each must say."""

from __future__ import annotations

import json
from pathlib import Path

from mdtool.errors import StoreError
from mdtool.model import Kind
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store
from mdtool.torture import child, jobs, judge
from mdtool.torture.case import MANY, Case, read_all
from mdtool.torture.workload import FEED
from mdtool.units import count


def read_mend_read(case: Case, done: int, *, kill: bool) -> None:
    """The way of a damaged feed: what is read is right, what is not is named; verify finds it; repair names what is
    lost; then it is whole."""
    before = _read_damaged(case)
    case.outcome.silent += before.wrong
    findings = verify(Path(case.store)).findings
    if not findings and (before.named or before.missing(done)):
        case.outcome.silent.append(f"verify finds nothing, though reading says: {(before.named or ['missing'])[0]}")
    for _ in range(case.random.randint(1, 4) if kill else 0):
        ended = child.run(jobs.mend, case.store, kill_after=case.random.random() * 0.03)
        case.fault("kill -9 while repairing" if ended.killed else "repaired")
    ended = child.run(jobs.mend, case.store)
    if ended.error:
        case.outcome.silent.append(f"repair failed: {ended.error}")
    after = _read_damaged(case)
    case.outcome.silent += after.wrong + [f"after repair: {text}" for text in after.named]
    case.outcome.silent += [f"after repair: {finding}" for finding in verify(Path(case.store)).findings]
    named = named_losses(case)
    missing = after.missing(done)
    if len(missing) > named:
        case.outcome.silent.append(f"gone: {count(len(missing), 'record')}, of which {named:,} named as lost")
    case.outcome.lost += len(missing)
    case.outcome.records = done


def _read_damaged(case: Case) -> judge.Judgement:
    """What can be read before any repair; that the feed cannot even be opened is said by an error, too."""
    try:
        return read_all(case)
    except StoreError as error:
        return judge.Judgement(named=[str(error)])


def named_losses(case: Case) -> int:
    """How many records are said to be lost, in the feed's own notes or in those a repair keeps beside what it took out
    of use (where an entry and the only file that tells what it was are both damaged, the feed has no place for one). A
    note that cannot know how many counts as all of them."""
    named: list[int | None] = []
    with Store.open(case.store) as store, store.reader(FEED) as reader:
        notes = [json.loads(record.payload) for record in reader.records() if record.kind == Kind.NOTE]
        kept = sorted(reader.feed.directory.glob("repaired/*/note.json"))
    named += [note.get("rows") for note in notes if note.get("note") == "lost"]
    for path in kept:
        named += [action["lost"] for action in json.loads(path.read_text())["actions"] if action["lost"] is None]
    return sum(MANY if rows is None else rows for rows in named)
