# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""Native twin of ``index_build`` and of ``index_merge.merge_index_files``.

The answer is None where anything is odd (an entry that does not fit, a damaged file): the Python definition then does
it, or raises the error.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from pykopia.format._index cimport (
    DAMAGED,
    FORMAT_V2,
    FOUND,
    HEADER_V1,
    HEADER_V2,
    MAX_KEY,
    NARROWEST_V2,
    PACK_V2,
    VALUE_V1,
    WIDEST_V2,
    IndexTable,
    Place,
    Row,
    Table,
    Winners,
    big32,
    is_id,
    key_at,
    read_row,
)

from msgspec.structs import astuple

from pykopia.format.index_layout import encode_name

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *text, Py_ssize_t length)
    char *PyBytes_AsString(object text) except NULL
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *length) except NULL
    long long PyLong_AsLongLong(object number) except? -1
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL

cdef enum:
    MAX_FORMATS = 255
    MAX_PACKS = 1 << 24
    MAX_LENGTH_V2 = 1 << 28
    MAX_OFFSET_V2 = 1 << 30
    NO_KEY = 255  # key size of a file without entries

cdef uint32_t DELETED = 0x80000000
cdef uint32_t NO_PACK = 0xFFFFFFFF
cdef char *DIGITS = "0123456789abcdef"


cdef inline void put16(uint8_t *at, uint64_t number) noexcept nogil:
    at[0] = <uint8_t>(number >> 8)
    at[1] = <uint8_t>number


cdef inline void put24(uint8_t *at, uint64_t number) noexcept nogil:
    at[0] = <uint8_t>(number >> 16)
    put16(at + 1, number)


cdef inline void put32(uint8_t *at, uint64_t number) noexcept nogil:
    put16(at, number >> 16)
    put16(at + 2, number)


