"""What the tests of storage ask for."""

from __future__ import annotations

import pytest

from mdtool.storage.store import Store


@pytest.fixture
def store(tmp_path):
    """A new store."""
    with Store.create(tmp_path / "store") as made:
        yield made
