"""The command tree and its edge: options -> task -> output, and every failure as one line and an exit code.

Rule: nothing here or in a command module imports a task at module level, so --help loads none of them.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

import mdtool
from mdtool.commands import (
    audit,
    bench,
    book,
    clean,
    config,
    demo,
    deploy,
    docs,
    doctor,
    import_,
    metrics,
    reconnect,
    record,
    registry,
    reload,
    repair,
    replay,
    seal,
    serve,
    sim,
    snapshot,
    status,
    stop,
    tail,
    torture,
    verify,
)
from mdtool.commands.context import Invocation
from mdtool.commands.options import Verb
from mdtool.commands.tree import tree
from mdtool.commands.usage import explain
from mdtool.errors import MdtoolError
from mdtool.view.output import Output, give_streams, silence_stdout, write_any_text

INTERRUPTED = 130
_interrupted = threading.Event()  # a signal has told this process to end
FAILED = 2

# typer raises click's exceptions and names only this one, whose bases are UsageError and ClickException.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

VERBS: tuple[Verb, ...] = (
    Verb("record", record.record, record.EXAMPLES),
    Verb("status", status.status, status.EXAMPLES, exit_one=status.TROUBLE),
    Verb("stop", stop.stop, stop.EXAMPLES),
    Verb("reload", reload.reload, reload.EXAMPLES, exit_one=reload.REFUSED),
    Verb("metrics", metrics.metrics, metrics.EXAMPLES),
    Verb("snapshot", snapshot.snapshot, snapshot.EXAMPLES),
    Verb("reconnect", reconnect.reconnect, reconnect.EXAMPLES),
    Verb("import", import_.import_, import_.EXAMPLES, exit_one=import_.FINDINGS),
    Verb("registry", registry.registry, registry.EXAMPLES, exit_one=registry.FINDINGS),
    Verb("tail", tail.tail, tail.EXAMPLES),
    Verb("replay", replay.replay, replay.EXAMPLES),
    Verb("audit", audit.audit, audit.EXAMPLES, exit_one=audit.FINDINGS),
    Verb("book", book.book, book.EXAMPLES),
    Verb("serve", serve.serve, serve.EXAMPLES),
    Verb("seal", seal.seal, seal.EXAMPLES),
    Verb("clean", clean.clean, clean.EXAMPLES),
    Verb("verify", verify.verify, verify.EXAMPLES, exit_one=verify.FINDINGS),
    Verb("repair", repair.repair, repair.EXAMPLES, exit_one=repair.LEFT),
    Verb("doctor", doctor.doctor, doctor.EXAMPLES, exit_one=doctor.FINDINGS),
    Verb("config", config.config, config.EXAMPLES, exit_one=config.FINDINGS),
    Verb("deploy", deploy.deploy, deploy.EXAMPLES),
    Verb("sim", sim.sim, sim.EXAMPLES),
    Verb("bench", bench.bench, bench.EXAMPLES),
    Verb("torture", torture.torture, torture.EXAMPLES, exit_one=torture.SILENT),
    Verb("demo", demo.demo, demo.EXAMPLES, exit_one=demo.WRONG),
    Verb("docs", docs.docs, hidden=True),
)


def _print_version(value: bool) -> None:
    if value:
        Output().data(f"mdtool {mdtool.__version__}")
        raise typer.Exit


def root(
    ctx: typer.Context,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            envvar="MDTOOL_STORE",
            show_envvar=False,
            help="The store to work on ($MDTOOL_STORE, else ~/.local/share/mdtool).",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings (TOML) instead of ~/.config/mdtool/config.toml."),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Record live market-data feeds without losing a byte; store, prove, replay and show them."""
    out = ctx.find_object(Output) or Output()
    out.verbose = verbose
    if ctx.invoked_subcommand is None:
        out.talk(ctx.get_help())
        raise typer.Exit(FAILED)
    ctx.obj = Invocation(store_dir=store, config_file=config, verbose=verbose, out=out)


