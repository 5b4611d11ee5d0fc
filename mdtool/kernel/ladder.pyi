from typing_extensions import Buffer

class LadderError(ValueError):
    reason: str
    offset: int
    def __init__(self, reason: str, offset: int) -> None: ...

class NeedsDigits(LadderError): ...

def parse(
    text: Buffer,
    price_exp: int,
    size_exp: int,
    prices: Buffer,
    sizes: Buffer,
    at: int = 0,
    shape: tuple[int, int] | tuple[str, str] | None = None,
) -> int: ...
def exponents(text: Buffer, shape: tuple[int, int] | tuple[str, str] | None = None) -> tuple[int, int]: ...
def count(text: Buffer) -> int: ...
def decimal(text: str | Buffer, exp: int, signed: bool = True) -> int: ...
