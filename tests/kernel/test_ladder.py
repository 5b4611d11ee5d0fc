"""The compiled ladder parser: side by side with its plain-Python reference, and each refusal by name."""

from __future__ import annotations

import ctypes
import mmap
import pickle
from array import array

import ladder_reference as reference
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdtool.kernel import ladder
from mdtool.kernel.ladder import Beyond64Bits, LadderError, NeedsDigits

ROOM = 64


def parsed(text, price_exp=-2, size_exp=-3, room=ROOM):
    prices, sizes = array("q", [-7] * room), array("q", [-7] * room)
    count = ladder.parse(text, price_exp, size_exp, prices, sizes)
    assert all(value == -7 for value in prices[count:]) and all(value == -7 for value in sizes[count:])
    return list(zip(prices[:count], sizes[:count], strict=True))


def outcome(function, *args):
    """A value, or which error at which byte."""
    try:
        return function(*args)
    except NeedsDigits as error:
        return "needs digits", error.offset
    except Beyond64Bits as error:
        return "beyond 64 bits", error.offset
    except LadderError as error:
        return "error", error.offset
    except reference.ReferenceError_ as error:
        return error.what, error.offset


numbers = st.one_of(
    st.from_regex(r"\A[0-9]{1,7}\.[0-9]{1,8}\Z"),
    st.from_regex(r"\A[0-9]{1,4}\.[0-9]{2}0{0,6}\Z"),
    st.from_regex(r"\A[0-9]{1,21}(\.[0-9]{1,21})?\Z"),
    st.from_regex(r"\A[0-9]{1,9}0{0,3}\Z"),
    st.from_regex(r"\A-?[0-9]{1,8}(\.[0-9]{1,8})?([eE][-+]?[0-9]{1,2})?\Z"),
    st.from_regex(r"\A-?[0-9]{30,45}(\.[0-9]{30,45})?\Z"),
    st.from_regex(r"\A-?0{0,9}[0-9]{0,3}0{0,22}(\.0{0,22}[0-9]{1,4}0{0,9})?([eE][-+]?0{0,3}[0-9]{1,2})?\Z"),
)
blanks = st.sampled_from(["", "", "", "", " ", "\n\t", " \r "])


@st.composite
def ladders(draw):
    levels = []
    for _ in range(draw(st.integers(0, 6))):
        price, size = draw(numbers), draw(numbers)
        gaps = [draw(blanks) for _ in range(6)]
        levels.append(f'{gaps[0]}[{gaps[1]}"{price}"{gaps[2]},{gaps[3]}"{size}"{gaps[4]}]{gaps[5]}')
    return f"{draw(blanks)}[{draw(blanks)}{','.join(levels)}]{draw(blanks)}".encode()


