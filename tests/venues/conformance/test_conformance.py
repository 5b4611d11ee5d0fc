"""Each venue in the catalog against its row: what its adapter makes of the messages, and what would show of a loss."""

from __future__ import annotations

from functools import cache

import pytest

from conformance import table
from conformance.disturbing import hidden, judged, stream_of, unread
from conformance.reading import CHECKSUMS, PlainBook
from conformance.running import differences
from mdtool.venues import catalog

SESSIONS = [session for name in catalog.names() for session in table.row(name).sessions]
each_session = pytest.mark.parametrize("session", SESSIONS, ids=str)


@cache
def row(name: str) -> table.Row:
    return table.row(name)


def test_every_venue_has_a_row_and_every_row_a_venue():
    assert sorted(path.stem for path in table.FOLDER.glob("*.toml")) == list(catalog.names())


@pytest.mark.parametrize("name", catalog.names())
def test_the_adapter_reads_its_row_as_it_is_written(name):
    assert row(name).sources and row(name).sessions
    assert differences(catalog.get(name), row(name)) == []


@pytest.mark.parametrize("name", catalog.names())
def test_a_row_covers_what_the_venue_records_by_default(name):
    venue = catalog.get(name)

    def kind(stream: str) -> tuple[bool, type]:
        return venue.is_book(stream), type(venue.rule(stream))

    covered = {kind(stream_of(record)) for session in row(name).sessions for record in session.records if record.says}
    missing = [stream for stream in venue.default_streams if venue.rule(stream) and kind(stream) not in covered]
    assert not missing, f"no record of {', '.join(missing)}, nor of any stream alike"
    said = {line.split()[0] for session in row(name).sessions for record in session.records for line in record.says}
    assert "trade" in said and said & {"whole", "fetched"}


@each_session
def test_a_book_on_the_stream_is_what_plain_reading_makes_of_it(session):
    """A row's own words lead to its final book, and to each checksum in it: the row is right in itself."""
    first = next(record for record in session.records if record.state)
    checks = CHECKSUMS.get(session.venue)
    if not first.says[0].startswith("whole") or any(
        " bid " in line for record in session.records for line in record.says if record.state
    ):
        return
    book = PlainBook(catalog.get(session.venue).traits(session.book).depth)
    for record in session.records:
        if record.state != "synced" or record.verdict in ("STALE", "OUT_OF_ORDER"):
            continue
        book.take(record.says)
        head = record.says[0].split()
        if checks is not None and "checksum" in head:
            assert int(head[head.index("checksum") + 1]) == checks(book)
    assert tuple(book.in_words()) == session.final


@each_session
@pytest.mark.parametrize("what", table.KINDS)
def test_what_is_disturbed_shows_or_the_row_says_why_not(session, what):
    venue = catalog.get(session.venue)
    for stream in judged(session, venue):
        lost = hidden(session, venue, stream, what)
        known = session.unseen.get((stream, what))
        if known is None:
            assert not lost, f"{session}: {what} of {stream} does not show, and the row does not say why"
        else:
            assert lost, f"{session}: {what} of {stream} always shows, and the row says: {known.why}"
            assert not known.only or all(which.endswith(known.only) for which in lost), known.why


@each_session
def test_every_value_is_read_or_the_row_says_why_not(session):
    assert unread(session, catalog.get(session.venue)) == set(session.unread)
