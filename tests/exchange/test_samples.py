"""The same depth update in every venue's words is read as the same levels by every adapter."""

from __future__ import annotations

import pytest

from mdtool.books.ladders import LevelParser
from mdtool.exchange.samples import SAMPLES, updates
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Scale
from mdtool.venues import catalog

SCALE = Scale(-2, -3)
LEVELS = 7


def told(venue, payload):
    (update,) = catalog.get(venue).decoder(SAMPLES[venue].stream)(payload)
    assert isinstance(update, BookUpdate)
    return update, LevelParser(SCALE).parse_update(update)


def test_every_venue_has_a_sample():
    assert set(SAMPLES) == set(catalog.names())


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_a_sample_says(name):
    venue = catalog.get(name)
    assert venue.is_book(SAMPLES[name].stream)
    rule = venue.rule(SAMPLES[name].stream)
    for number, (payload, plain) in enumerate(zip(updates(name, 20, LEVELS), updates("sim", 20, LEVELS), strict=True)):
        update, ladders = told(name, payload)
        truth, expected = told("sim", plain)
        assert ladders == expected and len(ladders.bid_prices) == LEVELS
        assert update.last_seq in (UNKNOWN, truth.last_seq)
        assert update.venue_ns in (NO_TIME, truth.venue_ns)
        if number and not update.snapshot:
            assert rule.judge(update).name in ("APPLY", "UNVERIFIABLE")
        else:
            rule.judge(update)
