"""Where what goes out of use is kept: `repaired/<time>/`, the files as they were and a note of why.

Rule: nothing is changed or taken away before it is here.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from mdtool.storage import files
from mdtool.units import format_time

DIRECTORY = "repaired"
BLOCK = 1 << 20


class Quarantine:
    """One run's folder below the feed (or the store) it repairs; made with the first file it keeps."""

    def __init__(self, root: Path, now_ns: int) -> None:
        self._root = root
        stamp = format_time(now_ns).replace(":", "").replace("-", "")
        self.directory = root / DIRECTORY / stamp
        self.kept: list[str] = []

    def open(self, note: dict[str, Any]) -> None:
        """Make the folder and put the note into it, durably, before anything is done. Raises StoreError."""
        number = 0
        plain = self.directory
        while self.directory.exists():
            number += 1
            self.directory = plain.with_name(f"{plain.name}-{number}")
        files.make_directory(self.directory)
        text = json.dumps(note, indent=2, ensure_ascii=False) + "\n"
        files.write_durably(self.directory / "note.json", [text.encode()])
        files.sync_directory(self.directory.parent)

    def keep(self, path: Path, name: str | None = None, *, changing: bool = False) -> None:
        """Have the file as it is now, in the folder too. `changing`: its bytes are about to change in place."""
        target = self._target(path) if name is None else self.directory / name
        if target.exists():
            return
        files.make_directory(target.parent)
        if not changing:
            with contextlib.suppress(OSError):  # another file system: shared memory
                os.link(path, target, follow_symlinks=False)
                self.kept.append(str(target))
                return
        copy(path, target)
        self.kept.append(str(target))

    def take(self, path: Path, name: str | None = None) -> None:
        """Have the file here and no longer there; under `name`, which else is where it was below the root."""
        self.keep(path, name)
        path.unlink()
        files.sync_directory(path.parent)

    def _target(self, path: Path) -> Path:
        try:
            return self.directory / path.relative_to(self._root)
        except ValueError:
            return self.directory / "shm" / path.name


def copy(source: Path, target: Path) -> None:
    """A durable copy that leaves holes where there is nothing."""
    size = source.stat().st_size
    blank = bytes(BLOCK)
    with source.open("rb") as read, os.fdopen(files.create(target, size), "wb") as write:
        while block := read.read(BLOCK):
            if block == blank[: len(block)]:
                write.seek(len(block), os.SEEK_CUR)
            else:
                write.write(block)
        write.flush()
        files.sync(write.fileno(), target)
    files.sync_directory(target.parent)
