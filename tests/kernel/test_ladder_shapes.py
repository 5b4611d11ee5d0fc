"""Ladders of other shapes than ["price","size"]: rows and objects, against json and decimal."""

from __future__ import annotations

import json
from array import array
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdtool.kernel import ladder
from mdtool.kernel.ladder import LadderError, NeedsDigits

sizes = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=6).flatmap(
    lambda n: st.sampled_from([f"{n:f}", f"{n:e}", f"{n:E}"])
)
prices = st.one_of(sizes, sizes.map("-{}".format))


def written(numbers):
    return numbers.flatmap(lambda text: st.sampled_from([text, f'"{text}"']))


scalars = st.one_of(
    st.sampled_from(["null", "true", "false", "-1.5e-7", "12", '""', "[]", "{}", '[1,{"a":[]}]', '{"]":["}",1]}']),
    st.text(max_size=8).map(json.dumps),
)
blanks = st.sampled_from(["", " ", "\n\t "])


def parse(text, shape, price_exp=-6, size_exp=-6):
    text = text if isinstance(text, bytes) else text.encode()
    prices, sizes = array("q", bytes(8 * 64)), array("q", bytes(8 * 64))
    count = ladder.parse(text, price_exp, size_exp, prices, sizes, 0, shape)
    return list(zip(prices[:count], sizes[:count], strict=True))


def mantissa(text):
    return int(Decimal(str(text)) * 10**6)


@st.composite
def rows(draw):
    """(text, shape, levels) of an array of arrays."""
    width = draw(st.integers(2, 5))
    at = draw(st.permutations(range(width)))
    price_at, size_at = at[0], at[1]
    texts, levels = [], []
    for _ in range(draw(st.integers(0, 6))):
        cells = [draw(scalars) for _ in range(width)]
        cells[price_at], cells[size_at] = draw(written(prices)), draw(written(sizes))
        blank = draw(blanks)
        texts.append(f"[{blank}" + f"{blank},{blank}".join(cells) + f"{blank}]")
        levels.append(tuple(mantissa(cells[i].strip('"')) for i in (price_at, size_at)))
    return (
        f"[{draw(blanks)}" + f"{draw(blanks)},{draw(blanks)}".join(texts) + f"{draw(blanks)}]",
        (price_at, size_at),
        levels,
    )


@st.composite
def objects(draw):
    """(text, shape, levels) of an array of objects."""
    keys = draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=5, unique=True))
    texts, levels = [], []
    for _ in range(draw(st.integers(0, 6))):
        cells = {key: draw(scalars) for key in keys}
        cells[keys[0]], cells[keys[1]] = draw(written(prices)), draw(written(sizes))
        blank = draw(blanks)
        order = draw(st.permutations(keys))
        texts.append(
            "{" + f"{blank},{blank}".join(f'"{key}"{blank}:{blank}{cells[key]}' for key in order) + blank + "}"
        )
        levels.append(tuple(mantissa(cells[key].strip('"')) for key in keys[:2]))
    return "[" + ",".join(texts) + "]", (keys[0], keys[1]), levels


@given(st.one_of(rows(), objects()))
def test_price_and_size_stand_where_the_shape_says(case):
    text, shape, levels = case
    assert parse(text, shape) == levels
    finest = ladder.exponents(text.encode(), shape)
    scaled = [(Decimal(p).scaleb(-6 - finest[0]), Decimal(s).scaleb(-6 - finest[1])) for p, s in levels]
    assert parse(text, shape, *finest) == scaled


@given(st.one_of(rows(), objects()), st.data())
def test_bent_text_is_the_same_levels_or_an_error_within_it(case, data):
    """What json refuses is refused, up to the words and numbers of a cell nobody asks for."""
    text, shape, _ = case
    bent = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bent)))
        bent[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = parse(bytes(bent), shape)
    except LadderError as error:
        assert 0 <= error.offset <= len(bent)
        return
    try:
        cells = json.loads(bent, parse_float=str, parse_int=str)
    except ValueError:
        return
    assert found == [tuple(mantissa(level[key]) for key in shape) for level in cells]


@given(st.binary(max_size=60), st.sampled_from([(0, 1), (2, 0), ("px", "sz"), ("price", "qty")]))
def test_any_bytes_are_levels_or_an_error(text, shape):
    try:
        parse(text, shape)
    except LadderError as error:
        assert 0 <= error.offset <= len(text)


@pytest.mark.parametrize(
    ("text", "shape", "offset"),
    [
        ("[[1]]", (0, 1), 3),
        ("[[1,2,[3]]", (0, 1), 10),
        ("[[1,2,[3]", (0, 1), 9),
        ('[[1,2,["]]]', (0, 1), 11),
        ("[[1,-2]]", (0, 1), 4),
        ("[[1,2e]]", (0, 1), 6),
        ("[[1,2],]", (0, 1), 7),
        ("[[1,2,]]", (0, 1), 6),
        ("[[]]", (0, 1), 2),
        ('[[1,"2]]', (0, 1), 6),
        ('[["1",2"]]', (0, 1), 7),
        ('[[1,2,"x]]', (0, 1), 10),
        ('[[1,2,"x\\"]]', (0, 1), 12),
        ('[[1,2,"\n"]]', (0, 1), 7),
        ('[{"px":1}]', ("px", "sz"), 8),
        ('[{"px":1,"px":2,"sz":3}]', ("px", "sz"), 9),
        ('[{"px" 1}]', ("px", "sz"), 7),
        ("[{px:1}]", ("px", "sz"), 2),
        ("[{}]", ("px", "sz"), 2),
        ("[[1,2]]", ("px", "sz"), 1),
        ('[{"px":1,"sz":2}]', (0, 1), 1),
        ('{"px":1,"sz":2}', ("px", "sz"), 0),
        ("[[1,2]] x", (0, 1), 8),
    ],
)
def test_an_error_says_where(text, shape, offset):
    with pytest.raises(LadderError) as caught:
        parse(text, shape)
    assert caught.value.offset == offset


def test_more_digits_than_the_exponent_holds():
    with pytest.raises(NeedsDigits):
        parse("[[1.23,1]]", (0, 1), -1, 0)
    assert ladder.exponents(b'[{"p":1.230,"s":"0.001"}]', ("p", "s")) == (-2, -3)


def test_a_shape_that_is_none():
    for shape in ((1, 1), ("a", "a"), (0,), (0, "a"), 5):
        with pytest.raises((ValueError, TypeError)):
            parse("[[1,2]]", shape)


def test_pairs_stay_strict():
    """Without a shape nothing but two strings is a level."""
    for text in ("[[1,2]]", '[["1","2","3"]]', '[{"0":"1","1":"2"}]', '[["1",2]]'):
        with pytest.raises(LadderError):
            parse(text, None)
