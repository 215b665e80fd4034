# cython: language_level=3
"""The memory-hard part of scrypt: with large pages and read ahead half of the time of OpenSSL's.

Short commands consist of little else.
"""

from libc.stdint cimport uint8_t

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t length)
    char *PyBytes_AsString(object data) except NULL

cdef extern from "scrypt.h" nogil:
    int scrypt_romix(uint8_t *data, size_t n, size_t r, int way)


def romix(bytes block, size_t n, size_t r, int way=-1):
    """Return the result of ROMix for 128 * r bytes; n is a power of two.

    ``way`` is one of the ways of scrypt.h, for tests; ``ValueError`` where this processor does not have it.
    """
    cdef uint8_t *data
    cdef int status
    if not r or len(block) != 128 * r or n < 2 or n & (n - 1):
        raise ValueError("these are no parameters of scrypt")
    mixed = PyBytes_FromStringAndSize(PyBytes_AsString(block), len(block))
    data = <uint8_t *>PyBytes_AsString(mixed)
    with nogil:
        status = scrypt_romix(data, n, r, way)
    if status == -2:
        raise ValueError("this processor does not have this way")
    if status != 0:
        raise MemoryError
    return mixed
