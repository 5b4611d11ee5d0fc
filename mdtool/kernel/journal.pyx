# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=False
"""Append, commit, read: the journal under every chunk.

A journal is two buffers: an index of 32-byte rows behind one page of header, and a heap of payloads. The writer puts
the payload into the heap, the row into the index, and then release-stores the committed count; a reader
acquire-loads the count and reads below it. Nothing here opens, grows or interprets a file: storage/ does.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cimport cython


cdef extern from "crc32c.h" nogil:
    void mdtool_crc_init()
    int mdtool_crc_hardware
    uint32_t mdtool_crc32c(uint32_t crc, const unsigned char *p, size_t n)
    uint32_t mdtool_crc32c_table(uint32_t crc, const unsigned char *p, size_t n)
    uint32_t mdtool_crc32c_hardware(uint32_t crc, const unsigned char *p, size_t n)


cdef extern from "atomic.h" nogil:
    void mdtool_store_release(uint64_t *p, uint64_t v)
    uint64_t mdtool_load_acquire(const uint64_t *p)


cdef extern from "atomic.h" nogil:
    int MADV_POPULATE_WRITE
    int madvise(void *address, size_t length, int advice)


cdef packed struct Row:
    int64_t recv_ns
    uint64_t offset
    uint32_t length
    uint32_t crc32c
    uint16_t stream
    uint8_t kind
    uint8_t flags
    uint32_t session


cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil


cdef enum:
    ROW_BYTES = 32
    HEADER_BYTES = 4096
    COMMITTED_AT = 256  # alone on its cache line
    SAMPLED = 16  # one append of so many is measured
    BUCKETS = 64
    TIMES_AT = 320  # lowest and highest recv_ns, and whether one ever stepped back

# storage/format/layout.py owns the format; a test holds these equal to it.
ROW_SIZE = ROW_BYTES
HEADER_SIZE = HEADER_BYTES
COMMITTED_OFFSET = COMMITTED_AT
TIMES_OFFSET = TIMES_AT
SAMPLED_OF = SAMPLED

mdtool_crc_init()


class CrcError(ValueError):
    """A record whose bytes contradict its CRC, or that lies outside its heap. `row` is its number in the chunk."""

    def __init__(self, row, found, expected):
        super().__init__(f"row {row}: crc {found:08x}, expected {expected:08x}")
        self.row = row


def has_hardware_crc():
    """Whether this CPU computes CRC-32C itself."""
    return bool(mdtool_crc_hardware)


def crc32c(data, uint32_t crc=0):
    """CRC-32C of bytes-like `data`, continuing from `crc`."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return mdtool_crc32c(crc, <const unsigned char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def crc32c_software(data, uint32_t crc=0):
    """The same by table, whatever the CPU can do."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return mdtool_crc32c_table(crc, <const unsigned char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef inline uint32_t row_crc(const Row *row, const unsigned char *payload) noexcept nogil:
    # The row with its crc field as zero, then the payload: neither can change unseen.
    cdef Row plain = row[0]
    plain.crc32c = 0
    return mdtool_crc32c(mdtool_crc32c(0, <const unsigned char *>&plain, ROW_BYTES), payload, row.length)


cdef uint64_t *aligned_word(Py_buffer *view, Py_ssize_t offset) except NULL:
    if offset < 0 or offset + 8 > view.len:
        raise IndexError(f"offset {offset} is outside a buffer of {view.len} bytes")
    cdef char *p = <char *>view.buf + offset
    if (<size_t>p) & 7:
        raise ValueError(f"offset {offset} is not 8-byte aligned")
    return <uint64_t *>p


def store_release(buffer, Py_ssize_t offset, uint64_t value):
    """Publish an aligned u64 in a shared mapping: everything written before it is visible to who loads it."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        mdtool_store_release(aligned_word(&view, offset), value)
    finally:
        PyBuffer_Release(&view)


