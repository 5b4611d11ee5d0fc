"""Checksums of the book's top, from the wire's own digits: what venues compute, and over which text.

Rule: a number enters a checksum as the venue wrote it. A level is (price text, size text), best levels first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from zlib import crc32

from mdtool.venues.numbers import plain

WireLevel = tuple[str, str]
Levels = Sequence[WireLevel]


@dataclass(frozen=True, slots=True)
class Checksum:
    """A venue's checksum: over how many levels a side, and how. `compute` takes bids and asks."""

    depth: int
    compute: Callable[[Levels, Levels], int]


def signed(value: int) -> int:
    """An unsigned 32-bit number as the signed one of the same bits."""
    return value - (1 << 32) if value >= 1 << 31 else value


def joined_digits(bids: Levels, asks: Levels) -> int:
    """Asks from low to high, then bids from high to low; of each level price and size without the dot and without
    leading zeros, all in one. Unsigned CRC-32. A price in exponent form has lost its zeros: an instrument's prices all
    have as many decimals as the finest."""
    levels = [*asks, *bids]
    if any("e" in price or "E" in price or "e" in size or "E" in size for price, size in levels):
        levels = [(plain(price)[1], plain(size)[1]) for price, size in levels]
        places = max(_places(price) for price, _ in levels)
        levels = [(_padded(price, places), size) for price, size in levels]
    text = "".join(number.replace(".", "").lstrip("0") for level in levels for number in level)
    return crc32(text.encode())


def _places(number: str) -> int:
    return len(number.partition(".")[2])


def _padded(number: str, places: int) -> str:
    missing = places - _places(number)
    return number + ("." if missing and "." not in number else "") + "0" * missing


def interleaved(bids: Levels, asks: Levels) -> int:
    """The best bid, the best ask, the second bid ... each `price:size`, all joined by ":". Signed CRC-32."""
    pairs = zip_longest(bids, asks)
    return signed(crc32(":".join(f"{price}:{size}" for pair in pairs for price, size in filter(None, pair)).encode()))


def script_number(text: str) -> str:
    """A plain decimal as JavaScript prints the number: below a millionth in exponent form, "0.00000012" -> "1.2e-7"."""
    whole, _, fraction = text.partition(".")
    digits = fraction.lstrip("0")
    zeros = len(fraction) - len(digits)
    if whole.strip("0") or not digits or zeros < 6:
        return text
    digits = digits.rstrip("0")
    return f"{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e-{zeros + 1}"


def interleaved_amounts(bids: Levels, asks: Levels) -> int:
    """As `interleaved`, where an ask's amount is negative and numbers are printed as JavaScript does."""
    return interleaved(
        [(script_number(price), script_number(size)) for price, size in bids],
        [(script_number(price), "-" + script_number(size)) for price, size in asks],
    )
