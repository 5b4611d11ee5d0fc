"""Man pages (roff) drawn from the command tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mdtool.view.tree import Argument, Command, Option, VenueRow

ENVIRONMENT = (
    ("MDTOOL_STORE", "The store, where --store does not say."),
    ("XDG_DATA_HOME", "The store is mdtool in here where neither says; else in ~/.local/share."),
    ("XDG_CONFIG_HOME", "mdtool/config.toml in here holds settings; else in ~/.config."),
    ("NO_COLOR", "Set and not empty: no colours."),
)
PAGES = (
    "mdtool-config(5)",
    "mdtool-connections(7)",
    "mdtool-json(7)",
    "mdtool-store(5)",
    "mdtool-venue(7)",
    "mdtool-design(7)",
)


VENUES_ON = "record"  # the page that lists them


def pages(root: Command, venues: Sequence[VenueRow], version: str) -> dict[str, str]:
    """File name -> text: mdtool.1 and one page for each command of the first level."""
    made = {"mdtool.1": _overview(root, version)}
    for command in root.children:
        made[f"mdtool-{command.path[1]}.1"] = _command_page(command, venues, version)
    return made


def _overview(root: Command, version: str) -> str:
    lines = [*_head("mdtool", root.summary, version)]
    lines += [".SH SYNOPSIS", ".B mdtool", "[\\fIoption\\fR ...] \\fICOMMAND\\fR [\\fIargument\\fR ...]"]
    lines += [".SH DESCRIPTION", *_paragraphs(root.description or (root.summary,))]
    lines += [".SH COMMANDS"]
    for command in root.children:
        lines += [".TP", f"\\fBmdtool\\-{_escape(command.path[1])}\\fR(1)", _escape(command.summary)]
    lines += [".SH OPTIONS", "They go before the command.", *_options(root.options)]
    lines += [*_exit_status(None), *_environment(), *_see_also(PAGES)]
    return "\n".join(lines) + "\n"


def _command_page(command: Command, venues: Sequence[VenueRow], version: str) -> str:
    lines = [*_head("-".join(command.path), command.summary, version), ".SH SYNOPSIS"]
    leaves = [entry for entry in command.walk() if not entry.children]
    for index, leaf in enumerate(leaves):
        lines += [".br"] if index else []
        words = ["[\\fIoption\\fR ...]", *(f"\\fI{_escape(argument.usage)}\\fR" for argument in leaf.arguments)]
        lines += [f".B {_escape(leaf.name)}", " ".join(words)]
    lines += [".SH DESCRIPTION", *_paragraphs((command.summary, *command.description))]
    if command.children:
        lines += [".SH COMMANDS"]
        for child in leaves:
            lines += [f".SS {_escape(child.name)}", *_paragraphs((child.summary, *child.description))]
            lines += [*_arguments(child.arguments), *_options(child.options)]
    else:
        lines += [".SH ARGUMENTS", *_arguments(command.arguments)] if command.arguments else []
        lines += [".SH OPTIONS", *_options(command.options)]
    if command.path[1] == VENUES_ON:
        lines += _venues(venues)
    lines += [*_exit_status(command.exit_one), *_environment()]
    if command.examples:
        lines += [".SH EXAMPLES"]
        for line, what in command.examples:
            lines += [".TP", f"\\fB{_escape(line)}\\fR", _escape(_sentence(what))]
    lines += _see_also(("mdtool(1)", *PAGES))
    return "\n".join(lines) + "\n"


def _head(title: str, summary: str, version: str) -> list[str]:
    return [
        '.\\" Made from the command tree by: mdtool docs',
        f'.TH "{_escape(title.upper())}" "1" "" "mdtool {_escape(version)}" "mdtool manual"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_escape(title)} \\- {_escape(summary[:1].lower() + summary[1:].rstrip('.'))}",
    ]


def _paragraphs(paragraphs: tuple[str, ...]) -> Iterator[str]:
    for index, paragraph in enumerate(paragraphs):
        if index:
            yield ".PP"
        yield _escape(paragraph)


def _arguments(arguments: tuple[Argument, ...]) -> Iterator[str]:
    for argument in arguments:
        yield from (".TP", f"\\fI{_escape(argument.metavar)}\\fR", _escape(argument.help))


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        flags = ", ".join(f"\\fB{_escape(flag)}\\fR" for flag in option.flags)
        value = f" \\fI{_escape(option.metavar)}\\fR" if option.metavar else ""
        default = f" Default: {option.default}." if option.default else ""
        yield from (".TP", flags + value, _escape(_sentence(option.help) + default))


def _venues(venues: Sequence[VenueRow]) -> Iterator[str]:
    yield ".SH VENUES"
    yield "Of each, what is recorded where no symbol and no stream is named."
    for venue in venues:
        symbols, streams = ", ".join(venue.symbols), ", ".join(venue.streams)
        text = f"{venue.title}. Symbols: {symbols}. Streams: {streams}."
        yield from (".TP", f"\\fB{_escape(venue.name)}\\fR", _escape(text))


def _exit_status(exit_one: str | None) -> Iterator[str]:
    codes = [("0", "Done. A closed pipe on standard output is no failure either.")]
    if exit_one:
        codes.append(("1", _sentence(exit_one)))
    codes.append(("2", "The command line makes no sense, or the command failed; one line on standard error says why."))
    codes.append(("130", "Interrupted."))
    yield ".SH EXIT STATUS"
    for code, what in codes:
        yield from (".TP", code, _escape(what))


def _environment() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    for name, what in ENVIRONMENT:
        yield from (".TP", f"\\fB{name}\\fR", _escape(what))


def _see_also(names: tuple[str, ...]) -> list[str]:
    rows = [f"\\fB{_escape(name[:-3])}\\fR{name[-3:]}" for name in names]
    return [".SH SEE ALSO", ",\n".join(rows)]


def _sentence(text: str) -> str:
    """With a capital and a full stop, whatever the help text has."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ":", "?")) else text + "."


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    escaped = escaped.replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + escaped if escaped.startswith(".") else escaped