@st.composite
def damaged(draw):
    text = bytearray(draw(ladders()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        byte = draw(st.sampled_from(b'[]",.0-+e9 \x00x\xff'))
        match draw(st.sampled_from(["insert", "replace", "delete", "cut"])):
            case "insert":
                text.insert(at, byte)
            case "replace":
                text[at : at + 1] = bytes([byte])
            case "delete":
                del text[at : at + 1]
            case "cut":
                del text[at:]
    return bytes(text)


exps = st.one_of(st.sampled_from([0, -2, -3, -8]), st.integers(-18, 18), st.integers(-38, 38))


@settings(max_examples=500)
@given(st.one_of(ladders(), damaged()), exps, exps)
@example(b'[["9223372036854775807","0"]]', 0, 0)
@example(b'[["9223372036854775808","0"]]', 0, 0)
@example(b'[["12345678.12345678","1234567.123456789"]]', -8, -8)
@example(b'[["-9223372036854775807","0"]]', 0, 0)
@example(b'[["-9223372036854775808","0"]]', 0, 0)
@example(b'[["1","-1"]]', 0, 0)
@example(b" null ", 0, 0)
@example(b"nul", 0, 0)
@example(b'[["1e10000000000000000000000","1e-10000000000000000000000"]]', 0, 0)
@example(b'[["0e10000000000000000000000","0e-10000000000000000000000"]]', 0, 0)
def test_the_reference_says_the_same(text, price_exp, size_exp):
    assert outcome(parsed, text, price_exp, size_exp) == outcome(reference.parse, text, price_exp, size_exp)
    assert outcome(ladder.exponents, text) == outcome(reference.exponents, text)
    wide = outcome(ladder.parse_wide, text, price_exp, size_exp)
    assert wide == outcome(reference.parse_wide, text, price_exp, size_exp)


@settings(max_examples=300)
@given(
    st.one_of(numbers.map(str.encode), st.binary(max_size=12), st.text("0123456789.+-e ", max_size=12).map(str.encode)),
    exps,
)
def test_the_reference_says_the_same_of_one_number(text, exp):
    assert outcome(ladder.decimal, text, exp) == outcome(reference.decimal, text, exp)


@settings(max_examples=100)
@given(ladders())
def test_at_its_own_exponents_every_ladder_fits_or_is_too_large(text):
    exponents = outcome(ladder.exponents, text)
    if exponents[0] not in ("needs digits", "error"):
        narrow, wide = outcome(parsed, text, *exponents), outcome(ladder.parse_wide, text, *exponents)
        assert ("needs digits",) not in (narrow[:1], wide[:1])
        assert narrow[:1] == ("beyond 64 bits",) or narrow == list(zip(*wide, strict=True))
    assert ladder.count(text) == text.count(b'"') // 4


def test_values():
    assert parsed(b'[["2671.65","20.506"],["0.01","0.000"],["7","1"]]') == [(267165, 20506), (1, 0), (700, 1000)]
    assert parsed(b"[]") == []
    assert parsed(b'[["2683.80000000","3.02900000"]]') == [(268380, 3029)]
    assert parsed(b'[["50","1200"]]', 1, 2) == [(5, 12)]
    assert ladder.decimal("2681.62", -2) == 268162
    assert ladder.decimal(b"2681.620", -2) == 268162
    assert ladder.exponents(b'[["2683.80000000","3.02900000"],["1","0.5"]]') == (-1, -3)
    assert ladder.exponents(b"[]") == ladder.exponents(b"null") == (0, 0)
    assert parsed(b" null\n") == []
    assert parsed(b'[["-1.5","5e2"],["1E-2","0e9"],["-0.0","12.5e-1"]]') == [(-150, 500_000), (1, 0), (0, 1_250)]
    assert ladder.exponents(b'[["1e-8","1E+3"],["-5.0e-4","1"]]') == (-8, 0)
    assert ladder.decimal("-1.5e-7", -8) == -15
    long = "0." + "0" * 9_990 + "1"
    assert ladder.decimal(f"{long}e9991", 0) == ladder.decimal("1" + "0" * 20_000 + "e-20000", 0) == 1
    with pytest.raises(LadderError, match="more than 38 digits before the point"):
        ladder.decimal(f"{long}e999999999999", 0)
    assert ladder.decimal("9223372036854775808", 0) == 2**63
    assert ladder.decimal("-99999999999999999999999999999999999999.9e-0", -38) == -(10**39 - 1) * 10**37
    assert ladder.parse_wide(b'[["-105000000000.00000000","1e37"],["0.0","25e-38"]]', -8, -38) == (
        [-105 * 10**17, 0],
        [10**75, 25],
    )
    assert ladder.parse_wide(b'[{"s":5,"x":[],"p":"1e20"}]', 0, 0, ("p", "s")) == ([10**20], [5])
    assert ladder.parse_wide(b"null", -38, 38) == ([], [])


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        (b"", 0, "found the end, expected '[' of the ladder"),
        (b"{}", 0, "found '{', expected '[' of the ladder"),
        (b"[", 1, "found the end, expected '[' of a level"),
        (b'[["1","2"]', 10, "found the end, expected ',' or ']' after a level"),
        (b'[["1","2"],]', 11, "found ']', expected '[' of a level"),
        (b'[["1","2"]]x', 11, "found 'x', expected nothing more"),
        (b'[["1","-2"]]', 7, "found '-', expected a digit"),
        (b'[["--1","2"]]', 4, "found '-', expected a digit"),
        (b'[["+1","2"]]', 3, "found '+', expected a digit"),
        (b'[["1e","2"]]', 5, "found '\"', expected a digit"),
        (b'[["1e5.","2"]]', 6, "found '.', expected a digit or '\"'"),
        (b'[["1e400","2"]]', 3, "a number beyond 64 bits at exponent -2"),
        (b'[["1e-400","2"]]', 3, "more digits than exponent -2 holds"),
        (b"null x", 5, "found 'x', expected nothing more"),
        (b'[["","2"]]', 3, "found '\"', expected a digit"),
        (b'[[".5","2"]]', 3, "found '.', expected a digit"),
        (b'[["5.","2"]]', 5, "found '\"', expected a digit"),
        (b'[["1.2.3","2"]]', 6, "found '.', expected a digit or '\"'"),
        (b"[[1,2]]", 2, "found '1', expected '\"' before a number"),
        (b'[["1"]]', 5, "found ']', expected ',' between price and size"),
        (b'[["1","2","3"]]', 9, "found ',', expected ']' of the level"),
        (b'[["1","\xff"]]', 7, "found byte 0xff, expected a digit"),
        (b'[["1","2"] ["1","2"]]', 11, "found '[', expected ',' or ']' after a level"),
        (b'[["99999999999999999999","2"]]', 3, "a number beyond 64 bits at exponent -2"),
        (b'[["1.234","2"]]', 3, "more digits than exponent -2 holds"),
        (b'[["1.23","2.00001"]]', 10, "more digits than exponent -3 holds"),
    ],
)
def test_refusals_say_where(text, offset, says):
    with pytest.raises(LadderError) as caught:
        parsed(text)
    assert caught.value.offset == offset
    assert caught.value.reason == says
    assert str(caught.value) == f"{says}, at byte {offset}"
    assert isinstance(caught.value, NeedsDigits) == says.startswith("more digits")
    assert isinstance(caught.value, Beyond64Bits) == ("64 bits" in says)
    assert pickle.loads(pickle.dumps(caught.value)).reason == says  # noqa: S301


