# Part of ladder.pyx: one number, from its text to a mantissa.


cdef struct Number:  # as it is written
    text_t start  # its first digit
    text_t end  # behind its last one, the exponent's apart
    text_t dot  # NULL: none
    int exponent
    bint negative


cdef text_t scan_number(text_t p, text_t end, bint has_sign, Number* found, Fault* fault) noexcept nogil:
    """The end of the number at `p`; on a fault, where. A minus is taken where it may have a sign."""
    cdef text_t start
    cdef bint below
    found.dot = NULL
    found.exponent = 0
    found.negative = has_sign and is_at(p, end, c'-')
    p += found.negative
    start = found.start = p
    while p < end and c'0' <= p[0] <= c'9':
        p += 1
    if p == start:
        fault[0] = NEED_DIGIT
        return p
    if is_at(p, end, c'.'):
        found.dot = p
        p += 1
        start = p
        while p < end and c'0' <= p[0] <= c'9':
            p += 1
        if p == start:
            fault[0] = NEED_DIGIT
            return p
    found.end = p
    if p < end and (p[0] | 0x20) == c'e':
        p += 1
        below = is_at(p, end, c'-')
        if below or is_at(p, end, c'+'):
            p += 1
        start = p
        while p < end and c'0' <= p[0] <= c'9':
            found.exponent = <int>min(<int64_t>found.exponent * 10 + (p[0] - c'0'), FAR)
            p += 1
        if p == start:
            fault[0] = NEED_DIGIT
            return p
        if below:
            found.exponent = -found.exponent
    return p


cdef int places_of(Number* n) noexcept nogil:
    """The power of ten of the last digit that is not 0, negated: 2 of "1.230", -3 of "5e3". A zero needs no place."""
    cdef text_t p = n.end
    while p > n.start:
        p -= 1
        if p[0] != c'0' and p != n.dot:
            if n.dot == NULL or p < n.dot:
                return <int>(p + 1 - (n.end if n.dot == NULL else n.dot)) - n.exponent
            return <int>(p - n.dot) - n.exponent
    return -FAR


cdef Fault evaluate(Number* n, int exp, int64_t* value) noexcept nogil:
    """The mantissa of a scanned number at 10**exp."""
    cdef int i, places = places_of(n)
    cdef text_t p = n.start
    cdef uint64_t mantissa = 0
    cdef unsigned int digit
    cdef Py_ssize_t left  # digits up to the last one that is not 0
    value[0] = 0
    if places > -exp:
        return NEED_DIGITS
    left = (n.end if n.dot == NULL else n.dot) - n.start + places + n.exponent
    while left > 0 and p < n.end:
        if p != n.dot:
            digit = p[0] - c'0'
            if mantissa > (<uint64_t>INT64_MAX - digit) // 10:
                return OVERFLOW
            mantissa = mantissa * 10 + digit
            left -= 1
        p += 1
    if mantissa == 0:
        return NONE
    for i in range(-exp - places):
        if mantissa > <uint64_t>INT64_MAX // 10:
            return OVERFLOW
        mantissa *= 10
    value[0] = -<int64_t>mantissa if n.negative else <int64_t>mantissa
    return NONE


cdef Fault number(Walk* walk, text_t* at, bint is_price, int64_t* value) noexcept nogil:
    """One number, quoted or (other shapes) bare: moves `at` behind it."""
    cdef text_t start, p = at[0]
    cdef Fault fault = NONE
    cdef Number found
    cdef int places, exp = walk.price_exp if is_price else walk.size_exp
    cdef bint quoted = is_at(p, walk.end, c'"')
    walk.fault_at = p
    if not quoted and walk.form == PAIRS:
        return NEED_QUOTE
    start = p + quoted
    p = scan_number(start, walk.end, is_price, &found, &fault)
    walk.fault_at = p
    if fault != NONE:
        return fault
    if quoted and not is_at(p, walk.end, c'"'):
        return NEED_CLOSING_QUOTE
    at[0] = p + quoted
    walk.fault_at = start
    walk.fault_exp = exp
    if walk.prices == NULL:
        places = places_of(&found)
        if places > MAX_EXP:
            walk.fault_exp = -MAX_EXP
            return NEED_DIGITS
        if is_price:
            walk.finest_price = min(walk.finest_price, -places)
        else:
            walk.finest_size = min(walk.finest_size, -places)
        return NONE
    if walk.marks:
        value[0] = start - walk.start
        return NONE
    return evaluate(&found, exp, value)
