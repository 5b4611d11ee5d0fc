"""What the system says of a process, as far as this one may see it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def memory(pid: int, kind: str) -> int | None:
    """Bytes of memory of a process: RssAnon are its own, VmRSS has what it maps of files and shared memory as well.
    None where that is not to be seen."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def open_files(pid: int) -> int | None:
    """How many files a process has open; None where that is not to be seen."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - of names alone
    except OSError:
        return None


def children(pid: int) -> dict[int, str]:
    """The processes that its main thread began, and the module each runs; "" of one that runs none."""
    found = {}
    try:
        begun = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return {}
    for child in begun:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            found[int(child)] = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return found
