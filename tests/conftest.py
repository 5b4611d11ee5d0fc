"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
