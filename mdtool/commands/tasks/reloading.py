"""What is recorded becomes what the file of settings says now: the process that records by it is told, or, where that
is gone, its recorders."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mdtool.commands.context import Invocation
from mdtool.config import BadConfig, Config, file_path
from mdtool.errors import MdtoolError, UsageError
from mdtool.service.control import Reload, Reread, Stop, ask
from mdtool.service.following import NO_LONGER, Followed, followed
from mdtool.service.jobs import Job, load_jobs
from mdtool.service.presence import Presence, everybody, present, resolved
from mdtool.service.roster import Member, Roster
from mdtool.service.wanted import arranged, from_file, keep
from mdtool.storage.store import Store

PATIENCE = 300.0  # seconds: recorders end, others have new connections, others begin
NOBODY = "nobody is there to begin recorders; start: mdtool record"
UNCHANGED = Followed().to_json()


def reread(run: Invocation) -> dict[str, Any]:
    """What has changed, what is wrong with the file, and what could not be done. Raises UsageError where nobody records
    what the file asks for, MdtoolError."""
    file = file_path(run.config_file)
    done: dict[str, Any] = {"file": resolved(file), "pid": None, "findings": [], **UNCHANGED}
    try:
        config, wanted = load_jobs(run.config)
        roster = Roster(config.store)
        there = present(roster, file)
        if there is not None:
            answer = ask(there.socket, Reread(), PATIENCE)
            return {**done, "pid": there.pid, **{key: value for key, value in answer.items() if key != "ok"}}
        members = from_file(roster, resolved(file))
        if not members:
            raise UsageError(_nobody(file, config.store, everybody(roster)))
        return {**done, **_told(config, wanted, resolved(file), members)}
    except BadConfig as bad:
        return {**done, "findings": [finding.to_json() for finding in bad.findings]}


def _nobody(file: Path, store: Path, others: list[Presence]) -> str:
    said = f"{file}: nobody records what it asks for into {store}"
    if others:
        named = ", ".join(f"{one.file} (pid {one.pid})" for one in others)
        return f"{said}; what is recorded is from {named}: name that with --config"
    return f"{said}; start: mdtool record"


def _told(config: Config, wanted: Sequence[Job], origin: str, members: list[Member]) -> dict[str, Any]:
    """The recorders themselves have been told: what none of them can do is left."""
    there = {member.name: member.duty.assignment for member in members}
    errors: list[tuple[str, str]] = []
    with Store.open(config.store, writable=True) as store:
        keep(store, wanted)
        after = {one.name: one for one in arranged(store, wanted, list(there.values()), origin, may_begin=False)}
    for one in [one for name, one in after.items() if name not in there]:
        del after[one.name]
        errors.append(("", f"{one.venue}: {' '.join(one.symbols[:8])}: not recorded: {NOBODY}"))
    sockets = {member.name: member.socket for member in members}

    def tell(name: str) -> None:
        one, before = after.get(name), there[name]
        try:
            if one is None:
                ask(sockets[name], Stop(NO_LONGER), PATIENCE)
            elif set(one.symbols) != set(before.symbols):
                ask(sockets[name], Reload(one.symbols), PATIENCE)
        except MdtoolError as error:
            errors.append((name, str(error)))

    with ThreadPoolExecutor(max(1, len(there))) as telling:
        list(telling.map(tell, there))
    return followed(there, after, errors).to_json()
