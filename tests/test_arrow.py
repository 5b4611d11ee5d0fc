"""numpy to Arrow and back over buffers alone gives what pyarrow's own conversions give."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mdtool import arrow

NUMBERS = np.array([-(1 << 63), -1, 0, 1, (1 << 63) - 1], np.int64)
MISSING = np.array([False, True, False, False, True])


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("ns", tz="UTC")])
@pytest.mark.parametrize("missing", [None, MISSING])
def test_numbers_go_and_come_back(kind, missing):
    made = arrow.array(NUMBERS, kind, missing)
    made.validate(full=True)
    assert made.equals(pa.array(NUMBERS, kind, mask=missing))
    assert arrow.numbers(made, np.int64).tolist() == NUMBERS.tolist()
    assert arrow.numbers(made.slice(1, 3), np.int64).tolist() == NUMBERS[1:4].tolist()
    assert arrow.numbers(pa.chunked_array([made, made.slice(4)]), np.int64).tolist() == [*NUMBERS, NUMBERS[4]]
    assert arrow.numbers(pa.chunked_array([], kind), np.int64).tolist() == []


def test_booleans_texts_and_dictionaries():
    flags = np.array([True, False, True] * 7)
    assert arrow.array(flags, pa.bool_()).to_pylist() == flags.tolist()
    assert arrow.texts(["a", "", "ß"], np.array([False, False, True])).to_pylist() == ["a", "", None]
    assert arrow.texts([]).to_pylist() == []
    picked = arrow.picked(np.array([1, 0, 1]), ["x", "yy"], np.array([False, True, False]))
    picked.validate(full=True)
    assert (picked.to_pylist(), picked.cast(pa.string()).to_pylist()) == (["yy", None, "yy"], ["yy", None, "yy"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError):
        arrow.array(NUMBERS, pa.int32())
    with pytest.raises(TypeError):
        arrow.numbers(pa.array([1], pa.int32()), np.int64)
