"""A line of a screen: pieces of text with a style each. Every character used on screens is one cell wide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

Piece = tuple[str, str]  # text, rich style
NUMBER = frozenset("0123456789.,")


class Line:
    """Built from left to right. Much cheaper to make and to compare than rich's Text: a screen makes a thousand lines
    a second."""

    __slots__ = ("pieces", "width")

    def __init__(self, *pieces: Piece) -> None:
        self.pieces: list[Piece] = list(pieces)
        self.width = sum(len(text) for text, _ in pieces)

    def add(self, text: str, style: str = "") -> Line:
        """Append a piece."""
        if text:
            self.pieces.append((text, style))
            self.width += len(text)
        return self

    def extend(self, other: Line) -> Line:
        """Append another line."""
        self.pieces += other.pieces
        self.width += other.width
        return self

    def to(self, width: int) -> Line:
        """Exactly `width` wide: filled with blanks, or cut. A number that is cut says so: what is left is another."""
        if self.width < width:
            return self.add(" " * (width - self.width))
        while self.width > width:
            text, style = self.pieces.pop()
            over = min(len(text), self.width - width)
            self.width -= over
            if over < len(text):
                kept, gone = text[:-over], text[-over:]
                if kept[-1] in NUMBER and gone[0] in NUMBER:
                    kept = f"{kept[:-1]}…"
                self.pieces.append((kept, style))
        return self

    @property
    def plain(self) -> str:
        """Without styles."""
        return "".join(text for text, _ in self.pieces)

    def text(self) -> Text:
        """For rich."""
        from rich.text import Text

        return Text.assemble(*self.pieces, no_wrap=True, overflow="crop")


def spread(left: Line, right: Line, width: int) -> Line:
    """One line with `right` at its right end; where both do not fit, `left` is cut."""
    right.to(min(right.width, width))
    return left.to(width - right.width).extend(right)


def words(pieces: Iterable[Line], width: int, between: str = "  ") -> Line:
    """Those of the pieces that fit whole, the first first."""
    line = Line()
    for piece in pieces:
        gap = between if line.width else ""
        if line.width + len(gap) + piece.width > width:
            break
        line.add(gap).extend(piece)
    return line
