"""Processes this program starts to run its own code.

Rule: a child runs the modules its parent runs. `python -m` would look in the current directory first, where a checkout
or somebody's folder may hold a package of the same name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_COMPLAINT = 4096  # bytes of what a child said last that are kept
_HOME = str(Path(__file__).parents[2])  # where this package was found


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours; to be started with `environment()`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """The environment in which an interpreter finds what this one has found, and nothing beside it."""
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100 - an entry is kept as it is spelled
    if _HOME not in paths:  # found by an empty entry: the current directory, as it was then
        paths.insert(0, _HOME)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


@contextmanager
def own_modules() -> Iterator[None]:
    """A context in which `multiprocessing` starts its servers and children as `environment()` says."""
    given = environment()
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    os.environ.update({name: given[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


async def last_said(stream: asyncio.StreamReader) -> bytes:
    """The end of what comes, so that nobody waits for it to be read."""
    kept = b""
    while data := await stream.read(LONGEST_COMPLAINT):
        kept = (kept + data)[-LONGEST_COMPLAINT:]
    return kept


async def put_away(process: asyncio.subprocess.Process, complaining: asyncio.Task[bytes]) -> None:
    """End a child of which all streams are pipes, and read them to their ends. `complaining`: what reads stderr."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    while await process.stdout.read(LONGEST_COMPLAINT):  # its end is only seen behind what it said
        pass
    await asyncio.gather(complaining, process.wait())


def complaint(said: bytes, code: int) -> str:
    """Why a child ended, in a line: the last it said, else how."""
    lines = said[-LONGEST_COMPLAINT:].decode("utf-8", "replace").strip().splitlines()
    how = f"killed by signal {-code}" if code < 0 else f"exit {code}"
    return lines[-1] if lines else how
