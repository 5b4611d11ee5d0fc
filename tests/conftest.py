"""What every test may ask for, and how long any may take."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from patience import TIMEOUT

# How long an example takes says how busy the machine is.
settings.register_profile("calm", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")
os.environ.setdefault("PYTEST_TIMEOUT", f"{TIMEOUT:g}")  # what pytest-timeout goes by, unless a command line says more

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it that starts the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

REALDATA = Path(os.environ.get("MDTOOL_REALDATA") or Path(__file__).parents[2] / "shared" / "realdata")
REQUIRED = os.environ.get("MDTOOL_REQUIRE_REALDATA") == "1"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real captures; skips where it is absent, fails where it must be there."""
    if not (REALDATA / "README.md").is_file():
        message = f"no real captures at {REALDATA}: set MDTOOL_REALDATA"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return REALDATA


@pytest.fixture(autouse=True)
def _lists_are_fetched_by_their_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording fetches what its venue lists some seconds after it has begun: a test that asks for all its records
    must not depend on how long it takes."""
    monkeypatch.setattr("mdtool.capture.lists.BOOKS_FIRST", 24 * 3600.0)
