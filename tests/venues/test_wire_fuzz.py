"""Real messages of every venue, bent: whatever the bytes, they have a place, and decode to messages or a WireError.

`MDTOOL_FUZZ` multiplies the number of cases: thousands in CI, millions in a long run.
"""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdtool.books.events import EventBuilder
from mdtool.books.sync import open_book
from mdtool.errors import WireError
from mdtool.interop import cf, hb, pat
from mdtool.model import BookUpdate, Kind, OrderUpdate, Update
from mdtool.venues import catalog
from mdtool.venues.venue import Place

pytestmark = pytest.mark.realdata

CAPTURES = {
    "binance": ["binance/2021-10-11.ws.cf.gz"],
    "binance-usdm": ["binance_usdm/btcusdt_20240808_head3000.hb.gz"],
    "kraken": ["kraken/2021-04-17_v1.ws.cf.gz"],
    "okx": ["okx/2022-05-13.ws.cf.gz"],
    "deribit": ["deribit/2021-04-05.ws.cf.gz"],
    "hyperliquid": ["hyperliquid/btcusd_20250126.hb.gz"],
    "bitfinex": ["bitfinex/2021-04-17.ws.cf.gz"],
    "coinbase": ["coinbase/2021-04-17_level2.ws.cf.gz", "coinbase/2016-03-12_full_l3.pat.gz"],
    "bitstamp": ["bitstamp/2022-01-04.ws.cf.gz"],
    "gate": ["gateio/2021-04-22.ws.cf.gz"],
    "gate-futures": ["gateio_futures/2023-06-01.ws.cf.gz"],
    "kucoin": ["kucoin/2021-07-22.ws.cf.gz"],
}
PARSERS = {"hb": hb.parse_line, "cf": cf.parse_line, "pat": pat.line_parser()}
LARGEST = 3_000  # bytes of a sample: a bent ladder of 2,000 levels says no more than one of 20
CASES = 300 * int(os.environ.get("MDTOOL_FUZZ", "1"))
ODD = [
    None, True, -1, 0, 2**63, 2**64, 10**40, -(10**40), 1.5, 1e308, 1e-308, "", "0", "-1", "1e5", "NaN", "9" * 50,
    "x" * 200,
    "\u0000", "\ud800", [], {}, [[]], [[[[[[[[[[]]]]]]]]]], {"a": {"a": {}}}, [["1"]], [["1", "2", "3", "4", "5", "6"]],
]  # fmt: skip


@cache
def samples(folder: Path, venue: str) -> list[tuple[bytes, ...]]:
    """One message of each form there is, behind the announcements of its connection."""
    announced: list[bytes] = []
    forms: dict[object, bytes] = {}
    for file in CAPTURES[venue]:
        parse = PARSERS[file.split(".")[-2]]
        for line in gzip.decompress((folder / file).read_bytes()).splitlines():
            item = parse(line)
            if item is None or item.kind != Kind.DATA:
                continue
            payload = item.payload
            if b'"subscribed"' in payload[:40]:
                announced.append(payload)
            if len(payload) <= LARGEST:
                forms.setdefault((payload[:72].translate(None, b"0123456789"), len(payload) // 200), payload)
    return [(*announced, payload) for payload in forms.values()]


def bent(data, payload: bytes) -> bytes:
    """The payload with bytes changed, or with one value of it another."""
    if data.draw(st.booleans()):
        text = bytearray(payload)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, max(0, len(text) - 1)))
            text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        return bytes(text[: data.draw(st.integers(0, len(text)))] if data.draw(st.booleans()) else text)
    value = json.loads(payload)
    holder, key = None, None
    here = value
    while isinstance(here, dict | list) and here and (holder is None or data.draw(st.integers(0, 3))):
        holder = here
        key = (
            data.draw(st.sampled_from(sorted(here)))
            if isinstance(here, dict)
            else data.draw(st.integers(0, len(here) - 1))
        )
        here = here[key]
    if holder is not None:
        if data.draw(st.booleans()):
            holder[key] = data.draw(st.sampled_from(ODD))
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.insert(key, data.draw(st.sampled_from(ODD)))
    return json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("venue_name", CAPTURES)
def test_no_bytes_break_an_adapter(realdata, venue_name):
    venue = catalog.get(venue_name)
    messages = samples(realdata, venue_name)
    assert len(messages) >= 5

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(messages), st.data())
    def run(sample, data):
        *announced, payload = sample
        router = venue.router()
        for earlier in announced:
            router.route(earlier)
        place = venue.place(router.route(payload))
        damaged = bent(data, payload)
        key = router.route(damaged)
        hash(key)
        found = venue.place(key) if key is not None else Place(None, "other")
        assert found.symbol is None or venue.canonical(found.symbol) == found.symbol
        for stream in {place.stream, found.stream, "snapshot"}:
            try:
                decoded = venue.decoder(stream)(damaged)
            except WireError as error:
                assert len(str(error)) < 1_000
                continue
            builder = EventBuilder(1)
            book = open_book(venue, stream)
            rule = venue.rule(stream)
            for message in decoded:
                if rule is not None:
                    rule.judge(message)
                try:
                    builder.rows(message, 1)
                except WireError:
                    pass
                if book is not None and isinstance(message, Update):
                    assert isinstance(message, BookUpdate | OrderUpdate)
                    book.on_message(message, 1)
        connection = venue.connection_rule()
        if connection is not None:
            number = connection.number(damaged)
            assert number is None or 0 <= number < 2**63

    run()
