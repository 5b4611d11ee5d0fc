"""A connection whose frames are numbered over all it carries: a missing one is told in each of its feeds, every book of
it is asked for, and who reads a single feed knows."""

from __future__ import annotations

import asyncio
import json

import pytest
from patience import until

from mdtool.books.book import Book as RecordedBook
from mdtool.books.engine import FeedEngine
from mdtool.books.sync import BookState
from mdtool.capture.options import RecorderEvent, record_options
from mdtool.capture.protocol import Ask, Book, Counted, Learned, Mark, Missed
from mdtool.capture.recorder import Recorder
from mdtool.capture.watcher import Watcher
from mdtool.clock import SECOND, ManualClock
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.faults import Drop, Faults
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator
from mdtool.model import Kind
from mdtool.storage.store import Store
from mdtool.venues import catalog

BITFINEX = catalog.get("bitfinex")
NOW = 1_700_049_600 * SECOND
SYMBOLS = ("BTC_USD", "ETH_USD", "_session")
WHOLE, CHANGE, OTHER = b"[1,[[4000,1,1],[4060,1,-1]],%d]", b"[1,[4010,2,1],%d]", b'[9,"hb",%d]'


class Feeds:
    """Feeds of one connection, written to frame by frame."""

    def __init__(self, path):
        self.store = Store.create(path)
        self.writers = {symbol: self.store.writer(f"bitfinex/{symbol}", sync="none") for symbol in SYMBOLS}
        self.ns = NOW
        for symbol in SYMBOLS:
            self.put(symbol, b"{}", Kind.OPEN, "session")

    def put(self, symbol, payload, kind=Kind.DATA, stream=None):
        self.ns += 1
        writer = self.writers[symbol]
        name = stream or ("other" if symbol == "_session" else "book-P0")
        writer.append(self.ns, kind, writer.stream(name), 1, payload)

    def note(self, said):
        told = {"note": "missed", "session": 1, "after": said.after, "next": said.next, "since_ns": said.since_ns}
        for symbol in SYMBOLS:
            self.put(symbol, json.dumps(told).encode(), Kind.NOTE, "session")

    def close(self):
        for writer in self.writers.values():
            writer.close()
        self.store.close()


@pytest.fixture
def feeds(tmp_path):
    made = Feeds(tmp_path / "store")
    yield made
    made.close()


class Said(list):
    def __call__(self, news):
        self.extend(news)

    def news(self):
        """What has been said since, but for where it stands, and how many digits there are."""
        found = [said for said in self if not isinstance(said, Mark | Counted | Learned)]
        self.clear()
        return found


def watch(feeds, said, marks=None, counted=()):
    marks = tuple(Mark(symbol, 0, 0, 0) for symbol in SYMBOLS) if marks is None else marks
    return Watcher(feeds.store, BITFINEX, ("book-P0",), marks, ManualClock(NOW), said, counted)


def begin(feeds):
    feeds.put("BTC_USD", WHOLE % 1)
    feeds.put("ETH_USD", WHOLE % 2)
    feeds.put("_session", OTHER % 3)
    feeds.put("BTC_USD", CHANGE % 4)


def test_a_missing_frame_is_told_and_what_the_recorder_notes_makes_each_book_asked_for(feeds):
    said = Said()
    watching = watch(feeds, said)
    begin(feeds)
    watching.look()
    assert said.news() == [Book(symbol, BookState.SYNCED) for symbol in SYMBOLS[:2]]
    feeds.put("_session", OTHER % 6)
    since_ns = feeds.ns
    watching.look()
    watching.look()
    (missed,) = said.news()
    assert missed == Missed(1, 4, 6, since_ns)
    feeds.put("ETH_USD", WHOLE % 7)  # whole again by itself, before the note comes
    feeds.note(missed)
    watching.look()
    assert said.news() == [Ask("BTC_USD"), Book("BTC_USD", BookState.DIRTY)]
    feeds.put("BTC_USD", WHOLE % 8)
    watching.look()
    watching.look()
    assert said.news() == [Book("BTC_USD", BookState.SYNCED)]


