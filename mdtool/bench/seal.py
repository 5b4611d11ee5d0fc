"""Seal: how fast closed chunks become a part, how small it is, and what many parts cost the reader that opens them."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from mdtool.bench.iterate import FEED, fill
from mdtool.bench.measure import Setting, Unit, figure, race, spent
from mdtool.bench.messages import captured_records, depth_messages
from mdtool.bench.report import Figure
from mdtool.bench.storage import RECV_NS
from mdtool.clock import DAY, ManualClock
from mdtool.errors import StoreError
from mdtool.history.columns import decoding
from mdtool.model import Kind
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.journal.registry import FeedRegistry
from mdtool.storage.store import Store
from mdtool.storage.upkeep.sealing import PartReport, seal_feed
from mdtool.venues import catalog

OF_GZIP = 0.90  # budget, bytes of the part against gzip -9 of the text
PROTOCOL = ("sim", "depth@100ms")
TURNS = 3  # gzip -9 alone takes seconds a turn
MESSAGE_GAP_NS = 30_000_000
MEGABYTES = Unit("MB/s", "higher", 1e3)
SHARE = Unit("of gzip -9", "lower", 1.0)
OPEN = Unit("us/open", "lower", 1e-3)

Record = tuple[int, str, bytes]  # receive time, stream, payload


def bench_seal(setting: Setting) -> list[Figure]:
    setting.tell("seal")
    made_up = depth_messages(setting.size(40_000, 200))
    records = [(RECV_NS + number * MESSAGE_GAP_NS, PROTOCOL[1], payload) for number, payload in enumerate(made_up)]
    figures = _sealing(setting, "", "", records, budget=None)
    if setting.data is not None:
        setting.tell(f"seal {setting.data.name}")
        venue = catalog.get(PROTOCOL[0])
        route = venue.router().route
        captured = [
            (recv_ns, venue.place(route(payload)).stream, payload)
            for recv_ns, payload in itertools.islice(captured_records(setting.data), setting.size(10**9, 200))
        ]
        figures += _sealing(setting, "captured_", f"{setting.data.name}: ", captured, budget=OF_GZIP)
    setting.tell("open a feed of many parts")
    return figures + _opening(setting)


def _sealing(
    setting: Setting, prefix: str, of: str, records: Sequence[Record], *, budget: float | None
) -> list[Figure]:
    text = b"".join(b"%d %b\n" % (recv_ns, payload) for recv_ns, _, payload in records)
    turn = itertools.count()
    packed: list[int] = []
    parts: list[PartReport] = []

    def seal() -> float:
        path = setting.directory / f"{prefix}seal{next(turn)}"
        with Store.create(path) as store:
            _write(store, records)
            return spent(lambda: parts.extend(_seal(store)), len(text))

    def plain() -> float:
        return spent(lambda: packed.append(len(gzip.compress(text, 9))), len(text))

    turns = race({"seal": seal, "plain": plain}, min(TURNS, setting.repeats))
    share = sum(part.part_bytes for part in parts) / len(turns["seal"]) / median(packed)
    note = f"{sum(part.records for part in parts) // len(turns['seal']):,} records"
    return [
        figure("seal", f"{prefix}throughput", f"{of}seal text: decode, pack, sync, read back", MEGABYTES, turns["seal"],
               against=("gzip -9 of it", turns["plain"]), note=note),
        figure("seal", f"{prefix}size", f"{of}bytes of parts, decoded columns included", SHARE, [share], budget=budget),
    ]  # fmt: skip


def _write(store: Store, records: Sequence[Record]) -> None:
    with store.writer(FEED, sync="none", clock=ManualClock(records[0][0])) as writer:
        for recv_ns, stream, payload in records:
            writer.append(recv_ns, Kind.DATA, writer.stream(stream), 1, payload)


def _seal(store: Store) -> Sequence[PartReport]:
    report = seal_feed(store.feed(FEED), 1 << 62, decoding=decoding(catalog.get(PROTOCOL[0])), everything=True)
    if report.error:
        raise StoreError(report.error)
    return report.parts


def _opening(setting: Setting) -> list[Figure]:
    count = setting.size(10_000, 100)
    many = _sealed_table(setting.directory / "parts", count)
    one = _sealed_table(setting.directory / "part", 1)
    turns = race({"many": lambda: _open(many), "one": lambda: _open(one)}, setting.repeats)
    return [
        figure("seal", "open", f"open a feed of {count:,} parts: first and last time, the end, a position", OPEN,
               turns["many"], against=("a feed of one part", turns["one"])),
    ]  # fmt: skip


def _sealed_table(path: Path, count: int) -> Path:
    """A feed whose registry names `count` parts, a day each; none of them is needed to be found."""
    with Store.create(path) as store:
        fill(store, FEED, 1)
        directory = store.feed(FEED).directory
    registry = FeedRegistry(directory / "feed.bin", writable=True)
    for number in range(1, count + 1):
        start = RECV_NS + number * DAY
        registry.add_chunk(
            {
                "chunk_id": number + 1,
                "epoch": 1,
                "state": ChunkState.SEALED,
                "location": Location.PART,
                "part": number,
                "rows": 1000,
                "heap_bytes": 200_000,
                "min_ns": start,
                "max_ns": start + 1000,
            }
        )
    registry.close()
    return path


def _open(path: Path) -> float:
    def work() -> None:
        with Store.open(path) as store, store.reader(FEED) as reader:
            last_ns = reader.last_ns or 0
            reader.has_data_since(last_ns)
            reader.to_end()
            reader.move_to(reader.position)
            reader.first_ns  # noqa: B018  -- being asked for is the work

    return spent(work, 1)
