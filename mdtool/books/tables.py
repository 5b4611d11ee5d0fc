"""Books as Arrow tables: prices and sizes as mantissas, decimals or floats, times as numbers or timestamps.

Rule: a decimal is the mantissa exactly, whatever the exponent; a float is the nearest there is to that decimal.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mdtool.errors import UsageError
from mdtool.model import Scale

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = Literal["mantissa", "decimal", "float"]
Times = Literal["ns", "timestamp"]
Int64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

COLUMNS = ("bid_price", "bid_size", "ask_price", "ask_size")  # the second axis of levels
DIGITS = 38  # of a decimal128
MANTISSA_DIGITS = 19  # of an int64
EXACT = 1 << 53  # integers up to it are floats, and so are powers of ten up to the next line's
EXACT_POWER = 22


class Form:
    """How the columns of a table are written. Raises UsageError for a word that means none."""

    def __init__(self, numbers: Numbers, times: Times) -> None:
        for what, given, known in (("numbers", numbers, get_args(Numbers)), ("times", times, get_args(Times))):
            if given not in known:
                raise UsageError(f"{what} {given!r}: expected one of {', '.join(known)}")
        self._numbers = numbers
        self._times = times

    def times(self, ns: Int64, missing: Mask | None = None) -> pa.Array:
        """Times since the epoch, null where `missing`."""
        import pyarrow as pa

        from mdtool import arrow

        return arrow.array(ns, pa.timestamp("ns", tz="UTC") if self._times == "timestamp" else pa.int64(), missing)

    def table(self, columns: dict[str, Any], levels: Int64, scale: Scale) -> pa.Table:
        """These columns, and bid_price_1, bid_size_1, ask_price_1, ask_size_1, bid_price_2 ... of levels of shape
        (rows, 4, depth), null where there is no level. The schema's metadata has price_exp and size_exp."""
        import pyarrow as pa

        exps = (scale.price_exp, scale.size_exp)
        found = {
            f"{name}_{number + 1}": self._values(
                np.ascontiguousarray(levels[:, at, number]), levels[:, at | 1, number] == 0, exps[at & 1]
            )
            for number in range(levels.shape[2])
            for at, name in enumerate(COLUMNS)
        }
        metadata = {"price_exp": str(scale.price_exp), "size_exp": str(scale.size_exp)}
        return pa.table({**columns, **found}).replace_schema_metadata(metadata)

    def _values(self, mantissas: Int64, missing: Mask, exp: int) -> pa.Array:
        import pyarrow as pa

        from mdtool import arrow

        if self._numbers == "mantissa":
            return arrow.array(mantissas, pa.int64(), missing)
        mantissas = np.where(missing, 0, mantissas)
        if self._numbers == "float":
            return arrow.array(_floats(mantissas, exp), pa.float64(), missing)
        if exp < -DIGITS or exp > DIGITS - MANTISSA_DIGITS:
            raise UsageError(f"numbers 'decimal': values of 10^{exp} are beyond {DIGITS} digits; ask for the mantissas")
        return arrow.array(_wide(mantissas, exp), pa.decimal128(DIGITS, max(0, -exp)), missing)


def _wide(mantissas: Int64, exp: int) -> NDArray[Any]:
    """As integers of 128 bits, times 10^exp where that is above 1."""
    if exp > 0:
        whole = b"".join((one * 10**exp).to_bytes(16, "little", signed=True) for one in mantissas.tolist())
        return np.frombuffer(whole, "V16")
    wide = np.empty((len(mantissas), 2), "<i8")  # the mantissa, and its sign all through the upper half
    wide[:, 0], wide[:, 1] = mantissas, mantissas >> 63
    return wide.view("V16").reshape(-1)


def _floats(mantissas: Int64, exp: int) -> NDArray[np.float64]:
    power = 10.0 ** min(abs(exp), EXACT_POWER)
    values: NDArray[np.float64] = (mantissas / power if exp < 0 else mantissas * power).astype(np.float64)
    # Both of these exact, the one rounding is the right one; else it is done on the fraction itself.
    rough = np.abs(mantissas) > EXACT if abs(exp) <= EXACT_POWER else mantissas != 0
    for at in np.flatnonzero(rough).tolist():
        values[at] = float(int(mantissas[at]) * Fraction(10) ** exp)
    return values
