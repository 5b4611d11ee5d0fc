"""What this user may not read is no damage: it is said, it is left, and the other feeds are gone on with."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdtool.clock import SECOND, ManualClock
from mdtool.errors import StoreError
from mdtool.model import Kind
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.rebuild import rebuild
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store

NOON = 1_700_049_600 * SECOND
NOBODY = 65_534
FEEDS = ("sim/A", "sim/B")


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind: root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def path():
    base = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    base.chmod(0o755)
    with Store.create(base / "store") as store:
        for name in FEEDS:
            with store.writer(name, clock=ManualClock(NOON)) as writer:
                writer.append(NOON, Kind.DATA, writer.stream("d"), 0, b"x")
    # What is imported while it runs is imported before this user may not read that either.
    for module in ("ssl", "pyarrow.fs", "pyarrow.parquet", "mdtool.storage.parts.part"):
        importlib.import_module(module)
    with Store.open(base / "store") as store:
        assert [repair(store.feed(name)) for name in FEEDS] == [[], []]
    assert (verify(base / "store").findings, rebuild(base / "store")) == ([], [])
    if not os.geteuid():
        for one in (base / "store").rglob("*"):
            os.chown(one, NOBODY, NOBODY)
        os.chown(base / "store", NOBODY, NOBODY)
    yield base / "store"
    for one in [base, *base.rglob("*")]:
        one.chmod(0o755)
    shutil.rmtree(base)


@pytest.mark.parametrize("what", ["feeds/sim/A/feed.bin", "feeds/sim/A", "feeds/sim/A/live"])
def test_a_feed_that_may_not_be_read_is_said_and_the_other_is_gone_on_with(path, what):
    (path / what).chmod(0)
    said = f"{path / what}: permission denied: let this user read it, or run this as its owner"
    with unprivileged(), Store.open(path, writable=True) as store:
        assert [store.denial(store.feed(name)) for name in FEEDS] == [said, None]
        with pytest.raises(StoreError) as denied:
            store.reader("sim/A")
        assert str(denied.value) == said
        assert store.reader("sim/B").count() == 1
        checked = verify(path)
        assert [(one.feed, one.where, one.what, one.found) for one in checked.findings] == [
            ("sim/A", str(path / what), FlawKind.UNREADABLE, "permission denied")
        ]
        assert (checked.feeds, checked.records) == (2, 1)
        (action,) = repair(store.feed("sim/A"), gone=True)
        assert (action.left, action.lost, action.found) == (True, 0, "permission denied")
        assert repair(store.feed("sim/B")) == []
        assert [(one.feed, one.left) for one in rebuild(path)] == [("sim/A", True)]
    (path / what).chmod(0o755)
    assert verify(path).findings == []


def test_a_registry_that_may_not_be_read_is_not_called_lost(path):
    (path / "registry.bin").chmod(0)
    said = f"{path}/registry.bin: permission denied: let this user read it, or run this as its owner"
    with unprivileged():
        for look in (Store.open, Store.create, verify, rebuild):
            with pytest.raises(StoreError) as denied:
                look(path)
            assert (type(denied.value), str(denied.value)) == (StoreError, said)


def test_a_chunk_that_may_not_be_read_is_no_hole(path):
    (path / "feeds/sim/A/live/00000001.idx").chmod(0)
    with unprivileged(), Store.open(path) as store:
        with pytest.raises(StoreError, match=r"00000001\.idx: .*Permission denied"):
            list(store.reader("sim/A").records())
        (finding,) = verify(path).findings
        assert (finding.what, finding.found) == (FlawKind.UNREADABLE, "Permission denied")
        (action,) = repair(store.feed("sim/A"), gone=True)
        assert (action.left, action.lost) == (True, 0)
