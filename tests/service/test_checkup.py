"""What stands in the way of recording, told from a machine made up for it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from mdtool.capture.timekeeping import KernelClock
from mdtool.service import checkup

MS = 1_000_000


@pytest.mark.parametrize(
    ("said", "found", "todo"),
    [
        (KernelClock(True, 0, 12 * MS, 0, 0), "synchronised, off by 12ms at most", False),
        (KernelClock(True, 0, 250 * MS, 0, 0), "synchronised, and may be off by 250ms", True),
        (KernelClock(False, 0, 16_000 * MS, 0, 0), "not synchronised; it may be off by 16s", True),
        (None, "the kernel does not tell", False),
    ],
)
def test_the_clock(said: KernelClock | None, found: str, todo: bool) -> None:
    check = checkup.clock(said)
    assert (check.found, check.todo is not None, check.seen) == (found, todo, said is not None)


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert checkup.files(100).todo is None
    check = checkup.files(1000)
    assert check.found == "4,096 allowed, 1,000 feeds may take 8,100"
    assert check.todo is not None and check.todo.startswith("raise the hard limit: LimitNOFILE=")


def test_shared_memory(tmp_path: Path) -> None:
    assert checkup.shared_memory(0, tmp_path).todo is None
    assert "feeds kept there need" in checkup.shared_memory(1 << 60, tmp_path).found
    assert checkup.shared_memory(1, tmp_path / "none").found.endswith("/none cannot be written to")
    assert checkup.shared_memory(0, tmp_path / "none").todo is None  # nobody wants it


@pytest.mark.parametrize(
    ("governors", "found", "todo"),
    [
        (["performance", "performance"], "governor performance", False),
        (["powersave", "performance"], "governor performance, powersave: the first message of a burst is late", True),
        ([], "who sets their clock cannot be seen", False),
    ],
)
def test_the_processor(tmp_path: Path, governors: list[str], found: str, todo: bool) -> None:
    for number, governor in enumerate(governors):
        folder = tmp_path / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    check = checkup.governor(tmp_path)
    assert (check.found.partition(" CPUs")[2].strip(",; "), check.todo is not None) == (found, todo)


def test_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert checkup.permissions(tmp_path).todo is None
    tmp_path.chmod(0o777)
    assert checkup.permissions(tmp_path).todo == f"chmod go-w {tmp_path}"
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert checkup.permissions(tmp_path).todo == "record as its owner"
        tmp_path.chmod(0o700)
