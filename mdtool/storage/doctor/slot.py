"""One entry of a chunk table as a value: its checksum holds, and its words are enums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdtool.storage import files
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal.registry import ChunkInfo

_NUMBERS = ("chunk_id", "epoch", "part", "rows", "heap_bytes", "min_ns", "max_ns", "created_ns", "closed_ns",
            "part_bytes", "part_crc32c", "rows_crc32c")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot(ChunkInfo):
    """What a slot says; `of` is None where its words make no sense."""

    boot: bytes
    part_bytes: int = 0
    part_crc32c: int = 0
    rows_crc32c: int = 0

    @classmethod
    def of(cls, slot: np.void) -> Slot | None:
        try:
            return cls(
                state=ChunkState(int(slot["state"])),
                location=Location(int(slot["location"])),
                flags=ChunkFlag(int(slot["flags"])),
                boot=bytes(slot["boot"]),
                **{name: int(slot[name]) for name in _NUMBERS},
            )
        except ValueError:
            return None

    @property
    def has_files(self) -> bool:
        """Whether the chunk is in files of its own, and not in a part or gone."""
        return self.state in (ChunkState.LIVE, ChunkState.CLOSED) and self.location != Location.PART

    @property
    def boot_is_over(self) -> bool:
        """Whether it was in the shared memory of an earlier boot."""
        return bool(any(self.boot)) and self.boot != files.boot_id()
