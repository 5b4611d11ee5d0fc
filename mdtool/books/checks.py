"""What a sound book never shows. What is found are values; an empty list is a sound book.

A level beyond the range of the snapshot is unknown until it changes: checks look at the top only.
"""

from __future__ import annotations

from typing import NamedTuple

from mdtool.books.l2 import L2Book, Level
from mdtool.kernel.ladder import LadderError, decimal
from mdtool.model import Quote, Side, format_decimal


class Contradiction(NamedTuple):
    """One thing wrong, in words made of exact decimals."""

    found: str
    expected: str


def crossed(book: L2Book) -> list[Contradiction]:
    """Bid at or above ask. Auctions and halts apart, a venue's book never stands so between two updates."""
    bid, ask = book.best_bid(), book.best_ask()
    if bid is None or ask is None or bid[0] < ask[0]:
        return []
    shown_bid, shown_ask = (format_decimal(price, book.scale.price_exp) for price, _ in (bid, ask))
    return [Contradiction(f"bid {shown_bid}", f"below ask {shown_ask}")]


def top(book: L2Book, quote: Quote) -> list[Contradiction]:
    """The best levels against a quote of the same update id."""
    sides = (
        (Side.BID, book.best_bid(), quote.bid_price, quote.bid_size),
        (Side.ASK, book.best_ask(), quote.ask_price, quote.ask_size),
    )
    findings = []
    for side, level, price, size in sides:
        if not _is_level(book, level, price, size):
            word = side.name.lower()
            found = "none" if level is None else _text(book, level)
            findings.append(Contradiction(f"{word} {found}", f"{word} {price} x {size}"))
    return findings


def _is_level(book: L2Book, level: Level | None, price: str, size: str) -> bool:
    try:
        said = decimal(price, book.scale.price_exp), decimal(size, book.scale.size_exp)
    except LadderError:  # no number, or finer than anything in the book
        return False
    if level is None:  # how a quote says that a side is empty
        return said[1] == 0
    return said == level


def _text(book: L2Book, level: Level) -> str:
    return f"{format_decimal(level[0], book.scale.price_exp)} x {format_decimal(level[1], book.scale.size_exp)}"
