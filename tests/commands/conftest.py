"""What tests of commands share: running a command line, and a store with the simulated capture in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mdtool.commands.main import main
from mdtool.service.roster import Roster

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"


@dataclass(frozen=True, slots=True)
class Done:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line on standard error of a command that failed."""
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


Mdtool = Callable[..., Done]


def clean_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the person who runs the tests shows."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def mdtool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Mdtool:
    """Runs a command line in this process. Output is caught at the descriptors: bulk output passes by sys.stdout."""
    for name in ("MDTOOL_STORE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in clean_environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> Done:
        code = main([str(argument) for argument in arguments])
        caught = capfdbinary.readouterr()
        return Done(code, caught.out.decode(), caught.err.decode())

    return run


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For processes that a test starts itself."""
    return clean_environment(tmp_path)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command line as a process of its own, in a clean environment. None is left behind, nor a recorder: those
    outlive whoever began them."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str | Path, environment: dict[str, str] | None = None, **more: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mdtool", *map(str, arguments)],
            env=clean_environment(tmp_path) | (environment or {}),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
    for folder in tmp_path.rglob("run"):
        for member in Roster(folder.parent).members():
            if member.alive:
                os.kill(member.duty.pid, signal.SIGKILL)


@pytest.fixture
def alpha(tmp_path: Path, mdtool: Mdtool) -> Path:
    """A store that holds fixtures/sim_alpha.hb."""
    store = tmp_path / "alpha"
    assert mdtool("--store", store, "import", "sim", FIXTURES / "sim_alpha.hb").code == 0
    return store


@pytest.fixture
def fixture() -> Path:
    """The simulated capture."""
    return FIXTURES / "sim_alpha.hb"
