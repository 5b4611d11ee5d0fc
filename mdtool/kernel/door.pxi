# Part of book.pyx: the door. What passes here is in bounds.


cdef class Int64s:
    """A buffer of int64, held while it lives. Takes any iterable of ints too, by way of an array of its own."""

    cdef Py_buffer view
    cdef bint held
    cdef int64_t* at
    cdef Py_ssize_t count

    def __cinit__(self, source, str name, bint writable=False):
        cdef const char* format
        if not PyObject_CheckBuffer(source):
            if writable:
                raise TypeError(f"{name}: expected a writable buffer of int64, found {type(source).__name__}")
            source = array("q", source)
        PyObject_GetBuffer(source, &self.view, PyBUF_ND | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.held = True
        format = self.view.format
        if format != NULL and (format[0] == c'<' or format[0] == c'=' or format[0] == c'@'):
            format += 1
        if self.view.itemsize != 8 or format == NULL or format[1] != 0 or (format[0] != c'q' and format[0] != c'l'):
            raise ValueError(f"{name}: expected int64, found items of format {(<bytes>self.view.format).decode()!r}")
        self.at = <int64_t*>self.view.buf
        self.count = self.view.len // 8

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef int check_sizes(const int64_t* sizes, Py_ssize_t count) except -1:
    cdef int64_t signs = 0
    cdef Py_ssize_t i
    for i in range(count):
        signs |= sizes[i]
    if signs < 0:
        raise ValueError("a negative size, expected at least 0")
    return 0


cdef int check_pair(Int64s prices, Int64s sizes, str name) except -1:
    if prices.count != sizes.count:
        raise ValueError(f"{name}: {prices.count} prices and {sizes.count} sizes, expected as many of each")
    return check_sizes(sizes.at, sizes.count)


cdef int is_ask(int side) except -1:
    if side != 1 and side != 2:
        raise ValueError(f"side {side}, expected 1 (bid) or 2 (ask)")
    return side - 1


cdef int check_factors(price_factor, size_factor) except -1:
    if price_factor < 1 or size_factor < 1:
        raise ValueError(f"factors {price_factor} and {size_factor}, expected at least 1")
    return 0


cdef int64_t checked_factor(factor) except -1:
    if factor > INT64_MAX:
        raise OverflowError("a level beyond 64 bits")
    return factor


cdef int64_t multiplied(int64_t value, int64_t factor) except? -1:
    cdef wide product = <wide>value * factor
    if product > INT64_MAX or product < INT64_MIN:
        raise OverflowError("a level beyond 64 bits")
    return <int64_t>product


cdef int check_size(int64_t size) except -1:
    if size < 1:
        raise ValueError(f"size {size}, expected at least 1")
    return 0