def test_an_error_after_many_quick_levels_is_at_its_byte():
    good = b'["2671.65","20.506"],' * 50
    with pytest.raises(LadderError) as caught:
        parsed(b"[" + good + b'["2671.65","20.5x6"]]')
    assert caught.value.offset == 1 + len(good) + 16


def test_the_door():
    prices, sizes = array("q", [0] * 2), array("q", [0] * 3)
    two = b'[["1","2"],["3","4"]]'
    assert ladder.parse(two, 0, 0, prices, sizes) == 2
    assert ladder.parse(b'[["5","6"]]', 0, 0, prices, sizes, 1) == 1
    assert (list(prices), list(sizes)) == ([1, 5], [2, 6, 0])
    for at in (1, 3, -1):
        with pytest.raises(ValueError, match=r"levels the buffers hold|expected 0 to 2"):
            ladder.parse(two, 0, 0, prices, sizes, at)
    for bad in (
        array("i", [0] * 4),
        array("d", [0] * 4),
        array("Q", [0] * 4),
        np.zeros((2, 2), np.int64),
        bytearray(64),
    ):
        with pytest.raises(ValueError, match="buffer of int64"):
            ladder.parse(two, 0, 0, bad, sizes)
        with pytest.raises(ValueError, match="buffer of int64"):
            ladder.parse(two, 0, 0, prices, bad)
    with pytest.raises((BufferError, ValueError)):
        ladder.parse(two, 0, 0, np.zeros(8, np.int64)[::2], sizes)
    with pytest.raises((BufferError, ValueError)):
        ladder.parse(two, 0, 0, memoryview(prices).toreadonly(), sizes)
    with pytest.raises(TypeError):
        ladder.parse("[]", 0, 0, prices, sizes)
    for exp in (-39, 39):
        for call in (
            lambda exp=exp: ladder.parse(two, exp, 0, prices, sizes),
            lambda exp=exp: ladder.parse_wide(two, 0, exp),
            lambda exp=exp: ladder.decimal("1", exp),
        ):
            with pytest.raises(ValueError, match="expected -38 to 38"):
                call()
    with pytest.raises(LadderError, match="at most"):
        ladder.parse(bytes((64 << 20) + 1), 0, 0, prices, sizes)
    array("q", prices).append(1)
    prices.append(3)  # no buffer is still held, after errors either


def test_any_bytes_like_text():
    text = b'[["1.5","2"]]'
    for form in (bytearray(text), memoryview(b"x" + text)[1:], np.frombuffer(text, np.uint8)):
        assert parsed(form) == [(150, 2000)]


def test_no_byte_is_read_behind_the_text():
    """The page behind the text may not be read: one byte too far would crash."""
    page = mmap.PAGESIZE
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with mmap.mmap(-1, 2 * page) as memory:
        start = ctypes.c_char.from_buffer(memory)
        guard = ctypes.c_void_p(ctypes.addressof(start) + page)
        view = memoryview(memory)
        texts = (
            b'[["2671.65","20.506"]]',
            b'[["1","2"],["3","4"]]',
            b'[["1234567.12345678","1',
            b"[" + b'["1.5","2"],' * 9,
        )
        for text in texts:
            memory[page - len(text) : page] = text
            assert libc.mprotect(guard, page, 0) == 0  # PROT_NONE
            found = outcome(parsed, view[page - len(text) : page])
            assert libc.mprotect(guard, page, mmap.PROT_READ | mmap.PROT_WRITE) == 0
            assert found == outcome(reference.parse, text, -2, -3)
        view.release()
        del start
