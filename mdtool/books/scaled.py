"""What a book of integers knows of what they mean: a scale, which only ever becomes finer; and of which integers it is.

Rule: a book is the kernel's, of 64 bits, until a level does not fit those at the scale it is to have. Then a wide one,
made here and nowhere else, takes its place until the next whole book that fits at the scale there is by then: whoever
changes a book goes on with the one that is returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from mdtool.errors import WireError
from mdtool.model import Scale


class Scaled(ABC):
    """Beside a kernel's book, whose `multiply` it uses; who inherits it keeps `_scale` and makes others of its kind."""

    __slots__ = ()
    is_wide: ClassVar[bool] = False  # its integers are Python's
    _scale: Scale

    @abstractmethod
    def _other(self, *, wide: bool) -> Any:
        """An empty book of this kind and scale."""

    @abstractmethod
    def _take(self, other: Any) -> None:
        """Everything of another of this kind and scale, which need not be as wide; this one is empty."""

    @property
    def scale(self) -> Scale:
        """Exponents of every mantissa in the book."""
        return self._scale

    def rescale(self, scale: Scale) -> None:
        """Express every mantissa at a finer scale, exactly. Raises ValueError for a coarser one, WireError where a
        level no longer fits 64 bits; then nothing has changed."""
        try:
            self._multiply(scale)
        except OverflowError as error:
            raise WireError(f"{error} at {scale}") from error

    def at_scale(self, scale: Scale) -> Self:
        """The same book at a finer scale: this one, or a wide one where 64 bits do not hold that."""
        if scale == self._scale:
            return self
        try:
            self._multiply(scale)
        except OverflowError:
            wide = self.widened()
            wide._multiply(scale)
            return wide
        return self

    def _multiply(self, scale: Scale) -> None:
        price_digits = self._scale.price_exp - scale.price_exp
        size_digits = self._scale.size_exp - scale.size_exp
        if price_digits < 0 or size_digits < 0:
            raise ValueError(f"rescaling {self._scale} to {scale} would round")
        kernel: Any = self
        kernel.multiply(10**price_digits, 10**size_digits)
        kernel._scale = scale

    def copy(self) -> Self:
        """Another with the same in it."""
        return self._copied(wide=self.is_wide)

    def widened(self) -> Self:
        """A wide one with the same in it."""
        return self._copied(wide=True)

    def _copied(self, *, wide: bool) -> Self:
        other: Self = self._other(wide=wide)
        other._take(self)
        return other

    def emptied(self) -> Self:
        """Without anything in it, this one or, in the place of a wide one, one of 64 bits."""
        if self.is_wide:
            narrow: Self = self._other(wide=False)
            return narrow
        kernel: Any = self
        kernel.clear()
        return self
