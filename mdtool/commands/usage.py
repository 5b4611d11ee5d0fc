"""What is wrong with a command line, in our words: where, what was found, what was expected, where the help is.

Rule: the libraries that parse command lines are known here by their messages alone, which are all that their versions
have in common. A message that is not known is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

GLOBAL = ("--store", "--config", "--verbose", "-v")  # options that go before the command


def explain(error: BaseException, words: Sequence[str]) -> str:
    """One line. `words` is the command line."""
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "mdtool"
    said = said[:1].lower() + said[1:].rstrip(".")
    for pattern, put in _MESSAGES:
        if match := pattern.fullmatch(said):
            said = put(match, words)
            break
    for name in GLOBAL:
        if said.startswith(f"no option {name}"):
            return f"no option {name} here: it goes before the command: mdtool {name} ... {path.split(' ', 1)[-1]}"
    return f"{said}; see: {path} --help"


def _value(match: re.Match[str], words: Sequence[str]) -> str:
    flags = re.findall(r"--?[\w-]+", match["where"])
    name = flags[-1] if flags else match["where"].strip("'")
    found = _found(flags, words)
    return f"{name}{f' {found!r}' if found is not None else ''}: expected {_expected(match['what'])}"


def _found(flags: Sequence[str], words: Sequence[str]) -> str | None:
    """What was given behind one of an option's names, the last that counts."""
    found = None
    for number, word in enumerate(words):
        for flag in flags:
            if word == flag and number + 1 < len(words):
                found = words[number + 1]
            elif flag.startswith("--") and word.startswith(f"{flag}="):
                found = word[len(flag) + 1 :]
            elif not flag.startswith("--") and word.startswith(flag) and len(word) > len(flag):
                found = word[len(flag) :]
    return found


def _expected(what: str) -> str:
    least = re.search(r"greater than or equal to (-?\d+)|x>=(-?\d+)", what)
    if least:
        return f"at least {least[1] or least[2]}"
    if choices := re.search(r"not one of (.*)", what):
        return " or ".join(re.findall(r"'([^']*)'", choices[1]))
    if "integer" in what:
        return "a whole number"
    if "number" in what or "float" in what:
        return "a number"
    return f"another value: {what[:1].lower()}{what[1:]}"


def _near(text: str | None) -> str:
    """What it may have meant, out of a message's own list."""
    names = re.findall(r"[\w-]+", text or "")
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _extra(match: re.Match[str], words: Sequence[str]) -> str:
    return f"{match[1]}: nothing is expected there"


_Put = Callable[[re.Match[str], Sequence[str]], str]
_MESSAGES: tuple[tuple[re.Pattern[str], _Put], ...] = (
    (re.compile(r"invalid value for (?P<where>'.*?'(?: / '.*?')*): (?:Value error, )?(?P<what>.*)", re.S), _value),
    (
        re.compile(r"no such option: (\S+?)(?: \(Possible options: (.*)\)|\.? Did you mean (.*)\?)?"),
        lambda match, _: f"no option {match[1]}{_near(match[2] or match[3])}",
    ),
    (
        re.compile(r"no such command '(.*?)'(?:\. Did you mean (.*)\?)?"),
        lambda match, _: f"no command {match[1]!r}{_near(match[2])}",
    ),
    (re.compile(r"option '(.*)' requires an argument"), lambda match, _: f"{match[1]}: expected a value behind it"),
    (re.compile(r"option '(.*)' does not take a value"), lambda match, _: f"{match[1]}: it takes no value"),
    (re.compile(r"got unexpected extra arguments?(?:\(s\))? \((.*)\)"), _extra),
    (re.compile(r"missing (?:argument|parameter|option)(?: '(.*)')?:?"), lambda match, _: f"{match[1]} is missing"),
    (re.compile(r"missing command"), lambda match, _: "a command is missing"),
)
