"""Shell completions drawn from the command tree.

Commands, options and choices are written out, and so are the words that a metavar stands for; feeds are listed by the
shell itself from the store's folders, so no key press ever waits for Python. A word that ends in = is gone on with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mdtool.view.tree import Argument, Command, Option

Words = Mapping[str, Sequence[str]]  # what may stand where a metavar stands, of those that stand for a few words
STORE = "${MDTOOL_STORE:-${XDG_DATA_HOME:-$HOME/.local/share}/mdtool}"


def scripts(root: Command, words: Words) -> dict[str, str]:
    """File name -> text, one for each shell."""
    return {"mdtool.bash": _bash(root, words), "_mdtool": _zsh(root, words), "mdtool.fish": _fish(root, words)}


def _leaf_rows(root: Command) -> list[Command]:
    return [command for command in root.walk() if command is not root]


# --- bash -------------------------------------------------------------------------------------------------------


def _bash(root: Command, words: Words) -> str:
    valued = sorted(
        {flag for command in root.walk() for option in command.options if option.metavar for flag in option.flags}
    )
    lines = [
        "# bash completion for mdtool. Made from the command tree by: mdtool docs",
        "",
        "_mdtool_feeds() {",
        f'    local folder="${{store:-{STORE}}}" path',
        '    for path in "$folder"/feeds/*/*/; do',
        "        [[ -d $path ]] || continue",
        "        path=${path%/}",
        '        printf "%s\\n" "${path#"$folder"/feeds/}"',
        "    done",
        "}",
        "",
        "_mdtool() {",
        "    local word previous command store= i",
        "    word=${COMP_WORDS[COMP_CWORD]}",
        "    previous=${COMP_WORDS[COMP_CWORD-1]}",
        "    command=mdtool",
        "    COMPREPLY=()",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$command ${COMP_WORDS[i]}" in',
    ]
    names = [f'"{command.name}"' for command in _leaf_rows(root)]
    lines += [f'            {" | ".join(names)}) command="$command ${{COMP_WORDS[i]}}" ;;']
    lines += [
        "            *)",
        '                case "${COMP_WORDS[i]}" in',
        "                    --store) store=${COMP_WORDS[i + 1]}; ((i += 1)) ;;",
        f"                    {' | '.join(flag for flag in valued if flag != '--store')}) ((i += 1)) ;;",
        "                esac",
        "                ;;",
        "        esac",
        "    done",
        '    case "$command $previous" in',
    ]
    for command in root.walk():
        for option in command.options:
            if option.metavar:
                patterns = " | ".join(f'"{command.name} {flag}"' for flag in option.flags)
                lines += [
                    f"        {patterns})",
                    f"            {_bash_value(option, words)}",
                    "            return",
                    "            ;;",
                ]
    lines += ["    esac", '    case "$command" in']
    for command in root.walk():
        flags = " ".join(flag for option in command.options for flag in option.flags)
        lines += [f'        "{command.name}")']
        lines += [
            "            if [[ $word == -* ]]; then",
            f'                COMPREPLY=($(compgen -W "{flags}" -- "$word"))',
        ]
        lines += [
            "            else",
            f"                {_bash_words(command, words)}",
            "            fi",
            "            ;;",
        ]
    lines += ["    esac", "}", "", "complete -F _mdtool mdtool"]
    return "\n".join(lines) + "\n"


def _bash_value(option: Option, words: Words) -> str:
    if option.choices:
        return f'COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$word"))'
    return _bash_metavar(option.metavar or "", words)


def _bash_words(command: Command, words: Words) -> str:
    if command.children:
        return f'COMPREPLY=($(compgen -W "{" ".join(child.path[-1] for child in command.children)}" -- "$word"))'
    kinds = list(dict.fromkeys(argument.metavar for argument in command.arguments))
    return "; ".join(_bash_metavar(kind, words, add=index > 0) for index, kind in enumerate(kinds)) or ":"


def _bash_metavar(metavar: str, words: Words, *, add: bool = False) -> str:
    sign = "+=" if add else "="
    if known := words.get(metavar):
        offered = f'COMPREPLY{sign}($(compgen -W "{" ".join(known)}" -- "$word"))'
        if not known[0].endswith("="):
            return offered
        # To the shell a = is a word of its own: behind it stands a value, which nobody knows.
        return (
            f'if [[ $word != "=" && $previous != "=" ]]; then {offered}; else COMPREPLY=(); fi; '
            f'[[ "${{COMPREPLY[*]}}" != *= ]] || compopt -o nospace 2>/dev/null'
        )
    match metavar:
        case "FEED":
            return f'COMPREPLY{sign}($(compgen -W "$(_mdtool_feeds)" -- "$word"))'
        case "FILE":
            return f'compopt -o filenames 2>/dev/null; COMPREPLY{sign}($(compgen -f -- "$word"))'
        case "DIR":
            return f'compopt -o filenames 2>/dev/null; COMPREPLY{sign}($(compgen -d -- "$word"))'
        case _:
            return ":"


# --- zsh --------------------------------------------------------------------------------------------------------


def _zsh(root: Command, words: Words) -> str:
    lines = [
        "#compdef mdtool",
        "# zsh completion for mdtool. Made from the command tree by: mdtool docs",
        "",
        "_mdtool_feeds() {",
        f'    local store="{STORE}"',
        "    local -a feeds",
        "    feeds=($store/feeds/*/*(N/))",
        "    feeds=(${feeds#$store/feeds/})",
        "    compadd -a feeds",
        "}",
        "",
    ]
    for command in root.walk():
        lines += ["", *_zsh_function(command, words)]
    lines += ["", '_mdtool "$@"']
    return "\n".join(lines) + "\n"


def _zsh_function(command: Command, words: Words) -> Iterator[str]:
    name = "_" + "_".join(command.path)
    yield f"{name}() {{"
    specs = [_zsh_option(option, words) for option in command.options]
    if command.children:
        yield "    local state line"
        yield "    local -A opt_args"
        specs += ["'1: :->command'", "'*:: :->arguments'"]
    else:
        specs += [_zsh_argument(index, argument, words) for index, argument in enumerate(command.arguments, 1)]
    yield "    _arguments " + ("-C " if command.children else "") + "\\"
    yield from (f"        {spec} \\" for spec in specs[:-1])
    yield f"        {specs[-1]}"
    if command.children:
        yield "    case $state in"
        yield "        command)"
        yield "            local -a commands=("
        for child in command.children:
            yield f"                '{child.path[-1]}:{_zsh_quote(child.summary)}'"
        yield "            )"
        yield "            _describe command commands"
        yield "            ;;"
        yield "        arguments)"
        yield "            case $line[1] in"
        for child in command.children:
            yield f"                {child.path[-1]}) {'_' + '_'.join(child.path)} ;;"
        yield "            esac"
        yield "            ;;"
        yield "    esac"
    yield "}"


def _zsh_option(option: Option, words: Words) -> str:
    flags = option.flags[0] if len(option.flags) == 1 else "{" + ",".join(option.flags) + "}"
    help_text = _zsh_quote(option.help)
    value = ""
    if option.metavar:
        value = f":{option.metavar}:{_zsh_action(option.metavar, option.choices or words.get(option.metavar, ()))}"
    if len(option.flags) == 1:
        return f"'{flags}[{help_text}]{value}'"
    return f"{flags}'[{help_text}]{value}'"


def _zsh_argument(index: int, argument: Argument, words: Words) -> str:
    place = "*" if argument.many else str(index)
    return f"'{place}:{argument.metavar}:{_zsh_action(argument.metavar, words.get(argument.metavar, ()))}'"


def _zsh_action(metavar: str, choices: Sequence[str]) -> str:
    if choices and choices[0].endswith("="):
        return f'{{compadd -S "" -- {" ".join(choices)}}}'
    if choices:
        return f"({' '.join(choices)})"
    actions = {"FEED": "_mdtool_feeds", "FILE": "_files", "DIR": "_files -/"}
    return actions.get(metavar, " ")


def _zsh_quote(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    return quoted.replace("'", "'\\''")


# --- fish -------------------------------------------------------------------------------------------------------


def _fish(root: Command, words: Words) -> str:
    top = " ".join(child.path[1] for child in root.children)
    lines = [
        "# fish completion for mdtool. Made from the command tree by: mdtool docs",
        "",
        "function __mdtool_feeds",
        "    set -l store $MDTOOL_STORE",
        '    test -n "$store"; or set store $XDG_DATA_HOME/mdtool',
        '    test -n "$MDTOOL_STORE$XDG_DATA_HOME"; or set store $HOME/.local/share/mdtool',
        "    for path in $store/feeds/*/*/",
        '        string replace "$store/feeds/" "" (string trim --right --chars=/ $path)',
        "    end",
        "end",
        "",
        "complete -c mdtool -f",
    ]
    for command in root.walk():
        condition = _fish_condition(command, top)
        for child in command.children:
            lines.append(
                f"complete -c mdtool -n {_fish_quote(condition)} -a {child.path[-1]} -d {_fish_quote(child.summary)}"
            )
        for option in command.options:
            flags = "".join(f" -l {f[2:]}" if f.startswith("--") else f" -s {f[1:]}" for f in option.flags)
            value = _fish_value(option.metavar, option.choices, words) if option.metavar else ""
            lines.append(f"complete -c mdtool -n {_fish_quote(condition)}{flags}{value} -d {_fish_quote(option.help)}")
        for argument in command.arguments:
            value = _fish_value(argument.metavar, (), words).replace(" -x", "").replace(" -r", "")
            if value:
                lines.append(f"complete -c mdtool -n {_fish_quote(condition)}{value}")
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command, top: str) -> str:
    if len(command.path) == 1:
        return f"not __fish_seen_subcommand_from {top}"
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.path[1:])
    if command.children:
        seen += f"; and not __fish_seen_subcommand_from {' '.join(child.path[-1] for child in command.children)}"
    return seen


def _fish_value(metavar: str, choices: Sequence[str], words: Words) -> str:
    choices = choices or words.get(metavar, ())
    if choices:
        return f" -x -a {_fish_quote(' '.join(choices))}"
    match metavar:
        case "FEED":
            return " -x -a '(__mdtool_feeds)'"
        case "FILE":
            return " -r -F"
        case "DIR":
            return " -x -a '(__fish_complete_directories)'"
        case _:
            return " -x"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
