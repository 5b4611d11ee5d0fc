"""Which of a feed's streams is its book: the deepest, whichever comes first; one of the best level alone is a book of
one level, and beside a deeper one quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mdtool.audit import audit_store
from mdtool.books.book import Book
from mdtool.books.engine import FeedEngine
from mdtool.books.events import events
from mdtool.books.sync import BookState
from mdtool.history.wholes import whole_books
from mdtool.model import EventKind, Kind, Quote
from mdtool.storage.store import Store
from mdtool.venues import catalog

FEED = "bybit/BTC_USDT"


def message(depth: int, u: int, kind: str = "snapshot", bid: str = "10") -> tuple[str, bytes]:
    topic = f"orderbook.{depth}"
    return topic, (
        f'{{"topic":"{topic}.BTCUSDT","type":"{kind}","ts":{1_700_000_000_000 + u},"data":{{"s":"BTCUSDT",'
        f'"b":[["{bid}","1"]],"a":[["20","2"]],"u":{u},"seq":{u}}}}}'
    ).encode()


BEST = [message(1, 70), message(1, 71, bid="11"), message(1, 72, bid="12")]
DEEP = [message(50, 500, bid="12"), message(50, 501, "delta", "13")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store") as opened:
        yield opened


def fill(store: Store, messages: Sequence[tuple[str, bytes]]) -> None:
    with store.writer(FEED, sync="none", chunk_bytes=1 << 20) as writer:
        for ns, (stream, payload) in enumerate(messages, 10**18):
            writer.append(ns, int(Kind.DATA), writer.stream(stream), 1, payload, 0)
        writer.end(10**18 + len(messages), "done")


def shown(book: Book) -> tuple[list[int], list[int]]:
    bids, asks = book.top(5)
    return [price for price, _ in bids], [price for price, _ in asks]


def test_the_best_level_alone_is_a_book_of_one_level(store: Store) -> None:
    fill(store, BEST)
    with store.reader(FEED) as reader:
        book = Book(reader)
        assert [(shown(book), book.state) for _ in book] == [
            (([price], [20]), BookState.SYNCED) for price in (10, 11, 12)
        ]
        assert len(Book(store.reader(FEED)).tops(depth=1)) == 3
        newest = next(whole_books(reader, catalog.get("bybit")))
        reader.move_to(newest.position)
        assert next(reader.records()).payload == BEST[-1][1]
    (report,) = audit_store(store, catalog.get, [FEED])
    assert report.clean
    (stream,) = [one for one in report.streams if one.verdicts]
    assert stream.verdicts == {"apply": 3}
    assert [(one.state.value, one.why) for one in stream.intervals] == [
        ("whole", "every message follows the one before")
    ]


def test_a_lost_one_is_a_gap(store: Store) -> None:
    fill(store, [BEST[0], BEST[2]])
    (report,) = audit_store(store, catalog.get, [FEED])
    assert report.finding_counts == {"gap": 1}


@pytest.mark.parametrize("messages", [BEST + DEEP, DEEP + BEST, [BEST[0], DEEP[0], BEST[1], BEST[2], DEEP[1]]])
def test_a_deeper_stream_is_the_book_whichever_comes_first(store: Store, messages: list[tuple[str, bytes]]) -> None:
    fill(store, messages)
    with store.reader(FEED) as reader:
        book = Book(reader)
        quotes = [event.message.bid_price for event, _ in book if isinstance(event.message, Quote)]
        assert (shown(book), quotes) == (([13, 12], [20]), ["10", "11", "12"])
        assert len(Book(store.reader(FEED)).tops(depth=1)) == 2
        rows = [int(kind) for _, found in events(store.reader(FEED)) for kind in found["kind"]]
        assert rows.count(EventKind.QUOTE) == 6 and rows.count(EventKind.SNAPSHOT_BEGIN) == 1
    (report,) = audit_store(store, catalog.get, [FEED])
    assert report.clean
    assert {stream.stream: stream.verdicts for stream in report.streams if stream.verdicts} == {
        "orderbook.1": {"apply": 3}, "orderbook.50": {"apply": 2}
    }  # fmt: skip


class Growing:
    """A feed of which no stream is known before it has come."""

    def __init__(self, store: Store) -> None:
        self._reader = store.reader(FEED)
        self.feed = self._reader.feed
        self.streams: list[str] = []
        self.stream_name = self._reader.stream_name
        self.records = self._reader.records


def test_a_book_that_becomes_known_later_is_the_deeper_one_from_then_on(store: Store) -> None:
    fill(store, BEST[:2] + DEEP + BEST[2:])
    source = Growing(store)
    engine = FeedEngine(catalog.get("bybit"), source)
    found = []
    for record in source.records():
        engine.on_record(record)
        assert engine.sync is not None
        found.append((engine.book_stream, engine.sync.last_seq))
    assert found == [("orderbook.1", 70), ("orderbook.1", 71), *[("orderbook.50", u) for u in (500, 501, 501)],
                     ("orderbook.50", 501)]  # fmt: skip
