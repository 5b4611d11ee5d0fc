"""A recorder's process without a recorder: does in each life what the next line of <store>/script says.

die               at once, before it is on duty, with a line on stderr
killed [early]    on duty, then by SIGKILL; early: before that
full [mute]       on duty, then ends as one whose store is full; mute: without room for a word
refused           on duty, ends before it had its feeds open
over              on duty, ends as its time is over
stay              on duty until it is told to stop
held              on duty, does not do what it is told until it gets SIGTERM
deaf              on duty, never does what it is told
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from msgspec import structs

from mdtool.capture.options import RecordStatus
from mdtool.errors import MdtoolError
from mdtool.service.assignment import read
from mdtool.service.control import Control, Reload, Stop
from mdtool.service.page import TOTALS
from mdtool.service.roster import Ended, Roster
from mdtool.storage.store import Store


def main() -> int:
    assignment = read(sys.stdin.buffer.readline())
    with open(Path(assignment.store) / "lives", "ab") as lives:
        lives.write(assignment.to_line())
    done = len((Path(assignment.store) / "lives").read_bytes().splitlines())
    what = (Path(assignment.store) / "script").read_text().splitlines()[done - 1].split()
    if what == ["die"]:
        sys.stderr.write("first\nit cannot be done\n")
        return 2
    if what == ["killed", "early"]:
        os.kill(os.getpid(), signal.SIGKILL)
    with Store.create(assignment.store) as store:
        roster = Roster(store.path)
        try:
            with roster.on_duty(assignment, store, 1) as seat:
                return asyncio.run(live(what, assignment, roster, seat))
        except MdtoolError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code


async def live(what, assignment, roster, seat):
    stop, heard = asyncio.Event(), []

    async def obey(request):
        heard.append(request)
        if isinstance(request, Reload):
            seat.reassigned(structs.replace(assignment, symbols=request.symbols))
        if isinstance(request, Stop) and what[0] not in ("held", "deaf"):
            stop.set()
        return {}

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set if what[0] == "held" else lambda: None)
    followed = asyncio.Event()
    async with Control(seat.socket, obey, lambda there: followed.set()) as control:
        if what != ["refused"]:
            seat.page.beat(RecordStatus(records=10, connections=1), 2)
        await followed.wait()
        control.tell("connected", f"{assignment.name} does {' '.join(what)}", 3)
        await asyncio.sleep(0)
        totals = dict.fromkeys(TOTALS, 0) | {"records": 11, "connections": 1}
        if what[0] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what[0] in ("full", "refused"):
            if what[-1] != "mute":
                began = what[0] == "full"
                roster.has_ended(
                    assignment.name,
                    Ended(2, "failed", "no space left", "StoreFull", totals, began, life=assignment.life),
                )
            sys.stderr.write("no space left\n")
            return 2
        elif what[0] != "over":
            await stop.wait()
        timed = what[0] == "over"
        why = heard[-1].why if heard and isinstance(heard[-1], Stop) else what[0]
        roster.has_ended(assignment.name, Ended(0, why, totals=totals, timed=timed, life=assignment.life))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
