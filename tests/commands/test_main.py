"""The edge of the program: what --help loads, how failures read, which exit codes they have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from patience import LONGEST

import mdtool as package
from mdtool.commands import main as edge
from mdtool.commands.options import Verb
from mdtool.errors import ConnectError, MdtoolError
from mdtool.model import Kind
from mdtool.storage.store import Store

Start = Callable[..., "subprocess.Popen[str]"]
HEAVY = ("numpy", "pyarrow", "aiohttp", "prometheus_client", "msgspec", "websockets", "asyncio", "zstandard", "rich")


def loaded(*arguments: str) -> set[str]:
    """Which of HEAVY a run of the command line imports."""
    code = (
        "import sys\nfrom mdtool.commands.main import main\n"
        f"code = main({list(arguments)!r})\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("record", "--help"), ("registry", "--help")])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded(*arguments) == set()


def test_importing_the_package_loads_no_numpy() -> None:
    code = "import sys, mdtool; print(mdtool.__version__, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [package.__version__, "False"]


def test_the_api_has_every_name_it_lists() -> None:
    assert {name: getattr(package, name) is not None for name in package.__all__} == dict.fromkeys(
        package.__all__, True
    )
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_open_store(alpha: Path) -> None:
    with package.open_store(str(alpha)) as store:
        assert [feed.name for feed in store.feeds()] == ["sim/ALPHA_USDT"]


def test_version(mdtool) -> None:
    done = mdtool("--version")
    assert (done.code, done.out, done.err) == (0, f"mdtool {package.__version__}\n", "")


def test_no_command_shows_help_as_talk(mdtool) -> None:
    done = mdtool()
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("Usage: mdtool [option ...] COMMAND")


def test_every_command_has_a_line_in_the_help(mdtool) -> None:
    done = mdtool("--help")
    assert done.code == 0
    section = done.out.partition("Commands:\n")[2].partition("\n\n")[0]
    # One line each: a summary that needs two at 100 columns is too long for a list.
    assert [line.split()[0] for line in section.splitlines()] == [verb.name for verb in edge.VERBS if not verb.hidden]


@pytest.mark.parametrize("verb", [verb.name for verb in edge.VERBS])
def test_every_command_has_help(mdtool, verb: str) -> None:
    done = mdtool(verb, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: mdtool {verb}" in done.out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--nonsense"], "mdtool: no option --nonsense; see: mdtool --help"),
        (["nonsense"], "mdtool: no command 'nonsense'; see: mdtool --help"),
        (["registry", "zzz"], "mdtool: no command 'zzz'; see: mdtool registry --help"),
        (["registry", "show"], "mdtool: FEED is missing; see: mdtool registry show --help"),
        (
            ["tail", "--store", "x"],
            "mdtool: no option --store here: it goes before the command: mdtool --store ... tail",
        ),
        (["replay", "--format", "xml"], "mdtool: --format 'xml': expected ndjson or raw; see: mdtool replay --help"),
        (["tail", "-n", "x"], "mdtool: --lines 'x': expected a whole number; see: mdtool tail --help"),
        (["tail", "-n", "-1"], "mdtool: --lines '-1': expected at least 0; see: mdtool tail --help"),
        (["tail", "--lines=-1"], "mdtool: --lines '-1': expected at least 0; see: mdtool tail --help"),
        (["sim", "--rate", "x"], "mdtool: --rate 'x': expected a number; see: mdtool sim --help"),
        (["audit", "--fro", "1"], "mdtool: no option --fro; did you mean --from or --to?; see: mdtool audit --help"),
        (["audit", "--from"], "mdtool: --from: expected a value behind it; see: mdtool "),
        (["audti"], "mdtool: no command 'audti'; did you mean audit?; see: mdtool --help"),
        (["audit", "--json=1"], "mdtool: --json: it takes no value; see: mdtool "),
        (["book", "A", "B"], "mdtool: B: nothing is expected there; see: mdtool book --help"),
        (["registry"], "mdtool: a command is missing; see: mdtool registry --help"),
        (["record", "sim", "--streams", " , "], "mdtool: --streams ' , ': expected names, as in depth@100ms,trade,"),
        (["book", "X", "--at", "now", "--live", "sim"], "mdtool: --at shows a moment of the past, --live records"),
    ],
)
def test_usage_errors_are_one_line(mdtool, arguments: list[str], line: str) -> None:
    done = mdtool(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.error_line.startswith(line)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Puts a command `fail` into the tree that raises what it is given."""

    def arrange(error: BaseException) -> None:
        def fail(ctx: typer.Context) -> None:
            """Fail."""
            raise error

        monkeypatch.setattr(edge, "VERBS", (Verb("fail", fail),))

    return arrange


