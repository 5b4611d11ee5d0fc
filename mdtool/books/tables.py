"""Books as Arrow tables: prices and sizes as mantissas, decimals or floats, times as numbers or timestamps.

Rule: a decimal is the mantissa exactly, whatever the exponent; a float is the nearest there is to that decimal.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mdtool.errors import TooLarge, UsageError
from mdtool.model import Scale

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = Literal["mantissa", "decimal", "float"]
Times = Literal["ns", "timestamp"]
Int64 = NDArray[np.int64]
Mantissas = NDArray[Any]  # int64, or Python's integers (object) where one does not fit
Mask = NDArray[np.bool_]

COLUMNS = ("bid_price", "bid_size", "ask_price", "ask_size")  # the second axis of levels
NARROW, WIDE = 38, 76  # digits of a decimal128 and of a decimal256
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

    def table(self, columns: dict[str, Any], levels: Mantissas, scale: Scale) -> pa.Table:
        """These columns, and bid_price_1, bid_size_1, ask_price_1, ask_size_1, bid_price_2 ... of levels of shape
        (rows, 4, depth), null where there is no level. The schema's metadata has price_exp and size_exp."""
        import pyarrow as pa

        writers = [self._writer(levels[:, at::2], exp) for at, exp in enumerate(scale)]  # of prices and of sizes
        found = {
            f"{name}_{number + 1}": writers[at & 1](
                np.ascontiguousarray(levels[:, at, number]), levels[:, at | 1, number] == 0
            )
            for number in range(levels.shape[2])
            for at, name in enumerate(COLUMNS)
        }
        metadata = {"price_exp": str(scale.price_exp), "size_exp": str(scale.size_exp)}
        return pa.table({**columns, **found}).replace_schema_metadata(metadata)

    def _writer(self, all_of_them: Mantissas, exp: int) -> Callable[[Mantissas, Mask], pa.Array]:
        """What writes columns of mantissas that are among these: all of one type."""
        import pyarrow as pa

        from mdtool import arrow

        if self._numbers == "mantissa":
            return lambda found, missing: arrow.array(_int64(found), pa.int64(), missing)
        if self._numbers == "float":
            return lambda found, missing: arrow.array(_floats(np.where(missing, 0, found), exp), pa.float64(), missing)
        most = largest(all_of_them) * 10 ** max(0, exp)
        digits = NARROW if most < 10**NARROW and exp >= -NARROW else WIDE
        if most >= 10**WIDE or exp < -WIDE:
            raise UsageError(f"numbers 'decimal': values of 10^{exp} are beyond {WIDE} digits; ask for the mantissas")
        kind = (pa.decimal128 if digits == NARROW else pa.decimal256)(digits, max(0, -exp))
        return lambda found, missing: arrow.array(
            _wide(np.where(missing, 0, found), exp, kind.bit_width // 8), kind, missing
        )


def largest(mantissas: Mantissas) -> int:
    """The largest there is, whatever its sign."""
    return max(int(mantissas.max(initial=0)), -int(mantissas.min(initial=0)))


def _int64(mantissas: Mantissas) -> Int64:
    try:
        return mantissas.astype(np.int64, copy=False)
    except OverflowError:
        raise TooLarge("numbers 'mantissa': a level beyond 64 bits; ask for numbers='decimal'") from None


def _wide(mantissas: Mantissas, exp: int, size: int) -> NDArray[Any]:
    """As integers of `size` bytes, times 10^exp where that is above 1."""
    if exp > 0 or mantissas.dtype == object or size != 16:
        factor = 10 ** max(0, exp)
        whole = b"".join((one * factor).to_bytes(size, "little", signed=True) for one in mantissas.tolist())
        return np.frombuffer(whole, f"V{size}")
    wide = np.empty((len(mantissas), 2), "<i8")  # the mantissa, and its sign all through the upper half
    wide[:, 0], wide[:, 1] = mantissas, mantissas >> 63
    return wide.view("V16").reshape(-1)


def _floats(mantissas: Mantissas, exp: int) -> NDArray[np.float64]:
    power = 10.0 ** min(abs(exp), EXACT_POWER)
    values: NDArray[np.float64] = (mantissas / power if exp < 0 else mantissas * power).astype(np.float64)
    # Both of these exact, the one rounding is the right one; else it is done on the fraction itself.
    rough = np.abs(mantissas) > EXACT if abs(exp) <= EXACT_POWER else mantissas != 0
    for at in np.flatnonzero(rough).tolist():
        values[at] = float(int(mantissas[at]) * Fraction(10) ** exp)
    return values
