"""Through time: the book of any moment is the book that was live then, wherever its records are kept by now."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdtool.books.book import Book
from mdtool.books.phases import NO_WHOLE_YET
from mdtool.books.sync import BookState
from mdtool.clock import SECOND
from mdtool.commands.tasks import book as tasks
from mdtool.commands.tasks.book import BookFollower
from mdtool.commands.tasks.daily import DayTrades
from mdtool.commands.tasks.sealing import seal_feeds
from mdtool.exchange.binance import DIALECTS, BinanceProtocol
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator
from mdtool.history.wholes import whole_books
from mdtool.interop.importer import import_files
from mdtool.model import SESSION_SYMBOL, Kind, Scale
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues import catalog

START_NS = 1_760_000_000_000_000_000
DELAY_NS = 2_000_000
SECONDS = 40
SNAPSHOTS = (1, 14, 27)  # seconds at which the whole book was fetched
SYMBOL = "ALPHA_USDT"
SIM = catalog.get("sim")


def frames(simulator: Simulator) -> Iterator[tuple[int, Kind, str, bytes]]:
    """The exchange's messages with the whole book fetched now and then."""
    protocol, source = BinanceProtocol(DIALECTS["sim"]), SimulatedSource(simulator)
    for second in range(SECONDS):
        for message in simulator.step(START_NS + second * SECOND + SECOND // 2):
            yield message.venue_ns + DELAY_NS, Kind.DATA, message.stream, message.payload
        if second in SNAPSHOTS:
            body = protocol.rest("GET", "/api/v3/depth", {"symbol": "ALPHAUSDT", "limit": "1000"}, source).body
            yield START_NS + second * SECOND + SECOND // 2 + DELAY_NS, Kind.RESPONSE, "snapshot", body


def stored(path: Path, simulator: Simulator, *, without: int | None = None) -> Store:
    """Two thirds of it in sealed parts of many chunks, the rest in chunks; `without`: the number of a depth message."""
    store = Store.create(path)
    records = [*frames(simulator)]
    depth = [number for number, (_, _, stream, _) in enumerate(records) if stream.startswith("depth")]
    if without is not None:
        del records[depth[without]]
    cut = len(records) * 2 // 3
    for part in (records[:cut], records[cut:]):
        with store.writer(f"sim/{SYMBOL}", chunk_bytes=16 << 10) as writer:
            for recv_ns, kind, stream, payload in part:
                writer.append(recv_ns, kind, writer.stream(stream), 1, payload)
        if part[0] is records[0]:
            reports = [*seal_feeds([store.feed(f"sim/{SYMBOL}")], everything=True, dry_run=False)]
            assert not any(report.error for report in reports)
    return store


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator((SYMBOL,), seed=11, rate=40.0, start_ns=START_NS, keep_truth=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Store]:
    with stored(tmp_path_factory.mktemp("travel") / "store", simulator) as made:
        yield made


SIM_SCALE = Scale(-2, -4)


def whole(follower: BookFollower, scale: Scale = SIM_SCALE) -> tuple[int, object]:
    sync = follower.sync
    if sync is None or sync.state in NO_WHOLE_YET:
        return -1, None
    book = sync.copy().book
    book.rescale(book.scale.finest(scale))
    return sync.last_seq, book.top(None)


def live(reader: Reader, times: list[int], venue_scale: Scale = SIM_SCALE) -> dict[int, tuple[int, object]]:
    """The book as it was, read once from the beginning, at each of some times."""
    found, waiting = {}, sorted(times, reverse=True)
    follower = BookFollower(reader, catalog.get(reader.feed.venue))
    reader.to_start()
    for record in reader.records():
        while waiting and record.recv_ns > waiting[-1]:
            found[waiting.pop()] = whole(follower, venue_scale)
        follower._take(record)  # what a screen does that was up all the time
    return found | {ns: whole(follower, venue_scale) for ns in waiting}


def random_times(reader: Reader, count: int, seed: int = 5) -> list[int]:
    draw = random.Random(seed)
    assert reader.first_ns is not None and reader.last_ns is not None
    return [draw.randint(reader.first_ns, reader.last_ns + SECOND) for _ in range(count)]


def test_the_book_of_any_moment_is_the_exchanges(store: Store, simulator: Simulator) -> None:
    with store.reader(f"sim/{SYMBOL}") as reader:
        places = {chunk.location for chunk in reader.chunks()}
        assert len(reader.chunks()) > 10 and len(places) == 2  # parts and chunks
        times = random_times(reader, 60)
        as_it_was = live(reader, times)
        follower = BookFollower(reader, SIM)
        follower.catch_up()
        for ns in times:
            follower.go_to(ns)
            seq, levels = whole(follower)
            assert (seq, levels) == as_it_was[ns]
            if levels is not None:
                truth = simulator.truth(SYMBOL).at(seq)
                assert levels == ([*truth.bids.items()], [*truth.asks.items()])


def test_it_begins_at_the_nearest_whole_book(store: Store) -> None:
    with store.reader(f"sim/{SYMBOL}") as reader:
        late = START_NS + (SNAPSHOTS[-1] + 3) * SECOND
        found = [one.start for one in whole_books(reader, SIM, until_ns=late)]
        assert len(found) == 3 and found == sorted(found, reverse=True)
        assert len([*whole_books(reader, SIM, until_ns=START_NS + (SNAPSHOTS[0] + 3) * SECOND)]) == 1
        assert [*whole_books(reader, SIM, until_ns=START_NS)] == []


@pytest.mark.parametrize("mark_every", [10, tasks.MARK_EVERY])  # with and without a copy of the book to begin from
def test_steps_back_and_forth(store: Store, monkeypatch: pytest.MonkeyPatch, mark_every: int) -> None:
    monkeypatch.setattr(tasks, "MARK_EVERY", mark_every)
    with store.reader(f"sim/{SYMBOL}") as reader:
        follower = BookFollower(reader, SIM, START_NS + 20 * SECOND)
        follower.catch_up()
        seen = [whole(follower)]
        for _ in range(30):
            follower.previous_update()
            seen.append(whole(follower))
        ids = [seq for seq, _ in seen]
        assert ids == sorted(set(ids), reverse=True)
        for step in reversed(seen[:-1]):
            follower.next_update()
            assert whole(follower) == step
        follower.go_live()
        assert follower.at_ns is None
        assert follower.as_of_ns == reader.last_ns


def test_steps_from_the_live_end_and_beyond_the_ends(store: Store) -> None:
    with store.reader(f"sim/{SYMBOL}") as reader:
        follower = BookFollower(reader, SIM)
        follower.catch_up()
        at_end = whole(follower)
        follower.next_update()
        assert whole(follower) == at_end
        follower.previous_update()
        assert whole(follower)[0] < at_end[0]
        follower.go_to(START_NS * 2)
        assert (whole(follower), follower.at_ns) == (at_end, reader.last_ns)
        follower.go_to(0)
        assert follower.at_ns == reader.first_ns
        follower.previous_update()
        assert follower.state in NO_WHOLE_YET


def test_the_next_gap(tmp_path: Path) -> None:
    exchange = Simulator((SYMBOL,), seed=11, rate=40.0, start_ns=START_NS)
    with stored(tmp_path / "store", exchange, without=200) as made, made.reader(f"sim/{SYMBOL}") as reader:
        follower = BookFollower(reader, SIM, START_NS + 5 * SECOND)
        follower.catch_up()
        assert follower.state is BookState.SYNCED
        while not follower.seek_gap(0.002):
            pass
        assert (follower.state, follower.book.gaps) == (BookState.DIRTY, 1)
        assert follower.picture(5).state == "DIRTY"
        assert 19 < (follower.as_of_ns - START_NS) / SECOND < 22
        while not follower.seek_gap(0.002):
            pass
        assert (follower.book.gaps, follower.as_of_ns) == (1, reader.last_ns)  # no other; it was mended on the way
        assert follower.state is BookState.SYNCED


def test_figures_of_a_moment_are_those_of_the_minute_before(store: Store) -> None:
    ns = START_NS + 33 * SECOND
    with store.reader(f"sim/{SYMBOL}") as reader, store.reader(f"sim/{SYMBOL}") as other:
        follower = BookFollower(reader, SIM, ns)
        follower.catch_up()
        plain = Book(other).advance_to(ns)
        mine, theirs = follower.book.figures(ns), plain.figures(ns)
        for name in ("minute", "day", "last_trade", "rate", "age_ns", "touch", "last_seq"):
            assert getattr(mine, name) == getattr(theirs, name), name


def test_a_day_of_trades_is_read_in_slices(store: Store) -> None:
    ns = START_NS + 33 * SECOND
    with store.reader(f"sim/{SYMBOL}") as reader, store.reader(f"sim/{SYMBOL}") as other:
        day = DayTrades(reader, SIM, ns)
        assert day.window(ns) is None
        slices = 0
        while not day.advance(0.0):
            slices += 1
        assert slices > 0
        scale, window = day.window(ns) or (None, None)
        theirs = Book(other).advance_to(ns).figures(ns)
        assert (scale, window) == (theirs.scale, theirs.day)
        assert not day.move_to(ns - 1)
        assert day.move_to(ns + 3 * SECOND)
        while not day.advance(0.0):
            pass
        again = day.window(ns + 3 * SECOND)
        later = Book(store.reader(f"sim/{SYMBOL}")).advance_to(ns + 3 * SECOND).figures(ns + 3 * SECOND)
        assert again is not None and (again[1].trades, again[1].vwap) == (later.day.trades, later.day.vwap)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("venue", "files"),
    [
        ("binance-usdm", ["binance_usdm/ethusdt_20240808.hb.gz"]),
        ("okx", ["okx/2022-05-13.ws.cf.gz"]),
        ("deribit", ["deribit/2021-04-05.ws.cf.gz"]),
        ("kraken", ["kraken/2021-04-17_v1.ws.cf.gz"]),
        ("hyperliquid", ["hyperliquid/btcusd_20250126.hb.gz"]),
        ("coinbase", ["coinbase/2016-03-12_full_l3.pat.gz"]),
    ],
)
def test_real_captures(
    realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str, files: list[str]
) -> None:
    monkeypatch.setattr(tasks, "MARK_EVERY", 50)
    with Store.create(tmp_path / "store") as store:
        import_files(store, catalog.get(venue), [realdata / name for name in files])
        feeds = [info for info in store.feeds() if info.symbol != SESSION_SYMBOL]
        for info in feeds[:3]:
            with store.reader(info.name) as reader:
                times = random_times(reader, 12)
                follower = BookFollower(reader, catalog.get(venue))
                as_it_was = live(reader, times, Scale(-8, -8))
                for ns in times:
                    follower.go_to(ns)
                    assert whole(follower, Scale(-8, -8)) == as_it_was[ns], (info.name, ns)
