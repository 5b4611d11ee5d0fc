"""`mdtool docs`: writes man pages and completions from the command tree, for whoever changes it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdtool.commands.context import current
from mdtool.commands.options import Verb

if TYPE_CHECKING:
    from mdtool.view.tree import Argument, Command, Option


def docs(
    ctx: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The project's top folder: man/ and completions/ are below it.")
    ] = Path(),
) -> None:
    """Write man pages and shell completions from the command tree."""
    out = current(ctx).out
    for path, text in generate().items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        out.talk(f"wrote {target}")


def generate() -> dict[str, str]:
    """Path below the project's top folder -> text, of every generated file."""
    import mdtool
    from mdtool.venues.catalog import VENUES
    from mdtool.view import completions, manpages

    root = tree()
    made = {f"man/{name}": text for name, text in manpages.pages(root, mdtool.__version__).items()}
    scripts = completions.scripts(root, sorted(VENUES))
    return made | {f"completions/{name}": text for name, text in scripts.items()}


def tree() -> Command:
    """The tree as values, hidden commands left out."""
    from mdtool.commands.main import VERBS, build

    return _command(build(), ("mdtool",), {verb.name: verb for verb in VERBS})


def _command(command: Any, path: tuple[str, ...], verbs: dict[str, Verb]) -> Command:
    from mdtool.view import tree as values

    verb = verbs.get(path[1]) if len(path) == 2 else None
    shown = [(name, child) for name, child in getattr(command, "commands", {}).items() if not child.hidden]
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    return values.Command(
        path=path,
        summary=paragraphs[0],
        description=tuple(paragraphs[1:]),
        options=(
            *(_option(param) for param in params if param.param_type_name == "option"),
            values.Option(flags=("-h", "--help"), metavar=None, help="Show help and exit."),
        ),
        arguments=tuple(_argument(param) for param in params if param.param_type_name == "argument"),
        examples=verb.examples if verb else (),
        exit_one=verb.exit_one if verb else None,
        children=tuple(_command(child, (*path, name), verbs) for name, child in shown),
    )


def _option(param: Any) -> Option:
    from mdtool.view.tree import Option

    default = param.default.value if isinstance(param.default, Enum) else param.default
    choices = tuple(member.value for member in type(param.default)) if isinstance(param.default, Enum) else ()
    return Option(
        flags=(*param.opts, *param.secondary_opts),
        metavar=None if param.is_flag else param.metavar or "VALUE",
        help=" ".join((param.help or "").split()),
        default=None if param.is_flag or default in (None, "", ()) else str(default),
        choices=choices,
    )


def _argument(param: Any) -> Argument:
    from mdtool.view.tree import Argument

    return Argument(
        metavar=param.metavar.strip("[]").removesuffix("..."),
        help=" ".join((param.help or "").split()),
        required=param.required,
        many=param.nargs == -1,
    )