def build() -> Any:
    """The whole tree, as the object (of click's kind) that parses a command line."""
    app = typer.Typer(
        name="mdtool",
        callback=root,
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in VERBS:
        if isinstance(verb.run, typer.Typer):
            app.add_typer(verb.run, name=verb.name, hidden=verb.hidden)
        else:
            app.command(verb.name, hidden=verb.hidden)(verb.run)
    command: Any = typer.main.get_command(app)
    # Help lists the verbs as the table does, where typer would put groups last.
    command.commands = {verb.name: command.commands[verb.name] for verb in VERBS}
    _use_our_help(command)
    return command


def _use_our_help(command: Any) -> None:
    """Have help drawn from the tree, as man pages are."""

    def format_help(ctx: typer.Context, formatter: Any) -> None:
        from shutil import get_terminal_size

        from mdtool.view.help import help_page

        values = tree(command, tuple(ctx.command_path.split()), VERBS)
        formatter.write(help_page(values, get_terminal_size().columns))

    command.format_help = format_help
    for child in getattr(command, "commands", {}).values():
        _use_our_help(child)


def _allow_open_files() -> None:
    """Use as many open files as this user may: a feed that is recorded takes a dozen, and shells allow 1,024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _which_limit(said: str) -> str:
    """Which limit was met, where that is what an error speaks of, and who sets it."""
    if os.strerror(errno.ENFILE) in said:
        return "; the limit is the machine's, fs.file-max"
    if os.strerror(errno.EMFILE) not in said:
        return ""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"; a process of this user may have {soft:,} open, and a feed that is recorded takes several: "
        "raise that (ulimit -Hn, LimitNOFILE= of a service), or record fewer symbols at once"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    _interrupted.clear()
    out = Output()
    words = list(sys.argv[1:] if argv is None else argv)
    out.as_json = "--json" in words[: words.index("--") if "--" in words else None]
    _allow_open_files()
    try:
        try:
            code = _invoke(words, out)
            out.flush()
            return code
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge
            return _failed(out, error, words)
    except BrokenPipeError:  # a report's reader, or that of its error
        silence_stdout()
        return 0
    finally:
        out.close()


def _failed(out: Output, error: BaseException, words: Sequence[str]) -> int:
    """What ended a run, in a line; its exit code."""
    if _interrupted.is_set() or isinstance(error, KeyboardInterrupt | typer.Abort):
        out.end_progress()
        if out.as_json:
            out.failed("interrupted", INTERRUPTED)
        return INTERRUPTED
    if isinstance(error, _ClickException):
        out.failed(explain(error, words), FAILED)
        return FAILED
    _traceback(out, error)
    code = FAILED
    if isinstance(error, MdtoolError):
        said, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}{error.strerror or error}"
    else:  # what gets here is a defect
        hint = "" if out.verbose else " (run with -v for the traceback)"
        said = f"internal error: {type(error).__name__}: {error}{hint}"
    out.failed(said + _which_limit(said), code)
    return code


def _invoke(argv: list[str], out: Output) -> int:
    command = build()
    try:
        with command.make_context("mdtool", argv, obj=out) as ctx:
            command.invoke(ctx)
    except typer.Exit as stop:
        return stop.exit_code
    return 0


def _traceback(out: Output, error: BaseException) -> None:
    if out.verbose:
        import traceback

        out.talk("".join(traceback.format_exception(error)).rstrip())


def _end_in_order() -> None:
    """A signal that would end the process where it stands interrupts it instead, as Ctrl-C does, so that whatever it
    made to be taken away again is taken away."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # and not ignored, as nohup has it
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # What was under way may make an error of its own of this: a library that calls back says that the call failed.
    _interrupted.set()
    # Nor what it left half made, where the interpreter itself would tell of that.
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")
    signal.raise_signal(signal.SIGINT)  # which an event loop takes in its own time


def run() -> None:
    """The console entry."""
    give_streams()
    write_any_text()
    _end_in_order()
    raise SystemExit(main())
