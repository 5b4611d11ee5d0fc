"""A feed that this user may not read: each command says so and goes on with the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdtool.storage import files
from mdtool.storage.store import Store

FEED, OTHER = "sim/ALPHA_USDT", "sim/BRAVO_USDT"


@pytest.fixture
def denied(alpha, monkeypatch):
    """A store with a feed that may be read and one that may not."""
    with Store.create(alpha) as store, store.writer(OTHER) as writer:
        writer.append(1_700_049_600 * 10**9, 1, writer.stream("d"), 0, b"x")
        path = store.feed(OTHER).directory / "feed.bin"
    monkeypatch.setattr(files, "denied", lambda asked: Path(asked) == path)
    return path


@pytest.mark.parametrize("command", [
    ("registry", "list", "--json"), ("tail",), ("replay", "--speed", "max"), ("audit", "--json"),
])  # fmt: skip
def test_the_others_are_gone_on_with(mdtool, alpha, denied, command):
    said = f"{denied}: permission denied: let this user read it, or run this as its owner"
    done = mdtool("--store", alpha, *command)
    assert f"{OTHER}: left out: {said}" in done.err.splitlines()
    assert done.code in (0, 1)
    assert len(done.out) > 100
    if command[0] == "registry":
        assert [row["feed"] for row in json.loads(done.out)["feeds"]] == [FEED]
    alone = mdtool("--store", alpha, *command, OTHER)
    assert (alone.code, alone.error_line) == (2, f"mdtool: {said}")


def test_verify_names_it_and_checks_the_others(mdtool, alpha, denied):
    done = mdtool("--store", alpha, "verify", "--json")
    said = json.loads(done.out)
    assert done.code == 1
    assert [(one["feed"], one["what"], one["found"]) for one in said["findings"]] == [
        (OTHER, "unreadable", "permission denied")
    ]
    assert said["records"] == 529
