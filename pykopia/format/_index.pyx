# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""Native twin of ``index`` and of the look-ups of ``index_merge``, on the bytes where they lie."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp

from pykopia.format.index_layout import INVALID_NAME, IndexEntry, damaged, decode_name, encode_name

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *text, Py_ssize_t length)
    int PyBytes_AsStringAndSize(object text, char **buffer, Py_ssize_t *length) except -1
    object PyObject_CallObject(object callable, object arguments)
    object PyUnicode_FromStringAndSize(const char *text, Py_ssize_t length)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *length) except NULL

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define FETCH_AHEAD(address) __builtin_prefetch(address)
    #else
    #define FETCH_AHEAD(address) ((void)(address))
    #endif
    """
    void FETCH_AHEAD(const void *address) nogil

cdef enum:
    FEW = 8  # entries that are searched by halves alone
    FIRST_PREFIX = 103  # g

cdef object make_entry = IndexEntry
cdef uint32_t DELETED = 0x80000000
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef double WHOLE = 2.0**64
cdef char *DIGITS = "0123456789abcdef"
cdef bytes NO_NAME_BYTES = encode_name(INVALID_NAME)
cdef const uint8_t *NO_NAME_TEXT = NO_NAME_BYTES
cdef size_t NO_NAME_LENGTH = len(NO_NAME_BYTES)

cdef inline int compare(const uint8_t *left, size_t left_size, const uint8_t *right, size_t right_size) noexcept nogil:
    cdef int order = memcmp(left, right, left_size if left_size < right_size else right_size)
    return order if order else <int>(left_size > right_size) - <int>(left_size < right_size)


# --- one file


cdef inline uint64_t number_of(const uint8_t *key, size_t size) noexcept nogil:
    """Return the first eight bytes of a hash as a number."""
    cdef uint64_t number = 0
    cdef size_t i
    if size > 8:
        return <uint64_t>big32(key + 1) << 32 | big32(key + 5)
    for i in range(1, 9):
        number = number << 8 | (key[i] if i < size else 0)
    return number


cdef inline int order_of(const Table *table, size_t position, const uint8_t *key) noexcept nogil:
    return memcmp(key_at(table, position), key, table.key_size)


cdef size_t first_of(const Table *table, uint8_t prefix) noexcept nogil:
    """Find the first entry whose prefix is not less."""
    cdef size_t low = 0, high = table.count, middle
    while low < high:
        middle = low + (high - low) // 2
        if key_at(table, middle)[0] < prefix:
            low = middle + 1
        else:
            high = middle
    return low


cdef void split(Table *table) noexcept nogil:
    """Find where the entries of each prefix begin."""
    cdef size_t place
    for place in range(1, PREFIXES + 1):
        table.starts[place] = first_of(table, <uint8_t>(FIRST_PREFIX + place - 1))
    table.starts[0] = 0
    table.is_split = True


cdef inline size_t radius_of(size_t width) noexcept nogil:
    """Return how far a key is seldom from where its number lets it be: about the root of the count of entries."""
    cdef size_t radius = 4
    while radius * radius < width:
        radius *= 2
    return radius


cdef inline void fetch_ahead(Table *table, const uint8_t *key) noexcept nogil:
    """Have the memory fetched that ``search`` begins with: fetching for several files at once takes as long as for one."""
    cdef size_t low, width, guess, radius
    if not is_id(key) or not table.is_split:
        return
    low = table.starts[key[0] - FIRST_PREFIX + 1 if key[0] else 0]
    width = table.starts[key[0] - FIRST_PREFIX + 2 if key[0] else 1] - low
    guess = low + <size_t>(<double>number_of(key, table.key_size) / WHOLE * <double>width)
    radius = radius_of(width)
    if guess < table.count:
        FETCH_AHEAD(key_at(table, guess))
    if guess + radius < table.count:
        FETCH_AHEAD(key_at(table, guess + radius))
    if guess - radius < table.count:
        FETCH_AHEAD(key_at(table, guess - radius))


cdef bint search(Table *table, const uint8_t *key, size_t *found) noexcept nogil:
    """Find the first entry of a key of the table's key size.

    Within the entries of one prefix a key lies about where its share of all numbers is, so two looks there leave few
    entries; when they do not, the range is halved. In a file that is out of order an entry may not be found.
    """
    cdef size_t low = 0, high = table.count, width, radius, middle, place
    cdef uint64_t wanted = number_of(key, table.key_size), least = 0, most = 0xFFFFFFFFFFFFFFFF
    if is_id(key):
        if not table.is_split:
            split(table)
        place = key[0] - FIRST_PREFIX + 1 if key[0] else 0
        low = table.starts[place]
        high = table.starts[place + 1]
        while low < high and high - low > FEW:
            width = high - low
            radius = radius_of(width)
            middle = low + width // 2
            if least <= wanted <= most and least < most:
                middle = low + <size_t>(<double>(wanted - least) / <double>(most - least) * <double>width)
            if middle >= high:
                middle = high - 1
            if order_of(table, middle, key) < 0:
                low = middle + 1
                least = number_of(key_at(table, middle), table.key_size)
                middle += radius
            else:
                high = middle
                most = number_of(key_at(table, middle), table.key_size)
                middle -= radius  # below zero it is beyond the end
            for _ in range(2):
                if low <= middle < high:
                    if order_of(table, middle, key) < 0:
                        low = middle + 1
                        least = number_of(key_at(table, middle), table.key_size)
                    else:
                        high = middle
                        most = number_of(key_at(table, middle), table.key_size)
                if low >= high or high - low <= width // 2:
                    break
                middle = low + (high - low) // 2
    while low < high:
        middle = low + (high - low) // 2
        if order_of(table, middle, key) < 0:
            low = middle + 1
        else:
            high = middle
    found[0] = low
    return low < table.count and order_of(table, low, key) == 0


cdef bint read_row(const Table *table, size_t position, Row *row) noexcept nogil:
    """Decode a value; False when the name of its pack lies outside a file of version 2."""
    cdef const uint8_t *value = key_at(table, position) + table.key_size
    cdef const uint8_t *entry
    cdef uint32_t offset, number
    cdef size_t at
    row.is_unnamed = False
    if table.version == 1:
        row.timestamp = <uint64_t>big16(value) << 32 | big32(value + 2)
        row.format_version = value[6]
        row.name_length = value[7]
        at = big32(value + 8)
        offset = big32(value + 12)
        row.packed_length = big32(value + 16)
        row.original_length = row.packed_length - table.overhead
        row.compression = 0
        row.key_id = 0
        row.name_number = <uint64_t>at << 8 | row.name_length
        if at + row.name_length <= table.size:
            row.name = table.data + at
        else:
            no_name(row)
    else:
        row.timestamp = table.base_time + big32(value)
        offset = big32(value + 4)
        row.original_length = big24(value + 8)
        row.packed_length = big24(value + 11)
        number = big16(value + 14)
        at = value[16] if table.value_size > 16 else 0
        if table.value_size > 17:
            number |= <uint32_t>value[17] << 16
        if table.value_size > 18:
            row.original_length |= <uint32_t>(value[18] >> 4) << 24
            row.packed_length |= <uint32_t>(value[18] & 15) << 24
        if at < table.format_count:
            entry = table.data + table.formats_at + at * FORMAT_V2
            row.compression = big32(entry)
            row.format_version = entry[4]
            row.key_id = entry[5]
        else:
            row.compression = 0xFFFF
            row.format_version = 255
            row.key_id = 255
        row.name_number = number
        if number < table.pack_count:
            entry = table.data + table.packs_at + number * <size_t>PACK_V2
            row.name_length = entry[0]
            at = big32(entry + 1)
            if at + row.name_length > table.size:
                return False
            row.name = table.data + at
        else:
            no_name(row)
    row.deleted = offset & DELETED != 0
    row.pack_offset = offset & ~DELETED
    return True


cdef inline void no_name(Row *row) noexcept nogil:
    row.name = NO_NAME_TEXT
    row.name_length = NO_NAME_LENGTH
    row.name_number = 0
    row.is_unnamed = True


cdef bint row_wins(const Row *row, const Row *other) noexcept nogil:
    """Twin of ``index_layout.wins``."""
    if row.timestamp != other.timestamp:
        return row.timestamp > other.timestamp
    if row.deleted != other.deleted:
        return other.deleted
    return compare(row.name, row.name_length, other.name, other.name_length) > 0


cdef object id_text(const uint8_t *key, size_t size):
    cdef char text[2 * MAX_KEY]
    cdef char *out = text
    cdef size_t i
    if key[0]:
        out[0] = <char>key[0]
        out += 1
    for i in range(1, size):
        out[0] = DIGITS[key[i] >> 4]
        out[1] = DIGITS[key[i] & 15]
        out += 2
    return PyUnicode_FromStringAndSize(text, out - text)


# No class here can be part of a cycle. A garbage collector that saw the references would take the owner of the buffer and
# the tables away before __dealloc__ lets them go.
@cython.no_gc
cdef class IndexTable:
    """Twin of ``index.PythonTable``."""

    def __cinit__(self, view, header, overhead, str name):
        self.name = name
        self.names_v1 = {}
        self.table.version = header.version
        self.table.entries_at = header.entries_at
        self.table.count = header.count
        self.table.key_size = header.key_size
        self.table.value_size = header.value_size
        self.table.stride = self.table.key_size + self.table.value_size
        self.table.packs_at = header.packs_at
        self.table.pack_count = header.pack_count
        self.table.formats_at = header.formats_at
        self.table.format_count = header.format_count
        self.table.base_time = header.base_time
        self.table.overhead = overhead & 0xFFFFFFFF
        PyObject_GetBuffer(view, &self.view, PyBUF_SIMPLE)
        self.held = True
        self.table.data = <const uint8_t *>self.view.buf
        self.table.size = self.view.len

    def __dealloc__(self):
        cdef size_t i
        self.let_go()
        if self.names_v2 is not NULL:
            for i in range(self.table.pack_count):
                Py_XDECREF(self.names_v2[i])
            free(self.names_v2)

    cdef void let_go(self):
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    cdef int use(self) except -1:
        """Keep the buffer until ``done``, whatever other threads do."""
        if self.table.released:
            raise ValueError("operation forbidden on released index table")
        self.users += 1
        return 0

    cdef void done(self):
        self.users -= 1
        if self.table.released and not self.users:
            self.let_go()

    def release(self):
        self.table.released = True
        if not self.users:
            self.let_go()

    def __len__(self):
        return self.table.count

    def key(self, Py_ssize_t position):
        self.check(position)
        return PyBytes_FromStringAndSize(<const char *>key_at(&self.table, position), self.table.key_size)

    def find(self, key):
        cdef char *text
        cdef Py_ssize_t length
        cdef size_t position
        if self.table.released:
            raise ValueError("operation forbidden on released index table")
        PyBytes_AsStringAndSize(key, &text, &length)
        if <size_t>length != self.table.key_size or not search(&self.table, <const uint8_t *>text, &position):
            return None
        return self.entry_at(position)

    def position(self, key):
        cdef char *text
        cdef Py_ssize_t length
        cdef size_t position
        if self.table.released:
            raise ValueError("operation forbidden on released index table")
        PyBytes_AsStringAndSize(key, &text, &length)
        if <size_t>length != self.table.key_size or not search(&self.table, <const uint8_t *>text, &position):
            return -1
        return position

    def entry(self, Py_ssize_t position):
        self.check(position)
        return self.entry_at(position)

    cdef int check(self, Py_ssize_t position) except -1:
        if self.table.released:
            raise ValueError("operation forbidden on released index table")
        if not 0 <= position < <Py_ssize_t>self.table.count:
            raise IndexError(f"the index has {self.table.count} entries, none at {position}")
        return 0

    cdef object entry_at(self, size_t position):
        cdef const uint8_t *key = key_at(&self.table, position)
        cdef Row row
        if not is_id(key):
            self.refuse_key(position)
        if not read_row(&self.table, position, &row):
            raise damaged(
                self.name, f"the name of pack {row.name_number} lies outside the file: it was cut short"
            )
        return PyObject_CallObject(
            make_entry,
            (
                id_text(key, self.table.key_size),
                self.name_of(&row),
                row.timestamp,
                row.original_length,
                row.packed_length,
                row.pack_offset,
                row.compression,
                True if row.deleted else False,
                row.format_version,
                row.key_id,
            ),
        )

    cdef int refuse_key(self, size_t position) except -1:
        key = PyBytes_FromStringAndSize(<const char *>key_at(&self.table, position), self.table.key_size)
        raise damaged(self.name, f"entry {position} is of no content: its key is {key.hex()}")

    cdef object name_of(self, const Row *row):
        """Return the name of a pack, the same object each time."""
        cdef PyObject *known
        if row.is_unnamed:
            return INVALID_NAME
        if self.table.version == 1:
            found = self.names_v1.get(row.name_number)
            if found is None:
                found = self.names_v1[row.name_number] = self.decoded(row)
            return found
        if self.names_v2 is NULL:
            self.names_v2 = <PyObject **>calloc(self.table.pack_count, sizeof(PyObject *))
            if self.names_v2 is NULL:
                raise MemoryError
        known = self.names_v2[row.name_number]
        if known is not NULL:
            return <object>known
        found = self.decoded(row)
        Py_INCREF(found)
        self.names_v2[row.name_number] = <PyObject *>found
        return found

    cdef object decoded(self, const Row *row):
        return decode_name(PyBytes_FromStringAndSize(<const char *>row.name, row.name_length))


# --- several files


cdef tuple checked(tables):
    """Return the tables, all of which are what C code takes them for."""
    cdef tuple found = tuple(tables)
    for table in found:
        if not isinstance(table, IndexTable):
            raise TypeError(f"{table!r} is not an IndexTable")
    return found


cdef inline int digit_of(char digit) noexcept nogil:
    """Return the value of a hexadecimal digit, -1 for any other letter."""
    if 48 <= digit <= 57:
        return digit - 48
    if 97 <= digit <= 102:
        return digit - 87
    return -1


cdef size_t key_from(const char *text, Py_ssize_t length, uint8_t *key) noexcept nogil:
    """Make the key of a content ID; return its bytes, 0 when the text is none."""
    cdef Py_ssize_t at = length & 1
    cdef size_t size = 1
    cdef int high, low
    if length < 2 or length // 2 + 1 > MAX_KEY or (at and not (103 <= text[0] <= 122)):
        return 0
    key[0] = <uint8_t>text[0] if at else 0
    while at < length:
        high, low = digit_of(text[at]), digit_of(text[at + 1])
        if high < 0 or low < 0:
            return 0
        key[size] = <uint8_t>(high << 4 | low)
        size += 1
        at += 2
    return size


@cython.no_gc
cdef class MergedTable:
    """Twin of the look-ups of ``index_merge.MergedIndex``."""

    cdef tuple tables
    cdef Table **pointers
    cdef size_t count
    cdef bint hides
    cdef int64_t watermark

    def __cinit__(self, tables, watermark):
        cdef IndexTable table
        cdef size_t i = 0
        self.tables = checked(tables)
        self.count = len(self.tables)
        self.hides = watermark is not None
        self.watermark = watermark if watermark is not None else 0
        self.pointers = <Table **>calloc(self.count + 1, sizeof(Table *))
        if self.pointers is NULL:
            raise MemoryError
        for table in self.tables:
            self.pointers[i] = &table.table
            i += 1

    def __dealloc__(self):
        free(self.pointers)

    def winner(self, key):
        cdef Row row
        cdef size_t position
        cdef Py_ssize_t best = self.best(key, &position, &row)
        return None if best < 0 else (<IndexTable>self.tables[best]).entry_at(position)

    def find(self, key):
        cdef Row row
        cdef size_t position
        cdef Py_ssize_t best = self.best(key, &position, &row)
        return None if best < 0 or self.hidden(&row) else (<IndexTable>self.tables[best]).entry_at(position)

    def contains(self, key):
        cdef Row row
        cdef size_t position
        return self.best(key, &position, &row) >= 0 and not self.hidden(&row)

    def is_live(self, key):
        cdef Row row
        cdef size_t position
        return self.best(key, &position, &row) >= 0 and not row.deleted

    def without_live(self, content_ids):
        cdef uint8_t key[MAX_KEY]
        cdef const char *text
        cdef Py_ssize_t length, number = 0
        cdef size_t size, position
        cdef Row row
        cdef list found = []
        for content_id in content_ids:
            text = PyUnicode_AsUTF8AndSize(content_id, &length)
            size = key_from(text, length, key)
            if not size or self.best_of(key, size, &position, &row) < 0 or row.deleted:
                found.append(number)
            number += 1
        return found

    cdef bint hidden(self, const Row *row):
        return self.hides and row.deleted and <int64_t>row.timestamp <= self.watermark

    cdef Py_ssize_t best(self, key, size_t *best_position, Row *best_row) except -2:
        """Return the number of the table whose entry wins, or -1 without any."""
        cdef char *text
        cdef Py_ssize_t length
        PyBytes_AsStringAndSize(key, &text, &length)
        return self.best_of(<const uint8_t *>text, length, best_position, best_row)

    cdef Py_ssize_t best_of(
        self, const uint8_t *text, size_t length, size_t *best_position, Row *best_row
    ) except -2:
        cdef Py_ssize_t best = -1
        cdef size_t i, position
        cdef Table *table
        cdef Row row
        if self.count > 1:
            for i in range(self.count):
                if length == self.pointers[i].key_size:
                    fetch_ahead(self.pointers[i], text)
        for i in range(self.count):
            table = self.pointers[i]
            if table.released:
                raise ValueError("operation forbidden on released index table")
            if length != table.key_size or not search(table, text, &position):
                continue
            if not read_row(table, position, &row) or not is_id(text):
                (<IndexTable>self.tables[i]).entry_at(position)  # raises
            if best < 0 or row_wins(&row, best_row):
                best = i
                best_position[0] = position
                best_row[0] = row
        return best


cdef inline bint is_before(const Cursor *left, const Cursor *right) noexcept nogil:
    cdef int order = compare(left.key, left.table.key_size, right.key, right.table.key_size)
    return order < 0 or (order == 0 and left.number < right.number)


cdef void sift_down(Cursor *heap, size_t count, size_t top) noexcept nogil:
    cdef Cursor moved = heap[top]
    cdef size_t child
    while True:
        child = 2 * top + 1
        if child >= count:
            break
        if child + 1 < count and is_before(&heap[child + 1], &heap[child]):
            child += 1
        if not is_before(&heap[child], &moved):
            break
        heap[top] = heap[child]
        top = child
    heap[top] = moved


@cython.no_gc
cdef class Winners:
    """Iterator, twin of ``index_merge._winners``: the winning entry of each content, in the order of IDs."""

    def __cinit__(self, tables, bounds, deleted_after):
        cdef IndexTable table
        cdef Cursor *cursor
        cdef size_t i
        cdef list used = []
        self.tables = ()
        self.deleted_after = NEVER if deleted_after is None else deleted_after
        self.heap = <Cursor *>malloc((len(tables) + 1) * sizeof(Cursor))
        self.pointers = <Table **>malloc((len(tables) + 1) * sizeof(Table *))
        if self.heap is NULL or self.pointers is NULL:
            raise MemoryError
        for i, (table, (start, end)) in enumerate(zip(checked(tables), bounds)):
            table.use()
            used.append(table)
            self.tables = tuple(used)
            self.pointers[i] = &table.table
            if start >= end:
                continue
            table.check(start)
            table.check(end - 1)
            cursor = &self.heap[self.count]
            cursor.table = &table.table
            cursor.number = i
            cursor.position = start
            cursor.end = end
            cursor.key = key_at(cursor.table, cursor.position)
            self.count += 1
        for i in range(self.count // 2, 0, -1):
            sift_down(self.heap, self.count, i - 1)

    def __dealloc__(self):
        cdef IndexTable table
        for table in self.tables:
            table.done()
        free(self.heap)
        free(self.pointers)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Place place
        cdef int found = self.next_place(&place)
        if found == FOUND:
            return (<IndexTable>self.tables[place.table]).entry_at(place.position)
        if found == DAMAGED:
            self.refuse()
        raise StopIteration

    cdef int refuse(self) except -1:
        cdef IndexTable table = self.tables[self.fault.number]
        table.entry_at(self.fault.position)  # raises, unless it is the next entry that is wrong
        raise damaged(
            table.name,
            f"content {id_text(key_at(&table.table, self.fault.position + 1), table.table.key_size)} stands behind "
            f"{id_text(self.fault.key, table.table.key_size)}, out of order",
        )

    cdef int next_place(self, Place *place) noexcept nogil:
        """Go to the next winner that is to be seen."""
        cdef const uint8_t *key
        cdef size_t key_size
        cdef Row best, row
        while self.count:
            key = self.heap[0].key
            key_size = self.heap[0].table.key_size
            if not self.take(place, &best):
                return DAMAGED
            while self.count and compare(self.heap[0].key, self.heap[0].table.key_size, key, key_size) == 0:
                if not self.take_better(place, &best, &row):
                    return DAMAGED
            if not best.deleted or <int64_t>best.timestamp > self.deleted_after:
                return FOUND
        return NONE

    cdef bint take_better(self, Place *place, Row *best, Row *row) noexcept nogil:
        cdef Place other
        if not self.take(&other, row):
            return False
        if row_wins(row, best):
            best[0] = row[0]
            place[0] = other
        return True

    cdef bint take(self, Place *place, Row *row) noexcept nogil:
        """Read the entry at the top and go on by one; False at damage."""
        cdef Cursor *top = self.heap
        place.table = <uint32_t>top.number
        place.position = <uint32_t>top.position
        self.fault = top[0]
        if not is_id(top.key) or not read_row(top.table, top.position, row):
            return False
        top.position += 1
        if top.position == top.end:
            self.count -= 1
            top[0] = self.heap[self.count]
        else:
            top.key += top.table.stride
            if memcmp(top.key, top.key - top.table.stride, top.table.key_size) < 0:
                return False
        if self.count:
            sift_down(self.heap, self.count, 0)
        return True
