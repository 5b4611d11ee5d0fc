"""A store to replay from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mdtool.clock import ManualClock
from mdtool.model import Kind
from mdtool.storage.store import Store

Item = tuple[int, bytes]  # receive time, payload
Fill = Callable[..., Store]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def fill(store: Store) -> Fill:
    """fill("venue/SYMBOL", [(recv_ns, payload), ...], stream=, kind=, session=, flags=, chunk_bytes=)"""

    def go(
        name: str,
        items: Sequence[Item],
        stream: str = "trade",
        kind: int = Kind.DATA,
        session: int = 1,
        flags: int = 0,
        chunk_bytes: int | None = None,
    ) -> Store:
        with store.writer(name, chunk_bytes=chunk_bytes, clock=ManualClock(), sync="none") as writer:
            for recv_ns, payload in items:
                writer.append(recv_ns, kind, writer.stream(stream), session, payload, flags)
        return store

    return go
