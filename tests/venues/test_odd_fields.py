"""A value that neither levels nor sequence need may be anything, or not there at all: no level is lost for it.

Which values those are is found from the rows of tests/venues/conformance: those that, when they are others, change the
time a message tells or nothing at all.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conformance import table
from conformance.disturbing import changed, leaves, missing, values
from conformance.running import payloads, run

from mdtool.books.sync import BookState, open_book
from mdtool.interop import cf, hb
from mdtool.model import NO_TIME, BookUpdate, Kind, Side
from mdtool.venues import catalog
from mdtool.venues.sequence import FAR, TimeRule, Verdict

CASES = Path(__file__).parents[3] / "shared" / "cases"
ODD = (
    "null", '""', '"0001-01-01T00:00:00Z"', '"yesterday"', '"12"', "-1", "0", "1.5", "1e400", str(10**40), "true", "[]",
    "{}", '"-9"', str(2**63), '["x"]',
)  # fmt: skip
# Values in which a small alteration changes nothing and which are needed all the same: how many orders are at a price,
# and on which side what is removed was; whether a trade is told the first time or again.
NEEDED = {("bitfinex", "[].1"), ("bitfinex", "[].[].1"), ("bitfinex", "[].2"), ("bitfinex", "1")}
# What is odd elsewhere and has a meaning here: a recorder's word for a part of a whole book; a number that went back.
MEANT = {("coinbase", "time", '""'), ("bybit", "data.seq", "0")}
_TIME = re.compile(r" (?:at|next) \S+| cross \d+")
SESSIONS = [session for name in catalog.names() for session in table.row(name).sessions]


def timeless(says):
    """What a message says but for its time, and the second number that only some venues have."""
    return [_TIME.sub("", line) for line in says]


def spare(session):
    """The session without repeats, and (record, value) of what no level needs."""
    session = replace(session, records=tuple(one for one in session.records if "STALE" not in one.verdict))
    venue = catalog.get(session.venue)
    clean = run(venue, session, payloads(session))
    found = []
    for at, record in enumerate(session.records):
        for value, (path, raw) in zip(
            [value for value in values(record.raw) if value.text != "null"], leaves(record.raw), strict=True
        ):
            given = payloads(session)
            given[at] = raw, given[at][1]
            now = run(venue, session, given)
            if (
                record.says
                and (session.venue, path) not in NEEDED
                and timeless(now.found[at].says) == timeless(record.says)
                and (now.found[at].place, now.final) == (record.place, clean.final)
            ):
                found.append((at, value))
    return session, clean, found


def test_there_are_such_values_at_every_venue():
    assert {session.venue for session in SESSIONS if spare(session)[2]} == set(catalog.names())


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_no_level_is_lost_for_an_odd_value(session):
    venue = catalog.get(session.venue)
    session, clean, found = spare(session)
    for at, value in found:
        record = session.records[at]
        others = [(odd, changed(record.raw, value, odd)) for odd in ODD]
        if value.key >= 0:
            others.append(("nothing", missing(record.raw, value)))
        for odd, raw in others:
            if (session.venue.partition("-")[0], value.path, odd) in MEANT:
                continue
            given = payloads(session)
            given[at] = raw, given[at][1]
            now = run(venue, session, given)
            if now.found[at].place != record.place:
                continue  # it is of another stream now
            assert timeless(now.found[at].says) == timeless(record.says), (at + 1, value.path, odd)
            assert now.final == clean.final, (at + 1, value.path, odd)
            assert [one.state for one in now.found] == [one.state for one in clean.found], (at + 1, value.path, odd)


def whole(ns, in_stream=True):
    return BookUpdate(ns, -1, -1, -1, b"[]", b"[]", True, in_stream)


def change(ns, bids=b"[]"):
    return BookUpdate(ns, -1, -1, -1, bids, b"[]")


@pytest.mark.parametrize("silly", [NO_TIME, 1, 10 * FAR, 10**18 + 2 * FAR])
def test_one_silly_time_makes_nothing_late(silly):
    V, start = Verdict, 10**18
    times = [start, start + 5, silly, start + 7, start + 6, start + 9]
    rule = TimeRule()
    assert [rule.judge(change(ns)) for ns in times] == [V.UNVERIFIABLE] * 4 + [V.OUT_OF_ORDER, V.UNVERIFIABLE]
    assert rule.last == start + 9


def test_a_time_that_the_next_one_confirms_is_no_silly_one():
    V, start = Verdict, 10**18
    rule = TimeRule()
    times = [start, start + 3 * FAR, start + 3 * FAR + 5, start + 3 * FAR + 2]
    assert [rule.judge(change(ns)) for ns in times] == [V.UNVERIFIABLE] * 3 + [V.OUT_OF_ORDER]
    rule = TimeRule()  # and a first one that is
    times = [10 * start // 9, 5, 10, 7]
    assert [rule.judge(change(ns)) for ns in times] == [V.UNVERIFIABLE] * 3 + [V.OUT_OF_ORDER]


def test_a_silly_time_bridges_nothing_and_hides_nothing():
    rule, start = TimeRule(), 10**18
    assert rule.bridge(whole(start, False), change(start)) is Verdict.STALE
    assert rule.bridge(whole(start, False), change(start + 1)) is Verdict.UNVERIFIABLE
    assert rule.bridge(whole(start, False), change(1)) is Verdict.UNVERIFIABLE
    assert rule.bridge(whole(10 * start // 9, False), change(start)) is Verdict.UNVERIFIABLE


def test_deribits_whole_book_that_names_one_before_it_is_a_whole_book():
    data = (
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"snapshot",'
        b'"timestamp":1700000000100,"prev_change_id":9,"instrument_name":"BTC-PERPETUAL","change_id":10,'
        b'"bids":[["new",37.5,1.0]],"asks":[]}}}'
    )
    venue = catalog.get("deribit")
    (update,) = venue.decoder("book.100ms")(data)
    assert (update.snapshot, update.in_stream, update.last_seq, update.prev_seq) == (True, True, 10, -1)
    book = open_book(venue, "book.100ms")
    assert book.on_message(update, 1).state is BookState.SYNCED


def test_a_checksum_that_is_none_proves_nothing_and_costs_nothing():
    """OKX: the chain proves. The checksum that was announced to end is 0 since, whatever the time beside it."""
    venue = catalog.get("okx")
    decode = venue.decoder("books")
    text = '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"%s","data":[{"asks":[],"bids":[["1","2"]],%s}]}'
    book = open_book(venue, "books")
    for action, rest, verdict in (
        ("snapshot", '"ts":"0001-01-01","checksum":0,"prevSeqId":-1,"seqId":5', Verdict.APPLY),
        ("update", '"ts":null,"checksum":null,"prevSeqId":5,"seqId":6', Verdict.APPLY),
        ("update", '"prevSeqId":6,"seqId":7', Verdict.APPLY),
    ):
        (update,) = decode((text % (action, rest)).encode())
        step = book.on_message(update, 1)
        assert (update.checksum, update.venue_ns) == (None, NO_TIME)
        assert (step.verdict, step.state) == (verdict, BookState.SYNCED)


def lines(name, parse):
    return [item for line in gzip.decompress((CASES / name).read_bytes()).splitlines() if (item := parse(line))]


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the repository")
@pytest.mark.parametrize(
    ("name", "venue", "stream", "parse"),
    [
        ("coinbase_year1.cf.gz", "coinbase", "level2", cf.parse_line),
        ("bybit_u1delta.hb.gz", "bybit", "orderbook.50", hb.parse_line),
        ("kraken_pepe.hb.gz", "kraken", "book", hb.parse_line),
        ("kraken_tiny.hb.gz", "kraken", "book", hb.parse_line),
    ],
)
def test_cases_that_lost_levels(name, venue, stream, parse):
    """Every book of the file is whole at its end, and nothing in it could not be read."""
    adapter = catalog.get(venue)
    router, books = adapter.router(), {}
    decode = adapter.decoder(stream)
    timeless_updates = 0
    for item in lines(name, parse):
        if item.kind != Kind.DATA or (key := router.route(item.payload)) is None:
            continue
        place = adapter.place(key)
        if place.symbol is None or place.stream != stream:
            continue
        book = books.setdefault(place.symbol, open_book(adapter, stream))
        for message in decode(item.payload):
            timeless_updates += message.venue_ns == NO_TIME and not message.snapshot
            step = book.on_message(message, item.recv_ns)
            assert (step.error, step.mismatch) == (None, None)
    assert {book.state for book in books.values()} == {BookState.SYNCED}
    if name.startswith("coinbase"):
        assert timeless_updates > 0
    if name.startswith("bybit"):
        (book,) = books.values()
        assert [book.book.top(None)[side is Side.ASK] for side in Side] == [[(95, 1), (90, 7)], [(130, 2)]]
