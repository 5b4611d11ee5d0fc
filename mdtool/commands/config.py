"""`mdtool config`: whether the settings hold, what they come to, and a file to begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Json

EXAMPLES = (
    ("mdtool config init", "write a commented file of settings, where there is none"),
    ("mdtool config check", "everything that is wrong with the file, line by line; else what would be recorded"),
    ("mdtool config show", "each setting with where it comes from"),
    ("mdtool --config /etc/mdtool.toml config check", "of another file"),
)
FINDINGS = "check: something is wrong with the file"

config = typer.Typer(help="Check or show the settings, or begin a file of them.", rich_markup_mode=None)


@config.command("check")
def check(ctx: typer.Context, json: Json = False) -> None:
    """Say what is wrong with the file of settings, or what it would have recorded.

    Everything is said at once, each with its line. Nobody is connected to: symbols are held against what venues were
    known to list.
    """
    from mdtool.commands.tasks.settings import checked
    from mdtool.units import count

    run = current(ctx)
    found = checked(run)
    if json:
        run.out.json(found.to_json())
    for finding in found.findings if not json else ():
        run.out.data(str(finding))
    if found.findings:
        run.out.talk(count(len(found.findings), "finding"))
        raise typer.Exit(1)
    if not json:
        run.out.data(found.line())


@config.command("show")
def show(ctx: typer.Context, json: Json = False) -> None:
    """Show each setting as it holds, and where it comes from: built in, a line of the file, the environment, an option.

    Of a recording the symbols are those that its names and patterns come to.
    """
    from mdtool.commands.tasks.settings import effective
    from mdtool.view.settings import settings_lines

    run = current(ctx)
    settings = effective(run)
    if json:
        run.out.json(settings.to_json())
        return
    for line in settings_lines(settings.to_json(), run.out.console.width):
        run.out.line(line)


@config.command("init")
def init(
    ctx: typer.Context,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print it, and write no file.")] = False,
) -> None:
    """Write a file of settings to begin with, every key in it and explained.

    Where --config says, else where settings are looked for. A file that is there is left as it is.
    """
    from mdtool.commands.tasks.settings import example, write_example

    run = current(ctx)
    if stdout:
        run.out.data(example())
        return
    path = write_example(run.config_file)
    run.out.talk(f"wrote {path}; change it, then: mdtool config check, and: mdtool record")