cdef class Builder:
    """Gathers the rows of a new file, in order, in the widest form; ``finish`` cuts them to what is needed."""

    cdef int version
    cdef size_t key_size
    cdef size_t value_size
    cdef size_t count
    cdef uint8_t *rows
    cdef uint8_t *end
    cdef dict numbers  # of packs, by name
    cdef list names
    cdef uint8_t formats[MAX_FORMATS * FORMAT_V2]
    cdef size_t format_count
    cdef uint32_t longest

    def __cinit__(self, int version, size_t key_size, size_t capacity):
        self.version = version
        self.key_size = key_size
        self.value_size = VALUE_V1 if version == 1 else WIDEST_V2
        self.numbers = {}
        self.names = []
        self.rows = <uint8_t *>malloc(capacity * (key_size + self.value_size) + 1)
        if self.rows is NULL:
            raise MemoryError
        self.end = self.rows

    def __dealloc__(self):
        free(self.rows)

    cdef uint32_t number_of(self, name, encoded) except? 0xFFFFFFFE:
        """Return the number of a pack, given by any form of its name; NO_PACK when the name is too long."""
        cdef PyObject *found = PyDict_GetItemWithError(self.numbers, name)
        if found is not NULL:
            return <uint32_t>PyLong_AsLongLong(<object>found)
        if encoded is None:
            encoded = encode_name(name)
        if len(<bytes>encoded) > 255:
            return NO_PACK
        self.numbers[name] = len(self.names)
        self.names.append(encoded)
        return <uint32_t>len(self.names) - 1

    cdef bint add(self, const uint8_t *key, const Row *row, uint32_t pack) noexcept nogil:
        """Append a row; False when it does not fit into a file of this version, or is out of order."""
        cdef uint8_t *value = self.end + self.key_size
        cdef uint64_t offset = row.pack_offset | (DELETED if row.deleted else 0)
        cdef size_t form
        if pack == NO_PACK or not is_id(key):
            return False
        if self.count and memcmp(self.end - self.key_size - self.value_size, key, self.key_size) >= 0:
            return False
        if self.version == 1:
            if row.compression or row.key_id or not row.name_length or row.timestamp >> 48:
                return False
            put16(value, row.timestamp >> 32)
            put32(value + 2, row.timestamp)
            value[6] = row.format_version
            put32(value + 8, pack)
            put32(value + 12, offset)
            put32(value + 16, row.packed_length)
        else:
            if row.original_length >= MAX_LENGTH_V2 or row.packed_length >= MAX_LENGTH_V2:
                return False
            if row.pack_offset >= MAX_OFFSET_V2 or row.timestamp >> 32 or pack >= MAX_PACKS:
                return False
            form = self.format_of(row)
            if form == MAX_FORMATS:
                return False
            put32(value, row.timestamp)
            put32(value + 4, offset)
            put24(value + 8, row.original_length)
            put24(value + 11, row.packed_length)
            put16(value + 14, pack)
            value[16] = <uint8_t>form
            value[17] = <uint8_t>(pack >> 16)
            value[18] = <uint8_t>(row.original_length >> 24 << 4 | row.packed_length >> 24)
            self.longest |= row.original_length | row.packed_length
        memcpy(self.end, key, self.key_size)
        self.end = value + self.value_size
        self.count += 1
        return True

    cdef size_t format_of(self, const Row *row) noexcept nogil:
        cdef uint8_t wanted[FORMAT_V2]
        cdef size_t i
        put32(wanted, row.compression)
        wanted[4] = row.format_version
        wanted[5] = row.key_id
        for i in range(self.format_count):
            if memcmp(self.formats + i * FORMAT_V2, wanted, FORMAT_V2) == 0:
                return i
        if self.format_count < MAX_FORMATS:
            memcpy(self.formats + self.format_count * FORMAT_V2, wanted, FORMAT_V2)
            self.format_count += 1
            return self.format_count - 1
        return MAX_FORMATS

    cdef object finish(self):
        """Return the file, or None when it would be empty or too long."""
        cdef bytes joined = b"".join(self.names)
        cdef size_t packs = len(self.names)
        cdef size_t header_size = HEADER_V1, value_size = VALUE_V1, tables_size = 0, names_at
        cdef uint8_t *out
        cdef object file
        if self.version == 2:
            header_size = HEADER_V2
            value_size = NARROWEST_V2
            if self.longest >> 24:
                value_size = WIDEST_V2
            elif packs > 1 << 16:
                value_size = NARROWEST_V2 + 2
            elif self.format_count > 1:
                value_size = NARROWEST_V2 + 1
            tables_size = packs * PACK_V2 + self.format_count * FORMAT_V2
        names_at = header_size + self.count * (self.key_size + value_size) + tables_size
        if (self.version == 2 and not self.count) or self.count >> 32 or (names_at + len(joined)) >> 32:
            return None
        file = PyBytes_FromStringAndSize(NULL, names_at + len(joined))
        out = <uint8_t *>PyBytes_AsString(file)
        out[0] = <uint8_t>self.version
        out[1] = <uint8_t>(self.key_size if self.count else NO_KEY)
        put16(out + 2, value_size)
        put32(out + 4, self.count)
        if self.version == 2:
            put32(out + 8, packs)
            out[12] = <uint8_t>self.format_count
            put32(out + 13, 0)
            memcpy(out + names_at - self.format_count * FORMAT_V2, self.formats, self.format_count * FORMAT_V2)
            self.put_packs(out + names_at - tables_size, names_at)
        with nogil:
            self.put_rows(out + header_size, value_size)
        if self.version == 1:
            self.point_to_names(out + header_size, names_at)
        memcpy(out + names_at, <const char *>joined, len(joined))
        return file

    cdef void put_rows(self, uint8_t *out, size_t value_size) noexcept nogil:
        cdef size_t wide = self.key_size + self.value_size
        cdef size_t narrow = self.key_size + value_size
        cdef size_t i
        for i in range(self.count):
            memcpy(out + i * narrow, self.rows + i * wide, narrow)

    cdef int put_packs(self, uint8_t *out, size_t names_at) except -1:
        cdef bytes name
        for name in self.names:
            out[0] = <uint8_t>len(name)
            put32(out + 1, names_at)
            out += PACK_V2
            names_at += len(name)
        return 0

    cdef int point_to_names(self, uint8_t *out, size_t names_at) except -1:
        """Put where the name of a pack lies in place of the number of the pack."""
        cdef uint64_t *starts = <uint64_t *>malloc((len(self.names) + 1) * sizeof(uint64_t))
        cdef size_t i = 0
        cdef uint32_t number
        cdef bytes name
        if starts is NULL:
            raise MemoryError
        for name in self.names:
            starts[i] = names_at
            names_at += len(name)
            i += 1
        starts[i] = names_at
        for i in range(self.count):
            out += self.key_size
            number = big32(out + 8)
            out[7] = <uint8_t>(starts[number + 1] - starts[number])
            put32(out + 8, starts[number])
            out += VALUE_V1
        free(starts)
        return 0


