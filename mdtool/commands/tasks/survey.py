"""What a store holds, as rows to draw or to write as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mdtool.clock import SystemClock
from mdtool.errors import CorruptStore
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.presence import WRITER_TTL_NS
from mdtool.storage.reading.cursor import CursorInfo
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import FeedInfo, Store
from mdtool.view.records import kind_name
from mdtool.view.reports import ChunkRow, CursorRow, FeedDetails, FeedRow, StreamRow


def feed_rows(store: Store, feeds: Sequence[FeedInfo]) -> list[FeedRow]:
    """One row a feed, from the registries alone."""
    rows = []
    for feed in feeds:
        with Reader(feed, verify=False) as reader:
            rows.append(_row(feed, reader))
    return rows


def feed_details(store: Store, feed: FeedInfo) -> FeedDetails:
    """All there is to say on one feed; counts its records by stream and kind from the row indexes."""
    with store.reader(feed.name, verify=False) as reader:
        row = _row(feed, reader)
        chunks = tuple(
            ChunkRow(
                chunk_id=chunk.chunk_id,
                epoch=chunk.epoch,
                state=chunk.state.name,
                location=chunk.location.name.lower(),
                records=chunk.rows,
                payload_bytes=chunk.heap_bytes,
                first_ns=chunk.min_ns,
                last_ns=chunk.max_ns,
            )
            for chunk in reader.chunks()
        )
        streams = _streams(reader)
        disconnect = reader.detect_disconnect(WRITER_TTL_NS, SystemClock().now_ns())
        cursors = tuple(_cursor(reader, info) for info in store.cursors(feed.name))
    scale = feed.scale
    return FeedDetails(
        feed=row,
        directory=str(feed.directory),
        live=feed.live.name.lower(),
        chunk_bytes=feed.chunk_bytes,
        created_ns=feed.created_ns,
        price_exp=scale.price_exp if scale else None,
        size_exp=scale.size_exp if scale else None,
        streams=streams,
        chunks=chunks,
        live_window_ns=feed.live_window_ns,
        retain_ns=feed.retain_ns,
        max_bytes=feed.retain_bytes,
        keep_last=feed.keep_last,
        archive=feed.archive,
        disconnect=disconnect.text if disconnect else None,
        cursors=cursors,
    )


def _cursor(reader: Reader, info: CursorInfo) -> CursorRow:
    """How far behind a cursor is, from the chunk table."""
    chunk_id, row = info.position >> ROW_BITS, info.position & ((1 << ROW_BITS) - 1)
    chunks = reader.chunks()
    read = row if any(chunk.chunk_id == chunk_id for chunk in chunks) else 0
    behind: int | None = sum(chunk.rows for chunk in chunks if chunk.chunk_id >= chunk_id) - read
    try:
        reader.move_to(info.position)
    except CorruptStore:
        behind = None
    return CursorRow(
        cursor=info.name,
        behind=None if info.damaged else behind,
        updated_ns=info.updated_ns or None,
        lease_until_ns=info.lease_until_ns or None,
    )


def _row(feed: FeedInfo, reader: Reader) -> FeedRow:
    chunks = reader.chunks()
    return FeedRow(
        feed=feed.name,
        records=sum(chunk.rows for chunk in chunks),
        payload_bytes=sum(chunk.heap_bytes for chunk in chunks),
        first_ns=next((chunk.min_ns for chunk in chunks if chunk.rows), None),
        last_ns=max((chunk.max_ns for chunk in chunks if chunk.rows), default=None),
        chunks=len(chunks),
        epochs=len({chunk.epoch for chunk in chunks}),
        writer=reader.writer_status(WRITER_TTL_NS, SystemClock().now_ns()).value,
    )


def _streams(reader: Reader) -> tuple[StreamRow, ...]:
    records: Counter[tuple[int, int]] = Counter()
    payload_bytes: Counter[tuple[int, int]] = Counter()
    for batch in reader.batches():
        keys = batch.rows["stream"].astype(np.int64) << 8 | batch.rows["kind"]
        found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        sizes = np.bincount(inverse, weights=batch.rows["length"])
        for key, count, size in zip(found.tolist(), counts.tolist(), sizes.tolist(), strict=True):
            records[divmod(key, 256)] += count
            payload_bytes[divmod(key, 256)] += int(size)
    return tuple(
        StreamRow(reader.stream_name(stream), kind_name(kind), records[stream, kind], payload_bytes[stream, kind])
        for stream, kind in sorted(records)
    )
