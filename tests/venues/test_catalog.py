"""The one table of venues, and what holds for every venue in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.errors import UnknownVenue, UsageError
from mdtool.venues import catalog
from mdtool.venues.venue import Place

VENUES = list(catalog.VENUES.values())
each = pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)


def test_names():
    assert catalog.names() == tuple(sorted(catalog.VENUES))
    assert {"binance", "binance-usdm", "sim", "kraken", "okx", "bitfinex"} <= set(catalog.names())
    assert catalog.get("Binance") is catalog.get("binance")
    assert all(venue.name == name for name, venue in catalog.VENUES.items())
    with pytest.raises(UnknownVenue, match=r"^unknown venue 'binanse'; did you mean binance\? There are: binance, "):
        catalog.get("binanse")
    with pytest.raises(UnknownVenue, match=r"^unknown venue 'zzz'; there are: binance, .*sim$"):
        catalog.get("zzz")


def test_every_folder_is_a_venue_in_the_catalog():
    """A folder of venues/ is the home of what the catalog names; a file is the protocol, or shared."""
    homes = {type(venue).__module__ for venue in VENUES}
    folder = Path(catalog.__file__).parent
    assert {f"mdtool.venues.{path.parent.name}.adapter" for path in folder.glob("*/__init__.py")} == homes
    shared = {"__init__", "venue", "sequence", "symbols", "catalog", "checksum", "numbers", "planning", "decoding"}
    shared |= {"eras", "listed", "spelling", "instruments", "subscribing"}
    assert {path.stem for path in folder.glob("*.py")} == shared


@each
def test_defaults_hold_together(venue):
    assert venue.default_symbols and venue.default_streams
    assert any(venue.is_book(stream) for stream in venue.default_streams)
    assert set(venue.trade_streams) & set(venue.default_streams)
    for symbol in venue.default_symbols:
        assert venue.canonical(symbol) == venue.canonical(venue.native(symbol)) == symbol
    for stream in venue.default_streams:
        rule = venue.rule(stream)
        if venue.is_book(stream):
            assert rule is not None, "a book without a rule is never built: TimeRule at the least"
        assert rule is None or rule is not venue.rule(stream)
    # A book that cannot be fetched has to come on the stream, and then it can be had again by asking or reconnecting.
    symbol = venue.default_symbols[0]
    if venue.snapshot_request(symbol) is not None:
        assert venue.snapshot_weight(symbol) > 0


@each
def test_a_plan_carries_every_symbol_once_within_reason(venue):
    plan = venue.plan(venue.default_symbols, venue.default_streams)
    assert {symbol for connection in plan for symbol in connection.symbols} == set(venue.default_symbols)
    for connection in plan:
        assert connection.send
        assert all(len(frame) < 65_536 for frame in connection.send)
        assert len(set(connection.symbols)) == len(connection.symbols)
    assert venue.plan(venue.default_symbols * 2, venue.default_streams) == plan
    with pytest.raises(UsageError):
        venue.plan(venue.default_symbols, ("no such stream!",))


@each
@given(st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode)))
def test_any_bytes_have_a_place(venue, payload):
    router = venue.router()
    key = router.route(payload)
    hash(key)
    if key is not None:
        assert isinstance(venue.place(key), Place)


@each
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.binary(max_size=40), st.tuples(), st.tuples(st.text())))
def test_any_key_has_a_place(venue, key):
    assert isinstance(venue.place(key), Place)
