"""What a book of integers knows of what they mean: a scale, which only ever becomes finer."""

from __future__ import annotations

from typing import Any

from mdtool.errors import WireError
from mdtool.model import Scale


class Scaled:
    """Beside a kernel's book, whose `multiply` it uses; who inherits it keeps `_scale`."""

    __slots__ = ()
    _scale: Scale

    @property
    def scale(self) -> Scale:
        """Exponents of every mantissa in the book."""
        return self._scale

    def rescale(self, scale: Scale) -> None:
        """Express every mantissa at a finer scale, exactly. Raises ValueError for a coarser one, WireError where a
        level no longer fits 64 bits; then nothing has changed."""
        price_digits = self._scale.price_exp - scale.price_exp
        size_digits = self._scale.size_exp - scale.size_exp
        if price_digits < 0 or size_digits < 0:
            raise ValueError(f"rescaling {self._scale} to {scale} would round")
        kernel: Any = self
        try:
            kernel.multiply(10**price_digits, 10**size_digits)
        except OverflowError as error:
            raise WireError(f"{error} at {scale}") from error
        kernel._scale = scale