def test_one_that_goes_on_at_the_marks_neither_forgets_nor_tells_twice(feeds):
    said = Said()
    watching = watch(feeds, said)
    begin(feeds)
    watching.look()
    feeds.put("ETH_USD", CHANGE % 7)
    watching.look()
    marks = watching.marks()

    def another():
        at = tuple(one for one in marks if isinstance(one, Mark))
        return watch(feeds, said, at, tuple(one for one in marks if isinstance(one, Counted)))

    said.clear()
    watching = another()  # the one before had seen the hole, and had not told it
    for _ in range(2):
        watching.look()
    assert [one for one in said.news() if not isinstance(one, Book)] == [Missed(1, 4, 7, feeds.ns)]
    marks = watching.marks()
    watching = another()
    for _ in range(3):
        watching.look()
    assert [one for one in said.news() if not isinstance(one, Book)] == []


@pytest.mark.parametrize(("since", "state"), [(0, BookState.SYNCED), (1, BookState.DIRTY)])
def test_a_reader_of_one_feed_knows_by_the_note(feeds, since, state):
    feeds.put("ETH_USD", WHOLE % 1)
    feeds.note(Missed(1, 3, 5, feeds.ns + since))
    with feeds.store.reader("bitfinex/ETH_USD") as reader:
        engine = FeedEngine(BITFINEX, reader)
        for record in reader.records():
            engine.on_record(record)
        assert engine.sync is not None and engine.sync.state is state


@pytest.mark.parametrize(
    "note", [b'{"note":"missed"}', b'{"note":"missed","since_ns":"x"}', b"[]", b'{"note":["missed"]}']
)
def test_a_note_that_says_no_such_thing_changes_nothing(feeds, note):
    feeds.put("ETH_USD", WHOLE % 1)
    feeds.put("ETH_USD", note, Kind.NOTE, "session")
    with feeds.store.reader("bitfinex/ETH_USD") as reader:
        engine = FeedEngine(BITFINEX, reader)
        for record in reader.records():
            engine.on_record(record)
        assert engine.sync is not None and engine.sync.state is BookState.SYNCED


def test_recorded_a_lost_trade_of_one_symbol_makes_all_books_of_the_connection_be_had_anew(tmp_path):
    venue = catalog.get("coinbase-advanced")
    names, talk = ("ALPHA_USDT", "BRAVO_USDT"), []
    lost = Faults(Drop("market_trades:ALPHA-USDT", 12))

    async def main(store):
        simulator = Simulator(names, seed=7, rate=200.0, start_ns=NOW, venue=venue.name)
        async with Server(SimulatedSource(simulator, wait=True), protocol_for(venue.name), faults=lost) as server:
            options = record_options(venue, names, ws_url=server.url, sync="none")
            recorder = Recorder(store, options, lambda event, text: talk.append((event, text)))
            running = asyncio.create_task(recorder.run())
            try:
                with store.reader(f"{venue.name}/{names[0]}") as reader:
                    await until(
                        lambda: [one for one in reader.poll() if one.kind == Kind.NOTE and b"missed" in one.payload]
                    )
                    # and then both whole again
                    await until(lambda: all(state(store, name)[-1] == "SYNCED" for name in names))
            finally:
                recorder.stop()
                status = await running
        return status

    def state(store, name):
        """What the book was after each NOTE of missing frames, and is now."""
        with store.reader(f"{venue.name}/{name}") as reader:
            book, states = RecordedBook(reader), []
            for record in reader.records():
                book.on_record(record)
                if record.kind == Kind.NOTE and b"missed" in record.payload:
                    states.append(book.state.name)
            return [*states, book.state.name] if states else [""]

    with Store.create(tmp_path / "store") as store:
        status = asyncio.run(main(store))
        assert [state(store, name) for name in names] == [["DIRTY", "SYNCED"]] * 2
        with store.reader(f"{venue.name}/_session") as reader:
            notes = [json.loads(one.payload) for one in reader.records() if one.kind == Kind.NOTE]
    assert (status.gaps, status.sessions) == (1, 1)
    (missed,) = [note for note in notes if note["note"] == "missed"]
    assert (missed["session"], missed["next"] - missed["after"]) == (1, 2)
    between = f"frames are missing between its {missed['after']} and {missed['next']}"
    assert [text for event, text in talk if event is RecorderEvent.GAP] == [
        f"session 1: {between}; asking for each of its books"
    ]
