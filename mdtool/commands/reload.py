"""`mdtool reload`: what is recorded becomes what the file of settings says now."""

from __future__ import annotations

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

EXAMPLES = (
    ("mdtool reload", "after a change of the file: what is new is begun, what is gone ends"),
    ("mdtool --config /etc/mdtool/config.toml reload", "of the recording that this file asks for"),
)
REFUSED = "something is wrong with the file; the recording goes on as it was"


def reload(ctx: typer.Context, json: Json = False) -> None:
    """Have the file of settings read anew by the mdtool record that runs it.

    Symbols that are new are recorded, those that are gone end with an END, recorders come and go; the rest never
    notices. A file that does not hold is refused, with all that is wrong with it, and nothing changes. SIGHUP to mdtool
    record does the same. Where that process is gone its recorders are told themselves; none can be begun then.
    """
    from mdtool.commands.tasks.reloading import reread
    from mdtool.view.reloading import followed_lines

    run = current(ctx)
    done = reread(run)
    if json:
        run.out.json(done)
    else:
        for finding in done["findings"]:
            run.out.data(finding["text"] if finding["file"] is None else _line(finding))
        for line in followed_lines(done):
            run.out.data(line)
    for error in done["errors"]:
        run.out.error(f"{error['recorder']}: {error['text']}" if error["recorder"] else error["text"])
    if done["findings"]:
        run.out.talk("the file is refused; the recording goes on as it was")
        raise typer.Exit(1)
    if done["errors"]:
        raise typer.Exit(2)


def _line(finding: dict[str, object]) -> str:
    line = f":{finding['line']}" if finding["line"] is not None else ""
    return f"{finding['file']}{line}: {finding['text']}"
