# Ladders whose rows are other than `["price","size"]`: objects, and rows with more in them. Part of ladder.pyx, so
# that the compiler sees both as one.

cdef int set_shape(Walk* walk, object shape) except -1:
    """`shape` must outlive the walk, which points into its keys."""
    walk.form = PAIRS
    if shape is None:
        return 0
    price, size = shape
    if price == size:
        raise ValueError(f"shape {shape!r}: price and size are the same")
    if isinstance(price, str):
        walk.form = OBJECTS
        walk.price_key = PyUnicode_AsUTF8AndSize(price, &walk.price_key_size)
        walk.size_key = PyUnicode_AsUTF8AndSize(size, &walk.size_key_size)
    else:
        walk.form = ROWS
        walk.price_at = price
        walk.size_at = size
    return 0


cdef inline bint is_plain(unsigned char c) noexcept nogil:
    """A character of a bare number or word."""
    return c'0' <= c <= c'9' or c'a' <= (c | 0x20) <= c'z' or c == c'.' or c == c'-' or c == c'+'


cdef Fault skip_string(Walk* walk, text_t* at) noexcept nogil:
    """Moves `at`, which is at a quote, behind the string."""
    cdef text_t p = at[0] + 1, end = walk.end
    while p < end and p[0] != c'"' and p[0] >= 0x20:
        p += 2 if p[0] == c'\\' else 1
    if not is_at(p, end, c'"'):
        walk.fault_at = min(p, end)
        return NEED_CLOSING_QUOTE
    at[0] = p + 1
    return NONE


cdef Fault skip_value(Walk* walk, text_t* at) noexcept nogil:
    """Moves `at` behind a string, number or word, or behind a list or object, of which only the brackets count."""
    cdef text_t p = at[0], end = walk.end
    cdef Py_ssize_t opened = 0
    cdef Fault fault
    if is_at(p, end, c'"'):
        return skip_string(walk, at)
    if not (is_at(p, end, c'[') or is_at(p, end, c'{')):
        while p < end and is_plain(p[0]):
            p += 1
        walk.fault_at = p
        if p == at[0]:
            return NEED_SCALAR
        at[0] = p
        return NONE
    while p < end:
        if p[0] == c'"':
            fault = skip_string(walk, &p)
            if fault != NONE:
                return fault
            continue
        if p[0] == c'[' or p[0] == c'{':
            opened += 1
        elif p[0] == c']' or p[0] == c'}':
            opened -= 1
        p += 1
        if opened == 0:
            at[0] = p
            return NONE
    walk.fault_at = p
    return NEED_CLOSED


cdef inline bint is_key(text_t p, Py_ssize_t size, const char* key, Py_ssize_t key_size) noexcept nogil:
    return size == key_size and memcmp(p, key, size) == 0


cdef Fault shaped_level(Walk* walk, text_t* at, int64_t* price, int64_t* size) noexcept nogil:
    """The row or object at `at`, which moves behind it."""
    cdef text_t p = at[0], key
    cdef bint keyed = walk.form == OBJECTS
    cdef unsigned char closing = c'}' if keyed else c']'
    cdef bint is_price, is_size, has_price = False, has_size = False
    cdef int index = 0
    cdef Fault fault
    if not is_at(p, walk.end, c'{' if keyed else c'['):
        walk.fault_at = p
        return NEED_OBJECT if keyed else NEED_ROW
    p = skip_blanks(p + 1, walk.end)
    while True:
        if keyed:
            key = p
            if not is_at(p, walk.end, c'"'):
                walk.fault_at = p
                return NEED_KEY
            fault = skip_string(walk, &p)
            if fault != NONE:
                return fault
            is_price = is_key(key + 1, p - key - 2, walk.price_key, walk.price_key_size)
            is_size = is_key(key + 1, p - key - 2, walk.size_key, walk.size_key_size)
            if (is_price and has_price) or (is_size and has_size):
                walk.fault_at = key
                return NEED_ONCE
            p = skip_blanks(p, walk.end)
            if not is_at(p, walk.end, c':'):
                walk.fault_at = p
                return NEED_COLON
            p = skip_blanks(p + 1, walk.end)
        else:
            is_price = index == walk.price_at
            is_size = index == walk.size_at
        if is_price:
            fault = number(walk, &p, True, price)
            has_price = True
        elif is_size:
            fault = number(walk, &p, False, size)
            has_size = True
        else:
            fault = skip_value(walk, &p)
        if fault != NONE:
            return fault
        index += 1
        p = skip_blanks(p, walk.end)
        if is_at(p, walk.end, c','):
            p = skip_blanks(p + 1, walk.end)
            continue
        walk.fault_at = p
        if not is_at(p, walk.end, closing):
            return NEED_NEXT
        if not (has_price and has_size):
            return NEED_NUMBERS
        at[0] = p + 1
        return NONE
