"""What the two native modules of index files share: layout of a file in memory, look-up by position, merging."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    DAMAGED = -1
    NONE = 0
    FOUND = 1

    MAX_KEY = 33
    HEADER_V1 = 8
    HEADER_V2 = 17
    VALUE_V1 = 20
    NARROWEST_V2 = 16
    WIDEST_V2 = 19
    PACK_V2 = 5
    FORMAT_V2 = 6
    PREFIXES = 21  # none, and g to z

cdef struct Table:
    const uint8_t *data
    size_t size
    size_t entries_at
    size_t count
    size_t key_size
    size_t value_size
    size_t stride
    size_t packs_at
    size_t pack_count
    size_t formats_at
    size_t format_count
    uint64_t base_time
    uint32_t overhead
    size_t starts[PREFIXES + 1]  # of the entries of each prefix, when is_split
    int version
    bint is_split
    bint released

cdef struct Row:
    const uint8_t *name
    size_t name_length
    uint64_t name_number  # which name of its file this is; equal numbers, equal names
    bint is_unnamed  # the name is INVALID_NAME, which stands in no file
    uint64_t timestamp
    uint32_t original_length
    uint32_t packed_length
    uint32_t pack_offset
    uint32_t compression
    bint deleted
    uint8_t format_version
    uint8_t key_id

cdef struct Cursor:
    const Table *table
    const uint8_t *key
    size_t position
    size_t end
    size_t number  # of the table

cdef struct Place:
    uint32_t table
    uint32_t position


cdef inline uint32_t big16(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 8 | at[1]


cdef inline uint32_t big24(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 16 | <uint32_t>at[1] << 8 | at[2]


cdef inline uint32_t big32(const uint8_t *at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline bint is_id(const uint8_t *key) noexcept nogil:
    return key[0] == 0 or 103 <= key[0] <= 122  # g to z


cdef inline const uint8_t *key_at(const Table *table, size_t position) noexcept nogil:
    return table.data + table.entries_at + position * table.stride


cdef bint read_row(const Table *table, size_t position, Row *row) noexcept nogil


cdef class IndexTable:
    cdef Table table
    cdef Py_buffer view
    cdef bint held
    cdef int users
    cdef str name
    cdef dict names_v1
    cdef PyObject **names_v2  # by the number of the pack; made when the first is asked for

    cdef void let_go(self)
    cdef int use(self) except -1
    cdef void done(self)
    cdef int check(self, Py_ssize_t position) except -1
    cdef object entry_at(self, size_t position)
    cdef int refuse_key(self, size_t position) except -1
    cdef object name_of(self, const Row *row)
    cdef object decoded(self, const Row *row)


cdef class Winners:
    cdef tuple tables
    cdef Table **pointers
    cdef Cursor *heap
    cdef size_t count
    cdef int64_t deleted_after  # deleted entries up to this time are passed over
    cdef Cursor fault  # where damage was met

    cdef int refuse(self) except -1
    cdef int next_place(self, Place *place) noexcept nogil
    cdef bint take_better(self, Place *place, Row *best, Row *row) noexcept nogil
    cdef bint take(self, Place *place, Row *row) noexcept nogil
