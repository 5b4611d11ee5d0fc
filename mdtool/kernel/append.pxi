# The writing side of a journal. Part of journal.pyx, so that the compiler sees both as one.

@cython.final
cdef class Appender:
    """The one writer of a journal.

    `make_room(recv_ns, length)` is called when the next record does not fit what is attached and backed by storage,
    or leaves the chunk's day; it extends (`allow`) or replaces (`attach`) the journal, or raises. So `append` stays
    the same bound method over any number of chunks.
    """

    cdef Py_buffer index_view
    cdef Py_buffer heap_view
    cdef bint attached
    cdef Row *rows
    cdef char *heap
    cdef uint64_t *committed_word
    cdef int64_t *times          # lowest, highest, disordered: in the header, so that readers need not scan
    cdef uint64_t count          # rows committed
    cdef uint64_t used           # heap bytes used
    cdef uint64_t rows_allowed   # rows and bytes that are backed by storage
    cdef uint64_t heap_allowed
    cdef int64_t since_ns        # records outside [since_ns, until_ns) belong to another chunk
    cdef int64_t until_ns
    cdef int64_t lowest_ns
    cdef int64_t highest_ns
    cdef bint is_ordered
    cdef readonly uint64_t appended_bytes  # payload bytes over all chunks
    cdef object make_room
    cdef Py_buffer histogram_view
    cdef uint64_t *histogram     # of nanoseconds from recv_ns to the commit, by powers of two; NULL: not measured
    cdef unsigned int appends    # since the last one that was measured

    def __cinit__(self, make_room):
        self.make_room = make_room
        self.appended_bytes = 0
        self.attached = False
        self.histogram = NULL

    def __dealloc__(self):
        self.release()
        if self.histogram != NULL:
            PyBuffer_Release(&self.histogram_view)

    def measure(self, histogram):
        """Count one append of SAMPLED_OF in `histogram`: 64 words of 8 bytes, of which word n has those whose commit
        came 2**n to 2**(n+1) ns after their recv_ns by the wall clock. What was received in the future counts as 0."""
        cdef Py_buffer view
        PyObject_GetBuffer(histogram, &view, PyBUF_WRITABLE)
        if view.len != BUCKETS * 8 or (<size_t>view.buf) & 7 or self.histogram != NULL:
            PyBuffer_Release(&view)
            raise ValueError("a histogram is 64 aligned words, and is given once")
        self.histogram_view = view
        self.histogram = <uint64_t *>view.buf
        self.appends = 0

    cdef void release(self):
        if self.attached:
            self.attached = False
            self.rows_allowed = self.heap_allowed = 0
            PyBuffer_Release(&self.index_view)
            PyBuffer_Release(&self.heap_view)

    def attach(self, index, heap, int64_t since_ns, int64_t until_ns):
        """Write to an empty journal from now on; both buffers writable. Nothing is allowed until `allow`."""
        cdef Py_buffer index_view, heap_view
        PyObject_GetBuffer(index, &index_view, PyBUF_WRITABLE)
        try:
            PyObject_GetBuffer(heap, &heap_view, PyBUF_WRITABLE)
        except BaseException:
            PyBuffer_Release(&index_view)
            raise
        if index_view.len < HEADER_BYTES + ROW_BYTES or (<size_t>index_view.buf) & 7:
            PyBuffer_Release(&index_view)
            PyBuffer_Release(&heap_view)
            raise ValueError("an index holds an aligned header and at least one row")
        self.release()
        self.index_view = index_view
        self.heap_view = heap_view
        self.attached = True
        self.rows = <Row *>(<char *>index_view.buf + HEADER_BYTES)
        self.heap = <char *>heap_view.buf
        self.committed_word = <uint64_t *>(<char *>index_view.buf + COMMITTED_AT)
        self.times = <int64_t *>(<char *>index_view.buf + TIMES_AT)
        self.count = self.used = 0
        self.since_ns, self.until_ns = since_ns, until_ns
        self.lowest_ns = self.highest_ns = 0
        self.is_ordered = True

    def allow(self, uint64_t rows, uint64_t heap_bytes):
        """How many rows and heap bytes may be written: what storage has been reserved for."""
        if not self.attached:
            raise ValueError("no journal is attached")
        if rows * ROW_BYTES + HEADER_BYTES > <uint64_t>self.index_view.len or heap_bytes > <uint64_t>self.heap_view.len:
            raise ValueError("more room allowed than the journal has")
        self.rows_allowed = rows
        self.heap_allowed = heap_bytes

    def detach(self):
        """Let go of the buffers; the next append asks for room."""
        self.release()

    @property
    def count_committed(self):
        """Rows committed to the attached journal."""
        return self.count

    @property
    def heap_used(self):
        """Heap bytes used."""
        return self.used

    @property
    def time_range(self):
        """(lowest, highest) recv_ns committed; (0, 0) before the first."""
        return self.lowest_ns, self.highest_ns

    @property
    def ordered(self):
        """Whether no receive time has stepped back."""
        return self.is_ordered

    def append(self, int64_t recv_ns, uint8_t kind, uint16_t stream, uint32_t session, payload, uint8_t flags=0):
        """Append one record and commit it. `payload`: bytes, or anything with a contiguous buffer."""
        cdef Py_buffer view
        if PyBytes_CheckExact(payload):
            self.put(recv_ns, kind, stream, session, flags, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
            return
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.put(recv_ns, kind, stream, session, flags, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int put(self, int64_t recv_ns, uint8_t kind, uint16_t stream, uint32_t session, uint8_t flags,
                 const char *data, Py_ssize_t length) except -1:
        cdef uint64_t used
        cdef Row *row
        if not self.fits(recv_ns, length):
            if length > 0xFFFFFFFF:
                raise ValueError(f"a payload of {length} bytes: a record holds at most 4 GiB")
            self.make_room(recv_ns, length)
            if not self.fits(recv_ns, length):
                raise RuntimeError("make_room made no room")
        used = self.used
        memcpy(self.heap + used, data, length)
        row = &self.rows[self.count]
        row.recv_ns = recv_ns
        row.offset = used
        row.length = <uint32_t>length
        row.crc32c = 0
        row.stream = stream
        row.kind = kind
        row.flags = flags
        row.session = session
        row.crc32c = mdtool_crc32c(
            mdtool_crc32c(0, <const unsigned char *>row, ROW_BYTES), <const unsigned char *>data, length)
        self.used = used + length
        self.appended_bytes += length
        if self.count == 0:
            self.lowest_ns = self.highest_ns = recv_ns
            self.times[0] = self.times[1] = recv_ns
        elif recv_ns >= self.highest_ns:
            self.highest_ns = recv_ns
            self.times[1] = recv_ns
        else:
            self.is_ordered = False
            self.times[2] = 1
            if recv_ns < self.lowest_ns:
                self.lowest_ns = self.times[0] = recv_ns
        self.count += 1
        mdtool_store_release(self.committed_word, self.count)
        if self.histogram != NULL:
            self.appends += 1
            if self.appends == SAMPLED:
                self.appends = 0
                self.took(recv_ns)
        return 0

    cdef void took(self, int64_t recv_ns) noexcept:
        cdef timespec now
        cdef int64_t ns
        clock_gettime(CLOCK_REALTIME, &now)
        ns = <int64_t>now.tv_sec * 1000000000 + now.tv_nsec - recv_ns
        self.histogram[63 - __builtin_clzll(<unsigned long long>ns) if ns > 0 else 0] += 1

    cdef inline bint fits(self, int64_t recv_ns, Py_ssize_t length) noexcept:
        return (self.count < self.rows_allowed and self.used + <uint64_t>length <= self.heap_allowed
                and self.since_ns <= recv_ns < self.until_ns)