cdef inline int digit(uint8_t character) noexcept nogil:
    if 48 <= character <= 57:
        return character - 48
    if 97 <= character <= 102:
        return character - 87
    return -1


cdef size_t read_id(const char *text, size_t length, uint8_t *key) noexcept nogil:
    """Turn a canonical ID into a key; return its size, 0 when the text is none."""
    cdef size_t size = 1
    cdef int high, low
    key[0] = 0
    if length & 1:
        key[0] = <uint8_t>text[0]
        text += 1
        length -= 1
    if length == 0 or length > 2 * (MAX_KEY - 1):
        return 0
    while length:
        high = digit(<uint8_t>text[0])
        low = digit(<uint8_t>text[1])
        if high < 0 or low < 0:
            return 0
        key[size] = <uint8_t>(high << 4 | low)
        size += 1
        text += 2
        length -= 2
    return size


cdef inline bint fits(object number, int bits, uint64_t *out) except -1:
    cdef long long value = PyLong_AsLongLong(number)
    out[0] = <uint64_t>value
    return value >= 0 and value >> bits == 0


def encode_entries(list entries, int version):
    """Twin of ``index_build.encode_v1`` and ``encode_v2``."""
    cdef Builder builder = None
    try:
        builder = gather(entries, version)
    except (OverflowError, UnicodeEncodeError):
        return None
    return None if builder is None else builder.finish()


cdef Builder gather(list entries, int version):
    """Return a builder that holds all entries, or None when one does not fit."""
    cdef Builder builder = Builder(version, MAX_KEY, 0)
    cdef uint8_t key[MAX_KEY]
    cdef uint64_t numbers[6]
    cdef Py_ssize_t length
    cdef const char *text
    cdef size_t key_size
    cdef tuple fields
    cdef Row row
    row.name = NULL
    for entry in entries:
        fields = astuple(entry)
        text = PyUnicode_AsUTF8AndSize(fields[0], &length)
        key_size = read_id(text, length, key)
        if not builder.count:
            builder = Builder(version, key_size, len(entries))
        if not key_size or key_size != builder.key_size:
            return None
        if not (
            fits(fields[2], 48, &row.timestamp)
            and fits(fields[3], 32, &numbers[0])
            and fits(fields[4], 32, &numbers[1])
            and fits(fields[5], 31, &numbers[2])
            and fits(fields[6], 32, &numbers[3])
            and fits(fields[8], 8, &numbers[4])
            and fits(fields[9], 8, &numbers[5])
        ):
            return None
        row.original_length = <uint32_t>numbers[0]
        row.packed_length = <uint32_t>numbers[1]
        row.pack_offset = <uint32_t>numbers[2]
        row.compression = <uint32_t>numbers[3]
        row.format_version = <uint8_t>numbers[4]
        row.key_id = <uint8_t>numbers[5]
        row.deleted = fields[7]
        row.name_length = len(<str>fields[1])
        if not builder.add(key, &row, builder.number_of(fields[1], None)):
            return None
    return builder


cdef uint32_t shard_hash(const uint8_t *key, size_t size) noexcept nogil:
    """Twin of ``index_build.fnv32a`` over the text of the ID."""
    cdef uint32_t value = 0x811C9DC5
    cdef size_t i
    if key[0]:
        value = (value ^ key[0]) * 0x01000193
    for i in range(1, size):
        value = (value ^ <uint8_t>DIGITS[key[i] >> 4]) * 0x01000193
        value = (value ^ <uint8_t>DIGITS[key[i] & 15]) * 0x01000193
    return value