def load_acquire(buffer, Py_ssize_t offset):
    """Load an aligned u64 another process publishes with `store_release`."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        return mdtool_load_acquire(aligned_word(&view, offset))
    finally:
        PyBuffer_Release(&view)


def populate(buffer, Py_ssize_t start, Py_ssize_t stop):
    """Fault the pages of [start, stop) of a shared mapping in for writing, all at once and without the GIL; False where
    the kernel cannot (before 5.14). `start` is a multiple of the page size."""
    cdef Py_buffer view
    cdef int failed
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        if not 0 <= start <= stop <= view.len:
            raise IndexError(f"[{start}, {stop}) is outside a buffer of {view.len} bytes")
        with nogil:
            failed = madvise(<char *>view.buf + start, stop - start, MADV_POPULATE_WRITE)
        return not failed
    finally:
        PyBuffer_Release(&view)


def fill_crcs(rows, heap, uint64_t heap_start=0):
    """Give each of a writable run of bare rows the CRC of itself and its payload in `heap`, whose first byte is at
    offset `heap_start`: rows made of a part's columns. Raises IndexError where a payload lies outside."""
    cdef Py_buffer row_view
    cdef Py_buffer heap_view
    cdef Row *row
    cdef uint64_t at
    cdef Py_ssize_t number, count
    PyObject_GetBuffer(rows, &row_view, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(heap, &heap_view, PyBUF_SIMPLE)
        try:
            count = row_view.len // ROW_BYTES
            for number in range(count):
                row = <Row *>row_view.buf + number
                at = row.offset - heap_start
                if (row.offset < heap_start or row.length > <uint64_t>heap_view.len
                        or at > <uint64_t>heap_view.len - row.length):
                    raise IndexError(f"row {number} lies outside a heap of {heap_view.len} bytes")
                row.crc32c = row_crc(row, <const unsigned char *>heap_view.buf + at)
        finally:
            PyBuffer_Release(&heap_view)
    finally:
        PyBuffer_Release(&row_view)


def first_torn(slots, Py_ssize_t size):
    """The first of many slots of `size` bytes whose last four are not the CRC-32C of the others, or None."""
    cdef Py_buffer view
    cdef Py_ssize_t number
    cdef const unsigned char *slot
    cdef uint32_t said
    PyObject_GetBuffer(slots, &view, PyBUF_SIMPLE)
    try:
        if size < 4 or view.len % size:
            raise ValueError(f"{view.len} bytes are no slots of {size}")
        for number in range(view.len // size):
            slot = <const unsigned char *>view.buf + number * size
            memcpy(&said, slot + size - 4, 4)
            if mdtool_crc32c(0, slot, size - 4) != said:
                return number
        return None
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Word:
    """An aligned u64 in a shared mapping that another process publishes: `value` is an acquire-load, made cheap for who
    polls it."""

    cdef Py_buffer view
    cdef bint held
    cdef uint64_t *word

    def __cinit__(self, buffer, Py_ssize_t offset):
        self.held = False
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE)
        self.held = True
        self.word = aligned_word(&self.view, offset)

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    @property
    def value(self):
        return mdtool_load_acquire(self.word)


include "append.pxi"


cdef class Journal


@cython.final
@cython.freelist(256)
cdef class Record:
    """One message as received. `payload` is copied out of the mapping when asked for; the record keeps its chunk
    mapped, so it stays readable after the chunk is sealed or removed."""

    cdef readonly int64_t recv_ns
    cdef readonly uint32_t length
    cdef readonly uint32_t session
    cdef readonly uint16_t stream
    cdef readonly uint8_t kind
    cdef readonly uint8_t flags
    cdef uint64_t row
    cdef Journal journal
    cdef const char *data

    @property
    def payload(self):
        """The bytes received, exact."""
        return PyBytes_FromStringAndSize(self.data, self.length)

    @property
    def tag(self):
        """Stream, kind, flags and session as one integer: equal tags, equal all four."""
        return (<uint64_t>self.session << 32) | (<uint64_t>self.flags << 24) | (<uint64_t>self.kind << 16) | self.stream

    @property
    def position(self):
        """Where it stands in its feed: chunk id << 32 | row."""
        return self.journal.base_position + self.row

    def __repr__(self):
        return (f"Record(recv_ns={self.recv_ns}, kind={self.kind}, stream={self.stream}, session={self.session}, "
                f"flags={self.flags}, length={self.length})")


@cython.final
cdef class Journal:
    """A read-only view of a journal: `index` with header and rows, or (header=False) bare rows such as a part gives.

    `base_position` is added to a row's number to give a record's position. `fault(row, found, expected)` makes the
    exception raised for a record whose CRC does not hold, so that the caller's can say which file it is.
    """

    cdef Py_buffer index_view
    cdef Py_buffer heap_view
    cdef int views
    cdef const Row *rows
    cdef const char *heap
    cdef const uint64_t *committed_word
    cdef uint64_t capacity
    cdef readonly uint64_t base_position
    cdef object fault

    def __cinit__(self, index, heap, uint64_t base_position=0, bint header=True, fault=CrcError):
        self.fault = fault
        cdef Py_ssize_t skip = HEADER_BYTES if header else 0
        self.views = 0
        PyObject_GetBuffer(index, &self.index_view, PyBUF_SIMPLE)
        self.views = 1
        PyObject_GetBuffer(heap, &self.heap_view, PyBUF_SIMPLE)
        self.views = 2
        if self.index_view.len < skip or (header and (<size_t>self.index_view.buf) & 7):
            raise ValueError(f"an index of {self.index_view.len} bytes has no header")
        self.rows = <const Row *>(<char *>self.index_view.buf + skip)
        self.capacity = (self.index_view.len - skip) // ROW_BYTES
        self.heap = <const char *>self.heap_view.buf
        self.committed_word = <const uint64_t *>(<char *>self.index_view.buf + COMMITTED_AT) if header else NULL
        self.base_position = base_position

    def __dealloc__(self):
        if self.views > 0:
            PyBuffer_Release(&self.index_view)
        if self.views > 1:
            PyBuffer_Release(&self.heap_view)

    cdef inline uint64_t load_committed(self) noexcept:
        cdef uint64_t n
        if self.committed_word == NULL:
            return self.capacity
        n = mdtool_load_acquire(self.committed_word)
        return n if n < self.capacity else self.capacity  # a corrupt count never leads outside the mapping

    @property
    def committed(self):
        """Rows that may be read now."""
        return self.load_committed()

    cdef Record make(self, uint64_t number, bint verify):
        cdef const Row *row = &self.rows[number]
        cdef uint32_t found
        cdef Record record
        # `offset > len - length` and not `offset + length > len`: a corrupt offset must not wrap around.
        if row.length > <uint64_t>self.heap_view.len or row.offset > <uint64_t>self.heap_view.len - row.length:
            raise self.fault(number, 0, row.crc32c)
        if verify:
            found = row_crc(row, <const unsigned char *>self.heap + row.offset)
            if found != row.crc32c:
                raise self.fault(number, found, row.crc32c)
        record = Record.__new__(Record)
        record.recv_ns = row.recv_ns
        record.length = row.length
        record.session = row.session
        record.stream = row.stream
        record.kind = row.kind
        record.flags = row.flags
        record.row = number
        record.journal = self
        record.data = self.heap + row.offset
        return record

    def record(self, uint64_t number, bint verify=True):
        """Record `number`. Raises IndexError beyond what is committed, CrcError where its bytes are not its own."""
        if number >= self.load_committed():
            raise IndexError(f"row {number} is not committed")
        return self.make(number, verify)

    def records(self, uint64_t start, uint64_t stop, bint verify=True):
        """Iterate rows [start, stop); stop is capped to what is committed now."""
        cdef uint64_t committed = self.load_committed()
        return Cursor(self, start, stop if stop < committed else committed, verify)

    def check(self, uint64_t start, uint64_t stop):
        """The first row in [start, stop) whose CRC does not hold, or None."""
        cdef uint64_t committed = self.load_committed()
        cdef uint64_t number
        cdef const Row *row
        for number in range(start, stop if stop < committed else committed):
            row = &self.rows[number]
            if row.length > <uint64_t>self.heap_view.len or row.offset > <uint64_t>self.heap_view.len - row.length:
                return number
            if row_crc(row, <const unsigned char *>self.heap + row.offset) != row.crc32c:
                return number
        return None


@cython.final
cdef class Cursor:
    """Iterator over a run of rows. `next_row` is where it stands, also after an error or an early stop."""

    cdef Journal journal
    cdef readonly uint64_t next_row
    cdef uint64_t stop
    cdef bint verify

    def __cinit__(self, Journal journal not None, uint64_t start, uint64_t stop, bint verify):
        if stop > journal.load_committed():
            raise IndexError(f"row {stop} is not committed")
        self.journal = journal
        self.next_row = start
        self.stop = stop
        self.verify = verify

    def take(self, Py_ssize_t limit):
        """At most `limit` more records of those committed by now, beyond the run's end too; [] when there is none. An
        error about the first is raised; one about a later is left for the next call, so that none before it is lost."""
        cdef uint64_t committed = self.journal.load_committed()
        cdef list taken = []
        while self.next_row < committed and limit > 0:
            try:
                taken.append(self.journal.make(self.next_row, self.verify))
            except Exception:
                if taken:
                    break
                raise
            self.next_row += 1
            limit -= 1
        if self.next_row > self.stop:
            self.stop = self.next_row
        return taken

    def __iter__(self):
        return self

    def __next__(self):
        cdef Record record
        if self.next_row >= self.stop:
            raise StopIteration
        record = self.journal.make(self.next_row, self.verify)
        self.next_row += 1
        return record
