# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Price ladders: wire text `[["price","size"],...]` to mantissas, strictly: int64, or Python's integers where asked.

Rule: a number is exact or an error that says at which byte; nothing is rounded, skipped or read past the buffer.

    ladder = ws "[" ws [ level { ws "," ws level } ws ] "]" ws | ws "null" ws
    level  = "[" ws string ws "," ws string ws "]"
    string = '"' decimal '"'
    decimal = [ "-" ] digits [ "." digits ] [ ( "e" | "E" ) [ "+" | "-" ] digits ]      a minus before a price only

Other shapes are parsed as strictly; what stands in a row beside price and size is skipped, whatever value it is:

    row    = "[" ws value { ws "," ws value } ws "]"                           price and size by their index
    object = "{" ws key ws ":" ws value { ws "," ws key ... } ws "}"           by their key
    number = string | decimal

`walk_ladder` is the whole grammar. levels.h has a shortcut for nearly every level there is; where it does not apply it
says so, and `slow_level` takes the same bytes.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef extern from "levels.h":
    const bint MDTOOL_QUICK
    const int MDTOOL_QUICK_DIGITS

    cdef enum:
        MDTOOL_QUICK_BYTES

    ctypedef struct mdtool_form:
        pass

    mdtool_form mdtool_form_of(int places) noexcept nogil
    Py_ssize_t mdtool_level(
        const unsigned char* p, const mdtool_form* price_form, const mdtool_form* size_form, int64_t* price,
        int64_t* size) noexcept nogil

ctypedef const unsigned char* text_t

cdef enum:
    MAX_TEXT = 64 << 20  # the largest message a connection accepts is far below; a bound, not a promise
    MAX_EXP = 38  # digits behind the point of any number: what is finer is hostile, not a price
    MAX_WHOLE = 38  # digits before it; with those behind it they fit a decimal256, whatever stands in one column
    FAR = 1 << 28  # beyond what an exponent and the digits of any text can make up for; a larger one counts as this one

cdef enum Fault:
    NONE
    NEED_OPEN
    NEED_LEVEL
    NEED_QUOTE
    NEED_DIGIT
    NEED_CLOSING_QUOTE
    NEED_COMMA
    NEED_LEVEL_END
    NEED_NEXT
    NEED_END
    NEED_DIGITS
    OVERFLOW
    TOO_LARGE
    NO_ROOM
    NEED_ROW
    NEED_OBJECT
    NEED_SCALAR
    NEED_CLOSED
    NEED_KEY
    NEED_COLON
    NEED_NUMBERS
    NEED_ONCE

_EXPECTED = {
    NEED_OPEN: "'[' of the ladder",
    NEED_LEVEL: "'[' of a level",
    NEED_QUOTE: "'\"' before a number",
    NEED_DIGIT: "a digit",
    NEED_CLOSING_QUOTE: "a digit or '\"'",
    NEED_COMMA: "',' between price and size",
    NEED_LEVEL_END: "']' of the level",
    NEED_NEXT: "',' or ']' after a level",
    NEED_END: "nothing more",
    NEED_ROW: "'[' of a row",
    NEED_OBJECT: "'{' of a level",
    NEED_SCALAR: "a value",
    NEED_CLOSED: "the end of what is open",
    NEED_KEY: "a key",
    NEED_COLON: "':' behind a key",
    NEED_NUMBERS: "a price and a size before it",
    NEED_ONCE: "each key once",
}

class LadderError(ValueError):
    """Text that is no ladder (or number). `offset`: the byte at which it stops being one."""

    def __init__(self, str reason, Py_ssize_t offset):
        super().__init__(f"{reason}, at byte {offset}")
        self.reason = reason
        self.offset = offset

    def __reduce__(self):
        return type(self), (self.reason, self.offset)


class NeedsDigits(LadderError):
    """A number with more significant decimals than the exponent holds: widen the exponent and parse again."""


class Beyond64Bits(LadderError):
    """A number that an int64 does not hold at the exponent: `parse_wide` does, if any does."""


cdef enum Form:
    PAIRS
    ROWS
    OBJECTS


cdef struct Walk:
    Form form
    int price_at  # index in a row
    int size_at
    const char* price_key  # of an object
    const char* size_key
    Py_ssize_t price_key_size
    Py_ssize_t size_key_size
    text_t start
    text_t end
    int price_exp
    int size_exp
    bint quick  # the exponents suit mdtool_level
    bint marks  # write where each number begins, and not what it is
    int64_t* prices  # NULL: only measure the exponents
    int64_t* sizes
    Py_ssize_t room  # levels that fit behind the two pointers
    Py_ssize_t count  # out: levels seen
    int finest_price  # out, when measuring
    int finest_size
    Py_ssize_t moved  # out: from a pointer into the copied tail back to the text (0: not copied)
    text_t fault_at  # out
    int fault_exp  # out: the exponent that was too coarse


