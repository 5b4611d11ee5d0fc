"""The command tree as plain values, out of the objects that parse command lines.

Rule: only this file looks into the parser's objects, and only at what every version of it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from mdtool.commands.options import Verb
from mdtool.view.tree import Argument, Command, Option


def tree(command: Any, path: tuple[str, ...], verbs: Sequence[Verb]) -> Command:
    """A command of the parser's and all below it; hidden commands and options left out."""
    verb = next((verb for verb in verbs if path[1:] == (verb.name,)), None)
    shown = [(name, child) for name, child in getattr(command, "commands", {}).items() if not child.hidden]
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    return Command(
        path=path,
        summary=paragraphs[0],
        description=tuple(paragraphs[1:]),
        options=(
            *(_option(param) for param in params if param.param_type_name == "option"),
            Option(flags=("-h", "--help"), metavar=None, help="Show help and exit."),
        ),
        arguments=tuple(_argument(param) for param in params if param.param_type_name == "argument"),
        examples=verb.examples if verb else (),
        exit_one=verb.exit_one if verb else None,
        children=tuple(tree(child, (*path, name), verbs) for name, child in shown),
    )


def _option(param: Any) -> Option:
    default = param.default.value if isinstance(param.default, Enum) else param.default
    metavar = param.metavar or "VALUE"
    choices = tuple(metavar.split("|")) if "|" in metavar and metavar.islower() else ()
    return Option(
        flags=(*param.opts, *param.secondary_opts),
        metavar=None if param.is_flag else metavar,
        help=" ".join((param.help or "").split()),
        default=None if param.is_flag or default in (None, "", ()) else str(default),
        choices=choices,
    )


def _argument(param: Any) -> Argument:
    return Argument(
        metavar=param.metavar.strip("[]").removesuffix("...").strip(),
        help=" ".join((param.help or "").split()),
        required=param.required,
        many=param.nargs == -1,
    )
