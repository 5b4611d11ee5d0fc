"""The table is worth something: an adapter with any one of these mistakes in it does not pass its row, at any venue."""

from __future__ import annotations

import pytest

from conformance import table
from conformance.faults import FAULTS
from conformance.running import differences
from mdtool.venues import catalog


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", catalog.names())
def test_an_adapter_with_a_mistake_in_it_does_not_pass(name, fault):
    venue, row = catalog.get(name), table.row(name)
    why = row.without.get(fault)
    for make in FAULTS[fault]:
        found = differences(make(venue), row)
        if why is None:
            assert found, f"{name} passes with the fault {fault!r}, and its row does not say why it cannot have it"
        else:
            assert not found, f"{name} can have the fault {fault!r}, and its row says: {why}"


def test_what_a_venue_cannot_have_is_a_fault_there_is():
    for name in catalog.names():
        assert set(table.row(name).without) <= set(FAULTS)
