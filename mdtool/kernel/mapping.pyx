# cython: language_level=3, embedsignature=False
"""A file mapped whole, as a buffer.

Rule: it lives for as long as anybody has a view of it, keeps no descriptor (the standard library's mmap keeps one of
its own), and is no part of a reference cycle, so that what reads it may be.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport EFAULT, ENOMEM, errno
from libc.string cimport strerror


cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)

cdef enum:
    MADV_DONTNEED = 4
    MADV_POPULATE_READ = 22  # since Linux 5.14; before, a hole is taken as it is
    PAGE = 4096

cdef char nothing = 0


cdef class FileMap:
    """`size` bytes of an open file, shared. Raises OSError."""

    cdef void *address
    cdef Py_ssize_t size
    cdef readonly bint writable

    def __cinit__(self, int fd, Py_ssize_t size, bint writable=False):
        self.address = NULL
        self.writable = writable
        self.size = 0
        if size <= 0:
            return
        cdef void *address = mmap(NULL, size, PROT_READ | (PROT_WRITE if writable else 0), MAP_SHARED, fd, 0)
        if address == MAP_FAILED:
            raise OSError(errno, strerror(errno).decode())
        self.address = address
        self.size = size

    def __dealloc__(self):
        if self.address != NULL:
            munmap(self.address, self.size)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        cdef void *start = self.address if self.address != NULL else <void *>&nothing
        PyBuffer_FillInfo(buffer, self, start, self.size, not self.writable, flags)

    def __getitem__(self, key):
        return memoryview(self)[key]

    def __setitem__(self, key, value):
        memoryview(self)[key] = value

    def is_backed(self, Py_ssize_t start, Py_ssize_t stop):
        """Whether these bytes can be read: storage for what is a hole among them is found now, where it may be."""
        cdef Py_ssize_t first = start - start % PAGE
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"bytes {start} to {stop} of {self.size}")
        if first == stop or madvise(<char *>self.address + first, stop - first, MADV_POPULATE_READ) == 0:
            return True
        return errno not in (EFAULT, ENOMEM)

    def forget(self, Py_ssize_t start, Py_ssize_t stop):
        """Give back the memory that the whole pages of [start, stop) take in this process. They stay what they are in
        the file, whatever of them is not on disk yet, and come back when they are looked at."""
        cdef Py_ssize_t first = start + (-start) % PAGE
        cdef Py_ssize_t end = stop - stop % PAGE
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"bytes {start} to {stop} of {self.size}")
        if first < end:
            madvise(<char *>self.address + first, end - first, MADV_DONTNEED)