@pytest.mark.parametrize(
    ("error", "code", "err"),
    [
        (ConnectError("example.com: refused"), 2, "mdtool: example.com: refused\n"),
        (MdtoolError("two\nlines"), 2, "mdtool: two lines\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "mdtool: /x: Permission denied\n"),
        (
            KeyError("x"),
            2,
            "mdtool: internal error: KeyError: 'x' (run with -v for the traceback)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(1), 1, ""),
        (typer.Abort(), 130, ""),
    ],
)
def test_failures(mdtool, failing, error: BaseException, code: int, err: str) -> None:
    failing(error)
    done = mdtool("fail")
    assert (done.code, done.out, done.err) == (code, "", err)


def test_verbose_shows_the_traceback(mdtool, failing) -> None:
    failing(KeyError("x"))
    done = mdtool("-v", "fail")
    assert done.code == 2
    assert done.err.startswith("Traceback")
    assert done.err.endswith("mdtool: internal error: KeyError: 'x'\n")


def test_a_closed_pipe_is_no_failure(start: Start, alpha: Path) -> None:
    process = start("--store", alpha, "replay", "--speed", "1")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["feed"] == "sim/ALPHA_USDT"
    process.stdout.close()
    assert process.wait(LONGEST) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_interrupted_is_130_and_quiet(start: Start, alpha: Path) -> None:
    process = start("--store", alpha, "tail", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONGEST)
    assert (process.returncode, err) == (130, "")


@pytest.mark.parametrize("command", [["registry", "list"], ["registry", "show", "x"], ["tail"], ["replay"]])
@pytest.mark.parametrize(
    ("store", "line"), [("missing", "no such directory"), ("file", "a file, expected"), ("other", "no mdtool store")]
)
def test_a_store_that_is_no_store(mdtool, tmp_path: Path, command: list[str], store: str, line: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    done = mdtool("--store", tmp_path / store, *command)
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {tmp_path / store}")
    assert line in done.error_line


def test_the_store_may_come_from_the_environment(mdtool, alpha: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDTOOL_STORE", os.fspath(alpha))
    assert mdtool("registry", "list").out.splitlines()[1].startswith("sim/ALPHA_USDT")


@pytest.mark.parametrize("command", [["registry", "show"], ["tail"], ["replay"], ["registry", "list"]])
def test_a_feed_nobody_recorded(mdtool, alpha: Path, command: list[str]) -> None:
    done = mdtool("--store", alpha, *command, "ALPA_USDT")
    assert done.code == 2
    assert done.error_line == "mdtool: ALPA_USDT: no such feed; near it: sim/ALPHA_USDT"


@pytest.mark.parametrize("option", ["--from", "--to"])
@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "-15x", "9" * 40])
def test_a_time_that_is_none(mdtool, alpha: Path, option: str, text: str) -> None:
    done = mdtool("--store", alpha, "replay", option, text)
    assert done.code == 2
    assert done.error_line.startswith("mdtool: ")


def test_settings_that_are_none(mdtool, alpha: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("store = 5\n")
    done = mdtool("--config", tmp_path / "bad.toml", "registry", "list")
    assert done.code == 2
    assert done.error_line.startswith(f"mdtool: {tmp_path / 'bad.toml'}:1: store is 5, expected")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["replay", "registry list", "audit --json", "--help"])
def test_a_standard_stream_that_is_closed_before_is_a_closed_pipe(alpha: Path, command: str, closed: str) -> None:
    line = f"{sys.executable} -m mdtool --store {alpha} {command} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (">&-" not in closed.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--venues", ""), "--venues '': expected all, or names with commas between, as in okx,kraken"),
        (("--venues", "sim,"), "--venues 'sim,': expected all, or names with commas between, as in okx,kraken"),
        (("--url", "ws://x"), "--url 'ws://x' says where --live VENUE connects to: give both"),
        (("--live", "sim", "--url", ""), "URL '': expected ws://host[:port] or wss://host[:port]"),
    ],
)
def test_options_of_book_that_cannot_be_meant(mdtool, alpha, options, message):
    done = mdtool("--store", alpha, "book", "ALPHA_USDT", "--once", *options)
    assert (done.code, done.error_line) == (2, f"mdtool: {message}")


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        *((verb.name, "--help") for verb in edge.VERBS),
        ("registry", "list"),
        ("registry", "show", "ALPHA_USDT"),
        ("audit",),
        ("book", "ALPHA_USDT", "--once"),
        ("book", "ALPHA_USDT", "--json"),
        ("tail",),
        ("verify",),
        ("repair",),
        ("seal", "--all", "--dry-run"),
        ("clean", "--max-bytes", "1", "--dry-run"),
    ],
)
def test_every_command_writes_in_an_ascii_locale(start, alpha, arguments) -> None:
    with Store.create(alpha) as store, store.writer("sim/ALPHA_USDT") as writer:
        writer.append(2 * 10**18, Kind.DATA, writer.stream("trade"), 1, '{"e":"€ \U0001f600"}'.encode())
    process = start("--store", alpha, *arguments, environment=ASCII)
    out, err = process.communicate(timeout=LONGEST)
    assert "Unicode" not in err and "Traceback" not in err
    assert process.returncode in (0, 1)
    assert out.isascii()
    if "--json" in arguments:
        assert json.loads(out)["schema"] == 1


def test_what_an_ascii_locale_lacks_is_drawn_cell_for_cell(start, alpha) -> None:
    drawn = []
    for environment in ({"LC_ALL": "C.UTF-8"}, ASCII):
        process = start("--store", alpha, "book", "ALPHA_USDT", "--at", "last", environment=environment)
        drawn.append(process.communicate(timeout=LONGEST)[0].splitlines())
    assert [len(line) for line in drawn[0]] == [len(line) for line in drawn[1]]
    assert any("####" in line for line in drawn[1])
    assert any("----" in line for line in drawn[1])
