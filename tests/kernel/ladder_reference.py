"""mdtool.kernel.ladder in plain Python, one character at a time: the same values, the same errors at the same bytes."""

from __future__ import annotations

BLANKS = b" \t\n\r"
DIGITS = b"0123456789"
MAX_EXP = 18


class ReferenceError_(ValueError):
    def __init__(self, offset: int, *, needs_digits: bool = False) -> None:
        super().__init__(offset)
        self.offset = offset
        self.needs_digits = needs_digits


class _Text:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def next_is(self, wanted: bytes) -> bool:
        return self.text[self.at : self.at + 1] == wanted

    def take(self, wanted: bytes) -> None:
        if not self.next_is(wanted):
            raise ReferenceError_(self.at)
        self.at += 1

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in BLANKS:
            self.at += 1

    def digits(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in DIGITS:
            self.at += 1
        if self.at == start:
            raise ReferenceError_(start)
        return self.text[start : self.at].decode()

    def number(self) -> tuple[str, str]:
        whole = self.digits()
        if not self.next_is(b"."):
            return whole, ""
        self.at += 1
        return whole, self.digits()

    def string(self) -> tuple[int, str, str]:
        self.take(b'"')
        start = self.at
        whole, fraction = self.number()
        self.take(b'"')
        return start, whole, fraction


def mantissa(whole: str, fraction: str, exp: int, offset: int) -> int:
    fraction = fraction.rstrip("0")
    if len(fraction) > max(0, -exp):
        raise ReferenceError_(offset, needs_digits=True)
    if exp <= 0:
        value = int(whole + fraction.ljust(-exp, "0"))
    else:
        value, rest = divmod(int(whole), 10**exp)
        if rest:
            raise ReferenceError_(offset, needs_digits=True)
    if value >= 2**63:
        raise ReferenceError_(offset)
    return value


def _levels(text: bytes, on_number) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    at = _Text(text)
    found = []
    at.blanks()
    at.take(b"[")
    at.blanks()
    if at.next_is(b"]"):
        at.at += 1
    else:
        while True:
            at.take(b"[")
            at.blanks()
            price = on_number(0, *at.string())
            at.blanks()
            at.take(b",")
            at.blanks()
            size = on_number(1, *at.string())
            at.blanks()
            at.take(b"]")
            found.append((price, size))
            at.blanks()
            if at.next_is(b","):
                at.at += 1
                at.blanks()
                continue
            at.take(b"]")
            break
    at.blanks()
    if at.at != len(text):
        raise ReferenceError_(at.at)
    return found


def parse(text: bytes, price_exp: int, size_exp: int) -> list[tuple[int, int]]:
    exps = (price_exp, size_exp)
    return _levels(text, lambda which, offset, whole, fraction: mantissa(whole, fraction, exps[which], offset))


def exponents(text: bytes) -> tuple[int, int]:
    finest = [0, 0]

    def measure(which: int, offset: int, whole: str, fraction: str) -> int:
        places = len(fraction.rstrip("0"))
        if places > MAX_EXP:
            raise ReferenceError_(offset, needs_digits=True)
        finest[which] = min(finest[which], -places)
        return 0

    _levels(text, measure)
    return finest[0], finest[1]


def decimal(text: bytes, exp: int) -> int:
    at = _Text(text)
    whole, fraction = at.number()
    if at.at != len(text):
        raise ReferenceError_(at.at)
    return mantissa(whole, fraction, exp, 0)