cdef inline text_t skip_blanks(text_t p, text_t end) noexcept nogil:
    while p < end and (p[0] == c' ' or p[0] == c'\n' or p[0] == c'\r' or p[0] == c'\t'):
        p += 1
    return p


cdef inline bint is_at(text_t p, text_t end, unsigned char wanted) noexcept nogil:
    return p < end and p[0] == wanted


include "number.pxi"


cdef Fault slow_level(Walk* walk, text_t* at, int64_t* price, int64_t* size) noexcept nogil:
    """The level at `at`, which moves behind it."""
    cdef text_t p = at[0]
    cdef Fault fault
    if not is_at(p, walk.end, c'['):
        walk.fault_at = p
        return NEED_LEVEL
    p = skip_blanks(p + 1, walk.end)
    fault = number(walk, &p, True, price)
    if fault != NONE:
        return fault
    p = skip_blanks(p, walk.end)
    if not is_at(p, walk.end, c','):
        walk.fault_at = p
        return NEED_COMMA
    p = skip_blanks(p + 1, walk.end)
    fault = number(walk, &p, False, size)
    if fault != NONE:
        return fault
    p = skip_blanks(p, walk.end)
    if not is_at(p, walk.end, c']'):
        walk.fault_at = p
        return NEED_LEVEL_END
    at[0] = p + 1
    return NONE


include "shapes.pxi"


cdef Fault walk_ladder(Walk* walk) noexcept nogil:
    cdef text_t p = skip_blanks(walk.start, walk.end), end = walk.end
    cdef unsigned char tail[2 * MDTOOL_QUICK_BYTES]
    cdef int64_t* prices = walk.prices  # locals, as a store through them could be to `walk` itself
    cdef int64_t* sizes = walk.sizes
    cdef mdtool_form price_form = mdtool_form_of(-walk.price_exp if walk.quick else 0)
    cdef mdtool_form size_form = mdtool_form_of(-walk.size_exp if walk.quick else 0)
    cdef bint quick = walk.quick
    cdef Py_ssize_t length, levels = 0, room = walk.room
    cdef int64_t price = 0, size = 0
    cdef Fault fault = NONE
    walk.count = 0
    walk.moved = 0
    walk.fault_at = p
    if end - p >= 4 and memcmp(p, "null", 4) == 0:  # how some venues write a side without a change
        p = walk.fault_at = skip_blanks(p + 4, end)
        return NONE if p == end else NEED_END
    if not is_at(p, end, c'['):
        return NEED_OPEN
    p = skip_blanks(p + 1, end)
    if is_at(p, end, c']'):
        p += 1
    else:
        while True:
            length = 0
            if quick:
                if end - p < MDTOOL_QUICK_BYTES and walk.moved == 0:
                    # The rest goes on in a copy that may be read beyond its end; a NUL there matches nothing.
                    memset(tail, 0, sizeof(tail))
                    memcpy(tail, p, end - p)
                    walk.moved = p - &tail[0]
                    end = walk.end = &tail[0] + (end - p)
                    p = &tail[0]
                length = mdtool_level(p, &price_form, &size_form, &price, &size)
            if length:
                p += length
            else:
                if walk.form == PAIRS:
                    fault = slow_level(walk, &p, &price, &size)
                else:
                    fault = shaped_level(walk, &p, &price, &size)
                if fault != NONE:
                    return fault
            if prices != NULL:
                if levels >= room:
                    return NO_ROOM
                prices[levels] = price
                sizes[levels] = size
            levels += 1
            if not is_at(p, end, c','):
                p = skip_blanks(p, end)
            if is_at(p, end, c','):
                p += 1
                if p < end and p[0] <= 0x20:
                    p = skip_blanks(p, end)
                continue
            if is_at(p, end, c']'):
                p += 1
                break
            walk.fault_at = p
            return NEED_NEXT
    p = skip_blanks(p, end)
    walk.count = levels
    walk.fault_at = p
    return NONE if p == end else NEED_END


cdef object failure(Fault fault, text_t at, text_t end, Py_ssize_t offset, int exp):
    """The exception that says what was found at `at`, which is byte `offset`, and what was expected."""
    if fault == NEED_DIGITS:
        return NeedsDigits(f"more digits than exponent {exp} holds", offset)
    if fault == OVERFLOW:
        return Beyond64Bits(f"a number beyond 64 bits at exponent {exp}", offset)
    if fault == TOO_LARGE:
        return LadderError(f"a number of more than {MAX_WHOLE} digits before the point", offset)
    found = "the end" if at >= end else repr(chr(at[0])) if at[0] < 128 else f"byte 0x{at[0]:02x}"
    return LadderError(f"found {found}, expected {_EXPECTED[fault]}", offset)


