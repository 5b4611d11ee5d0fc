# Part of ladder.pyx: a ladder measured, and read as Python's integers, which hold what int64 does not.


cdef object TEN = 10  # whose powers are Python's, and not C's


cdef object exact(Number* n, int exp, Fault* fault):
    """The same as one of Python's integers; None on a fault."""
    cdef int places = places_of(n)
    cdef text_t p = n.start, dot = n.end if n.dot == NULL else n.dot
    cdef char digits[MAX_WHOLE + MAX_EXP]
    cdef Py_ssize_t whole, left, count = 0
    if places > -exp:
        fault[0] = NEED_DIGITS
        return None
    while p < n.end and (p[0] == c'0' or p == dot):
        p += 1
    if p == n.end:
        return 0
    whole = (dot - p if p < dot else dot + 1 - p) + n.exponent  # digits before the point; below 0 for zeros behind it
    if whole > MAX_WHOLE:
        fault[0] = TOO_LARGE
        return None
    left = whole + places
    while left > 0:
        if p != dot:
            digits[count] = p[0]
            count += 1
            left -= 1
        p += 1
    value = int(digits[:count]) * TEN ** (-exp - places)
    return -value if n.negative else value


cdef int measure(Walk* walk, Py_buffer* view) except -1:
    """Finds the count and the finest exponents of the ladder in the buffer; the walk's shape is set."""
    cdef Fault fault
    check_text(view)
    walk.start = <text_t>view.buf
    walk.end = walk.start + view.len
    walk.price_exp = walk.size_exp = 0
    walk.quick = walk.marks = False
    walk.prices = walk.sizes = NULL
    walk.room = 0
    walk.finest_price = walk.finest_size = 0
    fault = walk_ladder(walk)
    if fault != NONE:
        raise walk_failure(fault, walk)
    return 0


def exponents(text, shape=None):
    """The coarsest exponents, at most 0, that hold every price and every size of a ladder exactly: (price, size)."""
    cdef Py_buffer view
    cdef Walk walk
    set_shape(&walk, shape)
    PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
    try:
        measure(&walk, &view)
        return walk.finest_price, walk.finest_size
    finally:
        PyBuffer_Release(&view)


cdef list marked(Walk* walk, const int64_t* marks, bint is_price, int exp):
    """The numbers that begin at these bytes of a ladder."""
    cdef Number found
    cdef Fault fault = NONE
    cdef Py_ssize_t i
    cdef list values = []
    for i in range(walk.count):
        scan_number(walk.start + marks[i], walk.end, is_price, &found, &fault)
        value = exact(&found, exp, &fault)
        if fault != NONE:
            raise failure(fault, walk.start + marks[i], walk.end, marks[i], exp)
        values.append(value)
    return values


def parse_wide(text, int price_exp, int size_exp, shape=None):
    """(prices, sizes) of a ladder as lists of Python's integers, which hold every number there is of at most 38 digits
    before the point and 38 behind it. Raises LadderError, NeedsDigits."""
    cdef Py_buffer view
    cdef Walk walk
    cdef int64_t* marks = NULL
    check_exponent(price_exp)
    check_exponent(size_exp)
    set_shape(&walk, shape)
    PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
    try:
        measure(&walk, &view)
        marks = <int64_t*>malloc(2 * sizeof(int64_t) * (walk.count + 1))
        if marks == NULL:
            raise MemoryError
        walk.marks = True
        walk.prices, walk.sizes, walk.room = marks, marks + walk.count, walk.count
        walk_ladder(&walk)
        return (
            marked(&walk, walk.prices, True, price_exp),
            marked(&walk, walk.sizes, False, size_exp),
        )
    finally:
        free(marks)
        PyBuffer_Release(&view)