@cython.no_gc  # can't be part of a cycle; __dealloc__ needs the tables
cdef class Merger:
    """One merge: the places of all winners, and the numbers of their packs in the new file."""

    cdef Winners winners
    cdef Place *places
    cdef size_t count
    cdef uint32_t **packs  # by table, then by number of the pack in it; NULL for version 1

    def __cinit__(self, Winners winners):
        cdef IndexTable table
        cdef size_t i, total = 0
        self.winners = winners
        for table in winners.tables:
            total += table.table.count
        self.places = <Place *>malloc((total + 1) * sizeof(Place))
        self.packs = <uint32_t **>calloc(len(winners.tables) + 1, sizeof(uint32_t *))
        if self.places is NULL or self.packs is NULL:
            raise MemoryError
        for i, table in enumerate(winners.tables):
            if table.table.version == 2:
                self.packs[i] = <uint32_t *>malloc((table.table.pack_count + 1) * sizeof(uint32_t))
                if self.packs[i] is NULL:
                    raise MemoryError

    def __dealloc__(self):
        cdef size_t i
        free(self.places)
        if self.packs is not NULL:
            for i in range(len(self.winners.tables)):
                free(self.packs[i])
            free(self.packs)

    cdef int gather(self) noexcept nogil:
        cdef int found = self.winners.next_place(&self.places[0])
        while found == FOUND:
            self.count += 1
            found = self.winners.next_place(&self.places[self.count])
        return found

    cdef int leave_out(self, keys) except -1:
        cdef size_t i, kept = 0
        cdef const Table *table
        cdef frozenset dropped = frozenset(keys)
        for i in range(self.count):
            table = self.winners.pointers[self.places[i].table]
            key = PyBytes_FromStringAndSize(
                <const char *>key_at(table, self.places[i].position), table.key_size
            )
            if key not in dropped:
                self.places[kept] = self.places[i]
                kept += 1
        self.count = kept
        return 0

    cdef size_t size_of(self, size_t shard, size_t shards) noexcept nogil:
        """Count the rows of one shard."""
        cdef const Table *table
        cdef size_t i, count = 0
        for i in range(self.count):
            table = self.winners.pointers[self.places[i].table]
            if shard_hash(key_at(table, self.places[i].position), table.key_size) % <uint32_t>shards == shard:
                count += 1
        return count

    cdef int build(self, Builder builder, size_t shard, size_t shards) except -1 nogil:
        """Add the rows of one shard; 0 when one does not fit."""
        cdef const Table *table
        cdef const uint8_t *key
        cdef uint32_t *packs
        cdef uint32_t pack
        cdef Row row
        cdef size_t i
        for i in range(self.count):
            table = self.winners.pointers[self.places[i].table]
            key = key_at(table, self.places[i].position)
            if table.key_size != builder.key_size:
                return 0
            if shards > 1 and shard_hash(key, table.key_size) % <uint32_t>shards != shard:
                continue
            read_row(table, self.places[i].position, &row)
            packs = self.packs[self.places[i].table]
            if packs is NULL or row.is_unnamed:
                with gil:
                    pack = named(builder, &row)
            else:
                pack = packs[row.name_number]
                if pack == NO_PACK:
                    with gil:
                        pack = named(builder, &row)
                    packs[row.name_number] = pack
            if not builder.add(key, &row, pack):
                return 0
        return 1

    cdef void forget_packs(self) noexcept:
        cdef size_t i
        for i in range(len(self.winners.tables)):
            if self.packs[i] is not NULL:
                memset(self.packs[i], 0xFF, (self.winners.pointers[i].pack_count + 1) * sizeof(uint32_t))


cdef uint32_t named(Builder builder, const Row *row) except? 0xFFFFFFFE:
    name = PyBytes_FromStringAndSize(<const char *>row.name, row.name_length)
    return builder.number_of(name, name)


def merge_tables(tables, int version, drop, drop_deleted_before, size_t max_entries):
    """Twin of ``index_merge.merge_index_files``."""
    cdef Builder builder
    cdef size_t shard, shards, key_size
    cdef int found
    cdef list files = []
    deleted_after = -1 if drop_deleted_before is None else drop_deleted_before - 1
    cdef Merger merger = Merger(Winners(tables, [(0, len(table)) for table in tables], deleted_after))
    with nogil:
        found = merger.gather()
    if found == DAMAGED:
        return None
    if drop:
        merger.leave_out(drop)
    if not merger.count:
        return files
    shards = (merger.count + max_entries - 1) // max_entries
    key_size = merger.winners.pointers[merger.places[0].table].key_size
    for shard in range(shards):
        builder = Builder(version, key_size, merger.count if shards == 1 else merger.size_of(shard, shards))
        merger.forget_packs()
        with nogil:
            found = merger.build(builder, shard, shards)
        if not found:
            return None
        if builder.count:
            file = builder.finish()
            if file is None:
                return None
            files.append(file)
    return files
