"""What --help prints, drawn from the command tree: the same on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import TextWrapper

from mdtool.view.tree import Command, Option

NARROWEST, WIDEST = 50, 100  # columns


def help_page(command: Command, columns: int) -> str:
    """The whole page, for a terminal of so many columns."""
    width = min(max(columns, NARROWEST), WIDEST)
    return "\n".join(_lines(command, width)) + "\n"


def _lines(command: Command, width: int) -> Iterator[str]:
    words = ["[option ...]", *(argument.usage for argument in command.arguments)]
    if command.children:
        words.append("COMMAND ...")
    yield f"Usage: {command.name} {' '.join(words)}"
    for paragraph in (command.summary, *command.description):
        yield ""
        yield from (f"  {line}" for line in _wrapped(paragraph, width - 2))
    commands = [(child.path[-1], child.summary) for child in command.children]
    yield from _section("Commands", commands, width)
    arguments = [(argument.metavar, argument.help) for argument in command.arguments]
    yield from _section("Arguments", arguments, width)
    yield from _section("Options", [(_flags(option), _text(option)) for option in command.options], width)
    if command.examples:
        yield from ("", "Examples:")
        longest = max(len(line) for line, _ in command.examples)
        beside = all(longest + len(what) + 4 <= width for _, what in command.examples)
        for line, what in command.examples:
            yield from ([f"  {line:<{longest}}  {what}"] if beside else [f"  {line}", f"      {what}"])


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    if not rows:
        return
    yield from ("", f"{title}:")
    column = max(len(name) for name, _ in rows) + 4
    for name, text in rows:
        lines = _wrapped(text, width - column)
        yield f"  {name:<{column - 2}}{lines[0]}".rstrip()
        yield from (" " * column + line for line in lines[1:])


def _flags(option: Option) -> str:
    flags = ", ".join(option.flags)
    return f"{flags} {option.metavar}" if option.metavar else flags


def _text(option: Option) -> str:
    return f"{option.help} [{option.default}]" if option.default else option.help


def _wrapped(text: str, width: int) -> list[str]:
    """Lines; an option or a URL is never broken."""
    return TextWrapper(width, break_long_words=False, break_on_hyphens=False).wrap(text) or [""]
