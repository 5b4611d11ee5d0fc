"""Measuring among other tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """The collector, which runs between any two turns, has nothing to do with what the tests before have left."""
    gc.freeze()
    yield
    gc.unfreeze()