cdef object walk_failure(Fault fault, Walk* walk):
    cdef text_t at = walk.fault_at + walk.moved  # in the text: the copied tail is gone by now
    return failure(fault, at, walk.end + walk.moved, at - walk.start, walk.fault_exp)


cdef bint is_quick(int exp) noexcept:
    return -MDTOOL_QUICK_DIGITS <= exp <= 0


cdef int check_exponent(int exp) except -1:
    if exp < -MAX_EXP or exp > MAX_EXP:
        raise ValueError(f"exponent {exp}, expected {-MAX_EXP} to {MAX_EXP}")
    return 0


cdef int check_text(Py_buffer* view) except -1:
    if view.len > MAX_TEXT:
        raise LadderError(f"a text of {view.len} bytes, expected at most {MAX_TEXT}", MAX_TEXT)
    return 0


cdef Py_ssize_t check_int64(Py_buffer* view, str name) except -1:
    """How many int64 the buffer holds."""
    cdef const char* format = view.format
    if format != NULL and (format[0] == c'<' or format[0] == c'=' or format[0] == c'@'):
        format += 1
    if (view.ndim != 1 or view.itemsize != 8 or format == NULL or format[1] != 0
            or (format[0] != c'q' and format[0] != c'l')):
        raise ValueError(f"{name}: expected a writable one-dimensional buffer of int64")
    return view.len // 8


def parse(text, int price_exp, int size_exp, prices, sizes, Py_ssize_t at=0, shape=None):
    """Parse the ladder in the bytes-like `text` into prices[at:] and sizes[at:]; the number of levels written.

    `shape` (model.Shape) says where a row has its price and size; None: `["price","size"]` and nothing else. `prices`
    and `sizes` are writable int64 buffers (array('q'), numpy). Raises LadderError, NeedsDigits, Beyond64Bits, and
    ValueError for buffers that are none or too small. After an error what stands behind `at` is undefined.
    """
    cdef Py_buffer text_view, price_view, size_view
    cdef Py_ssize_t room
    cdef Walk walk
    cdef Fault fault
    check_exponent(price_exp)
    check_exponent(size_exp)
    PyObject_GetBuffer(text, &text_view, PyBUF_SIMPLE)
    try:
        check_text(&text_view)
        PyObject_GetBuffer(prices, &price_view, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT)
        try:
            PyObject_GetBuffer(sizes, &size_view, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT)
            try:
                room = min(check_int64(&price_view, "prices"), check_int64(&size_view, "sizes"))
                if at < 0 or at > room:
                    raise ValueError(f"at {at}, expected 0 to {room}")
                walk.start = <text_t>text_view.buf
                walk.end = walk.start + text_view.len
                walk.price_exp = price_exp
                walk.size_exp = size_exp
                set_shape(&walk, shape)
                walk.quick = walk.form == PAIRS and MDTOOL_QUICK and is_quick(price_exp) and is_quick(size_exp)
                walk.marks = False
                walk.prices = <int64_t*>price_view.buf + at
                walk.sizes = <int64_t*>size_view.buf + at
                walk.room = room - at
                fault = walk_ladder(&walk)
                if fault == NO_ROOM:
                    raise ValueError(f"more than the {walk.room} levels the buffers hold behind {at}")
                if fault != NONE:
                    raise walk_failure(fault, &walk)
                return walk.count
            finally:
                PyBuffer_Release(&size_view)
        finally:
            PyBuffer_Release(&price_view)
    finally:
        PyBuffer_Release(&text_view)


include "wide.pxi"


def count(text):
    """Levels of a ladder of arrays: exact for a ladder, and an upper bound of what `parse` writes for any text."""
    cdef Py_buffer view
    cdef text_t p
    cdef Py_ssize_t i, opened = 0
    PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
    try:
        check_text(&view)
        p = <text_t>view.buf
        for i in range(view.len):
            opened += p[i] == c'['
        return opened - 1 if opened else 0
    finally:
        PyBuffer_Release(&view)


def decimal(text, int exp, bint signed=True):
    """The mantissa of one number (str or bytes-like) at 10**exp, as strict as a ladder's price; as its size where it is
    not `signed`. Of what 64 bits do not hold too, as `parse_wide`."""
    cdef Py_buffer view
    cdef text_t start, end, p
    cdef Number found
    cdef int64_t value = 0
    cdef Fault fault = NONE
    check_exponent(exp)
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
    try:
        check_text(&view)
        start = <text_t>view.buf
        end = start + view.len
        p = scan_number(start, end, signed, &found, &fault)
        if fault == NONE and p < end:
            fault = NEED_DIGIT
        if fault == NONE:
            p = start
            fault = evaluate(&found, exp, &value)
        if fault == OVERFLOW:
            fault = NONE
            wide = exact(&found, exp, &fault)
            if fault == NONE:
                return wide
        if fault != NONE:
            raise failure(fault, p, end, p - start, exp)
        return value
    finally:
        PyBuffer_Release(&view)
