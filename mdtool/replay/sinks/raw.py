"""Payloads and nothing else, each with a newline after it. What lies between them (time, feed) is lost, and
a payload with a newline inside spans lines: for piping one stream's messages into a tool that wants exactly
those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdtool.storage.reading.reader import Reader, Record


def raw(records: Sequence[tuple[Reader, Record]]) -> bytes:
    """The payloads of `records`, in order, each with a newline."""
    return b"".join([record.payload + b"\n" for _, record in records])
