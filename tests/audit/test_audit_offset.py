"""The clock offset in bounded memory: extremes exact, the median of an even sample."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.audit import offset as module
from mdtool.audit.offset import OffsetMeter
from mdtool.audit.report import Offset


def fill(values: list[int], batch: int) -> Offset | None:
    meter = OffsetMeter()
    for start in range(0, len(values), batch):
        meter.values.extend(values[start : start + batch])
        meter.settle()
    return meter.result()


def test_nothing_measured() -> None:
    assert fill([], 1) is None


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=60), st.integers(1, 20))
def test_small_numbers_are_exact(values: list[int], batch: int) -> None:
    ordered = sorted(values)
    assert fill(values, batch) == Offset(ordered[0], ordered[len(values) // 2], ordered[-1], len(values), len(values))


@given(st.integers(1, 3_000), st.integers(1, 500))
def test_the_sample_is_even_whatever_the_batches(count: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SAMPLE", 64)
        meter = OffsetMeter()
        for start in range(0, count, batch):
            meter.values.extend(range(start, min(start + batch, count)))
            meter.settle()
        kept = list(meter._sample)
        stride = meter._stride
        assert kept == list(range(0, count, stride))
        assert len(kept) <= 64
        found = meter.result()
    assert found is not None
    assert (found.min_ns, found.max_ns, found.count) == (0, count - 1, count)
