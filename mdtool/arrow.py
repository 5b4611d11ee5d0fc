"""numpy arrays as Arrow arrays and back.

Rule: over their buffers alone. pyarrow's own `array` and `to_numpy` import pandas, which takes half a second and tens
of megabytes of whoever has it installed and did not ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def array(values: NDArray[Any], kind: pa.DataType, missing: Mask | None = None) -> pa.Array:
    """Numbers whose bytes are those of the Arrow type, or booleans; null where `missing`."""
    values = np.ascontiguousarray(values)
    if kind != pa.bool_() and kind.bit_width != values.itemsize * 8:
        raise TypeError(f"an array of {values.dtype}, expected {kind}")
    data = _bits(values) if kind == pa.bool_() else pa.py_buffer(values)
    return pa.Array.from_buffers(kind, len(values), [_validity(missing), data])


def texts(values: Sequence[str], missing: Mask | None = None) -> pa.Array:
    """Strings; null where `missing`."""
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    buffers = [_validity(missing), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def picked(numbers: NDArray[Any], values: Sequence[str], missing: Mask | None = None) -> pa.DictionaryArray:
    """For each number the string that stands there, as a dictionary of them; null where `missing`."""
    return pa.DictionaryArray.from_arrays(array(numbers.astype(np.int32), pa.int32(), missing), texts(values))


def numbers(column: pa.Array | pa.ChunkedArray, dtype: Any) -> NDArray[Any]:
    """Integers (or times) of an Arrow type of that width as an array; what stands where one is null is not said."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    read = [_values(chunk, np.dtype(dtype)) for chunk in chunks]
    return read[0] if len(read) == 1 else np.concatenate([np.zeros(0, dtype), *read])


def _values(chunk: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    if chunk.type.bit_width != dtype.itemsize * 8:
        raise TypeError(f"a column of {chunk.type}, expected {dtype}")
    data = chunk.buffers()[1]
    whole = np.frombuffer(data, dtype) if data is not None else np.zeros(0, dtype)
    return whole[chunk.offset : chunk.offset + len(chunk)]


def _validity(missing: Mask | None) -> pa.Buffer | None:
    return None if missing is None else _bits(~missing)


def _bits(values: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
