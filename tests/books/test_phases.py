"""The table of phases: every signal that can happen leads somewhere; a whole book is asked for when it is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.books.phases import NEXT, WANTING, Phase, Signal, turn


def test_a_whole_book_is_always_taken_and_a_loss_is_never_forgotten():
    for phase, row in NEXT.items():
        assert row[Signal.WHOLE] is Phase.CHAINED
        assert row[Signal.LOSS] in WANTING
        if phase is not Phase.CHAINED:  # there the chain holds, and none is taken
            assert row[Signal.SNAPSHOT] is Phase.ANCHORED
    assert set(NEXT) == set(Phase)


def test_what_cannot_happen_is_in_no_row():
    for phase in WANTING:
        for signal in (Signal.LINKED, Signal.FOLLOWED):
            with pytest.raises(KeyError):
                turn(phase, signal)


@given(st.lists(st.sampled_from(Signal)))
def test_a_whole_book_is_asked_for_once_for_each_need(signals):
    """Asked: one request is under way. A need never goes unasked, and nothing asks while one is, but for a refusal."""
    phase, asked = Phase.EMPTY, False
    for signal in signals:
        if signal not in NEXT[phase]:
            continue
        phase, asks = turn(phase, signal)
        if asks:
            assert not asked or signal is Signal.REFUSED
        asked = (asked or asks) and phase in WANTING
        assert asked or phase not in WANTING - {Phase.EMPTY}
