"""mdtool.kernel.ladder in plain Python, one character at a time: the same values, the same errors at the same bytes."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, Overflow, Underflow

# Exact, whatever the digits and the exponent.
EXACT = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, Overflow, Underflow])
BLANKS = b" \t\n\r"
DIGITS = b"0123456789"
FAR = 10**12  # beyond what the digits of any text can make up for
MAX_EXP = 38
MAX_WHOLE = 38


class ReferenceError_(ValueError):
    def __init__(self, offset: int, what: str = "error") -> None:
        super().__init__(offset)
        self.offset = offset
        self.what = what


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

    def number(self, *, signed: bool) -> Decimal:
        sign = "-" if signed and self.next_is(b"-") else ""
        self.at += len(sign)
        text = sign + self.digits()
        if self.next_is(b"."):
            self.at += 1
            text += "." + self.digits()
        if self.text[self.at : self.at + 1] in (b"e", b"E"):
            self.at += 1
            power = ""
            if self.text[self.at : self.at + 1] in (b"-", b"+"):
                power = self.text[self.at : self.at + 1].decode()
                self.at += 1
            text += f"e{power}{min(int(self.digits()), FAR)}"
        return EXACT.create_decimal(text)

    def string(self, *, signed: bool) -> tuple[int, Decimal]:
        self.take(b'"')
        start = self.at
        found = self.number(signed=signed)
        self.take(b'"')
        return start, found


def mantissa(number: Decimal, exp: int, offset: int, *, wide: bool = False) -> int:
    if not number:
        return 0
    number = EXACT.normalize(number)
    power = number.as_tuple().exponent
    assert isinstance(power, int)
    if power < exp:
        raise ReferenceError_(offset, "needs digits")
    if wide and number.adjusted() >= MAX_WHOLE:
        raise ReferenceError_(offset)
    if not wide and number.adjusted() - exp > 30:
        raise ReferenceError_(offset, "beyond 64 bits")
    value = int(number.scaleb(-exp, EXACT))
    if not wide and abs(value) >= 2**63:
        raise ReferenceError_(offset, "beyond 64 bits")
    return value


def _levels(text: bytes, on_number) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    at = _Text(text)
    found = []
    at.blanks()
    if text[at.at : at.at + 4] == b"null":
        at.at += 4
        at.blanks()
        if at.at != len(text):
            raise ReferenceError_(at.at)
        return found
    at.take(b"[")
    at.blanks()
    if at.next_is(b"]"):
        at.at += 1
    else:
        while True:
            at.take(b"[")
            at.blanks()
            price = on_number(0, *at.string(signed=True))
            at.blanks()
            at.take(b",")
            at.blanks()
            size = on_number(1, *at.string(signed=False))
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
    return _levels(text, lambda which, offset, number: mantissa(number, exps[which], offset))


def parse_wide(text: bytes, price_exp: int, size_exp: int) -> tuple[list[int], list[int]]:
    exponents(text)  # what is no number at any exponent is told first
    exps = (price_exp, size_exp)
    columns: tuple[list[tuple[int, Decimal]], list[tuple[int, Decimal]]] = ([], [])

    def keep(which: int, offset: int, number: Decimal) -> int:
        columns[which].append((offset, number))
        return 0

    _levels(text, keep)
    prices, sizes = (
        [mantissa(number, exp, offset, wide=True) for offset, number in column]
        for exp, column in zip(exps, columns, strict=True)
    )
    return prices, sizes


def exponents(text: bytes) -> tuple[int, int]:
    finest = [0, 0]

    def measure(which: int, offset: int, number: Decimal) -> int:
        power = EXACT.normalize(number).as_tuple().exponent if number else 0
        assert isinstance(power, int)
        if power < -MAX_EXP:
            raise ReferenceError_(offset, "needs digits")
        finest[which] = min(finest[which], power)
        return 0

    _levels(text, measure)
    return finest[0], finest[1]


def decimal(text: bytes, exp: int) -> int:
    at = _Text(text)
    number = at.number(signed=True)
    if at.at != len(text):
        raise ReferenceError_(at.at)
    return mantissa(number, exp, 0, wide=True)
