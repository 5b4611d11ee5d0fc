"""A binary stream that takes every byte, however few it takes at a time."""

from __future__ import annotations

import select
from typing import Protocol


class ByteStream(Protocol):
    """sys.stdout.buffer, an unbuffered file, a socket's file, a BytesIO."""

    def write(self, data: memoryview, /) -> int | None: ...

    def flush(self) -> None: ...

    def fileno(self) -> int: ...


def write_all(stream: ByteStream, data: bytes) -> None:
    """Writes all of `data`. Raises BrokenPipeError where nobody reads any more."""
    view = memoryview(data)
    while view:
        written = stream.write(view)
        if written is None:  # a non-blocking stream that is full
            select.select([], [stream], [])
        elif written == len(view):
            return
        else:
            view = view[written:]
