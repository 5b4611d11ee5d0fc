"""What a recorder process is told says all that the recorder needs, and nothing else passes for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mdtool.capture.options import record_options
from mdtool.errors import UnknownSymbol, UnknownVenue, UsageError
from mdtool.service.assignment import assignment, read
from mdtool.venues import catalog

SIM = catalog.get("sim")
OPTIONS = record_options(
    SIM,
    ("alphausdt", "BRAVO_USDT"),
    streams=("depth@100ms", "trade"),
    ws_url="ws://127.0.0.1:7801/",
    rest_url=None,
    duration=90.0,
    fail_fast=True,
    live="shm",
    chunk_bytes=1 << 20,
    sync="chunk",
)
MADE = assignment("sim-2", "/somewhere/else", OPTIONS, (2, 3))


def test_it_leads_to_the_same_options_in_another_process():
    told = read(MADE.to_line())
    assert told == MADE
    assert told.options() == OPTIONS
    assert (told.name, told.store, told.cpus, told.life, told.after) == ("sim-2", "/somewhere/else", (2, 3), "", "")


@pytest.mark.parametrize("name", catalog.names())
def test_each_venue_can_be_told(name):
    options = record_options(catalog.get(name))
    assert read(assignment(name, "s", options).to_line()).options() == options


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `name`"),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, "got `array`"),
        (MADE.to_line().replace(b'"sim-2"', b'"../sim"'), "regex"),
        (MADE.to_line().replace(b'"sim-2"', b'"sim\\n"'), "regex"),
        (MADE.to_line().replace(b'"cpus"', b'"cores"'), "unknown field `cores`"),
        (MADE.to_line().replace(b'"shm"', b'"tape"'), "tape"),
    ],
)
def test_what_is_no_assignment_is_refused_in_a_line(line, why):
    with pytest.raises(UsageError, match=r"^no assignment of a recorder: ") as refused:
        read(line)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_as_that(line):
    with pytest.raises(UsageError):
        read(line)


def test_a_venue_or_symbol_that_is_not_there_is_said():
    with pytest.raises(UnknownVenue):
        structs.replace(MADE, venue="nowhere").options()
    for venue in ("no.such.module:Thing", "json:Thing", "mdtool.venues.binance.adapter:Binance", ":", ".:x"):
        with pytest.raises(UnknownVenue, match="can be made here"):
            structs.replace(MADE, venue=venue).options()
    with pytest.raises((UnknownSymbol, UsageError)):
        structs.replace(MADE, symbols=("not/a/symbol",)).options()


def test_what_is_part_of_what():
    one = structs.replace(MADE, symbols=("ALPHA_USDT",))
    assert one.is_part_of(MADE)
    assert not MADE.is_part_of(one)
    assert structs.replace(one, name="sim-9", store="x", seconds=None, cpus=(), life="1", after="why").is_part_of(MADE)
    assert structs.replace(MADE, symbols=MADE.symbols[::-1]).is_part_of(MADE)
    for other in (
        structs.replace(one, streams=("trade",)),
        structs.replace(one, ws_url="ws://127.0.0.1:7802"),
        structs.replace(one, venue="binance"),
        structs.replace(one, sync="none"),
        structs.replace(one, symbols=("ALPHA_USDT", "ZULU_USDT")),
    ):
        assert not other.is_part_of(MADE)
